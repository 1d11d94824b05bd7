/* Leases: items that somebody works on, and that come back to the front of the queue if it fails or dies.
 *
 *   lease:  | state, and whose | extent | head of the record | ticket |      1,024 of them, see layout.h
 *
 * The item's body is copied to an extent, so that the tail can move on. A lease begins, ends, and comes back by a commit of
 * take_lock's books, which also writes its state (ring.c), so that tail, counts and state change together. What came back goes
 * before all that is in the ring, in the order of tickets: how many items were taken before it.
 *
 * Deaths. The holder's: its seat is empty, and whoever takes next, or waits, turns its leases into items that are back, by one store
 * each. Before the commit: the lease is free, whatever else it says; an extent may be lost, or is kept there for the next
 * one. Only a large item's extent is named by its record until the commit, and by the lease from then on (also[1]).
 */
#include "queue.h"

#include <stddef.h>
#include <stdlib.h>

#define LOOK_NS 20000000LL /* while there are items, holders are looked at this often */

lease_t *lease_at(const seg_t *seg, uint32_t i) { return (lease_t *)(void *)(seg->base + LEASES_OFFSET) + i; }

static uint64_t place_of(uint32_t i) { return LEASES_OFFSET + (uint64_t)i * sizeof(lease_t); }

static uint64_t held_by(uint32_t token) { return (uint64_t)token << 32 | LEASE_HELD; }

static uint32_t top(const seg_t *seg) {
    uint32_t n = atomic_load(&queue_of(seg)->leases);
    return n < LEASES ? n : LEASES;
}

/* Before any lock is taken: there is memory behind the leases. 0, or -1 with an exception. */
int lease_ready(seg_t *seg) {
    if (seg->queue->leases_ready) return 0;
    if (segment_reserve(seg, LEASES_OFFSET, LEASES * sizeof(lease_t)) < 0) return -1;
    FAULT(lease_backed);
    seg->queue->leases_ready = true;
    return 0;
}

/* How many items are back, or will be as soon as somebody takes the lock. */
uint64_t lease_backs(seg_t *seg) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < top(seg); i++) {
        uint64_t state = atomic_load(&lease_at(seg, i)->state);
        bool dead = (uint32_t)state == LEASE_HELD && !seat_alive(seg, (uint32_t)(state >> 32));
        if (dead) seg->queue->looked = 0; /* so that the next one who takes looks too */
        n += dead || (uint32_t)state == LEASE_BACK;
    }
    return n;
}

/* Whether another process works on an item, which may come back. */
bool lease_elsewhere(seg_t *seg) {
    for (uint32_t i = 0; i < top(seg); i++) {
        uint64_t state = atomic_load(&lease_at(seg, i)->state);
        if ((uint32_t)state == LEASE_HELD && state >> 32 != seg->token) return true;
    }
    return false;
}

/* Holding take_lock: the first item that is back; first, if *look* or it is time, those of the dead come back. 1 or 0. */
int lease_next_back(seg_t *seg, bool look, uint32_t *found) {
    uint32_t n = top(seg);
    bool any = false, used = false;
    if (LIKELY(n == 0)) return 0;
    int64_t now = coarse_ns();
    if (now - seg->queue->looked > LOOK_NS) look = true;
    if (look) seg->queue->looked = now;
    for (uint32_t i = 0; i < n; i++) {
        lease_t *lease = lease_at(seg, i);
        uint64_t state = atomic_load(&lease->state);
        if (look && (uint32_t)state == LEASE_HELD && !seat_alive(seg, (uint32_t)(state >> 32))) {
            uint32_t held = (uint32_t)(state >> 32);
            FAULT(lease_returning);
            atomic_store(&lease->state, state = LEASE_BACK);
            FAULT(lease_returned);
            death_found(seg, &seg->header->root, held, LOST_LEASE);
        }
        used = used || (uint32_t)state != LEASE_FREE;
        if ((uint32_t)state != LEASE_BACK || (any && get(&lease->ticket) >= get(&lease_at(seg, *found)->ticket))) continue;
        *found = i;
        any = true;
    }
    if (!used) atomic_store(&queue_of(seg)->leases, 0);
    return any;
}

