/* Extents: space for records, at the end of a segment's file, which grows as needed.
 *
 * An extent is a power of two long and aligned to its length, so it never straddles two mapped chunks. Free ones
 * are kept in a list by size, the offset of the next in their first bytes. All under the header's heap lock.
 *
 * Deaths. Growing: the file is extended before heap_end says so; whoever comes next extends it over the same bytes,
 * which costs nothing. Popping: one store of the list head takes the extent off; a death after it loses that extent
 * until the segment is gone, and nothing else. Pushing: the extent's link is written before the one store of the
 * list head. So there is nothing to repair when the lock is taken over.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALLEST 6           /* 64 bytes */
#define PAGE 4096u

static unsigned order_for(uint64_t need) {
    unsigned order = SMALLEST;
    while (((uint64_t)1 << order) < need && order < HEAP_CLASSES) order++;
    return order;
}

static bool plausible(seg_t *seg, uint64_t offset, unsigned order) {
    uint64_t length = (uint64_t)1 << order;
    return offset >= seg->size && (offset & (length - 1)) == 0 && segment_at(seg, offset, length) != NULL;
}

/* Give the pages of an extent back, all but the first, where the list's link is. */
static void punch(seg_t *seg, uint64_t offset, uint64_t length) {
    if (length <= PAGE || segment_fd(seg) < 0) return;
    fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(offset + PAGE), (off_t)(length - PAGE));
}

static int pop(seg_t *seg, unsigned order, uint64_t backed, uint64_t *offset) {
    header_t *h = seg->header;
    uint64_t first = atomic_load(&h->heap_free[order]), length = (uint64_t)1 << order;
    if (first == 0) return 0;
    if (!plausible(seg, first, order)) { /* a wild list is dropped, not followed */
        atomic_store(&h->heap_free[order], 0);
        return 0;
    }
    if (order >= HEAP_PUNCHED && segment_reserve(seg, first, backed) < 0) return punch(seg, first, length), -1;
    uint64_t next;
    memcpy(&next, segment_at(seg, first, length), sizeof next);
    atomic_store(&h->heap_free[order], next);
    FAULT(heap_popped);
    *offset = first;
    return 1;
}

static int extend(seg_t *seg, unsigned order, uint64_t backed, uint64_t *offset) {
    uint64_t length = (uint64_t)1 << order, end = atomic_load(&seg->header->heap_end);
    struct stat st;
    if (end < seg->size) end = seg->size;
    if (segment_fd(seg) < 0 || fstat(seg->fd, &st) < 0 || end > (uint64_t)st.st_size + PAGE) {
        raise_named("CorruptSegment", seg->name, "its heap ends behind its file");
        return -1;
    }
    uint64_t start = (end + length - 1) & ~(length - 1);
    FAULT(segment_reserving);
    if (backed < length && ftruncate(seg->fd, (off_t)(start + length)) < 0) {
        if (errno != EFBIG && errno != ENOSPC && errno != ENOMEM) return raise_os(errno, seg->name), -1;
        return raise_out_of_memory(seg->name, length, shm_free_bytes()), -1;
    }
    if (segment_reserve(seg, start, backed) < 0) return punch(seg, start, length), -1;
    FAULT(heap_extending);
    atomic_store(&seg->header->heap_end, start + length);
    *offset = start;
    return 1;
}

/* Space for *need* bytes: its offset and log2 of its length. 0, or -1 with an exception and nothing changed. There is memory
 * behind all of it if *whole*; else, where that makes a difference, behind the first *need* bytes. */
int heap_alloc(seg_t *seg, uint64_t need, bool whole, uint64_t *offset, unsigned *order) {
    *order = order_for(need);
    if (*order >= HEAP_CLASSES - 6) {
        raise_out_of_memory(seg->name, need, shm_free_bytes());
        return -1;
    }
    int64_t patience = lock_quiet ? QUIET_NS : -1; /* in a quiet wait no signal is looked at */
    if (lock_word_acquire(seg, &seg->header->heap_lock, patience, NULL) < 0) return -1;
    seg->heap_busy = true;
    uint64_t backed = whole || *order < HEAP_PUNCHED ? (uint64_t)1 << *order : (need + PAGE - 1) / PAGE * PAGE;
    int got = pop(seg, *order, backed, offset);
    if (got == 0) got = extend(seg, *order, backed, offset);
    seg->heap_busy = false;
    lock_word_release(&seg->header->heap_lock);
    return got < 0 ? -1 : 0;
}

/* Give an extent back. It is called when a value is published already, so it can neither wait nor fail: where the heap
 * lock is not to be had at once, the extent is lost until the segment is gone. */
void heap_free(seg_t *seg, uint64_t offset, unsigned order) {
    if (order < SMALLEST || order >= HEAP_CLASSES || !plausible(seg, offset, order)) return;
    if (order >= HEAP_PUNCHED) punch(seg, offset, (uint64_t)1 << order);
    if (!lock_word_try(seg, &seg->header->heap_lock)) return;
    uint64_t next = atomic_load(&seg->header->heap_free[order]);
    memcpy(segment_at(seg, offset, (uint64_t)1 << order), &next, sizeof next);
    FAULT(heap_pushing);
    atomic_store(&seg->header->heap_free[order], offset);
    lock_word_release(&seg->header->heap_lock);
}
