/* Semaphores: a word that counts the permits, in a slot; and robust ones, which know who has how many.
 *
 * A plain one is taken by one compare-exchange and given back by another, so a death is before or after it. Permits that a dead
 * process had taken stay taken: nobody knows whose they were. Between the addition and the wake: the sleepers' slices end.
 *
 *   robust:  slot.saved = all permits, which never changes;  payload: a 64-bit word a seat, token << 32 | permits it has
 *
 * A robust one is changed under slot.lock, and slot.word is only a copy of what follows from the rest: all permits less those
 * of the living. Deaths. Holding the lock, before or after any of the stores: whoever takes it over counts again, and that may
 * be done again. Later: what the dead had counts no longer, whatever its seat's next occupant does, since the token tells one
 * occupant from the next. The copy may be too low until then, so whoever finds it 0, or asks for it, looks for a word of the
 * dead and for a dead holder of the lock; those who wait do so each slice.
 */
#include "sync.h"

#define ROBUST 1
#define MOST 0x7fffffff

static _Atomic uint64_t *held_at(const seg_t *seg, uint32_t seat) { return (_Atomic uint64_t *)(void *)(seg->base + seg->payload) + seat; }

bool semaphore_fits(const seg_t *seg, uint8_t code) {
    return code == 0 || (code == ROBUST && seg->slots == 0 && seg->payload % 8 == 0 && seg->payload_size >= SEAT_COUNT * 8u);
}

/* ---- robust: who has them ---- */

static bool of_dead(seg_t *seg, uint32_t seat, uint64_t word) {
    uint32_t token = (uint32_t)(word >> 32);
    return token >> 21 != seat + 1 || !seat_alive(seg, token);
}

static bool any_of_dead(seg_t *seg) {
    slot_t *slot = &seg->header->root;
    uint32_t lock = atomic_load(&slot->lock);
    if (lock != 0 && !holder_alive(seg, &slot->lock, lock, slot)) return true;
    for (uint32_t seat = 0; seat < SEAT_COUNT; seat++) {
        uint64_t word = atomic_load_explicit(held_at(seg, seat), memory_order_relaxed);
        if (UNLIKELY((uint32_t)word != 0) && of_dead(seg, seat, word)) return true;
    }
    return false;
}

/* With the lock: the copy of what is free. */
static int64_t count_again(seg_t *seg, slot_t *slot) {
    int64_t left = atomic_load(&slot->saved);
    if (left < 0 || left > MOST) left = 0; /* it is damaged */
    for (uint32_t seat = 0; seat < SEAT_COUNT; seat++) {
        uint64_t word = atomic_load(held_at(seg, seat));
        if (LIKELY((uint32_t)word == 0)) continue;
        if (of_dead(seg, seat, word)) {
            atomic_store(held_at(seg, seat), 0);
            death_found(seg, slot, (uint32_t)(word >> 32), LOST_PERMITS);
        } else {
            left -= (uint32_t)word;
        }
        FAULT(semaphore_counting);
    }
    if (left < 0 || left > MOST) left = 0;
    atomic_store(&slot->word, left);
    FAULT(semaphore_counted);
    return left;
}

/* Take the lock of a robust one: 1, 0 if the time is over, -1 with an exception. */
static int begin(handle_t *h, int64_t timeout) {
    seg_t *seg = h->seg;
    hold_t *hold = handle_hold(h);
    int got = hold == NULL ? -1 : lock_take(hold, this_thread(), timeout, LOCK_QUIET, h);
    if (got < 0 || got == 2) return got == 2 ? 0 : -1;
    if (h->seg != seg) {
        lock_release(hold, false);
        return raise_closed(), -1;
    }
    if (UNLIKELY(got == 1)) count_again(seg, h->slot);
    return 1;
}

static void end(handle_t *h) { lock_release(h->hold, false); }

