/* The array: live memory, and a sequence number that tells readers when a block was at work.
 *
 * slot->word is even while nobody holds the lock, and odd inside a block. A reader copies, and has one true state if the
 * number was even before and is the same after; else it takes the lock. (After Lameter, "Effective Synchronization on
 * Linux/NUMA Systems", 2005: seqlocks.)
 *
 * Deaths. A holder that dies leaves the number odd and the lock to be taken over. Whoever has the lock and finds it odd
 * knows that the elements may be half written: that is all there is to OwnerDied. recover() makes it even.
 */
#include "native.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WRITE_STEP (16u << 20)

/* Copy *data* into the file: pages come into being filled, which is cheaper than zeroing and faulting them. */
static int write_payload(seg_t *seg, const char *data, uint64_t length) {
    int error = 0;
    uint64_t done = 0;
    Py_BEGIN_ALLOW_THREADS
    while (done < length && error == 0) {
        uint64_t step = length - done < WRITE_STEP ? length - done : WRITE_STEP;
        ssize_t n = pwrite(seg->fd, data + done, step, (off_t)(seg->payload + done));
        if (n > 0) done += (uint64_t)n;
        else if (n == 0 || errno != EINTR) error = n == 0 ? ENOSPC : errno;
    }
    Py_END_ALLOW_THREADS
    if (error == ENOSPC || error == ENOMEM) return raise_out_of_memory(seg->name, length, shm_free_bytes() + done), -1;
    if (error != 0) return raise_too_long(error, seg->name, seg->payload + length), -1;
    return 0;
}

/* _create(data or None, nbytes, meta, name, proceed) */
static PyObject *create(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    PyObject *data, *name, *meta;
    unsigned long long nbytes;
    int proceed;
    if (!PyArg_ParseTuple(args, "OKSOp", &data, &nbytes, &meta, &name, &proceed)) return NULL;
    if (h->seg != NULL) return PyErr_Format(PyExc_TypeError, "__init__ was called again on an object that exists; make a new one");
    if (nbytes > (1ull << 46)) return raise_out_of_memory("a new array", nbytes, shm_free_bytes());
    Py_buffer view = {0};
    if (data != Py_None && PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    seg_t *seg = segment_create(KIND_ARRAY, nbytes, PyBytes_AsString(meta), (size_t)PyBytes_Size(meta), 0, data == Py_None ? ALL_OF_IT : 0);
    int done = seg == NULL ? -1 : 0;
    if (done == 0) {
        if (proceed) atomic_fetch_or(&seg->header->flags, SEG_PROCEED);
        handle_adopt(h, seg, 0, KIND_ARRAY, 0);
        h->created = true;
        h->epoch = process.epoch;
        if (data != Py_None && view.len > 0) done = write_payload(seg, view.buf, (uint64_t)view.len);
        if (done < 0) handle_abort(h);
        else done = handle_publish(h, name);
    }
    if (data != Py_None) PyBuffer_Release(&view);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *meta(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    return answer(h, PyBytes_FromStringAndSize(h->seg->base + h->seg->meta, (Py_ssize_t)h->seg->meta_size));
}

static PyObject *memory(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    return h->seg == NULL ? raise_closed() : answer(h, view_make(h->seg));
}

/* ---- the lock and the sequence ---- */

/* The hold, or NULL with an exception. It outlives the handle, which another thread may close while we wait. */
static hold_t *begin(handle_t *h, int64_t timeout, bool repairing) {
    hold_t *hold;
    if (h->seg == NULL) return raise_closed();
    if ((hold = handle_hold(h)) == NULL || lock_acquire(hold, timeout) < 0) return NULL;
    if (h->seg == NULL) {
        lock_release(hold, false);
        return raise_closed();
    }
    if (hold->depth > 1) return hold;
    slot_t *slot = hold->slot;
    int64_t sequence = atomic_load(&slot->word);
    bool proceed = atomic_load(&hold->seg->header->flags) & SEG_PROCEED;
    if ((sequence & 1) && !repairing && !proceed) {
        seg_t *seg = hold->seg;
        segment_ref(seg);
        lock_release(hold, false); /* before the exception is made, which runs Python */
        raise_named("OwnerDied", seg->name, "");
        segment_unref(seg);
        return NULL;
    }
    atomic_store(&slot->word, (int64_t)((uint64_t)sequence + (sequence & 1 ? 2 : 1)));
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&slot->since, (uint64_t)coarse_ns(), memory_order_relaxed);
    FAULT(array_marked);
    return hold;
}

static void end(hold_t *hold) {
    slot_t *slot = hold->slot;
    if (hold->depth == 1) {
        FAULT(array_committing);
        atomic_store(&slot->word, (int64_t)(((uint64_t)atomic_load(&slot->word) | 1) + 1));
        FAULT(array_committed);
        atomic_store_explicit(&slot->since, 0, memory_order_relaxed);
    }
    lock_release(hold, true);
}

/* The guard of locked(). In C because a signal handler that raises between the lines of a Python __enter__ or __exit__
 * would leave the lock taken. It may be entered again, also inside itself. */
typedef struct {
    PyObject_HEAD
    handle_t *handle;
    PyObject *live;
    hold_t *hold; /* while entered > 0; the block's own reference to the segment keeps it */
    int64_t timeout;
    uint64_t block; /* which of its hold's */
    uint32_t entered, epoch;
} block_t;

/* _block(live, timeout): a context manager that yields *live*. */
static PyObject *block(PyObject *self, PyObject *args) {
    PyObject *live, *timeout;
    int64_t ns;
    if (!PyArg_ParseTuple(args, "OO", &live, &timeout) || parse_timeout(timeout, &ns) < 0) return NULL;
    block_t *new = (block_t *)PyType_GenericAlloc(process.types.block, 0);
    if (new == NULL) return NULL;
    new->handle = (handle_t *)Py_NewRef(self);
    new->live = Py_NewRef(live);
    new->timeout = ns;
    return (PyObject *)new;
}

static PyObject *block_enter(PyObject *op, PyObject *unused) {
    (void)unused;
    block_t *self = (block_t *)op;
    hold_t *hold = begin(self->handle, self->timeout, false);
    if (hold == NULL) return NULL;
    if (hold->blocks != self->block || self->epoch != process.epoch) self->entered = 0; /* left over from a hold that was ended */
    self->hold = hold;
    self->block = hold->blocks;
    self->epoch = process.epoch;
    self->entered++;
    return Py_NewRef(self->live);
}

/* Silent if the hold was ended already, by close() or by a fork. */
static PyObject *block_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    (void)args, (void)nargs;
    block_t *self = (block_t *)op;
    if (self->entered == 0) Py_RETURN_NONE;
    self->entered--;
    if (self->epoch == process.epoch && held_here(self->hold) && self->block == self->hold->blocks) end(self->hold);
    Py_RETURN_NONE;
}

