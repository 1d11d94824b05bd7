/* Mappings: windows into a file that grows, and a forked child's own in place of its parent's. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where [offset, offset + length) of the file is mapped; NULL, without an exception, if it is not all in the file. */
void *segment_at(seg_t *seg, uint64_t offset, uint64_t length) {
    if (LIKELY(length <= INT64_MAX && offset <= INT64_MAX && offset + length <= seg->size)) return seg->base + offset;
    seg->unmapped = 0;
    if (length > INT64_MAX || offset > INT64_MAX || offset < seg->size) return NULL;
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
        if (seg->chunk[i] == NULL) {
            seg->unmapped = start;
            return NULL;
        }
    }
    return seg->chunk[i] + (offset - start);
}

/* After segment_at() gave NULL: whether that is because the process may have no more address space, which is then raised. What
 * lies there is not to be taken for damaged, or for free. */
bool segment_unmapped(seg_t *seg) {
    if (seg->unmapped == 0) return false;
    raise_no_room(seg->name, seg->unmapped, "address space");
    seg->unmapped = 0;
    return true;
}

/* In a forked child that may not open the file: let go of its parent's mapping, or that parent would seem to be alive as long as
 * the child is, and its locks would never be taken over. Each call then says why (segment_check_cut). An array stays, since there
 * are views of it that ask nobody. */
static void give_up(seg_t *seg) {
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (seg->kind == KIND_ARRAY) return;
    mmap(seg->base, seg->size, PROT_READ | PROT_WRITE, how, -1, 0);
    for (int i = 0; i < CHUNKS; i++)
        if (seg->chunk[i] != NULL) mmap(seg->chunk[i], seg->size << i, PROT_READ | PROT_WRITE, how, -1, 0);
    mapping_is_cut(seg);
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
            seg->dev = seg->ino = 0; /* nothing attaches to it here, though its file may get a name */
            continue;
        }
        int fd = open_sparing(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno == EACCES && fstat(seg->fd, &st) == 0 && st.st_ino == seg->ino) seg->foreign = (uint32_t)st.st_uid + 1;
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != seg->dev || st.st_ino != seg->ino) {
            if (fd >= 0) close(fd); /* someone closed our descriptor: its number is another file's, leave that alone */
            else if (fstat(seg->fd, &st) == 0 && st.st_dev == seg->dev && st.st_ino == seg->ino) close(seg->fd); /* no other is left */
            seg->fd = -1; /* a seat on the parent's description would not go with us */
            if (segment_fd(seg) < 0) {
                if (seg->foreign != 0) give_up(seg);
                continue;
            }
            seg->foreign = 0;
        } else {
            close(seg->fd);
            seg->fd = fd;
        }
        mmap(seg->base, seg->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, seg->fd, 0);
        for (int i = 0; i < CHUNKS; i++)
            if (seg->chunk[i] != NULL)
                mmap(seg->chunk[i], seg->size << i, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, seg->fd, (off_t)(seg->size << i));
        if (seg->handles > 0) seat_take(seg);
    }
    spare_renew();
}
