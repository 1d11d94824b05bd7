/* What was taken from a queue and is to be done; and the end of all putting. */
#include "queue.h"

#include <stdio.h>

/* ---- tasks ---- */

PyObject *queue_task_done(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    if (seg == NULL) return raise_closed();
    int done = -1;
    bool joined = false;
    segment_pin(seg);
    if (ring_lock_takes(seg, -1) == 0) {
        take_books_t books = ring_takes(seg);
        uint64_t in = ring_puts(seg).in, value, place = ring_owe(seg, -1, &value);
        if (books.done < in) {
            books.done++;
            joined = books.done == in;
            ring_also(seg, 0, place, value);
            ring_also(seg, 1, 0, 0);
            ring_commit_takes(seg, &books);
            done = 0;
        } else {
            PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        }
        ring_unlock_takes(seg);
    }
    if (joined) signal_some(&queue_of(seg)->all_done, INT32_MAX);
    if (segment_whole(seg) < 0) done = -1;
    segment_unpin(seg);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

/* How many items processes took that are dead now, and nobody called task_done() for; *pid*: one of them, if it is known. */
static int64_t dead_debts(seg_t *seg, uint32_t *pid) {
    int64_t debts = (int64_t)atomic_load((_Atomic uint64_t *)(void *)(seg->base + LOST_OFFSET));
    if (debts > 1ll << 48 || debts < -(1ll << 48)) debts = 0; /* it is damaged */
    *pid = 0;
    for (uint32_t seat = 0; seat < SEAT_COUNT; seat++) {
        uint64_t word = atomic_load((_Atomic uint64_t *)(void *)(seg->base + OWED_OFFSET) + seat);
        int32_t count = (int32_t)(uint32_t)word;
        uint32_t token = (seat + 1) << 21 | (uint32_t)(word >> 32 & LOCK_GENERATION);
        if (count < 0) debts += count; /* it said that others' work is done */
        if (count <= 0 || seat_alive(seg, token)) continue;
        debts += count;
        const seat_t *there = (const seat_t *)(const void *)(seg->base + SEATS_OFFSET) + seat;
        if ((atomic_load(&there->generation) & LOCK_GENERATION) == word >> 32) *pid = atomic_load(&there->pid);
    }
    return debts;
}

static bool all_done(seg_t *seg) { return ring_puts(seg).in == ring_takes(seg).done; }

/* 0, or -1 with OwnerDied. */
static int look_for_debts(seg_t *seg) {
    uint32_t pid;
    if (queue_finish_dead(seg) < 0) return -1;
    if (atomic_load(&queue_of(seg)->shut) & SHUT_AT_ONCE && queue_drop_all(seg) < 0) return -1;
    int64_t debts = dead_debts(seg, &pid);
    if (debts <= 0 || all_done(seg)) return 0;
    char who[40] = "a process";
    if (pid != 0) snprintf(who, sizeof who, "process %u", (unsigned)pid);
    raise_named("OwnerDied", public_name(seg->name),
                "%s died between get() and task_done(); %lld items that were taken are unaccounted for: do their work again, and call "
                "task_done() for each",
                who, (long long)debts);
    return -1;
}

PyObject *queue_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"timeout"};
    PyObject *given[1] = {NULL};
    handle_t *h = (handle_t *)self;
    wait_t w = {0};
    if (queue_arguments(args, nargs, kwnames, names, 1, given) < 0 || parse_timeout(given[0], &w.ns) < 0) return NULL;
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed();
    queue_t *q = queue_of(seg);
    int failed = 0;
    segment_pin(seg);
    while (!failed && !all_done(seg)) {
        if (!w.armed && (failed = look_for_debts(seg)) < 0) break;
        failed = queue_wait_step(h, &w, &q->take_commits, &q->all_done);
    }
    if (failed && !PyErr_Occurred()) {
        PyObject *error = PyObject_CallMethod(process.errors, "WaitTimeout", "sd", public_name(seg->name), w.ns > 0 ? (double)w.ns / 1e9 : 0.0);
        if (error != NULL) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_XDECREF(error);
    }
    if (segment_whole(seg) < 0) failed = -1;
    segment_unpin(seg);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

/* ---- shutting down ---- */

PyObject *queue_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"immediate"};
    PyObject *given[1] = {NULL};
    seg_t *seg = ((handle_t *)self)->seg;
    if (queue_arguments(args, nargs, kwnames, names, 1, given) < 0) return NULL;
    int immediate = given[0] == NULL ? 0 : PyObject_IsTrue(given[0]), done = 0;
    if (immediate < 0) return NULL;
    if (seg == NULL) return raise_closed();
    queue_t *q = queue_of(seg);
    segment_pin(seg);
    if ((done = ring_lock_puts(seg, -1)) == 0) { /* whoever is putting has put */
        atomic_fetch_or(&q->shut, immediate ? SHUT | SHUT_AT_ONCE : SHUT);
        FAULT(queue_shut);
        ring_unlock_puts(seg);
    }
    if (done == 0 && immediate) done = queue_drop_all(seg);
    signal_some(&q->items, INT32_MAX);
    signal_some(&q->space, INT32_MAX);
    signal_some(&q->all_done, INT32_MAX);
    if (segment_whole(seg) < 0) done = -1;
    segment_unpin(seg);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}
