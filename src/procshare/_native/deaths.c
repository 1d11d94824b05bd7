/* Telling people that something was taken back from the dead: counted in shared memory, and noted for `logging`.
 *
 * Whoever finds the dead is in the middle of something: it has a lock, perhaps of a queue or of memory, that a logging handler might
 * want. So nothing is said there. A note is put down, of plain bytes, and said later: in a process's main thread by a pending call,
 * which Python makes between two instructions of its own, when the call that found the dead has returned. Other threads have no
 * such calls, so there a thread of its own says it, which waits for locks like any other. (A program that has no other thread gets
 * none by this: a fork warns of threads.) Nor has the main thread of a child that another thread than the main one forked: Python 3.13
 * tells it of none.
 *
 * Deaths. A note that was not said is lost with the process. Whoever died before it counted loses one count.
 */
#include "native.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOTES 16 /* more at once are only counted */

typedef struct {
    char name[OBJECT_NAME_ROOM];
    uint32_t pid; /* 0: unknown */
    uint8_t kind, lost;
    bool half, proceeds; /* of an array: it may be half written; it goes on all the same */
} note_t;

/* Guarded by the GIL. */
static note_t notes[NOTES];
static uint32_t noted, unnoted;
static bool arranged;  /* somebody will say them */
static bool forking;   /* what forks just now is not the main thread */
static bool uncalled;  /* such a one forked this process, or one before it */

/* ---- saying ---- */

static PyObject *listed(const note_t *from, uint32_t count) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const note_t *n = &from[i];
        PyObject *note = Py_BuildValue("(siIiOO)", n->name, (int)n->kind, (unsigned)n->pid, (int)n->lost,
                                       n->half ? Py_True : Py_False, n->proceeds ? Py_True : Py_False);
        if (note == NULL || PyList_Append(list, note) < 0) Py_CLEAR(list);
        Py_XDECREF(note);
    }
    return list;
}

/* 0, or -1 with what is no Exception, such as KeyboardInterrupt. */
static int say(void) {
    note_t copied[NOTES];
    uint32_t count = noted, more = unnoted;
    memcpy(copied, notes, count * sizeof *notes); /* first: what follows runs Python */
    noted = unnoted = 0;
    arranged = false;
    if (count == 0) return 0;
    PyObject *list = listed(copied, count);
    if (list != NULL && call_hook("owners_died", Py_BuildValue("(NI)", list, (unsigned)more)) == 0) return 0;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return -1;
    PyErr_Clear();
    return 0;
}

static int say_pending(void *unused) { return (void)unused, say(); }

static void *say_apart(void *unused) {
    (void)unused;
    PyGILState_STATE state = PyGILState_Ensure();
    if (say() < 0) PyErr_Clear();
    PyGILState_Release(state);
    return NULL;
}

/* ---- arranging that it is said ---- */

/* A thread that no signal is handled in. */
static bool start_thread(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, say_apart, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static bool is_main_thread(void) { return syscall(SYS_gettid) == getpid(); }

static void arrange(void) {
    if (arranged || process.interpreter != 0) return; /* both ways lead into the first interpreter */
    arranged = !uncalled && is_main_thread() ? Py_AddPendingCall(say_pending, NULL) == 0 : start_thread();
}

void deaths_before_fork(void) { forking = !is_main_thread(); }

/* In a forked child: what was noted is for the parent to say. */
void deaths_after_fork(void) {
    noted = unnoted = 0;
    arranged = false;
    uncalled |= forking;
}

/* ---- noting ---- */

static uint32_t pid_of_dead(const seg_t *seg, uint32_t token) {
    uint32_t seat = ((token & ~LOCK_WAITERS) >> 21) - 1;
    if (seat >= SEAT_COUNT) return 0;
    const seat_t *there = (const seat_t *)(const void *)(seg->base + SEATS_OFFSET) + seat;
    if ((atomic_load(&there->generation) & LOCK_GENERATION) != (token & LOCK_GENERATION)) return 0;
    return atomic_load(&there->pid);
}

/* What *token*, who is dead, had of an object is taken back; without a slot, what nobody but the core has. Runs no Python. */
void death_found(seg_t *seg, slot_t *slot, uint32_t token, enum death lost) {
    count_one(&tally_of(seg, slot)->owner_deaths);
    if (slot == NULL) return;
    if (noted == NOTES) {
        unnoted++;
        return;
    }
    note_t *note = &notes[noted++];
    *note = (note_t){.pid = pid_of_dead(seg, token), .kind = slot == &seg->header->root ? (uint8_t)seg->kind : slot->kind, .lost = lost};
    object_name(seg, slot, note->name);
    note->half = note->kind == KIND_ARRAY && (atomic_load(&slot->word) & 1);
    note->proceeds = atomic_load(&seg->header->flags) & SEG_PROCEED;
    arrange();
}

/* tell_deaths(): say now what was noted. */
static PyObject *tell_deaths(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    if (say() < 0) return NULL;
    Py_RETURN_NONE;
}

PyMethodDef deaths_methods[] = {
    {"tell_deaths", tell_deaths, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
