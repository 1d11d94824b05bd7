/* Extents: space for records, at the end of a segment's file, which grows as needed.
 *
 * An extent is a power of two long and aligned to its length, so it never straddles two mapped chunks. Free ones
 * are kept in a list by size, the offset of the next in their first bytes. All under the header's heap lock.
 *
 * Deaths. Growing: the file is extended before heap_end says so; whoever comes next extends it over the same bytes,
 * which costs nothing. Popping: one store of the list head takes the extent off; a death after it loses that extent
 * until the segment is gone, and nothing else. Pushing: the extent's link is written before the one store of the
 * list head. So there is nothing to repair when the lock is taken over.
 * A large extent is given memory behind its first page after the lock: until then nothing names it.
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

/* The link of a free extent, read or written. Not by way of the mapping, for which this process may have no address space left:
 * an extent that cannot be mapped is neither damaged nor lost. */
static bool link_get(seg_t *seg, uint64_t offset, uint64_t *next) {
    return AGAIN(pread(seg->fd, next, sizeof *next, (off_t)offset)) == (ssize_t)sizeof *next;
}

static bool link_put(seg_t *seg, uint64_t offset, uint64_t next) {
    return AGAIN(pwrite(seg->fd, &next, sizeof next, (off_t)offset)) == (ssize_t)sizeof next;
}

static bool plausible(seg_t *seg, uint64_t offset, unsigned order) {
    uint64_t length = (uint64_t)1 << order;
    struct stat st;
    if (offset < seg->size || (offset & (length - 1)) != 0 || offset > INT64_MAX - length) return false;
    return segment_fd(seg) >= 0 && fstat(seg->fd, &st) == 0 && offset + length <= (uint64_t)st.st_size;
}

/* Give the pages of an extent back, all but the first, where the list's link is. */
static void punch(seg_t *seg, uint64_t offset, uint64_t length) {
    if (length <= PAGE || segment_fd(seg) < 0) return;
    fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(offset + PAGE), (off_t)(length - PAGE));
}

static int pop(seg_t *seg, unsigned order, uint64_t *offset) {
    header_t *h = seg->header;
    uint64_t first = atomic_load(&h->heap_free[order]);
    if (first == 0) return 0;
    if (!plausible(seg, first, order)) { /* a wild list is dropped, not followed */
        atomic_store(&h->heap_free[order], 0);
        return 0;
    }
    uint64_t next;
    if (!link_get(seg, first, &next)) return 0;
    atomic_store(&h->heap_free[order], next);
    FAULT(heap_popped);
    *offset = first;
    return 1;
}

/* What kept an extent from being had. It is raised when the heap lock is free again: making an exception runs Python, and a
 * finalizer or a signal handler in that would wait for the lock of its own thread. */
enum { TAKEN = 1, NO_MEMORY = -1, NO_SENSE = -2, NO_FILE = -3 };

static int raise_refused(seg_t *seg, int why, int error, uint64_t need) {
    if (segment_whole(seg) < 0) return -1;
    if (why == NO_MEMORY) raise_out_of_memory(seg->name, need, shm_free_bytes());
    else if (why == NO_SENSE) raise_named("CorruptSegment", seg->name, "its heap ends behind its file");
    else raise_too_long(error, seg->name, need);
    return -1;
}

/* *error*: errno, if it is NO_FILE. */
static int extend(seg_t *seg, unsigned order, uint64_t *offset, int *error) {
    uint64_t backed = order >= HEAP_PUNCHED ? PAGE : (uint64_t)1 << order; /* the first page is there in any case, for the list's link */
    uint64_t length = (uint64_t)1 << order, end = atomic_load(&seg->header->heap_end);
    struct stat st;
    if (end < seg->size) end = seg->size;
    if (segment_fd(seg) < 0 || fstat(seg->fd, &st) < 0 || end > (uint64_t)st.st_size + PAGE) return NO_SENSE;
    uint64_t start = (end + length - 1) & ~(length - 1);
    FAULT(segment_reserving);
    *error = backed < length ? segment_stretch(seg, start + length) : 0;
    if (*error == 0) *error = segment_back(seg, start, backed);
    if (*error != 0) return *error == ENOSPC || *error == ENOMEM ? NO_MEMORY : NO_FILE;
    FAULT(heap_extending);
    atomic_store(&seg->header->heap_end, start + length);
    FAULT(heap_extended);
    *offset = start;
    return TAKEN;
}

/* Space for *need* bytes: its offset and log2 of its length. 0, or -1 with an exception and nothing changed. There is memory
 * behind all of it if *whole*; else, where that makes a difference, behind the first *need* bytes. */
int heap_alloc(seg_t *seg, uint64_t need, bool whole, uint64_t *offset, unsigned *order) {
    *order = order_for(need);
    if (*order >= HEAP_CLASSES - 6) {
        raise_out_of_memory(seg->name, need, shm_free_bytes());
        return -1;
    }
    if (segment_whole(seg) < 0) return -1; /* before the lock, since it may raise */
    int64_t patience = lock_quiet ? QUIET_NS : -1; /* in a quiet wait no signal is looked at */
    if (lock_word_acquire(seg, &seg->header->heap_lock, patience, NULL) < 0) return -1;
    seg->heap_busy = true;
    int error = 0, got = pop(seg, *order, offset);
    if (got == 0) got = extend(seg, *order, offset, &error);
    seg->heap_busy = false;
    lock_word_release(&seg->header->heap_lock);
    if (got < 0) return raise_refused(seg, got, error, (uint64_t)1 << *order);
    if (*order < HEAP_PUNCHED) return 0;
    /* A large one is given its memory after the lock, which others want for less. */
    uint64_t backed = whole ? (uint64_t)1 << *order : (need + PAGE - 1) / PAGE * PAGE;
    if (segment_reserve(seg, *offset, backed) == 0) {
        FAULT(heap_backed);
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    heap_free(seg, *offset, *order);
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* A large extent is worth a wait, in which nothing else happens. */
static bool soon(seg_t *seg, unsigned order) {
    if (order < HEAP_PUNCHED) return false;
    lock_quiet++;
    int got = lock_word_take(seg, &seg->header->heap_lock, QUIET_NS / 10);
    lock_quiet--;
    if (got < 0) PyErr_Clear();
    return got == 0 || got == 1;
}

/* Give an extent back. It is called when a value is published already, so it can neither wait long nor fail: where the heap
 * lock is not to be had soon, the extent is lost until the segment is gone. */
void heap_free(seg_t *seg, uint64_t offset, unsigned order) {
    if (order < SMALLEST || order >= HEAP_CLASSES || !plausible(seg, offset, order)) return;
    if (order >= HEAP_PUNCHED) {
        punch(seg, offset, (uint64_t)1 << order);
        FAULT(heap_punched);
    }
    if (!lock_word_try(seg, &seg->header->heap_lock) && !soon(seg, order)) return;
    seg->heap_busy = true;
    uint64_t next = atomic_load(&seg->header->heap_free[order]);
    bool linked = link_put(seg, offset, next);
    FAULT(heap_pushing);
    if (linked) atomic_store(&seg->header->heap_free[order], offset);
    FAULT(heap_pushed);
    seg->heap_busy = false;
    lock_word_release(&seg->header->heap_lock);
}
