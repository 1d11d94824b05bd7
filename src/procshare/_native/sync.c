/* Locks and events as objects of their own, and what all synchronisation types have in common: arguments and waits.
 *
 * A lock is a slot whose lock word is the lock (lock.c); here is only who may do what. Its holder is a thread, or an asyncio
 * task, whose hold is in no thread's list. Deaths: as in lock.c. Whoever takes it from the dead, or from a thread that ended or
 * a process that left without releasing it (LOCK_ABANDONED), is told by `owner_died` until it releases it; that is private
 * knowledge, and if the new holder dies too, the next one finds a dead holder again.
 *
 * An event is a word, 2 * (how often it was set) + (whether it is set). set() is one store of both: a waiter compares the
 * number with the one it found, so a clear() right after takes no wake away. Deaths: before that store nothing happened; after
 * it and before the wake the waiters' slices end, and each finds the word changed.
 */
#include "sync.h"

#include <stdio.h>

/* ---- arguments ---- */

/* Up to *count* arguments by position or name, borrowed; those not given stay as they are. */
int parse_names(const char *call, const char *const *names, int count, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                PyObject **out) {
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    bool bad = nargs > count;
    bool given[4] = {false};
    for (Py_ssize_t i = 0; !bad && i < nargs; i++) out[i] = args[i], given[i] = true;
    for (Py_ssize_t k = 0; !bad && k < keywords; k++) {
        int i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(kwnames, k), names[i]) != 0) i++;
        bad = i == count || given[i];
        if (!bad) out[i] = args[nargs + k], given[i] = true;
    }
    if (!bad) return 0;
    PyErr_Format(PyExc_TypeError, "%s takes %s%s%s", call, count > 0 ? names[0] : "no arguments", count > 1 ? " and " : "",
                 count > 1 ? names[1] : "");
    return -1;
}

/* acquire(block=True, timeout=None), as a time to wait: 0 once, -1 for ever. */
int parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *ns) {
    static const char *const names[] = {"block", "timeout"};
    PyObject *given[2] = {NULL, NULL};
    if (parse_names("acquire()", names, 2, args, nargs, kwnames, given) < 0 || parse_timeout(given[1], ns) < 0) return -1;
    int block = given[0] == NULL ? 1 : PyObject_IsTrue(given[0]);
    if (block == 0) *ns = 0;
    return block < 0 ? -1 : 0;
}

/* wait(timeout=None) */
int parse_wait(const char *call, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *ns) {
    static const char *const names[] = {"timeout"};
    PyObject *timeout = NULL;
    return parse_names(call, names, 1, args, nargs, kwnames, &timeout) < 0 ? -1 : parse_timeout(timeout, ns);
}

/* A segment of its own for a new object, with a payload of zeros; the rest is as with handle_place(). */
int place_alone(handle_t *h, uint8_t kind, uint8_t code, uint64_t payload, const void *meta, size_t meta_size) {
    if (h->seg != NULL) {
        PyErr_SetString(PyExc_TypeError, "__init__ was called again on an object that exists; make a new one");
        return -1;
    }
    seg_t *seg = segment_create(kind, payload, meta, meta_size, 0, ALL_OF_IT);
    if (seg == NULL) return -1;
    seg->header->root.code = code;
    handle_adopt(h, seg, 0, kind, code);
    h->created = true;
    h->epoch = process.epoch;
    return 0;
}

/* ---- waits ---- */

void waiting_begin(waiting_t *w, handle_t *h, int64_t timeout) {
    *w = (waiting_t){.h = h, .seg = h->seg, .slot = h->slot, .until = -1, .slice = FIRST_SLICE_NS, .epoch = process.epoch, .tried = timeout == 0};
    if (timeout >= 0) w->until = now_ns() + timeout;
    segment_pin(w->seg);
}

void waiting_end(waiting_t *w) { segment_unpin(w->seg); }

/* Whether to go on: 1, or -1 with an exception. Another thread may have closed the handle, and a signal handler may have
 * forked. */
