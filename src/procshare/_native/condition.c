/* The condition: a lock, and a table of those who wait (parties.c), each asleep on an entry of its own.
 *
 * Its lock is its own slot's, re-entrant, or that of a SharedLock or SharedRLock, whose name the segment's meta has. wait()
 * takes an entry and a ticket while it has the lock, releases that, sleeps until its entry says RELEASED, and takes the lock
 * again. notify(n) marks the entries of the first n living waiters by compare-exchange of the very state that they went to
 * sleep with, and wakes each.
 *
 * Deaths. A waiter, before its entry has its token: it never waited. Asleep: notify() finds its seat empty, frees the entry and
 * goes on to the next. Marked, and dead before it returned from wait(): whoever notifies next, or wakes from a slice, finds a
 * marked entry of a dead process; who of them frees it, by compare-exchange, marks another waiter in its place. A notifier
 * between two marks: the others were not notified, and its lock is taken over. Between mark and wake: the waiter's slice ends,
 * and it finds its mark. So the table is sound at any instant, and there is nothing to repair when the lock is taken over.
 */
#include "sync.h"

#include <errno.h>
#include <stdlib.h>

typedef struct {
    handle_t base;
    PyObject *lock; /* a handle; NULL: its own */
} condition_t;

/* ---- marking ---- */

typedef struct {
    uint64_t ticket;
    uint32_t index, token, state;
} asleep_t;

static int by_ticket(const void *a, const void *b) {
    uint64_t x = ((const asleep_t *)a)->ticket, y = ((const asleep_t *)b)->ticket;
    return (x > y) - (x < y);
}

/* Mark and wake the first *n* of those who wait and live. Also without the lock, which only costs the order. */
static void wake(seg_t *seg, uint64_t n) {
    asleep_t asleep[CONDITION_PARTIES];
    uint32_t count = 0, used = parties_used(seg);
    for (uint32_t i = 0; i < used && count < CONDITION_PARTIES; i++) {
        party_t *party = party_at(seg, i);
        uint32_t token = atomic_load(&party->token), state = atomic_load(&party->state);
        if (token == 0) continue;
        if ((state & 3) == PARTY_WAITING) asleep[count++] = (asleep_t){atomic_load(&party->ticket), i, token, state};
        else if (!seat_alive(seg, token) && party_leave(party, token)) n += (state & 3) == PARTY_RELEASED; /* it was lost on it */
    }
    qsort(asleep, count, sizeof *asleep, by_ticket);
    for (uint32_t i = 0; i < count && n > 0; i++) {
        party_t *party = party_at(seg, asleep[i].index);
        uint32_t state = asleep[i].state;
        if (!seat_alive(seg, asleep[i].token)) {
            party_leave(party, asleep[i].token);
            continue;
        }
        FAULT(condition_notifying);
        if (!atomic_compare_exchange_strong(&party->state, &state, (state & ~3u) | PARTY_RELEASED)) continue; /* it has left */
        FAULT(condition_notified);
        futex_wake(&party->state, 1);
        n--;
    }
}

/* Whether a mark was lost on a waiter that died. */
static bool any_lost(seg_t *seg) {
    for (uint32_t i = 0; i < parties_used(seg); i++) {
        const party_t *party = party_at(seg, i);
        uint32_t token = atomic_load(&party->token);
        if (token != 0 && token != seg->token && (atomic_load(&party->state) & 3) == PARTY_RELEASED && !seat_alive(seg, token)) return true;
    }
    return false;
}

/* ---- its lock ---- */

/* The handle whose lock it is, or NULL with an exception. */
static handle_t *lock_of(PyObject *self) {
    condition_t *c = (condition_t *)self;
    if (c->base.seg == NULL) return raise_closed();
    if (c->lock == NULL && c->base.seg->meta_size == 0) return &c->base;
    handle_t *lock = (handle_t *)c->lock;
    if (lock != NULL) return lock->seg == NULL ? raise_closed() : lock;
    PyErr_SetString(PyExc_RuntimeError, "this condition was attached to, but not yet bound to its lock");
    return NULL;
}

/* The hold in whose name the caller has the lock, and its owner; NULL with RuntimeError if it has not got it. */
static hold_t *held(handle_t *lock, const char *call, uintptr_t *owner) {
    char name[OBJECT_NAME_ROOM];
    hold_t *hold = hold_if_any(lock);
    if ((*owner = lock_owner_here(lock, hold)) != 0) return hold;
    if (PyErr_Occurred()) return NULL;
    object_name(lock->seg, lock->slot, name);
    return PyErr_Format(PyExc_RuntimeError, "%s without the lock: take %s first", call, name), NULL;
}

/* ---- wait ---- */

typedef struct {
    waiting_t waiting;
    party_t *party;
    uint32_t token, state; /* what the entry was made with */
    handle_t *lock;
    seg_t *lock_seg;
    hold_t *hold;
    uintptr_t owner;
    uint32_t depth;
} sleeper_t;

