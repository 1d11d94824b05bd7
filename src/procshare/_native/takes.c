/* Taking items from a queue, one or many at a time. */
#include "queue.h"

#include <stdlib.h>

#define BATCH_BYTES (1u << 20) /* what get_many() copies out in one go */
#define SMALL_BUFFERS 4096     /* in a batch, items with buffers up to this size are copied twice */

/* ---- taking ---- */

/* Holding take_lock: an item that is back: 1, or -1 with an exception. */
static int take_back(seg_t *seg, uint32_t i, fetched_t *out) {
    uint64_t value, place = ring_owe(seg, 1, &value);
    if (lease_fetch(seg, i, out) < 0) return -1;
    take_books_t books = ring_takes(seg);
    ring_also(seg, 0, LEASES_OFFSET + (uint64_t)i * sizeof(lease_t), LEASE_FREE);
    ring_also(seg, 1, place, value);
    ring_commit_takes(seg, &books);
    lease_let_go(seg, i);
    return 1;
}

/* Holding take_lock: the item at the tail: 1, 0 there is none, -1 exception. */
static int take_front(seg_t *seg, fetched_t *out) {
    take_books_t books;
    uint64_t head, length, large, value;
    source_t body;
    int there = ring_peek(seg, &books, &head, &body, &length, &large);
    if (there <= 0) return there;
    if (UNLIKELY(fetch_or_spoil(body, (uint8_t)(head >> 56) & (uint8_t)~RECORD_LARGE, length, out) < 0)) return -1;
    uint64_t place = ring_owe(seg, 1, &value);
    ring_also(seg, 0, place, value);
    ring_also(seg, 1, 0, 0);
    ring_commit_takes(seg, &books);
    out->large = large;
    return 1;
}

/* Without the lock: the extent that the item had, and the lease that it came from, give their memory back. */
static void give_back(seg_t *seg, const fetched_t *fetched) {
    if (UNLIKELY(fetched->large != 0)) heap_free(seg, fetched->large >> 6, fetched->large & 63);
}

static int take_one(seg_t *seg, bool look, void *arg) {
    uint32_t back;
    int locked = ring_lock_takes(seg, seg->queue->patience);
    if (UNLIKELY(locked != 0)) return locked < 0 ? -1 : 0;
    int got = UNLIKELY(lease_next_back(seg, look, &back)) ? take_back(seg, back, arg) : take_front(seg, arg);
    ring_unlock_takes(seg);
    if (got > 0) give_back(seg, arg);
    return got;
}

static PyObject *get_one(PyObject *self, int64_t ns) {
    handle_t *h = (handle_t *)self;
    fetched_t fetched;
    PyObject *out = NULL;
    seg_t *seg = h->seg;
    if (UNLIKELY(seg == NULL)) return raise_closed();
    segment_pin(seg);
    if (LIKELY(queue_wait_items(h, take_one, &fetched, ns) > 0)) {
        queue_signal_space(seg, 1);
        out = fetched_decode(seg, &fetched, true);
    }
    out = answer(h, out);
    segment_unpin(seg);
    return out;
}

PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"block", "timeout"};
    PyObject *given[2] = {NULL, NULL};
    int64_t ns = -1;
    if (nargs + (kwnames != NULL) > 0 &&
        (queue_arguments(args, nargs, kwnames, names, 2, given) < 0 || queue_patience(given[0], given[1], &ns) < 0))
        return NULL;
    return get_one(self, ns);
}

PyObject *queue_get_nowait(PyObject *self, PyObject *unused) { return (void)unused, get_one(self, 0); }

/* ---- taking many ---- */

typedef struct {
    uint64_t most, count, length, ticket; /* ticket: of the first */
    char *records;                        /* NULL: one item, in *fetched* */
    fetched_t fetched;
} batch_t;

/* Holding take_lock: how many items at the tail, and bytes, can be copied in one go. */
static void measure(seg_t *seg, uint64_t tail, batch_t *batch) {
    queue_view_t *view = seg->queue;
    uint64_t at = tail, end = view->puts.head;
    if (end - tail > view->size) return;
    while (batch->count < batch->most && end - at >= 8) {
        uint64_t head = *(const uint64_t *)(const void *)(view->ring + (at & (view->size - 1)));
        uint64_t length = head & 0xffffffffffffffull;
        uint8_t tag = (uint8_t)(head >> 56);
        if (length > end - at - 8 || record_room(length) > end - at) return;
        if (tag & RECORD_LARGE || ((tag & 0x3f) == RECORD_BUFFERS && length > SMALL_BUFFERS)) return;
        if (batch->count > 0 && at + record_room(length) - tail > BATCH_BYTES) return;
        at += record_room(length);
        batch->length = at - tail;
        batch->count++;
    }
}

/* Whether the copy still is what was measured, which somebody may have written over meanwhile. */
static bool whole(const batch_t *batch) {
    uint64_t at = 0, head;
    for (uint64_t i = 0; i < batch->count; i++) {
        if (batch->length - at < 8) return false;
        memcpy(&head, batch->records + at, 8);
        uint64_t length = head & 0xffffffffffffffull;
        if (length > batch->length - at - 8 || record_room(length) > batch->length - at || head >> 56 & RECORD_LARGE) return false;
        at += record_room(length);
    }
    return at == batch->length;
}