int waiting_open(const waiting_t *w) {
    if (UNLIKELY(process.epoch != w->epoch)) {
        PyErr_SetString(PyExc_RuntimeError, "a forked child does not go on with its parent's wait");
        return -1;
    }
    if (LIKELY(w->h->seg == w->seg && w->h->slot == w->slot)) return segment_whole(w->seg) < 0 ? -1 : 1;
    return raise_closed(), -1;
}

/* Sleep until *word* is no longer *token*, a slice at most: 1 look again, 0 the time was over already, -1 with an exception. */
int waiting_turn(waiting_t *w, _Atomic uint32_t *word, uint32_t token) {
    int64_t left = -1;
    if (w->until >= 0 && (left = w->until - now_ns()) <= 0) {
        if (!w->tried && !w->late) count_one(&tally_of(w->seg, w->slot)->timeouts);
        w->late = true;
        return 0;
    }
    if (!w->slept) count_one(&tally_of(w->seg, w->slot)->waits);
    w->slept = true;
    return signal_wait(word, token, left, &w->slice) < 0 ? -1 : waiting_open(w);
}

static luck_t luck;

/* Once in a wait, look for a moment whether it ends at once, for which nobody need call the kernel: true if it did look. */
#define SPIN(w, word, value)                                                                              \
    if ((w)->spun || !spin_worth(&luck)) return false;                                                   \
    int64_t until = now_ns() + SPIN_NS;                                                                   \
    (w)->spun = true;                                                                                     \
    if ((w)->until >= 0 && (w)->until < until) until = (w)->until;                                        \
    Py_BEGIN_ALLOW_THREADS                                                                                \
    do {                                                                                                  \
        for (int i = 0; i < 32 && atomic_load_explicit(word, memory_order_relaxed) == (value); i++) cpu_relax(); \
    } while (atomic_load_explicit(word, memory_order_relaxed) == (value) && now_ns() < until);            \
    Py_END_ALLOW_THREADS                                                                                  \
    spin_ended(&luck, atomic_load_explicit(word, memory_order_relaxed) != (value));                       \
    return true

bool waiting_spin(waiting_t *w, const _Atomic int64_t *word, int64_t value) { SPIN(w, word, value); }
bool waiting_spin32(waiting_t *w, const _Atomic uint32_t *word, uint32_t value) { SPIN(w, word, value); }

/* ---- locks ---- */

/* The owner in whose name the caller has the lock: its thread, or the task that runs. 0: it has not got it, or an exception:
 * asking for the task runs Python, and another thread may close the handle meanwhile. */
uintptr_t lock_owner_here(const handle_t *h, const hold_t *hold) {
    uintptr_t owner = hold ? atomic_load_explicit(&hold->thread, memory_order_relaxed) : 0;
    if (owner == this_thread() || !is_task(owner)) return owner == this_thread() ? owner : 0;
    seg_t *seg = h->seg;
    segment_ref(seg);
    PyObject *task = PyObject_CallMethod(process.hooks, "current_task", NULL);
    uintptr_t running = task ? (uintptr_t)PyLong_AsUnsignedLongLong(task) : 0;
    Py_XDECREF(task);
    if (h->seg != seg && !PyErr_Occurred()) raise_closed();
    segment_unref(seg);
    return running == owner && !PyErr_Occurred() ? owner : 0;
}

bool object_locked(handle_t *h) {
    uint32_t seen = atomic_load(&h->slot->lock);
    return seen != 0 && holder_alive(h->seg, &h->slot->lock, seen, h->slot);
}

uint32_t object_holder(handle_t *h) {
    uint32_t seen = atomic_load(&h->slot->lock);
    return seen != 0 && holder_alive(h->seg, &h->slot->lock, seen, h->slot) ? seat_pid(h->seg, seen) : 0;
}

static PyObject *not_yours(handle_t *h) {
    char name[OBJECT_NAME_ROOM], who[64] = "nobody has it";
    if (PyErr_Occurred()) return NULL;
    if (h->seg == NULL) return raise_closed();
    const hold_t *hold = hold_if_any(h);
    uintptr_t owner = hold ? atomic_load(&hold->thread) : 0;
    object_name(h->seg, h->slot, name);
    if (owner != 0) snprintf(who, sizeof who, "%s of this process has it", is_task(owner) ? "another task" : "another thread");
    else if (object_locked(h)) snprintf(who, sizeof who, "process %u has it", seat_pid(h->seg, atomic_load(&h->slot->lock)));
    return PyErr_Format(PyExc_RuntimeError, "%s is not yours to release: %s", name, who);
}