/* Copy a lease's item out: 0, or -1 with an exception. */
int lease_fetch(seg_t *seg, uint32_t i, fetched_t *out) {
    lease_t *lease = lease_at(seg, i);
    uint64_t head = get(&lease->record), length = head & 0xffffffffffffffull, extent = get(&lease->extent);
    const char *at = extent >> 6 >= QUEUE_SIZE ? segment_at(seg, extent >> 6, length) : NULL;
    out->ticket = get(&lease->ticket);
    if (at == NULL && ring_extent_possible(seg, extent, length)) return queue_corrupt(seg), -1; /* it cannot be mapped now */
    return fetch_or_spoil((source_t){at ? at : seg->base, UINT64_MAX, 0}, at ? (uint8_t)(head >> 56) : 0, at ? length : 0, out);
}

/* A lease that is free again need not keep a large extent. */
void lease_let_go(seg_t *seg, uint32_t i) {
    lease_t *lease = lease_at(seg, i);
    uint64_t extent = get(&lease->extent);
    if ((extent & 63) < HEAP_PUNCHED) return;
    put(&lease->extent, 0);
    FAULT(lease_shrinking);
    heap_free(seg, extent >> 6, extent & 63);
}

/* Holding take_lock: a free lease: its number, or -1 with an exception. */
static int64_t find_free(seg_t *seg) {
    queue_t *q = queue_of(seg);
    for (uint32_t i = 0; i < LEASES; i++) {
        if ((uint32_t)atomic_load(&lease_at(seg, i)->state) != LEASE_FREE) continue;
        if (i >= atomic_load(&q->leases)) atomic_store(&q->leases, i + 1);
        FAULT(lease_chosen);
        return i;
    }
    PyErr_Format(PyExc_RuntimeError, "%s has %d items on lease, which is the most", public_name(seg->name), LEASES);
    return -1;
}

/* See that a free lease has an extent for *length* bytes: where it is mapped, or NULL with an exception. */
static char *make_room(seg_t *seg, lease_t *lease, uint64_t length) {
    uint64_t extent = get(&lease->extent), offset = extent >> 6;
    unsigned order = extent & 63;
    if (extent == 0 || order >= HEAP_PUNCHED || 1ull << order < length) { /* of a larger one not all may have memory */
        if (extent != 0) {
            put(&lease->extent, 0);
            heap_free(seg, offset, order);
        }
        if (heap_alloc(seg, length > 0 ? length : 1, true, &offset, &order) < 0) return NULL;
        put(&lease->extent, offset << 6 | order);
    }
    char *at = offset >= QUEUE_SIZE ? segment_at(seg, offset, length) : NULL;
    return at != NULL ? at : queue_corrupt(seg);
}

/* ---- beginning ---- */

typedef struct {
    uint32_t index;
    bool first; /* of those that there are now */
    fetched_t fetched;
} leased_t;

/* Holding take_lock: turn the item at the tail into a lease: 1, 0 there is none, -1 exception. */
static int lease_from_ring(seg_t *seg, leased_t *out) {
    take_books_t books;
    uint64_t head, length, large;
    source_t body;
    int there = ring_peek(seg, &books, &head, &body, &length, &large);
    if (there <= 0) return there;
    out->first = top(seg) == 0;
    int64_t i = find_free(seg);
    if (i < 0) return -1;
    lease_t *lease = lease_at(seg, (uint32_t)i);
    uint8_t tag = (uint8_t)(head >> 56) & (uint8_t)~RECORD_LARGE;
    if (large != 0) {
        uint64_t kept = get(&lease->extent);
        put(&lease->extent, 0);
        if (kept != 0) heap_free(seg, kept >> 6, kept & 63);
    } else {
        char *room = make_room(seg, lease, length); /* this may let other threads run, but nobody takes meanwhile */
        if (room == NULL) return -1;
        source_copy(body, 0, room, length);
    }
    if (fetch_or_spoil(body, tag, length, &out->fetched) < 0) return -1;
    put(&lease->record, (uint64_t)tag << 56 | length);
    put(&lease->ticket, out->fetched.ticket = books.out);
    ring_also(seg, 0, place_of((uint32_t)i), held_by(seg->token));
    ring_also(seg, 1, large != 0 ? place_of((uint32_t)i) + offsetof(lease_t, extent) : 0, large);
    FAULT(lease_beginning);
    ring_commit_takes(seg, &books);
    out->index = (uint32_t)i;
    return 1;
}