/* Holding take_lock: 1, 0 there is none, -1 exception. */
static int take_batch(seg_t *seg, batch_t *batch) {
    uint64_t head, length, large, value;
    source_t body;
    take_books_t books;
    batch->count = batch->length = 0;
    batch->records = NULL;
    int there = ring_peek(seg, &books, &head, &body, &length, &large);
    if (there <= 0) return there;
    ring_puts(seg);
    books = ring_takes(seg);
    measure(seg, books.tail, batch);
    if (batch->count == 0) return take_front(seg, &batch->fetched);
    if ((batch->records = malloc(batch->length)) == NULL) return PyErr_NoMemory(), -1;
    source_copy((source_t){seg->queue->ring, seg->queue->size, books.tail}, 0, batch->records, batch->length);
    if (!whole(batch)) {
        free(batch->records);
        return queue_corrupt(seg), -1;
    }
    batch->ticket = books.out + 1;
    books.tail += batch->length;
    books.out += batch->count;
    uint64_t place = ring_owe(seg, (int32_t)batch->count, &value);
    ring_also(seg, 0, place, value);
    ring_also(seg, 1, 0, 0);
    ring_commit_takes(seg, &books);
    return 1;
}

static int take_many(seg_t *seg, bool look, void *arg) {
    batch_t *batch = arg;
    uint32_t back;
    int locked = ring_lock_takes(seg, seg->queue->patience);
    if (locked != 0) return locked < 0 ? -1 : 0;
    batch->records = NULL;
    int got = lease_next_back(seg, look, &back) ? take_back(seg, back, &batch->fetched) : take_batch(seg, batch);
    ring_unlock_takes(seg);
    if (got > 0 && batch->records == NULL) give_back(seg, &batch->fetched);
    return got;
}

/* An item with buffers that was copied to *records* as it lay in the ring. */
static PyObject *decode_copied(seg_t *seg, uint8_t tag, const char *body, uint64_t length) {
    if ((tag & 0x3f) != RECORD_BUFFERS) return body_decode(seg, tag, body, length);
    fetched_t fetched;
    if (fetch((source_t){body, UINT64_MAX, 0}, tag, length, &fetched) == 0) return fetched_decode(seg, &fetched, false);
    return PyErr_Occurred() ? NULL : queue_corrupt(seg);
}

/* The items of a batch. If one cannot be decoded, the others go back to the front. */
static PyObject *decode_batch(seg_t *seg, batch_t *batch) {
    PyObject *out = PyList_New(0);
    bool linked = false;
    uint64_t at = 0, head;
    for (uint64_t i = 0; out != NULL && i < batch->count; i++) {
        memcpy(&head, batch->records + at, 8);
        PyObject *item = decode_copied(seg, (uint8_t)(head >> 56), batch->records + at + 8, head & 0xffffffffffffffull);
        if (item == NULL || PyList_Append(out, item) < 0) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            if (lease_put_back(seg, batch->records, batch->length, batch->ticket, batch->ticket + i) == 0) PyErr_Restore(type, value, traceback);
            else Py_XDECREF(type), Py_XDECREF(value), Py_XDECREF(traceback); /* that is worse */
            Py_CLEAR(out);
        }
        linked = linked || (head >> 56 & RECORD_LINKED);
        Py_XDECREF(item);
        at += record_size(head);
    }
    for (at = 0; out != NULL && linked && at < batch->length; at += record_size(head)) {
        memcpy(&head, batch->records + at, 8);
        if (head >> 56 & RECORD_LINKED) links_pass_on(seg, batch->records + at + 8, head & 0xffffffffffffffull);
    }
    free(batch->records);
    return out;
}

PyObject *queue_get_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"max_items", "timeout"};
    PyObject *given[2] = {NULL, NULL}, *out = NULL;
    handle_t *h = (handle_t *)self;
    batch_t batch = {.most = LEASES};
    int64_t ns;
    if (queue_arguments(args, nargs, kwnames, names, 2, given) < 0 || parse_timeout(given[1], &ns) < 0) return NULL;
    if (given[0] != NULL) {
        Py_ssize_t most = PyNumber_AsSsize_t(given[0], NULL);
        if (most == -1 && PyErr_Occurred()) return NULL;
        if (most < 1) return PyErr_Format(PyExc_ValueError, "max_items is at least 1, not %zd", most);
        if ((uint64_t)most < batch.most) batch.most = (uint64_t)most;
    }
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed();
    segment_pin(seg);
    if (queue_wait_items(h, take_many, &batch, ns) > 0) {
        queue_signal_space(seg, batch.records != NULL ? batch.count : 1);
        if (batch.records != NULL) {
            out = decode_batch(seg, &batch);
        } else {
            PyObject *item = fetched_decode(seg, &batch.fetched, true);
            out = item ? PyList_New(1) : NULL;
            if (out != NULL) PyList_SetItem(out, 0, item);
            else Py_XDECREF(item);
        }
    }
    out = answer(h, out);
    segment_unpin(seg);
    return out;
}
