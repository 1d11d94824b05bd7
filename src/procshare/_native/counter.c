/* The counter: one word, changed by compare-exchange without a lock.
 *
 * locked() takes the lock, saves the word, and puts COUNTER_LOCKED in its place: readers that meet it return the
 * saved value, and whoever wants to change it queues on the lock. The commit is the one store of the new value over it.
 *
 * Deaths. An increment is one instruction. Holding the lock before the mark: the word is the last commit. With the mark: the
 * next owner takes the saved value for it. After the commit: the word is the new value. `saved` is
 * written only by the lock's holder while the word is not marked, and is always some value that the word had.
 */
#include "native.h"

enum op { ADD, EXCHANGE, COMPARE };

int64_t counter_read(slot_t *slot) {
    int64_t n = atomic_load(&slot->word);
    return LIKELY(n != COUNTER_LOCKED) ? n : atomic_load(&slot->saved);
}

/* Mark the word as locked, holding the lock; returns the last commit. */
int64_t counter_mark(slot_t *slot) {
    int64_t n = atomic_load(&slot->word);
    do {
        if (n == COUNTER_LOCKED) n = atomic_load(&slot->saved); /* whoever marked it is dead, or its thread has ended */
        atomic_store(&slot->saved, n);
        FAULT(counter_saved);
    } while (!atomic_compare_exchange_weak(&slot->word, &n, COUNTER_LOCKED) && n != COUNTER_LOCKED);
    FAULT(counter_marked);
    return atomic_load(&slot->saved);
}

int counter_encode(PyObject *obj, int64_t *n) {
    PyObject *number = PyNumber_Index(obj);
    if (number == NULL) return -1;
    int overflow = 0;
    *n = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (!overflow && *n != COUNTER_LOCKED) return 0;
    PyErr_Format(PyExc_OverflowError, "%R is outside a counter's range, -2**63 + 1 to 2**63 - 1; nothing was changed", obj);
    return -1;
}

static int would_overflow(int64_t n, int64_t delta) {
    PyErr_Format(PyExc_OverflowError,
                 "%lld + %lld is outside a counter's range, -2**63 + 1 to 2**63 - 1; nothing was changed", (long long)n,
                 (long long)delta);
    return -1;
}

/* The new value of one step: 1, 0 if a compare failed, -1 with OverflowError. */
static int step(enum op op, int64_t old, int64_t arg, int64_t expected, int64_t *new) {
    if (op == COMPARE && old != expected) return 0;
    *new = arg;
    if (op != ADD) return 1;
    if (__builtin_add_overflow(old, arg, new) || *new == COUNTER_LOCKED) return would_overflow(old, arg);
    return 1;
}

/* One atomic step: *old is the value before it, *new the one after it. 1, 0 or -1 as step(). */
static int change(handle_t *h, enum op op, int64_t arg, int64_t expected, int64_t *old, int64_t *new) {
    slot_t *slot = h->slot;
    hold_t *hold = NULL;
    int done;
    *old = atomic_load(&slot->word);
    do {
        if (UNLIKELY(*old == COUNTER_LOCKED && hold == NULL)) { /* already, or since the last attempt */
            if ((hold = handle_hold(h)) == NULL) return -1;
            if (held_here(hold)) { /* inside this thread's own block: join it */
                *old = hold->pending;
                if ((done = step(op, *old, arg, expected, new)) == 1) hold->pending = *new;
                return done;
            }
            if (lock_acquire(hold, -1) < 0) return -1;
            if (h->seg == NULL) { /* closed while we waited: the slot may be another object's by now */
                lock_release(hold, false);
                return raise_closed(), -1;
            }
            slot = hold->slot;
            atomic_store_explicit(&slot->since, 0, memory_order_relaxed); /* the last block's: this is none */
            if (atomic_load(&slot->word) == COUNTER_LOCKED) atomic_store(&slot->word, atomic_load(&slot->saved)); /* a dead one's mark */
            *old = atomic_load(&slot->word);
        }
        done = step(op, *old, arg, expected, new);
        FAULT(counter_adding);
    } while (done == 1 && !atomic_compare_exchange_weak(&slot->word, old, *new));
    if (done == 1) {
        FAULT(counter_added);
        change_notify(slot);
    }
    if (hold != NULL) lock_release(hold, false);
    return done;
}

/* ---- methods ---- */

/* increment(n=1), decrement(n=1): the argument, 1 if there is none. */
static int one_argument(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *n) {
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    if (nargs + keywords != 1 || (keywords == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(kwnames, 0), "n") != 0)) {
        PyErr_SetString(PyExc_TypeError, "expected at most one argument, n");
        return -1;
    }
    return counter_encode(args[0], n);
}

static NOINLINE PyObject *slow_add(handle_t *h, int64_t n) {
    int64_t old, new;
    if (h->seg == NULL) return raise_closed();
    segment_ref(h->seg);
    seg_t *seg = h->seg;
    int done = change(h, ADD, n, 0, &old, &new);
    if (segment_whole(seg) < 0) done = -1;
    segment_unref(seg);
    return done < 0 ? NULL : PyLong_FromLongLong(new);
}

/* Ask for the cache line in order to write: the load and the compare-exchange then fetch it from another core once, not
 * twice. While the line is ours this does nothing. */
static inline void fetch_for_write(_Atomic int64_t *word) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*word));
#else
    __builtin_prefetch((const void *)word, 1);
#endif
}

