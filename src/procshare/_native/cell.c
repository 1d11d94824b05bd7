/* The guard of `locked()` on a counter or value: one writable `value`, committed when the block ends.
 *
 * What the block writes is staged in the hold's private memory, which all handles of the process share, so that the
 * holder's own calls join the block. An inner block of the same thread is a savepoint: if it raises, its writes are undone.
 * A dead cell that nobody kept is used again for the next block.
 */
#include "native.h"

#include <string.h>

enum { FRESH, OPEN, DEAD };

typedef struct {
    PyObject_HEAD
    handle_t *handle; /* while fresh or open */
    hold_t *hold;
    int64_t timeout;
    int64_t saved; /* what was staged when an inner block began */
    PyObject *saved_record;
    bool saved_dirty, inner;
    uint8_t state;
    uint32_t epoch;
    uint64_t block; /* which of its hold's */
} cell_t;

static void retire(cell_t *self) {
    handle_t *h = self->handle;
    self->state = DEAD;
    self->handle = NULL;
    Py_CLEAR(self->saved_record);
    if (h == NULL) return;
    if (h->cells[0] == NULL) h->cells[0] = Py_NewRef((PyObject *)self);
    else if (h->cells[1] == NULL) h->cells[1] = Py_NewRef((PyObject *)self);
    Py_DECREF((PyObject *)h);
}

/* A dead cell that nobody but the handle knows, or NULL. */
static cell_t *spare_cell(handle_t *h) {
    for (int i = 0; i < 2; i++) {
        PyObject *cell = h->cells[i];
        if (cell == NULL || Py_REFCNT(cell) != 1) continue;
        h->cells[i] = NULL;
        return (cell_t *)cell;
    }
    return NULL;
}

/* handle.locked(timeout=None) */
PyObject *cell_make(handle_t *h, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int64_t timeout = -1;
    if (UNLIKELY(h->seg == NULL)) return raise_closed();
    if (UNLIKELY(nargs > 0 || kwnames != NULL)) {
        Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
        if (nargs + keywords != 1 ||
            (keywords == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(kwnames, 0), "timeout") != 0)) {
            PyErr_SetString(PyExc_TypeError, "locked() takes one argument, timeout");
            return NULL;
        }
        if (parse_timeout(args[0], &timeout) < 0) return NULL;
    }
    cell_t *cell = spare_cell(h);
    if (cell == NULL && (cell = (cell_t *)PyType_GenericAlloc(process.types.cell, 0)) == NULL) return NULL;
    cell->handle = (handle_t *)Py_NewRef((PyObject *)h);
    cell->timeout = timeout;
    cell->state = FRESH;
    cell->epoch = process.epoch;
    return (PyObject *)cell;
}

PyObject *method_locked(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    return cell_make((handle_t *)self, args, nargs, kwnames);
}

void *guard_dead(void) {
    PyObject *detail = PyUnicode_FromString("the `with x.locked()` block of this guard is over; begin another");
    PyObject *cls = PyObject_GetAttrString(process.errors, "Closed");
    PyObject *error = cls && detail ? PyObject_CallFunctionObjArgs(cls, detail, NULL) : NULL;
    if (error != NULL) PyErr_SetObject(cls, error);
    Py_XDECREF(error);
    Py_XDECREF(cls);
    Py_XDECREF(detail);
    return NULL;
}

static bool usable(const cell_t *self) {
    return self->state == OPEN && self->epoch == process.epoch && self->block == self->hold->blocks &&
           atomic_load_explicit(&self->hold->thread, memory_order_relaxed) != 0;
}

static PyObject *cell_enter(PyObject *op, PyObject *unused) {
    (void)unused;
    cell_t *self = (cell_t *)op;
    handle_t *h = self->handle;
    if (self->state != FRESH || self->epoch != process.epoch) return guard_dead();
    if (h->seg == NULL) return raise_closed();
    hold_t *hold = handle_hold(h);
    if (hold == NULL || lock_acquire(hold, self->timeout) < 0) return NULL;
    if (UNLIKELY(self->state != FRESH || h->seg == NULL)) { /* another thread entered it, or closed the handle, meanwhile */
        bool closed = self->state == FRESH;
        lock_release(hold, false);
        return closed ? raise_closed() : guard_dead();
    }
    self->hold = hold;
    self->block = hold->blocks;
    self->inner = hold->depth > 1;
    if (self->inner) {
        self->saved = hold->pending;
        self->saved_record = hold->record ? Py_NewRef(hold->record) : NULL;
        self->saved_dirty = hold->dirty;
    } else {
        atomic_store_explicit(&hold->slot->since, (uint64_t)coarse_ns(), memory_order_relaxed);
        hold->pending = h->kind == KIND_COUNTER ? counter_mark(hold->slot) : atomic_load(&hold->slot->word);
    }
    self->state = OPEN;
    return Py_NewRef(op);
}