static int take(seg_t *seg, bool look, void *arg) {
    leased_t *out = arg;
    int got;
    int locked = ring_lock_takes(seg, seg->queue->patience);
    if (locked != 0) return locked < 0 ? -1 : 0;
    if (lease_next_back(seg, look, &out->index)) {
        got = lease_fetch(seg, out->index, &out->fetched) < 0 ? -1 : 1;
        if (got == 1) {
            take_books_t books = ring_takes(seg);
            ring_also(seg, 0, place_of(out->index), held_by(seg->token));
            ring_also(seg, 1, 0, 0);
            ring_commit_takes(seg, &books);
        }
    } else {
        got = lease_from_ring(seg, out);
    }
    ring_unlock_takes(seg);
    return got;
}

/* ---- ending ---- */

/* done: it is gone, and counted as done; else it is back. 0, or -1 with an exception. */
static int end(seg_t *seg, uint32_t token, uint32_t i, bool done) {
    queue_t *q = queue_of(seg);
    fetched_t fetched = {0};
    bool joined = false, held = false;
    if (ring_lock_takes(seg, -1) < 0) return -1;
    lease_t *lease = lease_at(seg, i);
    if (token == seg->token && atomic_load(&lease->state) == held_by(token)) {
        take_books_t books = ring_takes(seg);
        held = true;
        done = done || atomic_load(&q->shut) & SHUT_AT_ONCE; /* nobody would take it any more */
        if (done && (get(&lease->record) >> 56 & RECORD_LINKED) && lease_fetch(seg, i, &fetched) < 0) PyErr_Clear();
        if (done) joined = ring_count_done(seg, &books);
        ring_also(seg, 0, place_of(i), done ? LEASE_FREE : LEASE_BACK);
        ring_also(seg, 1, 0, 0);
        FAULT(lease_ending);
        ring_commit_takes(seg, &books);
        if (done) lease_let_go(seg, i);
    }
    ring_unlock_takes(seg);
    if (joined) signal_some(&q->all_done, INT32_MAX);
    if (held && (!done || atomic_load(&q->shut))) signal_some(&q->items, done ? INT32_MAX : 1);
    if (fetched.length > 0) {
        links_pass_on(seg, fetched.bytes ? PyBytes_AsString(fetched.bytes) : fetched.room, fetched.length);
        fetched_clear(&fetched);
    }
    return 0;
}

/* Items that were taken, but could not be given to the caller: all records in *records* but that with the ticket *skip* go back to the
 * front. 0, or -1 with an exception. */
int lease_put_back(seg_t *seg, const char *records, uint64_t length, uint64_t ticket, uint64_t skip) {
    int back = 0, failed = 0;
    PyObject *interrupted = NULL, *value_of = NULL, *traceback_of = NULL;
    if (lease_ready(seg) < 0) return -1;
    while (ring_lock_takes(seg, -1) != 0) { /* Ctrl-C, and they must go back all the same */
        if (interrupted != NULL) return Py_DECREF(interrupted), -1;
        PyErr_Fetch(&interrupted, &value_of, &traceback_of);
        Py_XDECREF(value_of);
        Py_XDECREF(traceback_of);
    }
    for (uint64_t at = 0; at < length && !failed; ticket++) {
        uint64_t head, value, size;
        memcpy(&head, records + at, 8);
        size = head & 0xffffffffffffffull;
        const char *body = records + at + 8;
        at += record_size(head);
        if (ticket == skip) continue;
        int64_t i = find_free(seg);
        char *room = i < 0 ? NULL : make_room(seg, lease_at(seg, (uint32_t)i), size);
        if (room == NULL) {
            failed = -1;
            break;
        }
        memcpy(room, body, size);
        put(&lease_at(seg, (uint32_t)i)->record, head);
        put(&lease_at(seg, (uint32_t)i)->ticket, ticket);
        take_books_t books = ring_takes(seg);
        ring_also(seg, 0, place_of((uint32_t)i), LEASE_BACK);
        uint64_t place = ring_owe(seg, -1, &value);
        ring_also(seg, 1, place, value);
        ring_commit_takes(seg, &books);
        back++;
    }
    ring_unlock_takes(seg);
    if (back > 0) signal_some(&queue_of(seg)->items, back);
    if (interrupted != NULL && !failed) PyErr_SetNone(interrupted), failed = -1;
    Py_XDECREF(interrupted);
    return failed;
}

