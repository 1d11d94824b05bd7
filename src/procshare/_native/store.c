/* Values that a word cannot hold: two buffers, published in turn.
 *
 *   buffer:  | length, 56 bits; tag, 8 bits | bytes ... |
 *
 * A writer, who has the lock, fills the buffer that the word does not name, and publishes it by one store of the word.
 * A reader takes no lock: it copies what the word names, and then looks at the word again. The word carries a
 * version, so it is the same only if the buffer was not written meanwhile; else the copy is thrown away. After three
 * such failures the reader takes the lock.
 *
 * Deaths. Before the store of the word the old value stands untouched in its own buffer; after it the new one is
 * whole. While a buffer is exchanged for a larger one, it is the one that nobody reads. A death between taking an
 * extent and naming it loses that extent until the segment is gone.
 */
#include "native.h"

#include <string.h>
#include <unistd.h>

#define RECORD_HEADER 8u
#define KEPT 4096u /* buffers larger than this are given back when they are far too large, or not in use */

static uint64_t capacity(uint64_t buffer) { return (uint64_t)1 << (buffer & 63); }

static uint64_t inline_buffer(seg_t *seg, slot_t *slot, unsigned i) {
    return (uint64_t)((char *)slot->inline_room[i] - seg->base) << 6 | 5;
}

void store_init(seg_t *seg, slot_t *slot) {
    for (unsigned i = 0; i < 2; i++) atomic_store(&slot->buffer[i], inline_buffer(seg, slot, i));
}

static char *buffer_at(seg_t *seg, uint64_t buffer) {
    if ((buffer & 63) < 5 || (buffer & 63) >= 48 || (buffer >> 6) % 8 != 0) return NULL;
    return segment_at(seg, buffer >> 6, capacity(buffer));
}

/* ---- reading ---- */

/* Copy from a buffer; false if it is not there, or with an exception. Not by way of the mapping if it may be a free extent by now, whose pages were given back: touching one
 * would need a page, and where /dev/shm is full that is a SIGBUS. */
static bool copy_out(seg_t *seg, uint64_t buffer, const char *at, uint64_t skip, char *to, uint64_t length) {
    if ((buffer & 63) < HEAP_PUNCHED) {
        memcpy(to, at + skip, length);
        return true;
    }
    for (uint64_t done = 0; done < length;) {
        if (segment_fd(seg) < 0) return false;
        ssize_t n = AGAIN(pread(seg->fd, to + done, length - done, (off_t)((buffer >> 6) + skip + done)));
        if (n < 0) raise_os(errno, seg->name);
        if (n <= 0) return false;
        done += (uint64_t)n;
    }
    return true;
}

/* The record that *word* names, as (tag, bytes); NULL: it makes no sense, or memory ran out (with an exception). */
static PyObject *copy_record(seg_t *seg, slot_t *slot, int64_t word, uint8_t *tag) {
    uint64_t buffer = atomic_load(&slot->buffer[~(uint64_t)word & 1]), head;
    char *at = buffer_at(seg, buffer);
    if (at == NULL || !copy_out(seg, buffer, at, 0, (char *)&head, sizeof head)) return NULL;
    uint64_t length = head & 0xffffffffffffffull;
    if (length > capacity(buffer) - RECORD_HEADER) return NULL;
    *tag = (uint8_t)(head >> 56);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (bytes != NULL && !copy_out(seg, buffer, at, RECORD_HEADER, PyBytes_AsString(bytes), length)) Py_CLEAR(bytes);
    return bytes;
}

/* Bytes of the buffer that the value is in, which is at most twice as large; 0: it is in the word. */
uint64_t store_room(const slot_t *slot) {
    int64_t word = atomic_load(&slot->word);
    uint64_t buffer = tagged_is_record(word) ? atomic_load(&slot->buffer[~(uint64_t)word & 1]) : 0;
    return (buffer & 63) < 5 || (buffer & 63) >= 48 ? 0 : capacity(buffer);
}

static PyObject *nonsense(seg_t *seg) {
    if (!PyErr_Occurred() && !segment_unmapped(seg)) raise_named("CorruptSegment", seg->name, "its value makes no sense");
    return NULL;
}

/* One attempt at the word, and at the tag and bytes of its record, if any: 1 copied, 0 replaced meanwhile, -1 exception. */
static int try_copy(seg_t *seg, slot_t *slot, int64_t *word, uint8_t *tag, PyObject **bytes) {
    *bytes = NULL;
    *word = atomic_load(&slot->word);
    if (!tagged_is_record(*word)) return 1;
    *bytes = copy_record(seg, slot, *word, tag);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&slot->word) != *word) {
        Py_CLEAR(*bytes);
        PyErr_Clear();
        return 0;
    }
    if (*bytes != NULL) return 1;
    return nonsense(seg), -1;
}

