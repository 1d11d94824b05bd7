/* The queue: the C side of a shared queue. How items lie in memory, and why deaths do no harm: ring.c, lease.c, plain.c. */
#include "queue.h"

#include <stdlib.h>

/* ---- attaching and making ---- */

/* Once for each mapping, before its first use: 0, or -1 with an exception. */
int queue_prepare(seg_t *seg) {
    if (seg->queue != NULL) return 0;
    const queue_t *q = queue_of(seg);
    queue_view_t *view = calloc(1, sizeof *view);
    if (view == NULL) return PyErr_NoMemory(), -1;
    view->maxsize = q->maxsize;
    view->capacity = q->capacity;
    if (view->capacity == 0 || view->capacity > 1ull << 40) {
        free(view);
        return queue_corrupt(seg), -1;
    }
    seg->queue = view;
    return 0;
}

/* _create(maxsize, capacity, name) */
static PyObject *create(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    long long maxsize, capacity;
    PyObject *name;
    if (!PyArg_ParseTuple(args, "LLO", &maxsize, &capacity, &name)) return NULL;
    if (h->seg != NULL) return PyErr_Format(PyExc_TypeError, "__init__ was called again on an object that exists; make a new one");
    if (capacity < 1 || capacity > 1ll << 40)
        return PyErr_Format(PyExc_ValueError, "capacity is from 1 to 2**40 bytes, not %lld", capacity);
    seg_t *seg = segment_create(KIND_QUEUE, QUEUE_SIZE - HEADER_SIZE, NULL, 0, 0, FIRST_RING + (1u << FIRST_ORDER) - HEADER_SIZE);
    if (seg == NULL) return NULL;
    handle_adopt(h, seg, 0, KIND_QUEUE, 0);
    h->created = true;
    h->epoch = process.epoch;
    queue_of(seg)->maxsize = maxsize > 0 ? (uint64_t)maxsize : 0;
    queue_of(seg)->capacity = (uint64_t)capacity;
    atomic_store(&queue_of(seg)->ring[0], (uint64_t)FIRST_RING << 6 | FIRST_ORDER);
    if (queue_prepare(seg) < 0) {
        handle_abort(h);
        return NULL;
    }
    if (handle_publish(h, name) < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- looking ---- */

static int64_t size_pinned(seg_t *seg) {
    if (UNLIKELY(atomic_load(&queue_of(seg)->take_lock) != 0) && queue_finish_dead(seg) < 0) return -1;
    if (UNLIKELY(atomic_load(&queue_of(seg)->shut) & SHUT_AT_ONCE) && queue_drop_all(seg) < 0) return -1;
    take_books_t takes = ring_takes(seg); /* first: so it is never more than what was put */
    uint64_t n = ring_puts(seg).in - takes.out;
    return (int64_t)(UNLIKELY(atomic_load(&queue_of(seg)->leases) > 0) ? n + lease_backs(seg) : n);
}

/* How many items there are; -1 with an exception. *maxsize*, if any: how many there may be. */
static int64_t size_now(handle_t *h, uint64_t *maxsize) {
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed(), -1;
    segment_pin(seg);
    int64_t size = size_pinned(seg);
    if (maxsize != NULL) *maxsize = seg->queue->maxsize;
    if (segment_whole(seg) < 0) size = -1;
    segment_unpin(seg);
    return size >= 0 || PyErr_Occurred() ? size : 0;
}

static PyObject *method_qsize(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t size = size_now((handle_t *)self, NULL);
    return size < 0 ? NULL : PyLong_FromLongLong(size);
}

static PyObject *method_empty(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t size = size_now((handle_t *)self, NULL);
    return size < 0 ? NULL : PyBool_FromLong(size == 0);
}

static PyObject *method_full(PyObject *self, PyObject *unused) {
    (void)unused;
    uint64_t maxsize = 0;
    int64_t size = size_now((handle_t *)self, &maxsize);
    return size < 0 ? NULL : PyBool_FromLong(maxsize > 0 && (uint64_t)size >= maxsize);
}

static PyObject *get_maxsize(PyObject *self, void *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyLong_FromUnsignedLongLong(seg->queue->maxsize);
}

static PyObject *get_capacity(PyObject *self, void *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyLong_FromUnsignedLongLong(seg->queue->capacity);
}

static PyObject *is_shut(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyBool_FromLong(atomic_load(&queue_of(seg)->shut) != 0);
}

static PyObject *watch_items(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyLong_FromUnsignedLong(signal_watch(&queue_of(seg)->items));
}

static PyObject *watch_space(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyLong_FromUnsignedLong(signal_watch(&queue_of(seg)->space));
}

static PyObject *method_lease(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"timeout"};
    PyObject *given[1] = {NULL};
    int64_t ns;
    if (queue_arguments(args, nargs, kwnames, names, 1, given) < 0 || parse_timeout(given[0], &ns) < 0) return NULL;
    if (((handle_t *)self)->seg == NULL) return raise_closed();
    return lease_make(self, ns);
}

#define KEYWORDS METH_FASTCALL | METH_KEYWORDS
#define FAST(f) (PyCFunction)(void (*)(void))f

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL},
    {"put", FAST(queue_put), KEYWORDS, "put($self, obj, block=True, timeout=None)\n--\n\n"},
    {"get", FAST(queue_get), KEYWORDS, "get($self, block=True, timeout=None)\n--\n\n"},
    {"put_nowait", queue_put_nowait, METH_O, "put_nowait($self, obj)\n--\n\n"},
    {"get_nowait", queue_get_nowait, METH_NOARGS, "get_nowait($self)\n--\n\n"},
    {"put_many", FAST(queue_put_many), KEYWORDS, "put_many($self, items, timeout=None)\n--\n\n"},
    {"get_many", FAST(queue_get_many), KEYWORDS, "get_many($self, max_items=1000, timeout=None)\n--\n\n"},
    {"task_done", queue_task_done, METH_NOARGS, "task_done($self)\n--\n\n"},
    {"join", FAST(queue_join), KEYWORDS, "join($self, timeout=None)\n--\n\n"},
    {"shutdown", FAST(queue_shutdown), KEYWORDS, "shutdown($self, immediate=False)\n--\n\n"},
    {"qsize", method_qsize, METH_NOARGS, "qsize($self)\n--\n\n"},
    {"empty", method_empty, METH_NOARGS, "empty($self)\n--\n\n"},
    {"full", method_full, METH_NOARGS, "full($self)\n--\n\n"},
    {"lease", FAST(method_lease), KEYWORDS, "lease($self, timeout=None)\n--\n\n"},
    {"_encode", queue_encode, METH_O, NULL},
    {"_put_encoded", queue_put_encoded, METH_O, NULL},
    {"_is_shut", is_shut, METH_NOARGS, NULL},
    {"_watch_items", watch_items, METH_NOARGS, NULL},
    {"_watch_space", watch_space, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"maxsize", get_maxsize, NULL, NULL, NULL},
    {"capacity", get_capacity, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {{Py_tp_methods, methods}, {Py_tp_getset, getset}, {0, NULL}};

PyType_Spec queue_spec = {"procshare._native.Queue", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
