/* Locked blocks of containers, over one or several: what they change appears together when they end.
 *
 * Locks are taken in the order of (device, inode), so that two blocks over the same containers never wait for each other. How one
 * commit is made to several is told in participants.c.
 */
#include "container.h"

#include <stdlib.h>

enum { FRESH, OPEN, LEAVING, DEAD };

typedef struct {
    handle_t *handle, *guard;
    hold_t *hold;
    uint64_t block; /* which of its hold's */
    stage_t *saved; /* what was staged when an inner block began */
    bool inner;
    redo_list_t redo;
    uint64_t offset;
} member_t;

typedef struct {
    PyObject_HEAD
    member_t *members; /* in the order of their locks */
    Py_ssize_t count, held;
    PyObject *guards;  /* in the order of the arguments */
    int64_t timeout;
    bool single;
    uint8_t state;
    uint32_t epoch;
} transaction_t;

static int by_inode(const void *a, const void *b) {
    const seg_t *one = ((const member_t *)a)->handle->seg, *other = ((const member_t *)b)->handle->seg;
    if (one->dev != other->dev) return one->dev < other->dev ? -1 : 1;
    return one->ino < other->ino ? -1 : one->ino > other->ino;
}

/* A block over these handles, which *single* says is one whose guard is yielded alone. */
PyObject *transaction_make(PyObject *containers, PyObject *timeout, bool single) {
    int64_t ns;
    Py_ssize_t n = PyList_Size(containers);
    if (n < 0 || parse_timeout(timeout, &ns) < 0) return NULL;
    transaction_t *self = (transaction_t *)PyType_GenericAlloc(process.types.transaction, 0);
    if (self == NULL) return NULL;
    self->timeout = ns;
    self->single = single;
    self->epoch = process.epoch;
    self->members = PyMem_Calloc((size_t)n + 1, sizeof *self->members);
    for (Py_ssize_t i = 0; self->members != NULL && i < n; i++) {
        PyObject *each = PyList_GetItem(containers, i);
        if (!PyObject_TypeCheck(each, process.types.table) && !PyObject_TypeCheck(each, process.types.vector)) {
            PyErr_Format(PyExc_TypeError, "%R is no container of this backend", each);
            Py_DECREF((PyObject *)self);
            return NULL;
        }
        self->members[self->count++].handle = (handle_t *)Py_NewRef(each);
    }
    if (self->members != NULL) return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    return PyErr_NoMemory();
}

/* x.locked(timeout=None) */
PyObject *method_block(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    access_t a;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:locked", names, &timeout)) return NULL;
    if (access_read((handle_t *)self, &a) < 0) return NULL;
    PyObject *containers = PyList_New(1);
    if (containers == NULL) return NULL;
    PyList_SetItem(containers, 0, Py_NewRef(self));
    PyObject *out = transaction_make(containers, timeout, true);
    Py_DECREF(containers);
    return out;
}

/* A guard: one more handle of the same class, with what the user's subclass keeps in its __dict__. */
static handle_t *new_guard(handle_t *h) {
    static PyTypeObject *plain[KIND_END]; /* classes that are known to have none: to ask each time is slow */
    PyTypeObject *type = Py_TYPE((PyObject *)h);
    PyObject *guard = PyType_GenericAlloc(type, 0), *from, *to = NULL;
    if (guard == NULL || plain[h->kind] == type) return (handle_t *)guard;
    if ((from = PyObject_GetAttrString((PyObject *)h, "__dict__")) != NULL) {
        if ((to = PyObject_GetAttrString(guard, "__dict__")) == NULL || PyDict_Update(to, from) < 0) Py_CLEAR(guard);
        Py_DECREF(from);
        Py_XDECREF(to);
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        if (plain[h->kind] == NULL) plain[h->kind] = (PyTypeObject *)Py_NewRef((PyObject *)type);
    } else
        Py_CLEAR(guard);
    return (handle_t *)guard;
}