/* The outermost block ends: publish what is staged, or put back what was. 1 something changed, 0 nothing, -1 exception. */
static int finish(hold_t *hold, uint8_t kind, uint8_t code, bool commit) {
    slot_t *slot = hold->slot;
    if (kind == KIND_COUNTER) {
        FAULT(counter_committing);
        int64_t word = commit ? hold->pending : atomic_load(&slot->saved);
        atomic_store_explicit(&slot->word, word, memory_order_release);
        FAULT(counter_committed);
        return commit;
    }
    atomic_store_explicit(&slot->since, 0, memory_order_relaxed);
    if (!commit || !hold->dirty) return 0;
    if (code == 0) return store_publish(hold->seg, slot, hold->pending, hold->record) < 0 ? -1 : 1;
    FAULT(value_committing);
    atomic_store_explicit(&slot->word, hold->pending, memory_order_release);
    FAULT(value_committed);
    count_commit(slot);
    return 1;
}

static PyObject *cell_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    cell_t *self = (cell_t *)op;
    bool commit = nargs < 1 || args[0] == Py_None;
    if (!usable(self)) {
        bool silent = self->state == OPEN; /* its thread's hold was ended by close(), or belongs to the parent process */
        retire(self);
        if (silent) Py_RETURN_NONE;
        return guard_dead();
    }
    hold_t *hold = self->hold;
    seg_t *seg = hold->seg;
    int done = 0;
    segment_pin(seg);
    if (!self->inner) {
        handle_t *h = self->handle;
        done = finish(hold, h->kind, h->code, commit);
        hold_stage(hold, false);
        Py_CLEAR(hold->record);
    } else if (!commit) {
        hold->pending = self->saved;
        hold_stage(hold, self->saved_dirty);
        Py_CLEAR(hold->record);
        hold->record = self->saved_record;
        self->saved_record = NULL;
    }
    if (usable(self)) lock_release(hold, done > 0); /* else closed while the file grew */
    segment_unpin(seg);
    retire(self);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *read_cell(cell_t *self) {
    if (UNLIKELY(!usable(self))) return guard_dead();
    hold_t *hold = self->hold;
    handle_t *h = self->handle;
    if (h->kind == KIND_COUNTER) return PyLong_FromLongLong(hold->pending);
    if (h->code != 0) return code_decode(h->code, hold->pending);
    if (h->seg == NULL) return raise_closed();
    return value_read(h);
}

static int write_cell(cell_t *self, PyObject *value) {
    if (!usable(self)) return guard_dead(), -1;
    if (value == NULL) return PyErr_SetString(PyExc_AttributeError, "value cannot be deleted"), -1;
    hold_t *hold = self->hold;
    handle_t *h = self->handle;
    int64_t staged;
    PyObject *record = NULL;
    int done = h->kind == KIND_COUNTER ? counter_encode(value, &staged)
               : h->code != 0          ? code_encode(h->code, value, &staged)
                                       : tagged_encode(value, &staged, &record);
    if (done < 0) return -1;
    if (UNLIKELY(!usable(self))) { /* encoding ran Python, which may have ended the block */
        Py_XDECREF(record);
        return guard_dead(), -1;
    }
    hold->pending = staged;
    hold_stage(hold, true);
    PyObject *old = hold->record;
    hold->record = record;
    Py_XDECREF(old);
    return 0;
}

static PyObject *cell_getattro(PyObject *self, PyObject *name) {
    if (LIKELY(name == process.value_name)) return read_cell((cell_t *)self);
    return PyObject_GenericGetAttr(self, name);
}

static int cell_setattro(PyObject *self, PyObject *name, PyObject *value) {
    if (LIKELY(name == process.value_name)) return write_cell((cell_t *)self, value);
    return PyObject_GenericSetAttr(self, name, value);
}

static PyObject *get_value(PyObject *self, void *unused) {
    (void)unused;
    return read_cell((cell_t *)self);
}

static int set_value(PyObject *self, PyObject *value, void *unused) {
    (void)unused;
    return write_cell((cell_t *)self, value);
}

static void cell_dealloc(PyObject *op) {
    cell_t *self = (cell_t *)op;
    PyTypeObject *type = Py_TYPE(op);
    Py_CLEAR(self->saved_record);
    handle_t *h = self->handle; /* only if the block was never entered, or never left */
    self->handle = NULL;
    Py_XDECREF((PyObject *)h);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__enter__", cell_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))cell_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"value", get_value, set_value, "What the block reads and writes; committed when the block ends.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, cell_dealloc}, {Py_tp_methods, methods},          {Py_tp_getset, getset},
    {Py_tp_getattro, cell_getattro}, {Py_tp_setattro, cell_setattro}, {0, NULL},
};

PyType_Spec cell_spec = {"procshare._native.Cell", sizeof(cell_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