/* Sleep until the mark: 1, 0 if the time is over, -1 with an exception. */
static int sleep_on(sleeper_t *s) {
    seg_t *seg = s->waiting.seg;
    int going = 1;
    if (waiting_spin32(&s->waiting, &s->party->state, s->state)) going = waiting_open(&s->waiting);
    while (atomic_load(&s->party->state) == s->state) {
        if (going <= 0) return going;
        bool full = s->waiting.slice == SLICE_NS;
        going = waiting_turn(&s->waiting, &s->party->state, s->state);
        if (going > 0 && full && any_lost(seg)) wake(seg, 0);
    }
    return going < 0 ? -1 : 1;
}

/* The lock again, whatever the wait ended with: 0, or -1 with an exception, that which came last. */
static int take_again(sleeper_t *s) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int got = lock_take(s->hold, s->owner, -1, 0, s->lock);
    if (got >= 0) {
        s->hold->depth = s->depth;
        PyErr_Restore(type, value, traceback);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

/* Give the entry back. A mark that its waiter does not return True for goes to another one. */
static bool leave_table(sleeper_t *s, bool passes) {
    seg_t *seg = s->waiting.seg;
    uint32_t state = s->state;
    bool marked = !atomic_compare_exchange_strong(&s->party->state, &state, state & ~3u);
    FAULT(condition_leaving);
    bool mine = party_leave(s->party, s->token);
    FAULT(condition_left);
    marked = marked && mine && (state & 3) == PARTY_RELEASED;
    if (marked && passes) wake(seg, 1);
    return marked;
}

/* With an entry, and the lock as often as the caller has it: 1, 0, or -1 with an exception. */
static int wait_with(sleeper_t *s) {
    lock_release(s->hold, false);
    FAULT(condition_asleep);
    int ended = sleep_on(s);
    FAULT(condition_woken);
    if (s->waiting.epoch != process.epoch) return -1; /* a signal handler forked: this is the child, and the entry its parent's */
    bool open = s->lock->seg == s->lock_seg;
    if (open && take_again(s) < 0) open = false, ended = -1; /* interrupted again, or closed: without the lock, then */
    if (s->waiting.epoch != process.epoch) return -1;
    bool marked = leave_table(s, ended < 0 || !open);
    if (!open && ended >= 0) return raise_closed(), -1;
    return ended < 0 ? -1 : marked;
}

static PyObject *wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    handle_t *h = (handle_t *)self;
    int64_t timeout = -1;
    sleeper_t s = {0};
    if (parse_wait("wait()", args, nargs, kwnames, &timeout) < 0 || (s.lock = lock_of(self)) == NULL) return NULL;
    if ((s.hold = held(s.lock, "wait()", &s.owner)) == NULL) return NULL;
    seg_t *seg = h->seg;
    if (seg == NULL) return raise_closed(); /* by another thread, while held() asked for the task */
    if (seg->token == 0 && seat_take(seg) < 0) return raise_seatless(seg, errno);
    uint64_t ticket = parties_ticket(seg);
    s.state = (uint32_t)ticket << 2 | PARTY_WAITING;
    s.token = seg->token;
    FAULT(condition_entering);
    if ((s.party = party_enter(seg, s.state, ticket)) == NULL)
        return PyErr_Format(PyExc_RuntimeError, "%u threads wait for this condition already", (unsigned)CONDITION_PARTIES);
    FAULT(condition_entered);
    s.lock_seg = s.lock->seg;
    s.depth = s.hold->depth;
    s.hold->depth = 1;
    waiting_begin(&s.waiting, h, timeout);
    segment_pin(s.lock_seg);
    Py_INCREF((PyObject *)s.lock);
    int done = wait_with(&s);
    segment_unpin(s.lock_seg);
    waiting_end(&s.waiting);
    Py_DECREF((PyObject *)s.lock);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

/* ---- notify ---- */

static PyObject *notify_some(PyObject *self, const char *call, uint64_t n) {
    uintptr_t owner;
    handle_t *lock = lock_of(self);
    if (lock == NULL || held(lock, call, &owner) == NULL) return NULL;
    if (((handle_t *)self)->seg == NULL) return raise_closed();
    if (n > 0) wake(((handle_t *)self)->seg, n);
    Py_RETURN_NONE;
}

static PyObject *notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"n"};
    PyObject *given = NULL;
    Py_ssize_t n = 1;
    if ((nargs > 0 || kwnames != NULL) && parse_names("notify()", names, 1, args, nargs, kwnames, &given) < 0) return NULL;
    if (given != NULL && (n = PyNumber_AsSsize_t(given, NULL)) == -1 && PyErr_Occurred()) return NULL;
    return notify_some(self, "notify()", n > 0 ? (uint64_t)n : 0);
}

static PyObject *notify_all(PyObject *self, PyObject *unused) {
    (void)unused;
    return notify_some(self, "notify_all()", UINT32_MAX);
}