static void end_member(member_t *m, bool changed) {
    hold_t *hold = m->hold;
    stage_t *drop = m->saved;
    m->hold = NULL;
    if (!m->inner) {
        drop = hold->stage;
        hold->stage = NULL;
        hold_stage(hold, false);
        hold->direct = false;
    }
    m->saved = NULL;
    if (!m->inner) put(&hold->slot->since, 0); /* who writes without a block has begun none */
    lock_release(hold, changed);
    stage_free(drop); /* last: a handle's end may run anybody's code */
}

static void roll_back(member_t *m) {
    if (!m->inner) return; /* end_member() drops all */
    stage_t *undone = m->hold->stage;
    m->hold->stage = m->saved;
    m->saved = NULL;
    hold_stage(m->hold, m->hold->stage != NULL);
    stage_free(undone);
}

static int begin_member(transaction_t *self, member_t *m, int64_t until) {
    handle_t *h = m->handle;
    int64_t left = self->timeout < 0 ? -1 : until - now_ns();
    if (h->seg == NULL || (h->block != 0 && !guard_usable(h))) return h->block ? guard_dead() : raise_closed(), -1;
    hold_t *hold = handle_hold(h);
    if (hold == NULL) return -1;
    if (held_here(hold) && hold->direct) return PyErr_SetString(PyExc_RuntimeError, "in the middle of a change to it"), -1;
    if (lock_acquire(hold, self->timeout < 0 ? -1 : left < 0 ? 0 : left) < 0) return -1;
    m->hold = hold;
    m->block = hold->blocks;
    m->inner = hold->depth > 1;
    self->held++;
    if (h->seg == NULL || self->state != FRESH) return raise_closed(), -1;
    if (m->inner && hold->stage != NULL && (m->saved = stage_copy(hold->stage)) == NULL) {
        m->hold = NULL; /* nothing to go back to, and nothing was changed */
        self->held--;
        return lock_release(hold, false), -1;
    }
    if (!m->inner) {
        atomic_store_explicit(&hold->slot->since, (uint64_t)coarse_ns(), memory_order_relaxed);
        if (get(&container_of(hold->seg)->pending) != 0 && redo_settle(hold->seg) < 0) return -1;
    }
    segment_ref(h->seg);
    handle_adopt(m->guard, h->seg, 0, h->kind, 0);
    m->guard->word = NULL;
    m->guard->hold = hold;
    m->guard->block = m->block;
    m->guard->epoch = process.epoch;
    return 0;
}

/* A block over several, of which this thread has some already and others not, could not be all or nothing: what is written to
 * the ones it has is committed by their own block. */
static int check_nesting(const transaction_t *self) {
    Py_ssize_t held = 0;
    for (Py_ssize_t i = 0; i < self->count; i++)
        if (self->members[i].handle->seg != NULL) held += held_here(hold_if_any(self->members[i].handle));
    if (held == 0 || held == self->count) return 0;
    PyErr_SetString(PyExc_RuntimeError, "transaction() inside a block of one of its containers would commit that one apart from "
                                        "the others; put the transaction() outside, or over that one in it");
    return -1;
}

static int make_guards(transaction_t *self) {
    self->guards = PyTuple_New(self->count);
    for (Py_ssize_t i = 0; self->guards != NULL && i < self->count; i++) {
        member_t *m = &self->members[i];
        if (m->handle->seg == NULL) return raise_closed(), -1;
        if (self->count > 1) { /* who meets an unfinished commit finds the others by name */
            seg_t *seg = m->handle->seg;
            segment_ref(seg);
            int named = segment_name(seg);
            segment_unref(seg);
            if (named < 0) return -1;
        }
        if ((m->guard = new_guard(m->handle)) == NULL) return -1;
        PyTuple_SetItem(self->guards, i, Py_NewRef((PyObject *)m->guard));
    }
    return self->guards == NULL ? -1 : 0;
}

