/* Waiting at the two ends of a queue, and what comes before it: arguments, what the dead left, a queue that was shut. */
#include "queue.h"

#define LONGEST_SLICE_NS 1000000000LL
#define SPIN_FOR_ITEMS_NS 60000LL /* longer than a wake-up takes, else two processes that answer each other go on sleeping once one did */

/* ---- errors ---- */

void *raise_channel(enum channel_error which, PyObject *message) {
    static PyObject *errors;
    if (errors == NULL) errors = PyObject_CallMethod(process.hooks, "channel_errors", NULL);
    if (errors == NULL) return NULL;
    PyErr_SetObject(PyTuple_GetItem(errors, which), message);
    return NULL;
}

/* ---- arguments ---- */

/* Arguments by position or name, of at most three; what is not given stays as it is. */
int queue_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, const char *const names[], int most, PyObject **out) {
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    if (nargs > most) return PyErr_Format(PyExc_TypeError, "expected at most %d arguments, not %zd", most, nargs), -1;
    for (Py_ssize_t i = 0; i < nargs; i++) out[i] = args[i];
    for (Py_ssize_t k = 0; k < keywords; k++) {
        PyObject *name = PyTuple_GetItem(kwnames, k);
        int i = 0;
        while (i < most && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) i++;
        if (i == most || i < nargs) return PyErr_Format(PyExc_TypeError, "unexpected argument %R", name), -1;
        out[i] = args[nargs + k];
    }
    return 0;
}

/* block and timeout as nanoseconds to wait, -1 for ever: 0, or -1 with an exception. */
int queue_patience(PyObject *block, PyObject *timeout, int64_t *ns) {
    if (LIKELY(block == NULL && timeout == NULL)) return *ns = -1, 0;
    int blocking = block == NULL ? 1 : PyObject_IsTrue(block);
    if (blocking < 0 || parse_timeout(timeout, ns) < 0) return -1;
    if (!blocking) *ns = 0;
    return 0;
}

/* ---- waiting ---- */

/* Look at a number of commits for at most 60 us, without the GIL, until it changes. */
static void spin(queue_view_t *view, const _Atomic uint64_t *commits, int64_t limit) {
    if (!spin_worth(&view->luck)) return;
    uint64_t seen = atomic_load(commits);
    int64_t until = now_ns() + (limit >= 0 && limit < SPIN_FOR_ITEMS_NS ? limit : SPIN_FOR_ITEMS_NS);
    Py_BEGIN_ALLOW_THREADS
    do {
        for (int i = 0; i < 32 && atomic_load_explicit(commits, memory_order_relaxed) == seen; i++) cpu_relax();
    } while (atomic_load_explicit(commits, memory_order_relaxed) == seen && now_ns() < until);
    Py_END_ALLOW_THREADS
    spin_ended(&view->luck, atomic_load(commits) != seen);
}

/* The backstop for who died between a commit and its wake: a tenth of the time that nothing came, up to a second; but what is on
 * lease may come back at any time. */
static int64_t slice_for(seg_t *seg, int64_t idle) {
    if (seg == NULL || atomic_load(&queue_of(seg)->leases) > 0 || idle < 10 * SLICE_NS) return SLICE_NS;
    return idle / 10 < LONGEST_SLICE_NS ? idle / 10 : LONGEST_SLICE_NS;
}

/* How much of the time is left; -1: any. */
int64_t queue_left(const wait_t *w) {
    if (w->ns <= 0 || w->start == 0) return w->ns;
    int64_t left = w->start + w->ns - now_ns();
    return left > 0 ? left : 0;
}

/* One step of waiting at one end: 0 look again; -1 an exception, or without one: the time is over. */
int queue_wait_step(handle_t *h, wait_t *w, const _Atomic uint64_t *commits, _Atomic uint32_t *word) {
    int64_t left = w->ns;
    if (UNLIKELY(h->seg == NULL)) return raise_closed(), -1; /* closed by another thread meanwhile */
    if (w->ns == 0) return -1;
    if (w->start == 0) w->start = now_ns(), w->slice = FIRST_SLICE_NS;
    else if (w->ns > 0 && (left = w->start + w->ns - now_ns()) <= 0) {
        count_one(&h->seg->header->tally.timeouts);
        return -1;
    }
    if (!w->spun) {
        w->spun = true;
        spin(h->seg->queue, commits, left);
    } else if (!w->armed) {
        w->armed = true;
        w->token = signal_watch(word); /* and look once more, before sleeping */
    } else {
        if (!w->slept) count_one(&h->seg->header->tally.waits);
        w->slept = true;
        w->armed = false;
        if (signal_wait(word, w->token, left, &w->slice) < 0) return -1;
        if (UNLIKELY(w->slice == SLICE_NS)) w->slice = slice_for(h->seg, now_ns() - w->start);
        if (UNLIKELY(w->slice > SLICE_NS && h->seg != NULL) && ring_empty(h->seg)) ring_shrink(h->seg);
    }
    return h->seg == NULL ? (raise_closed(), -1) : segment_whole(h->seg);
}

