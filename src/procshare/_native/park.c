/* Sleeping on many words at once, for the one thread of a process that waits on behalf of its asyncio tasks.
 *
 * futex_waitv (Linux 5.16) sleeps on up to 128 words; one of them is this process's bell, which ring() rings to have the
 * thread look at a new list. Where there are more words, or no such call, the bell is slept on, and the words are looked at
 * again and again. Either way nothing is held while it sleeps, and what it is woken for is for the caller to try again.
 */
#include "queue.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* the same on every architecture */
#endif
#define MOST_WORDS 128
#define LONGEST_NS 3600000000000LL
#define LOOK_NS 1000000LL

/* linux/futex.h has it since 5.16 only. */
typedef struct {
    uint64_t value, address;
    uint32_t flags, reserved;
} waiter_t;

#define WAITER_32 2u /* FUTEX_32 */

static _Atomic uint32_t bell;
static uint32_t heard; /* as it was when the last park() returned: whoever rang since then wants a new look */
static bool no_waitv;

enum which { CHANGE, LOCK, ITEMS, SPACE };

/* The word behind (handle, which); NULL with an exception. */
static _Atomic uint32_t *word_of(PyObject *handle, int which) {
    if (!PyObject_TypeCheck(handle, process.types.handle)) return PyErr_Format(PyExc_TypeError, "%R is no handle", handle), NULL;
    handle_t *h = (handle_t *)handle;
    if (h->seg == NULL) return raise_closed();
    if (which == CHANGE) return &h->slot->change;
    if (which == LOCK) return &h->slot->lock;
    if (h->seg->queue != NULL && (which == ITEMS || which == SPACE))
        return which == ITEMS ? &queue_of(h->seg)->items : &queue_of(h->seg)->space;
    PyErr_Format(PyExc_ValueError, "%R has no word %d", handle, which);
    return NULL;
}

typedef struct {
    _Atomic uint32_t *word;
    uint32_t token;
    seg_t *seg;
} place_t;

static int parse(PyObject *wait, place_t *place) {
    PyObject *handle;
    int which;
    unsigned long token;
    if (!PyTuple_Check(wait)) return PyErr_SetString(PyExc_TypeError, "a wait is a tuple of handle, which and token"), -1;
    if (!PyArg_ParseTuple(wait, "Oik", &handle, &which, &token)) return -1;
    if ((place->word = word_of(handle, which)) == NULL) return -1;
    place->token = (uint32_t)token;
    place->seg = ((handle_t *)handle)->seg;
    return 0;
}

static bool any_changed(const place_t *places, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++)
        if (atomic_load(places[i].word) != places[i].token) return true;
    return false;
}

/* Sleep until a word changes, the bell rings, or the time is over. */
static void sleep_on(const place_t *places, Py_ssize_t count, uint32_t rung, int64_t ns) {
    if (count < MOST_WORDS && !no_waitv) {
        waiter_t waiters[MOST_WORDS];
        struct timespec until;
        int64_t end = now_ns() + ns;
        until.tv_sec = end / 1000000000;
        until.tv_nsec = end % 1000000000;
        waiters[0] = (waiter_t){rung, (uint64_t)(uintptr_t)&bell, WAITER_32, 0};
        for (Py_ssize_t i = 0; i < count; i++)
            waiters[i + 1] = (waiter_t){places[i].token, (uint64_t)(uintptr_t)places[i].word, WAITER_32, 0};
        if (syscall(SYS_futex_waitv, waiters, (unsigned)count + 1, 0, &until, CLOCK_MONOTONIC) >= 0) return;
        if (errno != ENOSYS && errno != EPERM) return;
        no_waitv = true;
    }
    for (int64_t end = now_ns() + ns, left = ns, slice = count > 0 ? LOOK_NS : ns; left > 0; left = end - now_ns()) {
        futex_wait(&bell, rung, left < slice ? left : slice);
        if (atomic_load(&bell) != rung || any_changed(places, count)) return;
        if (slice < 20 * LOOK_NS) slice += LOOK_NS;
    }
}

/* park(waits, timeout): which of the words, each a (handle, which, token), are no longer their token. Deaths ring no bell: who
 * waits for what a dead process held has to look again by itself. */
static PyObject *park(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *waits, *timeout, *out = NULL;
    int64_t ns;
    if (!PyArg_ParseTuple(args, "O!O", &PyList_Type, &waits, &timeout) || parse_timeout(timeout, &ns) < 0) return NULL;
    Py_ssize_t count = PyList_Size(waits), pinned = 0;
    uint32_t rung = heard;
    if (ns < 0 || ns > LONGEST_NS) ns = LONGEST_NS;
    place_t *places = malloc((size_t)(count + 1) * sizeof *places);
    if (places == NULL) return PyErr_NoMemory();
    while (pinned < count && parse(PyList_GetItem(waits, pinned), &places[pinned]) == 0) segment_pin(places[pinned++].seg);
    if (pinned == count) {
        Py_BEGIN_ALLOW_THREADS
        if (atomic_load(&bell) == rung && !any_changed(places, count)) sleep_on(places, count, rung, ns);
        Py_END_ALLOW_THREADS
        heard = atomic_load(&bell);
        out = PyList_New(0);
    }
    for (Py_ssize_t i = 0; i < count && out != NULL; i++) {
        if (atomic_load(places[i].word) == places[i].token) continue;
        PyObject *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyList_Append(out, index) < 0) Py_CLEAR(out);
        Py_XDECREF(index);
    }
    for (Py_ssize_t i = 0; i < pinned; i++) segment_unpin(places[i].seg);
    free(places);
    return out;
}

static PyObject *ring(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    atomic_fetch_add(&bell, 1);
    futex_wake(&bell, INT_MAX);
    Py_RETURN_NONE;
}

/* wake(handle, which): one more waiter of the word, because the one who was woken is not there any more. */
static PyObject *wake(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *handle;
    int which;
    if (!PyArg_ParseTuple(args, "Oi", &handle, &which)) return NULL;
    _Atomic uint32_t *word = word_of(handle, which);
    if (word == NULL) return NULL;
    if (which == LOCK) futex_wake(word, 1);
    else signal_some(word, 1);
    Py_RETURN_NONE;
}

PyMethodDef park_methods[] = {
    {"park", park, METH_VARARGS, NULL},
    {"ring", ring, METH_NOARGS, NULL},
    {"wake", wake, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