static inline PyObject *add(handle_t *h, int64_t n) {
    _Atomic int64_t *word = h->word;
    int64_t new;
    if (UNLIKELY(word == NULL)) return raise_closed();
    fetch_for_write(word);
    int64_t old = atomic_load_explicit(word, memory_order_relaxed);
    do {
        if (UNLIKELY(old == COUNTER_LOCKED || __builtin_add_overflow(old, n, &new) || new == COUNTER_LOCKED)) return slow_add(h, n);
        FAULT(counter_adding);
    } while (UNLIKELY(!atomic_compare_exchange_weak(word, &old, new)));
    FAULT(counter_added);
    change_notify((slot_t *)word); /* the word comes first in its slot */
    return answer(h, PyLong_FromLongLong(new));
}

/* With an argument: apart, so that the common call needs no stack frame. */
static NOINLINE PyObject *add_argument(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, bool negative) {
    int64_t n;
    if (one_argument(args, nargs, kwnames, &n) < 0) return NULL;
    return add((handle_t *)self, negative ? -n : n);
}

static PyObject *increment(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    if (UNLIKELY(nargs > 0 || kwnames != NULL)) return add_argument(self, args, nargs, kwnames, false);
    return add((handle_t *)self, 1);
}

static PyObject *decrement(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    if (UNLIKELY(nargs > 0 || kwnames != NULL)) return add_argument(self, args, nargs, kwnames, true);
    return add((handle_t *)self, -1);
}

static int checked_change(handle_t *h, enum op op, int64_t arg, int64_t expected, int64_t *old) {
    int64_t new;
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed(), -1;
    segment_ref(seg);
    int done = change(h, op, arg, expected, old, &new);
    if (segment_whole(seg) < 0) done = -1;
    segment_unref(seg);
    return done;
}

static PyObject *exchange(PyObject *self, PyObject *value) {
    int64_t n, old;
    if (counter_encode(value, &n) < 0 || checked_change((handle_t *)self, EXCHANGE, n, 0, &old) < 0) return NULL;
    return PyLong_FromLongLong(old);
}

static PyObject *set(PyObject *self, PyObject *value) {
    int64_t n, old;
    if (counter_encode(value, &n) < 0 || checked_change((handle_t *)self, EXCHANGE, n, 0, &old) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *compare_exchange(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"expected", "value", NULL};
    PyObject *expected, *value;
    int64_t from, to, old;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:compare_exchange", names, &expected, &value)) return NULL;
    if (counter_encode(expected, &from) < 0 || counter_encode(value, &to) < 0) return NULL;
    int done = checked_change((handle_t *)self, COMPARE, to, from, &old);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyObject *current(PyObject *self) {
    handle_t *h = (handle_t *)self;
    if (UNLIKELY(h->word == NULL)) return raise_closed();
    int64_t n = atomic_load(h->word);
    if (UNLIKELY(n == COUNTER_LOCKED)) {
        hold_t *hold = hold_if_any(h);
        n = held_here(hold) ? hold->pending : counter_read(h->slot);
    }
    return answer(h, PyLong_FromLongLong(n));
}

static PyObject *get_value(PyObject *self, void *unused) {
    (void)unused;
    return current(self);
}

static int set_value(PyObject *self, PyObject *value, void *unused) {
    (void)self, (void)value, (void)unused;
    handle_read_only();
    return -1;
}

static PyObject *inplace(PyObject *self, PyObject *other, bool negative) {
    int64_t n;
    if (!PyIndex_Check(other)) return Py_NewRef(Py_NotImplemented);
    if (counter_encode(other, &n) < 0) return NULL;
    PyObject *result = add((handle_t *)self, negative ? -n : n);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    return Py_NewRef(self);
}

static PyObject *inplace_add(PyObject *self, PyObject *other) { return inplace(self, other, false); }
static PyObject *inplace_subtract(PyObject *self, PyObject *other) { return inplace(self, other, true); }

static int counter_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"initial", "name", "mode", "group", "backend", NULL};
    handle_t *h = (handle_t *)self;
    PyObject *initial = NULL, *name = NULL, *mode = NULL, *group = NULL, *backend = NULL;
    int64_t n = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$OOOO:SharedCounter", names, &initial, &name, &mode, &group, &backend)) return -1;
    if ((initial != NULL && counter_encode(initial, &n) < 0) || handle_permit(h, mode, group) < 0) return -1;
    if (handle_place(h, KIND_COUNTER, name) < 0) return -1;
    atomic_store(h->word, n);
    return handle_publish(h, name);
}

PyMethodDef counter_methods[] = {
    {"increment", (PyCFunction)(void (*)(void))increment, METH_FASTCALL | METH_KEYWORDS, "increment($self, n=1)\n--\n\n"},
    {"decrement", (PyCFunction)(void (*)(void))decrement, METH_FASTCALL | METH_KEYWORDS, "decrement($self, n=1)\n--\n\n"},
    {"exchange", exchange, METH_O, "exchange($self, value)\n--\n\n"},
    {"set", set, METH_O, "set($self, value)\n--\n\n"},
    {"compare_exchange", (PyCFunction)(void (*)(void))compare_exchange, METH_VARARGS | METH_KEYWORDS,
     "compare_exchange($self, expected, value)\n--\n\n"},
    {"locked", (PyCFunction)(void (*)(void))method_locked, METH_FASTCALL | METH_KEYWORDS, "locked($self, timeout=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

PyGetSetDef counter_getset[] = {
    {"value", get_value, set_value, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, counter_init},
    {Py_tp_methods, counter_methods},
    {Py_tp_getset, counter_getset},
    {Py_nb_int, current},
    {Py_nb_inplace_add, inplace_add},
    {Py_nb_inplace_subtract, inplace_subtract},
    {0, NULL},
};

PyType_Spec counter_spec = {"procshare._native.Counter", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