bool ring_empty(seg_t *seg) {
    take_books_t takes = ring_takes(seg);
    return (int64_t)(seg->queue->puts.head - takes.tail) <= 0 && ring_puts(seg).head == takes.tail;
}

/* Whoever died with take_lock may have committed, and not written the rest: that is done by taking the lock over. 0, or -1 with an
 * exception. */
int queue_finish_dead(seg_t *seg) {
    uint32_t holder = atomic_load(&queue_of(seg)->take_lock);
    if (holder == 0 || seat_alive(seg, holder)) return 0;
    if (ring_lock_takes(seg, -1) < 0) return -1;
    ring_unlock_takes(seg);
    return 0;
}

/* Drop the item at the tail: 1, 0 there is none, -1 exception. */
static int drop_one(seg_t *seg) {
    take_books_t books;
    uint64_t head, length, large = 0;
    source_t body;
    fetched_t names = {0};
    if (ring_lock_takes(seg, -1) != 0) return -1;
    int there = ring_peek(seg, &books, &head, &body, &length, &large);
    if (there > 0) {
        if (head >> 56 & RECORD_LINKED && fetch(body, RECORD_PICKLE, length, &names) < 0) {
            names = (fetched_t){0}; /* then they stay claimed until the queue is gone */
            PyErr_Clear();
        }
        ring_count_done(seg, &books);
        ring_also(seg, 0, 0, 0);
        ring_also(seg, 1, 0, 0);
        ring_commit_takes(seg, &books);
    }
    ring_unlock_takes(seg);
    if (there > 0 && large != 0) heap_free(seg, large >> 6, large & 63);
    if (names.length > 0) links_pass_on(seg, names.bytes ? PyBytes_AsString(names.bytes) : names.room, names.length);
    fetched_clear(&names);
    return there;
}

/* After shutdown(immediate=True), by whoever called it, or, if that one died, by whoever comes next: nothing is left, and all counts
 * as done. 0, or -1 with an exception. */
int queue_drop_all(seg_t *seg) {
    int done = 0;
    if (!ring_empty(seg))
        do done = drop_one(seg);
        while (done > 0);
    return done < 0 ? -1 : leases_drop(seg);
}

/* Wait until *take* gets something, with the segment pinned by the caller: 1, or -1 with Empty, ShutDown or another exception. */
int queue_wait_items(handle_t *h, int (*take)(seg_t *seg, bool look, void *arg), void *arg, int64_t ns) {
    if (h->seg == NULL) return raise_closed(), -1;
    seg_t *seg = h->seg;
    queue_t *q = queue_of(seg);
    wait_t w = {.ns = ns};
    for (;;) {
        uint32_t shut = atomic_load(&q->shut);
        if (UNLIKELY(shut & SHUT_AT_ONCE)) {
            if (queue_drop_all(seg) < 0) return -1;
            break;
        }
        if (!ring_empty(seg) || atomic_load(&q->leases) > 0) {
            seg->queue->patience = queue_left(&w);
            int got = take(seg, w.start != 0 && !w.armed, arg);
            if (LIKELY(got > 0)) return got;
            if (got < 0) return PyErr_Occurred() ? -1 : (queue_corrupt(seg), -1); /* damage that changes while it is looked at */
        }
        if (UNLIKELY(shut) && ring_empty(seg) && !lease_elsewhere(seg)) break; /* what is leased may come back */
        if (queue_wait_step(h, &w, &q->put_commits, &q->items) < 0) {
            if (!PyErr_Occurred()) raise_channel(ERROR_EMPTY, NULL);
            if (w.slice != 0 && !ring_empty(seg)) signal_some(&q->items, 1); /* we may have been woken for it */
            return -1;
        }
    }
    raise_channel(ERROR_SHUT_DOWN, NULL);
    return -1;
}

/* So many items were taken: wake who waits for space. If only the bytes are bounded, not for every little space. */
void queue_signal_space(seg_t *seg, uint64_t count) {
    queue_t *q = queue_of(seg);
    if (LIKELY(!(atomic_load(&q->space) & 1))) return;
    queue_view_t *view = seg->queue;
    put_books_t puts = ring_puts(seg);
    uint64_t used = (puts.head - view->takes.tail) + (puts.large - view->takes.large);
    if (view->maxsize > 0) signal_some(&q->space, count < INT32_MAX ? (int)count : INT32_MAX);
    else if (used <= view->capacity / 2) signal_some(&q->space, INT32_MAX);
}
