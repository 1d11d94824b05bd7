/* Putting items into a queue. */
#include "queue.h"

#include <stdlib.h>

/* ---- putting ---- */

/* What was claimed for items that were not put in the end belongs to whoever has it. */
static void disown(seg_t *seg, parcel_t *parcels, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (parcels[i].claimed != NULL && parcels[i].epoch == process.epoch) links_disown(seg, parcels[i].claimed);
}

static int claim(seg_t *seg, parcel_t *parcels, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (LIKELY(parcels[i].links == NULL)) continue;
        if (segment_name(seg) < 0) return -1; /* a sweep looks for who claimed it */
        if (parcels[i].claimed == NULL && (parcels[i].claimed = PyList_New(0)) == NULL) return -1;
        if (links_claim(seg, parcels[i].links, parcels[i].claimed) < 0) return -1;
    }
    return 0;
}

#define ALONE -1

static void raise_full(int64_t done, int64_t count) {
    PyObject *text = count != ALONE ? PyUnicode_FromFormat("%lld of %lld items were put", (long long)done, (long long)count) : NULL;
    raise_channel(ERROR_FULL, text);
    Py_XDECREF(text);
}

/* All of them, in order, in as few commits as they fit in: 0, or -1 with Full, ShutDown or another exception. */
static int put_all(handle_t *h, parcel_t *parcels, int64_t count, int64_t ns, bool many) {
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed(), -1;
    queue_t *q = queue_of(seg);
    int64_t done = 0;
    int failed = 0;
    wait_t w = {.ns = ns};
    segment_pin(seg);
    for (int64_t i = 0; i < count; i++) parcels[i].epoch = process.epoch;
    for (int64_t i = 0; i < count && !failed; i++) failed = queue_enlarge(seg, &parcels[i]);
    if (!failed) failed = claim(seg, parcels, count);
    while (!failed && done < count) {
        int64_t put = ring_put(seg, parcels + done, count - done, queue_left(&w));
        if (put < 0) failed = -1;
        else if (put > 0) w.spun = w.armed = false;
        done += put > 0 ? put : 0;
        if (failed || done == count) break;
        if (put == 0 && (failed = queue_wait_step(h, &w, &q->take_commits, &q->space)) < 0 && !PyErr_Occurred()) raise_full(done, many ? count : ALONE);
    }
    if (UNLIKELY(failed)) {
        if (w.slice != 0) signal_some(&q->space, 1); /* we may have been woken for it */
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        disown(seg, parcels + done, count - done);
        for (int64_t i = done; i < count; i++) parcel_clear(seg, &parcels[i]);
        PyErr_Restore(type, value, traceback);
    }
    if (segment_whole(seg) < 0) failed = -1;
    segment_unpin(seg);
    return failed;
}

static PyObject *put_one(PyObject *self, PyObject *obj, int64_t ns) {
    parcel_t parcel;
    if (((handle_t *)self)->seg == NULL) return raise_closed();
    if (parcel_pack(obj, &parcel) < 0) return NULL;
    int done = put_all((handle_t *)self, &parcel, 1, ns, false);
    parcel_clear(NULL, &parcel);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"obj", "block", "timeout"};
    PyObject *given[3] = {NULL, NULL, NULL};
    int64_t ns;
    if (LIKELY(nargs == 1 && kwnames == NULL)) return put_one(self, args[0], -1);
    if (queue_arguments(args, nargs, kwnames, names, 3, given) < 0 || queue_patience(given[1], given[2], &ns) < 0) return NULL;
    if (given[0] == NULL) return PyErr_Format(PyExc_TypeError, "put() needs the object to put");
    return put_one(self, given[0], ns);
}

PyObject *queue_put_nowait(PyObject *self, PyObject *obj) { return put_one(self, obj, 0); }

/* An item that was packed once, and may have to wait for space without this thread: for put_async(). */
typedef struct {
    parcel_t parcel;
    handle_t *queue;
    bool put;
} packed_t;