/* After shutdown(immediate=True): what is back, or was with the dead, is dropped and counts as done. 0, or -1 with an exception. */
int leases_drop(seg_t *seg) {
    uint32_t i;
    if (top(seg) == 0) return 0;
    if (ring_lock_takes(seg, -1) < 0) return -1;
    while (lease_next_back(seg, true, &i)) {
        take_books_t books = ring_takes(seg);
        ring_count_done(seg, &books);
        ring_also(seg, 0, place_of(i), LEASE_FREE);
        ring_also(seg, 1, 0, 0);
        ring_commit_takes(seg, &books);
        lease_let_go(seg, i);
    }
    ring_unlock_takes(seg);
    return 0;
}

/* ---- the context manager ---- */

typedef struct {
    PyObject_HEAD
    handle_t *queue;
    seg_t *seg; /* while it is held */
    bool busy;  /* entered, also while it waits */
    int64_t timeout;
    uint32_t index, token, epoch;
} lease_object_t;

PyObject *lease_make(PyObject *queue, int64_t ns) {
    lease_object_t *self = (lease_object_t *)PyType_GenericAlloc(process.types.lease, 0);
    if (self == NULL) return NULL;
    self->queue = (handle_t *)Py_NewRef(queue);
    self->timeout = ns;
    return (PyObject *)self;
}

/* End it: 0, or -1 with an exception. In a forked child it is the parent's. */
static int leave(lease_object_t *self, bool done) {
    seg_t *seg = self->seg;
    self->seg = NULL;
    if (seg == NULL) return 0;
    self->busy = false;
    int ended = self->epoch == process.epoch ? end(seg, self->token, self->index, done) : 0;
    if (ended < 0) { /* Ctrl-C while waiting for the lock: the item must not stay with us for that */
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (end(seg, self->token, self->index, done) < 0) PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    segment_unpin(seg);
    return ended;
}

static PyObject *enter(PyObject *op, PyObject *unused) {
    (void)unused;
    lease_object_t *self = (lease_object_t *)op;
    leased_t leased = {.first = false};
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this lease was entered already; ask the queue for another one");
        return NULL;
    }
    seg_t *seg = self->queue->seg;
    if (seg == NULL) return raise_closed();
    segment_pin(seg); /* for as long as the block lasts */
    self->busy = true;
    if (lease_ready(seg) < 0 || queue_wait_items(self->queue, take, &leased, self->timeout) < 0) {
        self->busy = false;
        segment_unpin(seg);
        return NULL;
    }
    self->seg = seg;
    self->token = seg->token;
    self->index = leased.index;
    self->epoch = process.epoch;
    signal_some(&queue_of(seg)->space, INT32_MAX);
    if (leased.first) signal_some(&queue_of(seg)->items, INT32_MAX); /* from now on they must look often whether we live */
    PyObject *item = fetched_decode(seg, &leased.fetched, false);
    if (item != NULL) return item;
    PyObject *type, *value, *traceback; /* what cannot be decoded would come back for ever; Ctrl-C is no reason to drop it */
    PyErr_Fetch(&type, &value, &traceback);
    bool spoiled = PyErr_GivenExceptionMatches(type, PyExc_Exception) && !PyErr_GivenExceptionMatches(type, PyExc_MemoryError);
    if (leave(self, spoiled) < 0) PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyObject *leave_block(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    if (leave((lease_object_t *)op, nargs == 0 || args[0] == Py_None) < 0) return NULL;
    Py_RETURN_FALSE;
}

static void dealloc(PyObject *op) {
    lease_object_t *self = (lease_object_t *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject *error, *value, *traceback;
    PyErr_Fetch(&error, &value, &traceback);
    seg_t *seg = self->seg;
    if (seg != NULL) segment_ref(seg);
    if (leave(self, false) < 0) { /* collected in the middle of a call on the queue: it comes back without the lock */
        PyErr_Clear();
        uint64_t held = held_by(self->token);
        atomic_compare_exchange_strong(&lease_at(seg, self->index)->state, &held, LEASE_BACK);
    }
    if (seg != NULL) segment_unref(seg);
    PyErr_Restore(error, value, traceback);
    Py_XDECREF((PyObject *)self->queue);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave_block, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0, NULL}};

PyType_Spec lease_spec = {"procshare._native.Lease", sizeof(lease_object_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
