/* Mappings: windows into a file that grows, and a forked child's own in place of its parent's. */
#include "native.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where [offset, offset + length) of the file is mapped; NULL, without an exception, if it is not all in the file. */
void *segment_at(seg_t *seg, uint64_t offset, uint64_t length) {
    if (length > INT64_MAX || offset > INT64_MAX) return NULL;
    if (offset + length <= seg->size) return seg->base + offset;
    if (offset < seg->size) return NULL;
    if (offset + length > seg->known_size) {
        struct stat st;
        if (segment_fd(seg) < 0 || fstat(seg->fd, &st) < 0 || offset + length > (uint64_t)st.st_size) return NULL;
        seg->known_size = (uint64_t)st.st_size;
    }
    int i = 63 - __builtin_clzll(offset / seg->size);
    uint64_t start = seg->size << i;
    if (i >= CHUNKS || offset + length > start * 2) return NULL;
    if (seg->chunk[i] == NULL) {
        if (segment_fd(seg) < 0) return NULL;
        seg->chunk[i] = mapping_new(seg, seg->fd, start, start, &seg->chunk_mapping[i]);
        if (seg->chunk[i] == NULL) return NULL;
    }
    return seg->chunk[i] + (offset - start);
}

/* In a forked child: a file description of its own for each mapping, in the same places, and a seat on it. Until then the
 * inherited ones keep the parent's seats alive. */
void segment_remap_child(void) {
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next) {
        char path[NAME_ROOM + 16];
        struct stat st;
        snprintf(path, sizeof path, "/proc/self/fd/%d", seg->fd);
        seg->seat = -1;
        seg->token = 0;
        seg->reading = NULL;
        if (seg->base == NULL) { /* a thread that the child has not got was making it */
            if (segment_fd(seg) >= 0) close(seg->fd);
            seg->fd = -1;
            continue;
        }
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != seg->dev || st.st_ino != seg->ino) {
            if (fd >= 0) close(fd); /* someone closed our descriptor: its number is another file's, leave that alone */
            snprintf(path, sizeof path, SHM "/%s", seg->name);
            fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
            if (fd < 0) continue;
            if (fstat(fd, &st) < 0 || st.st_dev != seg->dev || st.st_ino != seg->ino) {
                close(fd);
                continue;
            }
        } else {
            close(seg->fd);
        }
        seg->fd = fd;
        mmap(seg->base, seg->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        for (int i = 0; i < CHUNKS; i++)
            if (seg->chunk[i] != NULL)
                mmap(seg->chunk[i], seg->size << i, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)(seg->size << i));
        if (seg->handles > 0) seat_take(seg);
    }
}
