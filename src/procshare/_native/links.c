/* Handles in values. */
#include "container.h"

static _Thread_local links_t links __attribute__((tls_model("initial-exec")));

void links_begin(links_t *outer) {
    *outer = links;
    links = (links_t){.on = true};
}

PyObject *links_end(links_t *outer) {
    PyObject *handles = links.handles;
    links = *outer;
    return handles;
}

int links_note(handle_t *h) {
    if (LIKELY(!links.on)) return 0;
    if (links.handles == NULL && (links.handles = PyList_New(0)) == NULL) return -1;
    return PyList_Append(links.handles, (PyObject *)h);
}

uint64_t links_length(const char *bytes, uint64_t length) {
    uint32_t size = 0;
    if (length >= 4) memcpy(&size, bytes, 4);
    return size >= 4 && size <= length ? size : 0;
}

PyObject *links_claim(seg_t *seg, PyObject *handles) {
    (void)seg;
    PyObject *names = PyByteArray_FromStringAndSize(NULL, 4);
    for (Py_ssize_t i = 0; names != NULL && i < PyList_Size(handles); i++) {
        handle_t *h = (handle_t *)PyList_GetItem(handles, i);
        Py_ssize_t length = 0;
        const char *name = PyUnicode_AsUTF8AndSize(h->name, &length);
        Py_ssize_t at = PyByteArray_Size(names);
        uint16_t size = (uint16_t)length;
        if (name == NULL || PyByteArray_Resize(names, at + 2 + length) < 0) Py_CLEAR(names);
        else {
            memcpy(PyByteArray_AsString(names) + at, &size, 2);
            memcpy(PyByteArray_AsString(names) + at + 2, name, size);
        }
    }
    if (names == NULL) return NULL;
    uint32_t size = (uint32_t)PyByteArray_Size(names);
    memcpy(PyByteArray_AsString(names), &size, 4);
    PyObject *out = PyBytes_FromStringAndSize(PyByteArray_AsString(names), size);
    Py_DECREF(names);
    return out;
}

void links_drop(seg_t *seg) { (void)seg; }