/* With the lock: this process's word, without what an earlier occupant of its seat left there. That is free from now on, so it is
 * counted again: nobody else could tell any more. */
static _Atomic uint64_t *mine(seg_t *seg, slot_t *slot) {
    _Atomic uint64_t *word = held_at(seg, (uint32_t)seg->seat);
    uint64_t before = atomic_load(word);
    if (LIKELY(before >> 32 == seg->token)) return word;
    atomic_store(word, (uint64_t)seg->token << 32);
    if ((uint32_t)before == 0) return word;
    death_found(seg, slot, (uint32_t)(before >> 32), LOST_PERMITS);
    count_again(seg, slot);
    return word;
}

/* Give the permits of the dead back, if there are any: 0, or -1 with an exception. */
static int reclaim(handle_t *h, int64_t timeout) {
    if (LIKELY(!any_of_dead(h->seg))) return 0;
    slot_t *slot = h->slot;
    int got = begin(h, timeout);
    if (got <= 0) return got;
    int64_t left = count_again(h->seg, slot);
    end(h);
    if (left > 0) signal_some(&slot->change, (int)left);
    return 0;
}

static int take_robust(handle_t *h, int64_t timeout) {
    slot_t *slot = h->slot;
    if (atomic_load(&slot->word) <= 0) return 0;
    int got = begin(h, timeout);
    if (got <= 0) return got;
    _Atomic uint64_t *held = mine(h->seg, slot);
    int64_t left = atomic_load(&slot->word);
    if (left > 0) {
        FAULT(semaphore_taking);
        atomic_store(held, atomic_load(held) + 1);
        FAULT(semaphore_taken);
        atomic_store(&slot->word, left - 1);
        FAULT(semaphore_copied);
    }
    end(h);
    return left > 0;
}

/* ---- acquire ---- */

/* One try: 1, 0, or -1 with an exception. */
static inline int take(handle_t *h, int64_t timeout) {
    if (UNLIKELY(h->code == ROBUST)) return take_robust(h, timeout);
    int64_t left = atomic_load_explicit(h->word, memory_order_relaxed);
    while (left > 0) {
        FAULT(semaphore_acquiring);
        if (!atomic_compare_exchange_weak(h->word, &left, left - 1)) continue;
        FAULT(semaphore_acquired);
        return 1;
    }
    return 0;
}

static int64_t left_of(const waiting_t *w) {
    int64_t left = w->until < 0 ? -1 : w->until - now_ns();
    return w->until >= 0 && left < 0 ? 0 : left;
}

static NOINLINE int acquire_slowly(handle_t *h, int64_t timeout) {
    slot_t *slot = h->slot;
    waiting_t w;
    int got = 0, going = 1;
    waiting_begin(&w, h, timeout);
    if (timeout != 0 && waiting_spin(&w, &slot->word, 0)) going = waiting_open(&w);
    while (going > 0) {
        uint32_t token = timeout == 0 ? 0 : signal_watch(&slot->change);
        if (h->code == ROBUST && atomic_load(&slot->word) <= 0 && reclaim(h, left_of(&w)) < 0) going = -1;
        else if ((got = take(h, left_of(&w))) != 0) break;
        else going = timeout == 0 ? 0 : waiting_turn(&w, &slot->change, token);
    }
    bool gone = w.epoch != process.epoch || h->seg != w.seg || h->slot != slot;
    if (got <= 0 && !gone && atomic_load(&slot->word) > 0) signal_some(&slot->change, 1); /* we may have been woken for it */
    waiting_end(&w);
    return going < 0 ? -1 : got;
}