/* Whether a member's part of the block goes on: its hold was not ended by close(), and this is no forked child. */
static bool goes_on(const transaction_t *self, const member_t *m) {
    return self->epoch == process.epoch && atomic_load(&m->hold->thread) != 0 && m->hold->blocks == m->block;
}

/* What the block leaves behind, also when it could not begin. */
static void finish(transaction_t *self, bool commit, bool changed) {
    self->state = DEAD;
    for (Py_ssize_t i = self->held; i-- > 0;) {
        member_t *m = &self->members[i];
        bool here = goes_on(self, m);
        if (here && !commit) roll_back(m);
        if (here) end_member(m, changed);
        stage_free(m->saved);
        m->saved = NULL;
        m->hold = NULL;
    }
    self->held = 0;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        handle_t *guard = self->members[i].guard;
        self->members[i].guard = NULL;
        if (guard == NULL) continue;
        handle_let_go(guard);
        Py_DECREF((PyObject *)guard);
    }
    Py_CLEAR(self->guards);
}

static PyObject *enter(PyObject *op, PyObject *unused) {
    (void)unused;
    transaction_t *self = (transaction_t *)op;
    if (self->state != FRESH || self->epoch != process.epoch) return guard_dead();
    if (self->held > 0 || self->guards != NULL) return guard_dead();
    int done = check_nesting(self) < 0 ? -1 : make_guards(self);
    for (Py_ssize_t i = 0; i < self->count && done == 0; i++) /* Python ran meanwhile */
        if (self->members[i].handle->seg == NULL) raise_closed(), done = -1;
    if (done == 0 && self->count > 1) qsort(self->members, (size_t)self->count, sizeof *self->members, by_inode);
    int64_t until = now_ns() + self->timeout;
    for (Py_ssize_t i = 0; i < self->count && done == 0; i++) done = begin_member(self, &self->members[i], until);
    if (done < 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        finish(self, false, false);
        PyErr_Restore(type, value, traceback);
        return NULL;
    }
    self->state = OPEN;
    return Py_NewRef(self->single ? PyTuple_GetItem(self->guards, 0) : self->guards);
}

/* ---- its end ---- */

static bool changes(const member_t *m) {
    return m->redo.count > 0 || (is_list(m->hold->seg) && m->redo.span != get(&current(m->hold->seg)->span));
}

static PyObject *all_names(member_t **with, Py_ssize_t n) {
    PyObject *names = PyByteArray_FromStringAndSize(NULL, 0);
    for (Py_ssize_t i = 0; names != NULL && i < n; i++) {
        const char *name = with[i]->hold->seg->name;
        uint16_t length = (uint16_t)strlen(name);
        Py_ssize_t at = PyByteArray_Size(names);
        if (PyByteArray_Resize(names, at + 2 + length) < 0) Py_CLEAR(names);
        else {
            memcpy(PyByteArray_AsString(names) + at, &length, 2);
            memcpy(PyByteArray_AsString(names) + at + 2, name, length);
        }
    }
    return names;
}

static int commit_together(member_t **with, Py_ssize_t n) {
    seg_t *first = with[0]->hold->seg;
    uint64_t number = get(&container_of(first)->transaction) + 1;
    PyObject *names = all_names(with, n);
    for (Py_ssize_t i = 0; names != NULL && i < n; i++) {
        with[i]->offset = redo_write(with[i]->hold->seg, &with[i]->redo, number, first->header->id, PyByteArray_AsString(names),
                                     (uint64_t)PyByteArray_Size(names));
        if (with[i]->offset == 0) Py_CLEAR(names);
    }
    if (names == NULL) return -1;
    Py_DECREF(names);
    put(&container_of(first)->transaction, number);
    FAULT(transaction_written);
    if (n > MOST_MEMBERS) return PyErr_SetString(PyExc_ValueError, "a transaction is over at most 4096 containers"), -1;
    for (Py_ssize_t i = 0; i < n; i++) commit_begin(with[i]->hold->seg);
    for (Py_ssize_t i = 1; i < n; i++) {
        atomic_store(&container_of(with[i]->hold->seg)->pending, redo_name(with[i]->offset, number, REDO_PREPARED));
        FAULT(transaction_prepared);
    }
    atomic_store(&container_of(first)->pending, redo_name(with[0]->offset, number, REDO_COMMITTED));
    FAULT(transaction_committed);
    int done = 0;
    for (Py_ssize_t i = n; i-- > 0;) {
        if (redo_settle(with[i]->hold->seg) < 0) done = -1;
        FAULT(transaction_settling);
    }
    return done;
}

