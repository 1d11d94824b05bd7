/* The payload of a segment as a buffer. It keeps the mapping alive, whatever becomes of the handles. */
#include "native.h"

typedef struct {
    PyObject_HEAD
    seg_t *seg;
} view_t;

PyObject *view_make(seg_t *seg) {
    view_t *self = (view_t *)PyType_GenericAlloc(process.types.view, 0);
    if (self == NULL) return NULL;
    segment_ref(seg);
    self->seg = seg;
    return (PyObject *)self;
}

static int get_buffer(PyObject *op, Py_buffer *view, int flags) {
    seg_t *seg = ((view_t *)op)->seg;
    return PyBuffer_FillInfo(view, op, seg->base + seg->payload, (Py_ssize_t)seg->payload_size, 0, flags);
}

static void dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    segment_unref(((view_t *)op)->seg);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {{Py_bf_getbuffer, get_buffer}, {Py_tp_dealloc, dealloc}, {0, NULL}};

PyType_Spec view_spec = {"procshare._native.View", sizeof(view_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