/* The holder wants it again: 1, 0, or -1 with RuntimeError where it would wait for itself. */
static int once_more(handle_t *h, hold_t *hold, int64_t timeout) {
    char name[OBJECT_NAME_ROOM];
    if (h->kind != KIND_LOCK) return hold->depth++, 1;
    if (timeout == 0) return 0;
    object_name(h->seg, h->slot, name);
    PyErr_Format(PyExc_RuntimeError, "%s is yours already, and is not re-entrant: to wait for it would be for ever; SharedRLock nests", name);
    return -1;
}

static NOINLINE int acquire_slowly(handle_t *h, int64_t timeout) {
    if (h->seg == NULL) return raise_closed(), -1;
    hold_t *hold = handle_hold(h);
    if (hold == NULL) return -1;
    if (lock_owner_here(h, hold) != 0) return once_more(h, hold, timeout);
    if (PyErr_Occurred()) return -1;
    seg_t *seg = h->seg;
    int got = lock_take(hold, this_thread(), timeout, LOCK_QUIET, h);
    if (got == 2) {
        if (timeout > 0 && h->seg == seg) count_one(&tally_of(seg, h->slot)->timeouts);
        return 0;
    }
    if (got < 0) return -1;
    if (h->seg == seg && h->hold == hold) return 1;
    lock_release(hold, false); /* closed while we waited: the slot may be another object's by now */
    return raise_closed(), -1;
}

/* 1, 0 if the time is over, -1 with an exception. */
int object_acquire(handle_t *h, int64_t timeout) {
    hold_t *hold = h->hold; /* of an open handle only */
    uint32_t free = 0;
    if (UNLIKELY(hold == NULL) || held_here(hold) || hold->seg->token == 0) {
        if (hold == NULL || !held_here(hold) || h->kind == KIND_LOCK) return acquire_slowly(h, timeout);
        hold->depth++;
        return 1;
    }
    if (UNLIKELY(!atomic_compare_exchange_strong(&hold->slot->lock, &free, hold->seg->token))) return acquire_slowly(h, timeout);
    if (UNLIKELY(lock_whole(hold->seg, &hold->slot->lock) < 0)) return -1;
    segment_ref(hold->seg);
    FAULT(lock_acquired);
    hold_begin(hold, this_thread(), false);
    return 1;
}

/* 0, or -1 with an exception, but not if *silent*: one is on its way already, or the hold was ended by close(). */
int object_release(handle_t *h, bool silent) {
    if (LIKELY(held_here(h->hold))) return lock_release(h->hold, false), 0;
    if (h->seg == NULL) return silent ? 0 : (raise_closed(), -1);
    hold_t *hold = hold_if_any(h);
    if (lock_owner_here(h, hold) != 0) return lock_release(hold, false), 0;
    if (silent && !PyErr_Occurred()) return 0;
    return not_yours(h), -1;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int64_t timeout = -1;
    if ((nargs > 0 || kwnames != NULL) && parse_acquire(args, nargs, kwnames, &timeout) < 0) return NULL;
    int got = object_acquire((handle_t *)self, timeout);
    return got < 0 ? NULL : PyBool_FromLong(got);
}