/* ---- the lock's methods ---- */

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int64_t timeout = -1;
    handle_t *lock = lock_of(self);
    if (lock == NULL || ((nargs > 0 || kwnames != NULL) && parse_acquire(args, nargs, kwnames, &timeout) < 0)) return NULL;
    int got = object_acquire(lock, timeout);
    return got < 0 ? NULL : PyBool_FromLong(got);
}

static PyObject *release(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *lock = lock_of(self);
    if (lock == NULL || object_release(lock, false) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *lock = lock_of(self);
    return lock == NULL ? NULL : PyBool_FromLong(object_locked(lock));
}

static PyObject *holder(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *lock = lock_of(self);
    return lock == NULL ? NULL : PyLong_FromUnsignedLong(object_holder(lock));
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *lock = lock_of(self);
    if (lock == NULL || object_acquire(lock, -1) < 0) return NULL;
    Py_RETURN_TRUE;
}

/* Also of a closed condition, whose lock may be another object, and open. */
static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    condition_t *c = (condition_t *)self;
    handle_t *lock = c->lock ? (handle_t *)c->lock : &c->base;
    if (object_release(lock, lock->seg == NULL || (nargs > 0 && args[0] != Py_None)) < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- making ---- */

static int is_lock(PyObject *obj) {
    if (PyObject_TypeCheck(obj, process.types.lock) || PyObject_TypeCheck(obj, process.types.rlock)) return 0;
    PyErr_SetString(PyExc_TypeError, "a condition's lock is a SharedLock or a SharedRLock of the same backend, or None for its own");
    return -1;
}

static void set_lock(PyObject *self, PyObject *lock) {
    PyObject *old = ((condition_t *)self)->lock;
    ((condition_t *)self)->lock = Py_NewRef(lock);
    Py_XDECREF(old);
}

/* _create(lock or None, name) */
static PyObject *create(PyObject *self, PyObject *args) {
    condition_t *c = (condition_t *)self;
    PyObject *lock, *name, *lock_name = NULL;
    const char *meta = NULL;
    Py_ssize_t length = 0;
    if (!PyArg_ParseTuple(args, "OO", &lock, &name)) return NULL;
    if (lock != Py_None) {
        if (is_lock(lock) < 0 || (lock_name = PyObject_GetAttrString(lock, "_address")) == NULL) return NULL;
        meta = PyUnicode_AsUTF8AndSize(lock_name, &length);
    }
    int done = lock_name != NULL && meta == NULL ? -1 : 0;
    uint64_t payload = sizeof(parties_t) + CONDITION_PARTIES * sizeof(party_t);
    if (done == 0) done = place_alone(&c->base, KIND_CONDITION, 0, payload, meta, (size_t)length);
    if (done == 0 && lock != Py_None) set_lock(self, lock);
    if (done == 0) done = handle_publish(&c->base, name);
    Py_XDECREF(lock_name);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

/* _lock_name(): the name of its lock, None if that is its own. */
static PyObject *get_lock_name(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    if (seg == NULL) return raise_closed();
    if (seg->meta_size == 0) Py_RETURN_NONE;
    PyObject *name = PyUnicode_DecodeUTF8(seg->base + seg->meta, (Py_ssize_t)seg->meta_size, "strict");
    if (name != NULL || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) return name;
    PyErr_Clear();
    return raise_named("CorruptSegment", seg->name, "its lock has no possible name");
}

static PyObject *bind(PyObject *self, PyObject *lock) {
    if (is_lock(lock) < 0) return NULL;
    set_lock(self, lock);
    Py_RETURN_NONE;
}

/* The lock's handle may lead back here, through attributes of a subclass. */
static int traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((condition_t *)self)->lock);
    return 0;
}

static int forget(PyObject *self) {
    Py_CLEAR(((condition_t *)self)->lock);
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    forget(self);
    ((destructor)PyType_GetSlot(process.types.handle, Py_tp_dealloc))(self);
}

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL},
    {"_lock_name", get_lock_name, METH_NOARGS, NULL},
    {"_bind", bind, METH_O, NULL},
    {"acquire", METHOD(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, block=True, timeout=None)\n--\n\n"},
    {"release", release, METH_NOARGS, NULL},
    {"_holder", holder, METH_NOARGS, NULL},
    {"locked", locked, METH_NOARGS, NULL},
    {"wait", METHOD(wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"},
    {"notify", METHOD(notify), METH_FASTCALL | METH_KEYWORDS, "notify($self, n=1)\n--\n\n"},
    {"notify_all", notify_all, METH_NOARGS, NULL},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(leave), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_methods, methods}, {Py_tp_traverse, traverse}, {Py_tp_clear, forget}, {Py_tp_dealloc, dealloc}, {0, NULL}};
PyType_Spec condition_spec = {"procshare._native.Condition", sizeof(condition_t), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
