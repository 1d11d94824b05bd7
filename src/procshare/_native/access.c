/* How a call on a container's handle gets at it: directly, or by way of the block that its thread is in. */
#include "container.h"

/* Whether the block of this guard goes on. */
bool guard_usable(const handle_t *h) {
    return h->block != 0 && h->seg != NULL && h->epoch == process.epoch && h->hold != NULL && h->block == h->hold->blocks &&
           atomic_load_explicit(&h->hold->thread, memory_order_relaxed) != 0;
}

static int refuse(const handle_t *h) {
    if (h->block == 0) raise_closed();
    else guard_dead();
    return -1;
}

static int in_the_middle(void) {
    PyErr_SetString(PyExc_RuntimeError, "the container is in the middle of a change; a finalizer, a signal handler or another "
                                        "thread cannot join it");
    return -1;
}

/* For a call that only reads. It keeps nothing: whoever waits or lets other threads run keeps the segment itself. */
int access_read(handle_t *h, access_t *a) {
    *a = (access_t){.seg = h->seg};
    if (UNLIKELY(h->word == NULL)) { /* a guard, or closed */
        if (!guard_usable(h)) return refuse(h);
        a->hold = h->hold;
    } else {
        if (LIKELY(process.staged == 0)) return 0;
        hold_t *hold = hold_if_any(h);
        if (!held_here(hold)) return 0;
        a->hold = hold;
    }
    a->inside = !a->hold->direct;
    a->stage = a->hold->stage;
    return 0;
}

/* For a call that writes: the lock is held, nothing is pending, the segment is kept. access_end() undoes it. */
int access_write(handle_t *h, access_t *a) {
    *a = (access_t){.seg = h->seg};
    if (h->word == NULL) {
        if (!guard_usable(h)) return refuse(h);
        a->hold = h->hold;
        a->inside = true;
        if (a->hold->direct) return in_the_middle();
    } else {
        if ((a->hold = handle_hold(h)) == NULL) return -1;
        a->inside = held_here(a->hold);
        if (a->inside && a->hold->direct) return in_the_middle();
        if (!a->inside && lock_acquire(a->hold, -1) < 0) return -1;
        if (!a->inside && h->seg == NULL) { /* closed while we waited */
            lock_release(a->hold, false);
            return refuse(h);
        }
    }
    segment_pin(a->seg);
    a->block = a->hold->blocks;
    if (a->inside) return access_stage(a);
    a->hold->direct = true;
    if (LIKELY(get(&container_of(a->seg)->pending) == 0) || redo_settle(a->seg) == 0) return 0;
    return access_end(a, -1);
}

static int find_stage(access_t *a) {
    if (a->hold->stage == NULL && (a->hold->stage = stage_new(a->seg)) == NULL) return -1;
    hold_stage(a->hold, true);
    a->stage = a->hold->stage;
    return 0;
}

/* See that what the block changes has a place: 0, or -1 with an exception, and the access is ended. */
int access_stage(access_t *a) {
    if (find_stage(a) == 0) return 0;
    segment_unpin(a->seg);
    return -1;
}

/* In a block, after a value was decoded, which may run anybody's code: that may have ended the block, or one inside it, whose end
 * by an exception puts another stage in place of this one. 0, or -1 with Closed. */
int access_again(access_t *a) {
    if (atomic_load_explicit(&a->hold->thread, memory_order_relaxed) != 0 && a->hold->blocks == a->block) return find_stage(a);
    return guard_dead(), -1;
}

/* *done*: 1 something changed, 0 nothing, -1 an exception. Returned as it is. */
int access_end(access_t *a, int done) {
    if (UNLIKELY(segment_whole(a->seg) < 0)) done = -1;
    if (!a->inside) {
        if (UNLIKELY(done < 0) && PyErr_ExceptionMatches(PyExc_MemoryError)) container_slim(a->seg);
        a->hold->direct = false;
        lock_release(a->hold, done > 0);
        links_drop(a->seg);
    }
    segment_unpin(a->seg);
    return done;
}

/* _stamp(): a number that every commit changes. */
PyObject *method_stamp(PyObject *self, PyObject *unused) {
    (void)unused;
    access_t a;
    if (access_read((handle_t *)self, &a) < 0) return NULL;
    return PyLong_FromUnsignedLongLong(atomic_load(&container_of(a.seg)->sequence));
}

/* For a call that changes much as one commit: the stage that it fills, the block's or one of its own. *steps*: it may fail after
 * some of them, which must be undone. */
int access_begin_many(access_t *a, stage_t **stage, stage_t **saved, bool steps) {
    *saved = NULL;
    *stage = a->inside ? a->stage : stage_new(a->seg);
    if (*stage == NULL) return -1;
    return steps && a->inside && (*saved = stage_copy(*stage)) == NULL ? -1 : 0;
}

#define FEW 64 /* words of a list that are changed by a redo rather than by a new table */

/* Commit a stage to its container alone: 1, or -1 with an exception and nothing changed. */
static int try_commit(seg_t *seg, stage_t *stage) {
    redo_list_t list;
    bool many = is_list(seg) && stage->tail_count > FEW && stage->kept < span_length(get(&current(seg)->span));
    if (many && get(&current(seg)->linked) == 0) { /* else the words that it no longer has must be looked at one by one */
        if (list_rewrite(seg, stage) < 0) return -1;
    } else {
        int done = stage_prepare(seg, stage, &list);
        if (done == 0) done = redo_commit(seg, &list);
        redo_free(&list);
        if (done < 0) return -1;
    }
    stage_committed(seg, stage);
    if (is_list(seg)) list_tidy(seg);
    else map_tidy(seg);
    return 1;
}

int stage_commit(seg_t *seg, stage_t *stage) {
    int done = try_commit(seg, stage);
    return LIKELY(done >= 0) || !container_make_way(seg) ? done : try_commit(seg, stage);
}

/* Commit what the call staged, or leave it to the block's end; undo it if *done* is -1. */
int access_end_many(access_t *a, stage_t *stage, stage_t *saved, int done) {
    if (done >= 0) done = a->inside ? 1 : stage_commit(a->seg, stage);
    else if (saved != NULL) {
        a->hold->stage = saved;
        saved = stage;
    }
    if (!a->inside) stage_free(stage);
    stage_free(saved);
    return access_end(a, done);
}
