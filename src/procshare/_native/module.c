/* The module: its types, and the functions that Python's side of the backend calls. */
#include "container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef PROCSHARE_FAULTS
#define MODULE_NAME "_native_faults"
#define MODULE_INIT PyInit__native_faults
#else
#define MODULE_NAME "_native"
#define MODULE_INIT PyInit__native
#endif

/* configure(errors, hooks): the module of error classes, and the one with register(), unregister(), started(),
 * segment_name() and normal_code(). */
static PyObject *configure(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *errors, *hooks;
    if (!PyArg_ParseTuple(args, "OO", &errors, &hooks)) return NULL;
    Py_XDECREF(process.errors);
    Py_XDECREF(process.hooks);
    process.errors = Py_NewRef(errors);
    process.hooks = Py_NewRef(hooks);
    Py_RETURN_NONE;
}

static int set_descriptor(PyObject *cls, const char *name, PyObject *descriptor) {
    int done = descriptor ? PyObject_SetAttrString(cls, name, descriptor) : -1;
    Py_XDECREF(descriptor);
    return done;
}

/* specialize(cls): give the leaf class descriptors of its own, which the interpreter's specialized calls ask for. */
static PyObject *specialize(PyObject *module, PyObject *cls) {
    (void)module;
    PyTypeObject *type = (PyTypeObject *)cls;
    bool counts = PyType_IsSubtype(type, process.types.counter);
    for (PyMethodDef *m = counts ? counter_methods : value_methods; m->ml_name != NULL; m++)
        if (set_descriptor(cls, m->ml_name, PyDescr_NewMethod(type, m)) < 0) return NULL;
    PyGetSetDef *value = counts ? counter_getset : value_getset;
    if (set_descriptor(cls, value->name, PyDescr_NewGetSet(type, value)) < 0) return NULL;
    if (!counts) value_leaf = (PyTypeObject *)Py_NewRef(cls);
    return Py_NewRef(cls);
}

/* What document() made: kept for ever, as a type's own tables are. */
typedef struct kept {
    struct kept *next;
    PyMethodDef method;
    PyGetSetDef property;
    char doc[];
} kept_t;
static kept_t *kept;

/* A docstring behind a signature: the one that the method of C has, or, without arguments, the only one that there can be. */
static kept_t *keep(const char *name, const char *own, bool bare, const char *doc) {
    const char *end = own ? strstr(own, "--\n\n") : NULL;
    size_t head = end ? (size_t)(end + 4 - own) : 0, room = head + strlen(name) + sizeof "($self)\n--\n\n" + strlen(doc);
    kept_t *k = calloc(1, sizeof *k + room);
    if (k == NULL) return (kept_t *)PyErr_NoMemory();
    if (end == NULL && bare) snprintf(k->doc, room, "%s($self)\n--\n\n%s", name, doc);
    else snprintf(k->doc, room, "%.*s%s", (int)head, own ? own : "", doc);
    k->next = kept;
    return kept = k;
}

/* The descriptor with a docstring of its own; NULL if this type has nothing of that name. */
static PyObject *documented(PyTypeObject *cls, PyTypeObject *base, const char *name, const char *doc) {
    PyMethodDef *method = PyType_GetSlot(base, Py_tp_methods);
    for (; method != NULL && method->ml_name != NULL; method++) {
        if (strcmp(method->ml_name, name) != 0) continue;
        kept_t *k = keep(name, method->ml_doc, method->ml_flags & METH_NOARGS, doc);
        if (k == NULL) return NULL;
        k->method = *method;
        k->method.ml_doc = k->doc;
        return PyDescr_NewMethod(cls, &k->method);
    }
    PyGetSetDef *property = PyType_GetSlot(base, Py_tp_getset);
    for (; property != NULL && property->name != NULL; property++) {
        if (strcmp(property->name, name) != 0) continue;
        kept_t *k = keep(name, NULL, false, doc);
        if (k == NULL) return NULL;
        k->property = *property;
        k->property.doc = k->doc;
        return PyDescr_NewGetSet(cls, &k->property);
    }
    return NULL;
}

/* document(cls, name, doc): give the leaf class a method or property of its own that is that of its C type, with the docstring that
 * the interface has: written down once, and the same for help() of an object and of its class. */
