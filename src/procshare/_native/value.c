/* The value: C bits under a type code, or any object as a tagged word (codec.c) with records behind it (store.c).
 *
 * Reads take no lock. Every write takes the lock and commits by one store of the word, so a death leaves the old
 * value or the new one.
 */
#include "native.h"

PyTypeObject *value_leaf;

/* What the value is: to the thread that is inside a block, what the block staged. */
PyObject *value_read(handle_t *h) {
    if (UNLIKELY(h->word == NULL)) return raise_closed();
    hold_t *hold = UNLIKELY(process.staged > 0) ? hold_if_any(h) : NULL;
    if (UNLIKELY(held_here(hold) && hold->dirty)) {
        if (h->code != 0) return code_decode(h->code, hold->pending);
        if (hold->record == NULL) return tagged_decode(hold->pending);
        PyObject *record = Py_NewRef(hold->record); /* unpickling runs Python, which may stage another */
        PyObject *staged = record_decode((uint8_t)hold->pending, record);
        Py_DECREF(record);
        return staged;
    }
    if (LIKELY(h->code != 0)) return answer(h, code_decode(h->code, atomic_load(h->word)));
    int64_t word = atomic_load(h->word);
    PyObject *out = tagged_is_record(word) ? NULL : tagged_decode(word);
    if (LIKELY(out != NULL) || PyErr_Occurred()) return answer(h, out);
    seg_t *seg = h->seg;
    segment_ref(seg);
    out = store_read(h, held_here(hold_if_any(h)));
    segment_unref(seg);
    return answer(h, out);
}

static int publish(handle_t *h, hold_t *hold, int64_t word, PyObject *record) {
    if (h->code == 0) return store_publish(hold->seg, hold->slot, word, record);
    FAULT(value_committing);
    atomic_store_explicit(&hold->slot->word, word, memory_order_release);
    FAULT(value_committed);
    count_commit(hold->slot);
    return 0;
}

static PyObject *set(PyObject *self, PyObject *value) {
    handle_t *h = (handle_t *)self;
    int64_t word;
    PyObject *record = NULL;
    if (h->seg == NULL) return raise_closed();
    if ((h->code != 0 ? code_encode(h->code, value, &word) : tagged_encode(value, &word, &record)) < 0) return NULL;
    hold_t *hold = h->seg != NULL ? handle_hold(h) : raise_closed(); /* pickling may have closed it */
    int done = hold == NULL ? -1 : lock_acquire(hold, -1);
    if (done == 0 && h->seg == NULL) { /* closed while we waited: the slot may be another object's by now */
        lock_release(hold, false);
        raise_closed(), done = -1;
    }
    if (done == 0) {
        seg_t *seg = hold->seg;
        segment_pin(seg);
        if (hold->depth > 1) { /* inside this thread's own block: join it */
            PyObject *old = hold->record;
            hold->pending = word;
            hold_stage(hold, true);
            hold->record = record ? Py_NewRef(record) : NULL;
            Py_XDECREF(old);
        } else
            done = publish(h, hold, word, record);
        if (held_here(hold)) lock_release(hold, done == 0);
        else if (done == 0) raise_closed(), done = -1; /* closed while the file grew, which ended the hold */
        if (segment_whole(seg) < 0) done = -1;
        segment_unpin(seg);
    }
    Py_XDECREF(record);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

/* Before Python 3.12 the interpreter looks up every attribute of C types the long way, and this shortcut saves a third of a
 * read. From 3.12 on it would cost locked() more than it saves: see value_prepare(). */
static PyObject *getattro(PyObject *self, PyObject *name) {
    if (LIKELY(name == process.value_name && Py_TYPE(self) == value_leaf)) return value_read((handle_t *)self);
    return PyObject_GenericGetAttr(self, name);
}

static PyObject *get_value(PyObject *self, void *unused) {
    (void)unused;
    return value_read((handle_t *)self);
}

static int set_value(PyObject *self, PyObject *value, void *unused) {
    (void)self, (void)value, (void)unused;
    handle_read_only();
    return -1;
}

/* The type code of a dtype argument: 0 for none, or -1 with an exception. */
static int code_of(PyObject *dtype) {
    if (dtype == NULL || dtype == Py_None) return 0;
    PyObject *normal = PyObject_CallMethod(process.hooks, "normal_code", "O", dtype);
    Py_ssize_t length = 0;
    const char *text = normal ? PyUnicode_AsUTF8AndSize(normal, &length) : NULL;
    int code = text && length == 1 && code_known((uint8_t)text[0]) ? (uint8_t)text[0] : -1;
    if (text != NULL && code < 0) PyErr_Format(PyExc_TypeError, "%R is no type code", dtype);
    Py_XDECREF(normal);
    return code;
}

static int fill(handle_t *h, int code, int64_t word, PyObject *record) {
    h->code = h->slot->code = (uint8_t)code;
    if (code != 0) {
        atomic_store(h->word, word);
        return 0;
    }
    store_init(h->seg, h->slot);
    return store_publish(h->seg, h->slot, word, record);
}

static int value_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"initial", "dtype", "name", "mode", "group", "backend", NULL};
    handle_t *h = (handle_t *)self;
    PyObject *initial, *dtype = NULL, *name = NULL, *mode = NULL, *group = NULL, *backend = NULL, *record = NULL;
    int64_t word;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O$OOOO:SharedValue", names, &initial, &dtype, &name, &mode, &group, &backend)) return -1;
    if (handle_permit(h, mode, group) < 0) return -1;
    int code = code_of(dtype);
    if (code < 0 || (code ? code_encode((uint8_t)code, initial, &word) : tagged_encode(initial, &word, &record)) < 0) return -1;
    int done = handle_place(h, KIND_VALUE, name);
    if (done == 0 && (done = fill(h, code, word, record)) < 0) handle_abort(h);
    Py_XDECREF(record);
    return done < 0 ? -1 : handle_publish(h, name);
}

/* _room(): about how many bytes reading it would copy and unpickle. For repr(). */
static PyObject *room(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    return answer(h, PyLong_FromUnsignedLongLong(h->code != 0 ? 0 : store_room(h->slot)));
}

PyMethodDef value_methods[] = {
    {"_room", room, METH_NOARGS, NULL},
    {"set", set, METH_O, "set($self, value)\n--\n\n"},
    {"locked", (PyCFunction)(void (*)(void))method_locked, METH_FASTCALL | METH_KEYWORDS, "locked($self, timeout=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

PyGetSetDef value_getset[] = {
    {"value", get_value, set_value, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, value_init}, {Py_tp_methods, value_methods}, {Py_tp_getset, value_getset}, {0, NULL}, {0, NULL},
};

void value_prepare(void) {
    if (Py_Version < 0x030C0000) slots[3] = (PyType_Slot){Py_tp_getattro, getattro};
}

PyType_Spec value_spec = {"procshare._native.Value", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