static void packed_free(PyObject *capsule) {
    packed_t *packed = PyCapsule_GetPointer(capsule, NULL);
    seg_t *seg = packed->queue->seg;
    if (seg == NULL) packed->parcel.large = 0; /* it went with the queue, or will */
    else disown(seg, &packed->parcel, 1);
    parcel_clear(seg, &packed->parcel);
    Py_DECREF((PyObject *)packed->queue);
    free(packed);
}

/* _encode(obj): what _put_encoded() takes. */
PyObject *queue_encode(PyObject *self, PyObject *obj) {
    packed_t *packed = malloc(sizeof *packed);
    if (packed == NULL) return PyErr_NoMemory();
    if (parcel_pack(obj, &packed->parcel) < 0) {
        free(packed);
        return NULL;
    }
    packed->queue = (handle_t *)Py_NewRef(self);
    packed->parcel.epoch = process.epoch;
    packed->put = false;
    PyObject *capsule = PyCapsule_New(packed, NULL, packed_free);
    if (capsule != NULL) return capsule;
    parcel_clear(NULL, &packed->parcel);
    Py_DECREF(self);
    free(packed);
    return NULL;
}

/* _put_encoded(encoded): whether there was room for it; once it is put it must not be put again. */
PyObject *queue_put_encoded(PyObject *self, PyObject *capsule) {
    packed_t *packed = PyCapsule_GetPointer(capsule, NULL);
    if (packed == NULL) return NULL;
    if (packed->put) return PyErr_Format(PyExc_ValueError, "it was put already");
    if ((PyObject *)packed->queue != self) return PyErr_Format(PyExc_ValueError, "it was encoded for another queue");
    seg_t *seg = packed->queue->seg;
    if (seg == NULL) return raise_closed();
    if (parcel_inherited(&packed->parcel) < 0) return NULL;
    segment_pin(seg);
    int64_t put = packed->parcel.large == 0 ? queue_enlarge(seg, &packed->parcel) : 0;
    if (put == 0) put = claim(seg, &packed->parcel, 1);
    if (put == 0) put = ring_put(seg, &packed->parcel, 1, 0);
    packed->put = put > 0;
    if (put > 0) Py_CLEAR(packed->parcel.claimed); /* that is the queue's */
    segment_unpin(seg);
    return put < 0 ? NULL : PyBool_FromLong((long)put);
}

/* Pack everything first: 0, or -1 and nothing is packed. */
static int pack_all(PyObject *list, parcel_t *parcels, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, i);
        if (item != NULL && parcel_pack(item, &parcels[i]) == 0) continue;
        while (--i >= 0) parcel_clear(NULL, &parcels[i]);
        return -1;
    }
    return 0;
}

PyObject *queue_put_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"items", "timeout"};
    PyObject *given[2] = {NULL, NULL};
    int64_t ns;
    if (queue_arguments(args, nargs, kwnames, names, 2, given) < 0 || queue_patience(NULL, given[1], &ns) < 0) return NULL;
    if (given[1] == NULL || given[1] == Py_None) ns = -1;
    if (given[0] == NULL) return PyErr_Format(PyExc_TypeError, "put_many() needs the items to put");
    PyObject *list = PyObject_CallFunctionObjArgs((PyObject *)&PyList_Type, given[0], NULL);
    Py_ssize_t count = list ? PyList_Size(list) : 0;
    parcel_t *parcels = list ? malloc((size_t)(count > 0 ? count : 1) * sizeof *parcels) : NULL;
    int done = -1;
    if (((handle_t *)self)->seg == NULL) raise_closed();
    else if (parcels == NULL && list != NULL) PyErr_NoMemory();
    else if (parcels != NULL && pack_all(list, parcels, count) == 0) {
        done = put_all((handle_t *)self, parcels, count, ns, true);
        for (Py_ssize_t i = 0; i < count; i++) parcel_clear(NULL, &parcels[i]);
    }
    free(parcels);
    Py_XDECREF(list);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}