static void block_dealloc(PyObject *op) {
    block_t *self = (block_t *)op;
    PyTypeObject *type = Py_TYPE(op);
    Py_XDECREF((PyObject *)self->handle);
    Py_XDECREF(self->live);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyObject *recover(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    hold_t *hold = handle_hold(h);
    if (hold == NULL) return NULL;
    if (!held_here(hold) && begin(h, -1, true) != NULL) end(hold);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* _sequence(): the number, -1 while this thread is inside a block. */
static PyObject *sequence(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    atomic_thread_fence(memory_order_acquire);
    if (held_here(hold_if_any(h))) return PyLong_FromLong(-1);
    return answer(h, PyLong_FromLongLong(atomic_load(&h->slot->word)));
}

/* _store(data): replace all elements, as one block. */
static PyObject *store(PyObject *self, PyObject *data) {
    handle_t *h = (handle_t *)self;
    Py_buffer view;
    if (h->seg == NULL) return raise_closed();
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    if ((uint64_t)view.len != h->seg->payload_size) {
        PyBuffer_Release(&view);
        return PyErr_Format(PyExc_ValueError, "expected %llu bytes", (unsigned long long)h->seg->payload_size);
    }
    hold_t *hold = begin(h, -1, false);
    if (hold != NULL) {
        seg_t *seg = hold->seg;
        segment_pin(seg);
        char *to = hold->seg->base + hold->seg->payload;
        size_t half = (size_t)view.len / 2;
        Py_BEGIN_ALLOW_THREADS
        memcpy(to, view.buf, half);
        FAULT(array_writing);
        memcpy(to + half, (char *)view.buf + half, (size_t)view.len - half);
        Py_END_ALLOW_THREADS
        if (held_here(hold)) end(hold);
        else hold = raise_closed(); /* another thread closed it meanwhile, which ended the hold: this write is half a one */
        if (segment_whole(seg) < 0) hold = NULL;
        segment_unpin(seg);
    }
    PyBuffer_Release(&view);
    if (hold == NULL) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL}, {"_meta", meta, METH_NOARGS, NULL},
    {"_memory", memory, METH_NOARGS, NULL},  {"_block", block, METH_VARARGS, NULL},
    {"_sequence", sequence, METH_NOARGS, NULL},
    {"_store", store, METH_O, NULL},         {"recover", recover, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_methods, methods}, {0, NULL}};

PyType_Spec array_spec = {"procshare._native.Array", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

static PyMethodDef block_methods[] = {
    {"__enter__", block_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))block_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot block_slots[] = {{Py_tp_dealloc, block_dealloc}, {Py_tp_methods, block_methods}, {0, NULL}};

PyType_Spec block_spec = {"procshare._native.Block", sizeof(block_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, block_slots};