static PyObject *release(PyObject *self, PyObject *unused) {
    (void)unused;
    if (object_release((handle_t *)self, false) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (object_acquire((handle_t *)self, -1) < 0) return NULL;
    Py_RETURN_TRUE;
}

/* A release that fails must not hide the exception that the block ends with. */
static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    handle_t *h = (handle_t *)self;
    if (object_release(h, h->seg == NULL || (nargs > 0 && args[0] != Py_None)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    return h->seg == NULL ? raise_closed() : answer(h, PyBool_FromLong(object_locked(h)));
}

static PyObject *owner_died(PyObject *self, void *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    const hold_t *hold = hold_if_any(h);
    bool died = hold != NULL && hold->from_dead && lock_owner_here(h, hold) != 0;
    return PyErr_Occurred() ? NULL : PyBool_FromLong(died);
}

/* ---- locks that belong to a task ---- */

static int parse_owner(PyObject *obj, uintptr_t *owner) {
    unsigned long long n = PyLong_AsUnsignedLongLong(obj);
    if (n == (unsigned long long)-1 && PyErr_Occurred()) return -1;
    *owner = (uintptr_t)n;
    if (is_task(*owner)) return 0;
    PyErr_SetString(PyExc_ValueError, "a task is named by id(task) | 1");
    return -1;
}

/* _acquire_as(owner, slept): one try. */
static PyObject *acquire_as(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    handle_t *h = (handle_t *)self;
    uintptr_t owner;
    if (nargs != 2) return PyErr_Format(PyExc_TypeError, "_acquire_as() takes an owner, and whether it slept");
    if (parse_owner(args[0], &owner) < 0) return NULL;
    if (h->seg == NULL) return raise_closed();
    hold_t *hold = handle_hold(h);
    if (hold == NULL) return NULL;
    int got;
    if (atomic_load(&hold->thread) == owner) {
        got = once_more(h, hold, -1);
    } else {
        got = lock_take(hold, owner, 0, LOCK_QUIET | (PyObject_IsTrue(args[1]) ? LOCK_SLEPT : 0), h);
        if (got >= 0) got = got != 2;
    }
    return got < 0 ? NULL : PyBool_FromLong(got);
}

static PyObject *release_as(PyObject *self, PyObject *obj) {
    handle_t *h = (handle_t *)self;
    uintptr_t owner;
    if (parse_owner(obj, &owner) < 0) return NULL;
    if (h->seg == NULL) return raise_closed();
    hold_t *hold = hold_if_any(h);
    if (hold == NULL || atomic_load(&hold->thread) != owner) return not_yours(h);
    lock_release(hold, false);
    Py_RETURN_NONE;
}

/* _watch_lock(): the word to sleep on, with its waiters bit set; 0: it is free or its holder is dead, so try again now. */
static PyObject *watch_lock(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    _Atomic uint32_t *word = &h->slot->lock;
    uint32_t seen = atomic_load(word);
    do {
        if (seen == 0 || !holder_alive(h->seg, word, seen, h->slot)) return PyLong_FromLong(0);
    } while (!(seen & LOCK_WAITERS) && !atomic_compare_exchange_weak(word, &seen, seen | LOCK_WAITERS));
    return PyLong_FromUnsignedLong(seen | LOCK_WAITERS);
}

static int init_lock(PyObject *self, PyObject *args, PyObject *kwargs, uint8_t kind) {
    PyObject *name = handle_parse((handle_t *)self, args, kwargs);
    if (name == NULL) return -1;
    return handle_place((handle_t *)self, kind, name) < 0 ? -1 : handle_publish((handle_t *)self, name);
}

static int lock_init(PyObject *self, PyObject *args, PyObject *kwargs) { return init_lock(self, args, kwargs, KIND_LOCK); }
static int rlock_init(PyObject *self, PyObject *args, PyObject *kwargs) { return init_lock(self, args, kwargs, KIND_RLOCK); }

static PyMethodDef lock_methods[] = {
    {"acquire", METHOD(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, block=True, timeout=None)\n--\n\n"},
    {"release", release, METH_NOARGS, NULL},
    {"locked", locked, METH_NOARGS, NULL},
    {"_acquire_as", METHOD(acquire_as), METH_FASTCALL, NULL},
    {"_release_as", release_as, METH_O, NULL},
    {"_watch_lock", watch_lock, METH_NOARGS, NULL},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(leave), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_getset[] = {
    {"owner_died", owner_died, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)

static PyType_Slot lock_slots[] = {
    {Py_tp_init, lock_init}, {Py_tp_methods, lock_methods}, {Py_tp_getset, lock_getset}, {0, NULL}};
PyType_Spec lock_spec = {"procshare._native.Lock", sizeof(handle_t), 0, FLAGS, lock_slots};

static PyType_Slot rlock_slots[] = {
    {Py_tp_init, rlock_init}, {Py_tp_methods, lock_methods}, {Py_tp_getset, lock_getset}, {0, NULL}};
PyType_Spec rlock_spec = {"procshare._native.RLock", sizeof(handle_t), 0, FLAGS, rlock_slots};

/* ---- events ---- */

static PyObject *set(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->word == NULL) return raise_closed();
    int64_t seen = atomic_load(h->word);
    FAULT(event_setting);
    while (!(seen & 1) && !atomic_compare_exchange_weak(h->word, &seen, (int64_t)((uint64_t)seen + 3))) {}
    FAULT(event_set);
    change_notify(h->slot); /* also where it was set: who did that may have died before this */
    return answer(h, Py_NewRef(Py_None));
}

static PyObject *clear(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->word == NULL) return raise_closed();
    FAULT(event_clearing);
    atomic_fetch_and(h->word, ~(int64_t)1);
    FAULT(event_cleared);
    return answer(h, Py_NewRef(Py_None));
}

static PyObject *is_set(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    return h->word == NULL ? raise_closed() : answer(h, PyBool_FromLong(atomic_load(h->word) & 1));
}

/* _sets(): how often it was set. */
static PyObject *sets(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    return h->word == NULL ? raise_closed() : answer(h, PyLong_FromUnsignedLongLong((uint64_t)atomic_load(h->word) >> 1));
}

static int await_set(handle_t *h, int64_t timeout) {
    slot_t *slot = h->slot;
    int64_t first = atomic_load(&slot->word);
    waiting_t w;
    int going = 1;
    if ((first & 1) || timeout == 0) return (int)(first & 1);
    waiting_begin(&w, h, timeout);
    if (waiting_spin(&w, &slot->word, first)) going = waiting_open(&w);
    while (going > 0) {
        uint32_t token = signal_watch(&slot->change);
        if (atomic_load(&slot->word) != first) break; /* only set() changes it while it is not set */
        going = waiting_turn(&w, &slot->change, token);
    }
    waiting_end(&w);
    return going;
}

static PyObject *wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    handle_t *h = (handle_t *)self;
    int64_t timeout = -1;
    if ((nargs > 0 || kwnames != NULL) && parse_wait("wait()", args, nargs, kwnames, &timeout) < 0) return NULL;
    if (h->word == NULL) return raise_closed();
    int done = await_set(h, timeout);
    return done < 0 ? NULL : answer(h, PyBool_FromLong(done));
}

static int event_init(PyObject *self, PyObject *args, PyObject *kwargs) { return init_lock(self, args, kwargs, KIND_EVENT); }

static PyMethodDef event_methods[] = {
    {"set", set, METH_NOARGS, NULL},
    {"clear", clear, METH_NOARGS, NULL},
    {"is_set", is_set, METH_NOARGS, NULL},
    {"wait", METHOD(wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"},
    {"_sets", sets, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {{Py_tp_init, event_init}, {Py_tp_methods, event_methods}, {0, NULL}};
PyType_Spec event_spec = {"procshare._native.Event", sizeof(handle_t), 0, FLAGS, event_slots};

/* ---- what handle.c asks ---- */

/* An attacher's look at a segment: 0, or -1 with CorruptSegment. */
int sync_prepare(seg_t *seg, uint8_t kind, uint8_t code) {
    bool fits = true;
    if (kind == KIND_SEMAPHORE || kind == KIND_BOUNDED_SEMAPHORE) fits = semaphore_fits(seg, code);
    else if (kind == KIND_CONDITION) fits = parties_fit(seg);
    else if (kind == KIND_BARRIER) fits = barrier_fits(seg);
    else if (kind == KIND_RWLOCK) fits = rwlock_fits(seg);
    if (fits) return 0;
    raise_named("CorruptSegment", seg->name, "it is too small for what it is");
    return -1;
}

/* This process's last handle of an object is closed: what it holds of it ends. */
void sync_closed(seg_t *seg, uint32_t index) {
    hold_t *hold = seg->holds ? seg->holds[index] : NULL;
    if (held_here(hold)) {
        hold->depth = 1;
        lock_release(hold, false);
    } else if (hold != NULL && atomic_load(&hold->thread) != 0) {
        lock_abandon(hold);
    }
    if (seg->readings != NULL) rwlock_closed(seg);
}
