/* Dying on demand: see faults.h. Nothing of this is in a build that is not made for tests. */
#include "native.h"

#ifdef PROCSHARE_FAULTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define X(id, name) name,
    FAULT_POINTS(X)
#undef X
};
static int armed = -1, deadly = SIGKILL;
static bool passing;
static long countdown;
static _Atomic unsigned long seen[FAULT_COUNT];

void fault_hit(enum fault point) {
    atomic_fetch_add_explicit(&seen[point], 1, memory_order_relaxed); /* some are hit without the GIL */
    if ((int)point == armed && --countdown <= 0) {
        armed = passing ? -1 : armed;
        kill(getpid(), deadly);
        while (!passing) pause();
    }
}

/* "point", "point:n", or "" or "-" for none; with "!" behind it stop there for ever, for somebody else to kill, with "~" until
 * SIGCONT. False: no such point. Visits are counted anew. */
static bool arm(const char *text) {
    armed = -1;
    for (int i = 0; i < FAULT_COUNT; i++) atomic_store(&seen[i], 0);
    if (text == NULL || text[0] == '\0' || strcmp(text, "-") == 0) return true;
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    countdown = colon ? strtol(colon + 1, NULL, 10) : 1;
    passing = text[strlen(text) - 1] == '~';
    deadly = passing || text[strlen(text) - 1] == '!' ? SIGSTOP : SIGKILL;
    if (colon == NULL && deadly == SIGSTOP) length--;
    for (int i = 0; i < FAULT_COUNT; i++)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            armed = i;
            return true;
        }
    return false;
}

static PyObject *py_arm(PyObject *module, PyObject *arg) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(arg, NULL);
    if (text == NULL) return NULL;
    if (!arm(text)) return PyErr_Format(PyExc_ValueError, "no fault point is called %R", arg);
    Py_RETURN_NONE;
}

static PyObject *py_points(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *out = PyTuple_New(FAULT_COUNT);
    for (int i = 0; out != NULL && i < FAULT_COUNT; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL || PyTuple_SetItem(out, i, name) < 0) Py_CLEAR(out);
    }
    return out;
}

static PyObject *py_visits(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *out = PyDict_New();
    for (int i = 0; out != NULL && i < FAULT_COUNT; i++) {
        unsigned long n = atomic_load(&seen[i]);
        PyObject *count = n > 0 ? PyLong_FromUnsignedLong(n) : NULL;
        if (n > 0 && (count == NULL || PyDict_SetItemString(out, names[i], count) < 0)) Py_CLEAR(out);
        Py_XDECREF(count);
    }
    return out;
}

static PyMethodDef methods[] = {
    {"arm", py_arm, METH_O, "Die at this point: 'point', 'point:n' for its n-th visit, '-' for never."},
    {"visits", py_visits, METH_NOARGS, "How often each point was visited since arm()."},
    {"fault_points", py_points, METH_NOARGS, "The names of all fault points."},
    {NULL, NULL, 0, NULL},
};

int faults_init(PyObject *module) {
    const char *text = getenv("PROCSHARE_FAULT");
    if (!arm(text)) {
        PyErr_Format(PyExc_ValueError, "PROCSHARE_FAULT names no fault point: %s", text);
        return -1;
    }
    return PyModule_AddFunctions(module, methods);
}
#else
int faults_init(PyObject *module) {
    (void)module;
    return 0;
}
#endif