static PyObject *document(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *cls;
    const char *name, *doc;
    if (!PyArg_ParseTuple(args, "O!ss", &PyType_Type, &cls, &name, &doc)) return NULL;
    PyObject *mro = PyObject_GetAttrString(cls, "__mro__"), *found = NULL;
    for (Py_ssize_t i = 0; mro != NULL && found == NULL && !PyErr_Occurred() && i < PyTuple_Size(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GetItem(mro, i);
        if (PyType_IsSubtype(base, process.types.handle)) found = documented((PyTypeObject *)cls, base, name, doc);
    }
    Py_XDECREF(mro);
    if (found == NULL && !PyErr_Occurred()) PyErr_Format(PyExc_AttributeError, "no type of C has a %s", name);
    if (found == NULL || set_descriptor(cls, name, found) < 0) return NULL;
    Py_RETURN_NONE;
}

/* reap(name, gone, in_flight): unlink a segment to which nobody is attached, and which nothing keeps: no claim but those of containers
 * with these ids, which are gone, and if *in_flight*, nor that it was handed over and not attached since. */
static PyObject *reap(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    PyObject *ids;
    int in_flight;
    if (!PyArg_ParseTuple(args, "sO!p", &name, &PyList_Type, &ids, &in_flight)) return NULL;
    Py_ssize_t count = PyList_Size(ids);
    uint64_t *gone = PyMem_Calloc((size_t)count + 1, sizeof *gone);
    if (gone == NULL) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) gone[i] = PyLong_AsUnsignedLongLongMask(PyList_GetItem(ids, i));
    int done = PyErr_Occurred() ? -1 : segment_reap(name, &(past_t){gone, (size_t)count, in_flight});
    PyMem_Free(gone);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyObject *tracker_of(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    return text == NULL ? NULL : segment_tracker(text);
}

static PyObject *held(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return audit_holds();
}

static PyObject *objects(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return audit_objects();
}

/* leave_all(): this process is about to exit. What it owns goes; of the rest it is perhaps the last one out. */
static PyObject *leave_all(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    process.leaving = true;
    for (seg_t *seg = process.segments, *next; seg != NULL; seg = next) {
        segment_ref(seg); /* leaving may run Python, and that may collect handles */
        if (seg->born != NULL) slab_end(seg);
        if (seg->handles > 0) segment_leave(seg);
        next = seg->next;
        segment_unref(seg);
    }
    Py_RETURN_NONE;
}

/* transaction(containers, timeout): a block over a list of handles. */
static PyObject *transaction(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *containers, *timeout;
    if (!PyArg_ParseTuple(args, "O!O", &PyList_Type, &containers, &timeout)) return NULL;
    return transaction_make(containers, timeout, false);
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_VARARGS, NULL}, {"specialize", specialize, METH_O, NULL},
    {"reap", reap, METH_VARARGS, NULL},
    {"leave_all", leave_all, METH_NOARGS, NULL},  {"transaction", transaction, METH_VARARGS, NULL},
    {"document", document, METH_VARARGS, NULL},   {"tracker_of", tracker_of, METH_O, NULL},
    {"holds", held, METH_NOARGS, NULL},           {"objects", objects, METH_NOARGS, NULL},
    {"trust", trust, METH_VARARGS, NULL},         {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0) return NULL;
    return (PyTypeObject *)type;
}

static int add_types(PyObject *module) {
    types_t *t = &process.types;
    value_prepare();
    return (t->handle = add_type(module, &handle_spec, NULL)) && (t->counter = add_type(module, &counter_spec, t->handle)) &&
                   (t->value = add_type(module, &value_spec, t->handle)) &&
                   (t->array = add_type(module, &array_spec, t->handle)) && (t->cell = add_type(module, &cell_spec, NULL)) &&
                   (t->block = add_type(module, &block_spec, NULL)) && (t->view = add_type(module, &view_spec, NULL)) &&
                   (t->table = add_type(module, &table_spec, t->handle)) && (t->map = add_type(module, &map_spec, t->table)) &&
                   (t->vector = add_type(module, &vector_spec, t->handle)) &&
                   (t->transaction = add_type(module, &transaction_spec, NULL)) && (t->queue = add_type(module, &queue_spec, t->handle)) &&
                   (t->lease = add_type(module, &lease_spec, NULL)) && (t->lock = add_type(module, &lock_spec, t->handle)) &&
                   (t->rlock = add_type(module, &rlock_spec, t->handle)) &&
                   (t->semaphore = add_type(module, &semaphore_spec, t->handle)) &&
                   (t->bounded_semaphore = add_type(module, &bounded_semaphore_spec, t->handle)) &&
                   (t->event = add_type(module, &event_spec, t->handle)) &&
                   (t->condition = add_type(module, &condition_spec, t->handle)) &&
                   (t->barrier = add_type(module, &barrier_spec, t->handle)) &&
                   (t->rwlock = add_type(module, &rwlock_spec, t->handle)) &&
                   (t->rwlock_block = add_type(module, &rwlock_block_spec, NULL))
               ? 0
               : -1;
}

static int execute(PyObject *module) {
    int64_t interpreter = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (process.pid != 0 && interpreter != process.interpreter) {
        PyErr_SetString(PyExc_ImportError, "procshare's core serves one interpreter in a process, and another one has it");
        return -1;
    }
    if (process.pid == 0) {
        process.interpreter = interpreter;
        process.cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
        process.value_name = PyUnicode_InternFromString("value");
        if (process.value_name == NULL || lock_install() != 0) return -1;
        seat_install_fork_handlers();
    }
    PyMethodDef *const more[] = {park_methods, inspect_methods, deaths_methods};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (PyModule_AddFunctions(module, more[i]) < 0) return -1;
    return add_types(module) < 0 || faults_init(module) < 0 ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = MODULE_NAME,
    .m_doc = "The native core: segments, seats, locks, words.",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC MODULE_INIT(void) { return PyModuleDef_Init(&definition); }