static inline int acquire_for(handle_t *h, int64_t timeout) {
    if (UNLIKELY(h->word == NULL)) return raise_closed(), -1;
    if (UNLIKELY(segment_whole(h->seg) < 0)) return -1; /* a permit that is taken now would be nobody's */
    int got = take(h, timeout);
    if (LIKELY(got != 0) || (timeout == 0 && h->code != ROBUST)) return got;
    return acquire_slowly(h, timeout);
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int64_t timeout = -1;
    if ((nargs > 0 || kwnames != NULL) && parse_acquire(args, nargs, kwnames, &timeout) < 0) return NULL;
    int got = acquire_for((handle_t *)self, timeout);
    return got < 0 ? NULL : answer((handle_t *)self, PyBool_FromLong(got));
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (acquire_for((handle_t *)self, -1) < 0) return NULL;
    return answer((handle_t *)self, Py_NewRef(Py_True));
}

/* ---- release ---- */

static int too_many(handle_t *h, const char *format, int64_t n, int64_t limit, PyObject *error) {
    char name[OBJECT_NAME_ROOM];
    object_name(h->seg, h->slot, name);
    PyErr_Format(error, format, (long long)n, name, (long long)limit);
    return -1;
}

/* Whether the word may become *new*: 0, or -1 with ValueError. */
static int check(handle_t *h, int64_t n, int64_t new) {
    int64_t limit = h->kind == KIND_BOUNDED_SEMAPHORE ? atomic_load(&h->slot->saved) : MOST;
    if (LIKELY(new <= limit)) return 0;
    if (segment_whole(h->seg) < 0) return -1;
    return too_many(h, "release(%lld) would give %s more than its %lld permits; nothing was released", n, limit, PyExc_ValueError);
}

static int give_back_robust(handle_t *h, int64_t n) {
    slot_t *slot = h->slot;
    if (begin(h, -1) < 0) return -1;
    _Atomic uint64_t *held = mine(h->seg, slot);
    int64_t left = atomic_load(&slot->word);
    int64_t have = (uint32_t)atomic_load(held);
    if (left > MOST) left = MOST; /* it is damaged */
    bool enough = have >= n && left >= 0 && left + n <= MOST;
    if (enough) {
        FAULT(semaphore_releasing);
        atomic_store(held, atomic_load(held) - (uint64_t)n);
        FAULT(semaphore_given);
        atomic_store(&slot->word, left + n);
        FAULT(semaphore_released);
    }
    end(h);
    if (enough) return 0;
    if (h->kind == KIND_BOUNDED_SEMAPHORE && check(h, n, left + n) < 0) return -1;
    return too_many(h, "release(%lld) of %s, of which this process has %lld permits; nothing was released", n, have,
                    PyExc_RuntimeError);
}

static int give_back(handle_t *h, int64_t n) {
    if (UNLIKELY(h->word == NULL)) return raise_closed(), -1;
    slot_t *slot = h->slot;
    if (UNLIKELY(h->code == ROBUST)) {
        if (give_back_robust(h, n) < 0) return -1;
    } else {
        int64_t seen = atomic_load_explicit(h->word, memory_order_relaxed), left;
        do {
            left = LIKELY(seen >= 0) ? (seen < MOST ? seen : MOST) : 0; /* else it is damaged */
            if (check(h, n, left + n) < 0) return -1;
        } while (!atomic_compare_exchange_weak(h->word, &seen, left + n));
        FAULT(semaphore_released);
    }
    signal_some(&slot->change, (int)n);
    return 0;
}

static PyObject *release(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"n"};
    PyObject *given = NULL;
    long long n = 1;
    if ((nargs > 0 || kwnames != NULL) && parse_names("release()", names, 1, args, nargs, kwnames, &given) < 0) return NULL;
    if (given != NULL) {
        PyObject *number = PyNumber_Index(given);
        int overflow = 0;
        if (number == NULL) return NULL;
        n = PyLong_AsLongLongAndOverflow(number, &overflow);
        Py_DECREF(number);
        if (overflow > 0 || n > MOST) n = (long long)MOST + 1;
        if (overflow < 0 || n < 1) return PyErr_Format(PyExc_ValueError, "release(n): n must be one or more");
    }
    if (give_back((handle_t *)self, n) < 0) return NULL;
    return answer((handle_t *)self, Py_NewRef(Py_None));
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    bool raising = nargs > 0 && args[0] != Py_None;
    if (((handle_t *)self)->word == NULL && raising) Py_RETURN_NONE; /* its exception must not be hidden by another */
    if (give_back((handle_t *)self, 1) < 0) return NULL;
    return answer((handle_t *)self, Py_NewRef(Py_None));
}