/* Commit what the outermost blocks staged: 1, 0 nothing was changed, -1 an exception and nothing was changed. */
static int commit_all(transaction_t *self) {
    member_t **with = PyMem_Calloc((size_t)self->count + 1, sizeof *with);
    Py_ssize_t n = 0, staged = 0;
    int done = with == NULL ? (PyErr_NoMemory(), -1) : 0;
    for (Py_ssize_t i = 0; i < self->count && done == 0; i++) {
        member_t *m = &self->members[i];
        if (m->inner || m->hold->stage == NULL) continue;
        m->hold->direct = true; /* what collects garbage now finds no block to join */
        with[staged++] = m;
    }
    if (staged == 1) {
        done = stage_commit(with[0]->hold->seg, with[0]->hold->stage);
        PyMem_Free(with);
        return done;
    }
    for (Py_ssize_t i = 0; i < staged && done == 0; i++) {
        done = stage_prepare(with[i]->hold->seg, with[i]->hold->stage, &with[i]->redo);
        if (done == 0 && changes(with[i])) with[n++] = with[i];
    }
    if (done == 0 && n == 1) done = redo_commit(with[0]->hold->seg, &with[0]->redo);
    else if (done == 0 && n > 1) done = commit_together(with, n);
    for (Py_ssize_t i = 0; done == 0 && i < n; i++) {
        seg_t *seg = with[i]->hold->seg;
        stage_committed(seg, with[i]->hold->stage);
        if (is_list(seg)) list_tidy(seg);
        else map_tidy(seg);
    }
    for (Py_ssize_t i = 0; i < self->count; i++) redo_free(&self->members[i].redo);
    PyMem_Free(with);
    return done < 0 ? -1 : n > 0;
}

static PyObject *leave(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    transaction_t *self = (transaction_t *)op;
    bool commit = nargs < 1 || args[0] == Py_None, whole = true;
    if (self->state != OPEN) return guard_dead();
    for (Py_ssize_t i = 0; i < self->held; i++) whole = whole && goes_on(self, &self->members[i]);
    int done = 0;
    self->state = LEAVING;
    seg_t **pinned = PyMem_Calloc((size_t)self->held + 1, sizeof *pinned);
    if (pinned == NULL) whole = false, PyErr_NoMemory(), done = -1;
    Py_ssize_t n = whole ? self->held : 0; /* else it was ended by close(), or belongs to the parent process */
    for (Py_ssize_t i = 0; i < n; i++) segment_pin(pinned[i] = self->members[i].hold->seg);
    if (whole && commit) done = commit_all(self);
    for (Py_ssize_t i = 0; done < 0 && i < n; i++)
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) container_slim(pinned[i]);
    finish(self, commit && done >= 0, done > 0);
    for (Py_ssize_t i = 0; i < n; i++) {
        links_drop(pinned[i]);
        segment_unpin(pinned[i]);
    }
    PyMem_Free(pinned);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static void dealloc(PyObject *op) {
    transaction_t *self = (transaction_t *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->members != NULL) finish(self, false, false); /* entered, and never left */
    for (Py_ssize_t i = 0; i < self->count; i++) Py_XDECREF((PyObject *)self->members[i].handle);
    PyMem_Free(self->members);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0, NULL}};

PyType_Spec transaction_spec = {"procshare._native.Transaction", sizeof(transaction_t), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