/* A fresh object, the last commit. *holding*: the calling thread has the lock. It is not made before the lock is free, for
 * that may run anybody's code. The caller keeps the segment: the handle may be closed while this waits. */
PyObject *store_read(handle_t *h, bool holding) {
    seg_t *seg = h->seg;
    slot_t *slot = h->slot;
    int64_t word = 0;
    uint8_t tag = 0;
    PyObject *bytes = NULL;
    int done = 0;
    for (int tries = 0; tries < 3 && done == 0; tries++) done = try_copy(seg, slot, &word, &tag, &bytes);
    if (done == 0) {
        hold_t *hold = handle_hold(h);
        if (hold == NULL || (!holding && lock_acquire(hold, -1) < 0)) return NULL;
        bool closed = h->seg == NULL;
        if (!closed) done = try_copy(seg, slot, &word, &tag, &bytes);
        if (!holding) lock_release(hold, false);
        if (closed) return raise_closed();
    }
    if (done <= 0) return nonsense(seg);
    PyObject *out = bytes ? record_decode(tag, bytes) : tagged_decode(word);
    Py_XDECREF(bytes);
    return out ? out : nonsense(seg);
}

/* ---- writing, under the lock ---- */

static void give_back(seg_t *seg, slot_t *slot, unsigned i, uint64_t replacement) {
    uint64_t old = atomic_exchange(&slot->buffer[i], replacement);
    FAULT(value_grown);
    heap_free(seg, old >> 6, old & 63); /* refuses what is no extent, such as an inline buffer */
}

/* The object is gone, and nobody else can know it: its extents are free. */
void store_drop(seg_t *seg, slot_t *slot) {
    for (unsigned i = 0; i < 2; i++) give_back(seg, slot, i, 0);
}

/* See that buffer *i* holds *need* bytes, and not absurdly more: where it is, or NULL with an exception. */
static char *fitting(seg_t *seg, slot_t *slot, unsigned i, uint64_t need) {
    uint64_t buffer = atomic_load(&slot->buffer[i]);
    char *at = buffer_at(seg, buffer);
    bool wasteful = at != NULL && capacity(buffer) > KEPT && need < capacity(buffer) / 8;
    if (at != NULL && need <= capacity(buffer) && !wasteful) return at;
    uint64_t replacement = inline_buffer(seg, slot, i), offset;
    unsigned order;
    if (need > capacity(replacement)) {
        if (heap_alloc(seg, need, true, &offset, &order) < 0) return NULL;
        replacement = offset << 6 | order;
    }
    FAULT(value_growing);
    give_back(seg, slot, i, replacement);
    if ((at = buffer_at(seg, replacement)) == NULL) return (char *)nonsense(seg);
    return at;
}

static int publish_record(seg_t *seg, slot_t *slot, uint8_t tag, PyObject *record) {
    int64_t current = atomic_load(&slot->word);
    unsigned i = tagged_is_record(current) ? !(~(uint64_t)current & 1) : 0;
    uint64_t length = (uint64_t)PyBytes_Size(record);
    char *at = fitting(seg, slot, i, length + RECORD_HEADER);
    if (at == NULL) return -1;
    atomic_store((_Atomic uint64_t *)at, (uint64_t)tag << 56 | length);
    memcpy(at + RECORD_HEADER, PyBytes_AsString(record), length / 2);
    FAULT(value_writing);
    memcpy(at + RECORD_HEADER + length / 2, PyBytes_AsString(record) + length / 2, length - length / 2);
    uint64_t version = atomic_load(&slot->version) + 1;
    atomic_store(&slot->version, version);
    FAULT(value_written);
    atomic_store_explicit(&slot->word, tagged_record(version, i), memory_order_release);
    return 0;
}

/* Commit a word, or a record whose tag is in *word*: 0, or -1 with an exception and nothing changed. */
int store_publish(seg_t *seg, slot_t *slot, int64_t word, PyObject *record) {
    FAULT(value_committing);
    if (record != NULL) {
        if (publish_record(seg, slot, (uint8_t)word, record) < 0) return -1;
    } else {
        atomic_store_explicit(&slot->word, word, memory_order_release);
        count_commit(slot);
        for (unsigned i = 0; i < 2; i++) {
            uint64_t buffer = atomic_load_explicit(&slot->buffer[i], memory_order_relaxed);
            if (UNLIKELY(capacity(buffer) > KEPT)) give_back(seg, slot, i, inline_buffer(seg, slot, i));
        }
    }
    FAULT(value_committed);
    return 0;
}