/* ---- the rest ---- */

/* The permits that are free, or -1 with an exception. */
static int64_t value_of(handle_t *h) {
    if (h->word == NULL) return raise_closed(), -1;
    slot_t *slot = h->slot;
    seg_t *seg = h->seg;
    segment_ref(seg);
    int64_t left = h->code == ROBUST && reclaim(h, SLICE_NS) < 0 ? -1 : atomic_load(&slot->word); /* no question waits for the stopped */
    if (segment_whole(seg) < 0) left = -1;
    segment_unref(seg);
    return left < 0 && !PyErr_Occurred() ? 0 : left;
}

static PyObject *get_value(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t left = value_of((handle_t *)self);
    return left < 0 ? NULL : PyLong_FromLongLong(left);
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t left = value_of((handle_t *)self);
    return left < 0 ? NULL : PyBool_FromLong(left == 0);
}

static int parse_value(PyObject *obj, int64_t *value) {
    PyObject *number = PyNumber_Index(obj);
    int overflow = 0;
    if (number == NULL) return -1;
    *value = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (!overflow && *value >= 0 && *value <= MOST) return 0;
    PyErr_SetString(PyExc_ValueError, "a semaphore has 0 to 2**31 - 1 permits");
    return -1;
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs, uint8_t kind) {
    static char *names[] = {"value", "robust", "name", "mode", "group", "backend", NULL};
    handle_t *h = (handle_t *)self;
    PyObject *given = NULL, *name = NULL, *mode = NULL, *group = NULL, *backend = NULL;
    int robust = 0;
    int64_t value = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$pOOOO", names, &given, &robust, &name, &mode, &group, &backend)) return -1;
    if ((given != NULL && parse_value(given, &value) < 0) || handle_permit(h, mode, group) < 0) return -1;
    if (robust ? place_alone(h, kind, ROBUST, SEAT_COUNT * 8, NULL, 0) < 0 : handle_place(h, kind, name) < 0) return -1;
    atomic_store(&h->slot->saved, value);
    atomic_store(&h->slot->word, value);
    return handle_publish(h, name);
}

static int semaphore_init(PyObject *self, PyObject *args, PyObject *kwargs) { return init(self, args, kwargs, KIND_SEMAPHORE); }
static int bounded_init(PyObject *self, PyObject *args, PyObject *kwargs) { return init(self, args, kwargs, KIND_BOUNDED_SEMAPHORE); }

static PyMethodDef methods[] = {
    {"acquire", METHOD(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, block=True, timeout=None)\n--\n\n"},
    {"release", METHOD(release), METH_FASTCALL | METH_KEYWORDS, "release($self, n=1)\n--\n\n"},
    {"get_value", get_value, METH_NOARGS, NULL},
    {"locked", locked, METH_NOARGS, NULL},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(leave), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)

static PyType_Slot semaphore_slots[] = {{Py_tp_init, semaphore_init}, {Py_tp_methods, methods}, {0, NULL}};
PyType_Spec semaphore_spec = {"procshare._native.Semaphore", sizeof(handle_t), 0, FLAGS, semaphore_slots};

static PyType_Slot bounded_slots[] = {{Py_tp_init, bounded_init}, {Py_tp_methods, methods}, {0, NULL}};
PyType_Spec bounded_semaphore_spec = {"procshare._native.BoundedSemaphore", sizeof(handle_t), 0, FLAGS, bounded_slots};
