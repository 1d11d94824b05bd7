/* The read-write lock: each process counts its own readers in a cache line of its own; a writer has the lock, and waits for all
 * of them.
 *
 *   slot.lock  the writer's;  slot.word  bit 0, the hint: a writer wants it or has it; the rest counts how often one came
 *   payload:   | gate | seats in use |   | reading, wanting |   | reading, wanting | ...      a cache line for each seat
 *
 * A reader adds itself to `reading`, then looks at the hint: not set, and it is in. Else it takes itself off again and sleeps
 * on slot.change until no living writer wants or has it. A writer adds itself to `wanting`, sets the hint, takes the lock, and
 * then sleeps on the gate until no living process reads. Reader and writer each write first and then look at what the other
 * wrote, all sequentially consistent, so one of them sees the other. A writer that leaves clears the hint unless others want
 * it: by compare-exchange of the whole word that it read before it looked for them. They count before they change that word,
 * and have the lock before they count no longer, so none is overlooked.
 *
 * What a thread of this process has is private knowledge: a record for each that reads, in its list of holds, so that its exit
 * gives it back, and so that it may read again without asking.
 *
 * Deaths. `reading` and `wanting` name the seat's occupant by its token: a dead one's count for nothing, whoever sits there
 * now, and are cleared by who meets them. A hint that a dead writer left is cleared by any reader that finds no living writer;
 * a writer's lock is taken over as any. Between a change and its wake: the sleepers' slices end, and each looks again.
 */
#include "sync.h"

#include <errno.h>
#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    handle_t *handle;
    const seg_t *seg; /* of the last time that it was entered, to be compared only */
    int64_t timeout;
    uint32_t epoch;
    bool writes;
} block_t;

static rwlock_t *table(const seg_t *seg) { return (rwlock_t *)(void *)(seg->base + seg->payload); }

bool rwlock_fits(const seg_t *seg) { return seg->slots == 0 && seg->payload % 64 == 0 && seg->payload_size >= sizeof(rwlock_t); }

/* ---- what each process has ---- */

static uint32_t seats_in_use(const seg_t *seg) {
    uint32_t seats = atomic_load(&table(seg)->seats);
    return seats < SEAT_COUNT ? seats : SEAT_COUNT;
}

/* This process's words; from now on others look at them. */
static rw_seat_t *my_seat(const seg_t *seg) {
    uint32_t mine = (uint32_t)seg->seat + 1, seats = atomic_load_explicit(&table(seg)->seats, memory_order_relaxed);
    while (UNLIKELY(seats < mine) && !atomic_compare_exchange_weak(&table(seg)->seats, &seats, mine)) {}
    return &table(seg)->seat[seg->seat];
}

/* One more, or one fewer. What an earlier occupant of the seat left counts as none. */
static void count(_Atomic uint64_t *word, uint32_t token, bool more) {
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed), new;
    do {
        new = seen >> 32 == token ? seen : (uint64_t)token << 32;
        if ((uint32_t)new == (more ? UINT32_MAX : 0)) return; /* only in a damaged segment, or when it is over anyway */
        new = more ? new + 1 : new - 1;
    } while (!atomic_compare_exchange_weak(word, &seen, new));
}

/* The token of a living process, not this one, that counts in a word of its seat; 0 if there is none. */
static uint32_t counted(seg_t *seg, uint32_t seat, _Atomic uint64_t *word) {
    uint64_t seen = atomic_load(word);
    uint32_t token = (uint32_t)(seen >> 32);
    if (LIKELY((uint32_t)seen == 0) || (int)seat == seg->seat) return 0;
    if (token >> 21 == seat + 1 && seat_alive(seg, token)) return token;
    FAULT(rwlock_clearing);
    bool cleared = atomic_compare_exchange_strong(word, &seen, 0);
    FAULT(rwlock_cleared);
    if (cleared && word == &table(seg)->seat[seat].reading) death_found(seg, &seg->header->root, token, LOST_READING);
    return 0;
}

/* Who reads: a token, 0 for nobody. */
static uint32_t any_reader(seg_t *seg) {
    for (const hold_t *reading = seg->readings; reading != NULL; reading = reading->sibling)
        if (atomic_load(&reading->thread) != 0) return seg->token;
    for (uint32_t seat = 0, seats = seats_in_use(seg), token; seat < seats; seat++)
        if ((token = counted(seg, seat, &table(seg)->seat[seat].reading)) != 0) return token;
    return 0;
}

static bool any_wants(seg_t *seg) {
    if (seg->wanting > 0) return true;
    for (uint32_t seat = 0, seats = seats_in_use(seg); seat < seats; seat++)
        if (counted(seg, seat, &table(seg)->seat[seat].wanting) != 0) return true;
    return false;
}

/* Clear the hint unless a living writer wants it, or, if *also_has*, has it: whether it is clear. */
static bool clear_hint(seg_t *seg, bool also_has) {
    slot_t *slot = &seg->header->root;
    int64_t seen = atomic_load(&slot->word);
    do {
        if (!(seen & 1)) return true;
        if (any_wants(seg)) return false;
        uint32_t lock = atomic_load(&slot->lock); /* after that: a writer has the lock before it wants it no longer */
        if (also_has && lock != 0 && holder_alive(seg, &slot->lock, lock, slot)) return false;
        FAULT(rwlock_unhinting);
    } while (!atomic_compare_exchange_strong(&slot->word, &seen, seen & ~(int64_t)1));
    FAULT(rwlock_unhinted);
    change_notify(slot);
    return true;
}

/* ---- reading ---- */

static hold_t *reading_here(const seg_t *seg) {
    hold_t *reading = seg->readings;
    while (reading != NULL && !held_here(reading)) reading = reading->sibling;
    return reading;
}

/* A record that no thread uses, or NULL. */
static hold_t *spare_record(seg_t *seg) {
    hold_t *reading = seg->readings;
    while (reading != NULL && atomic_load(&reading->thread) != 0) reading = reading->sibling;
    if (reading != NULL || (reading = calloc(1, sizeof *reading)) == NULL) return reading;
    reading->seg = seg;
    reading->slot = &seg->header->root;
    reading->reads = true;
    reading->sibling = seg->readings;
    return seg->readings = reading;
}

static void uncount_reader(seg_t *seg) {
    count(&my_seat(seg)->reading, seg->token, false);
    FAULT(rwlock_ended);
    signal_some(&table(seg)->gate, 1);
}

/* Go in, if no writer wants or has it: 1, or 0. *regardless*: this thread is the writer. */
static int go_in(seg_t *seg, bool regardless) {
    const slot_t *slot = &seg->header->root;
    if (!regardless && (atomic_load(&slot->word) & 1)) return 0;
    FAULT(rwlock_reading);
    count(&my_seat(seg)->reading, seg->token, true);
    FAULT(rwlock_counted);
    if (LIKELY(regardless || !(atomic_load(&slot->word) & 1))) return 1;
    uncount_reader(seg);
    return 0;
}

/* Sleep until it can go in: 1, or -1 with LockTimeout or another exception. */
static int go_in_slowly(handle_t *h, int64_t timeout) {
    seg_t *seg = h->seg;
    slot_t *slot = h->slot;
    waiting_t w;
    int64_t start = timeout > 0 ? now_ns() : 0;
    int going = 1, in = 0;
    waiting_begin(&w, h, timeout);
    if (timeout != 0 && waiting_spin(&w, &slot->word, atomic_load(&slot->word))) going = waiting_open(&w);
    while (going > 0) {
        uint32_t token = timeout != 0 ? signal_watch(&slot->change) : 0;
        if ((in = go_in(seg, false)) == 1 || (clear_hint(seg, true) && (in = go_in(seg, false)) == 1)) break;
        going = waiting_turn(&w, &slot->change, token);
    }
    if (going == 0) going = lock_timed_out(seg, atomic_load(&slot->lock), timeout > 0 ? now_ns() - start : 0, slot);
    waiting_end(&w);
    return going < 0 ? -1 : in;
}

/* 0, or -1 with an exception. */
static int begin_reading(handle_t *h, int64_t timeout) {
    seg_t *seg = h->seg;
    hold_t *reading = reading_here(seg);
    if (reading != NULL) return reading->depth++, 0;
    if (UNLIKELY(seg->token == 0) && seat_take(seg) < 0) return raise_seatless(seg, errno), -1;
    if (UNLIKELY(!go_in(seg, held_here(hold_if_any(h)))) && go_in_slowly(h, timeout) < 0) return -1;
    bool whole = segment_whole(seg) == 0;
    if (UNLIKELY(!whole || (reading = spare_record(seg)) == NULL)) {
        uncount_reader(seg);
        if (whole) PyErr_NoMemory();
        return -1;
    }
    segment_ref(seg);
    hold_begin(reading, this_thread(), false);
    return 0;
}

static void end_reading(hold_t *reading) {
    if (--reading->depth > 0) return;
    seg_t *seg = reading->seg;
    hold_end(reading);
    FAULT(rwlock_ending);
    uncount_reader(seg);
    segment_unref(seg);
}

/* lock.c ends the reading of a thread that exits. No GIL. */
void rwlock_abandoned(hold_t *reading) {
    if (reading->seg->token != 0) uncount_reader(reading->seg);
}

/* This process's last handle is closed. */
void rwlock_closed(seg_t *seg) {
    for (hold_t *reading = seg->readings; reading != NULL; reading = reading->sibling) {
        if (held_here(reading)) {
            reading->depth = 1;
            end_reading(reading);
        } else if (atomic_load(&reading->thread) != 0) {
            lock_abandon(reading);
        }
    }
}

/* ---- writing ---- */

static void want(seg_t *seg, bool more) {
    count(&my_seat(seg)->wanting, seg->token, more);
    seg->wanting += more ? 1 : -1u;
}

static void raise_hint(slot_t *slot) {
    uint64_t seen = (uint64_t)atomic_load(&slot->word);
    int64_t expected;
    do {
        expected = (int64_t)seen;
        seen = (seen + 2) | 1;
        if (atomic_compare_exchange_strong(&slot->word, &expected, (int64_t)seen)) return;
        seen = (uint64_t)expected;
    } while (true);
}

/* With the lock: sleep until nobody reads. 1, 0 if the time is over, -1 with an exception. */
static int drain(waiting_t *w, uint32_t *reader) {
    seg_t *seg = w->seg;
    _Atomic uint32_t *gate = &table(seg)->gate;
    int going = 1;
    if ((*reader = any_reader(seg)) == 0) return 1;
    const rw_seat_t *seat = &table(seg)->seat[(*reader >> 21) - 1];
    const _Atomic int64_t *word = (const _Atomic int64_t *)&seat->reading;
    if (waiting_spin(w, word, atomic_load(word))) going = waiting_open(w);
    while (going > 0) {
        uint32_t token = signal_watch(gate);
        if ((*reader = any_reader(seg)) == 0) return 1;
        going = waiting_turn(w, gate, token);
    }
    return going;
}

static void end_writing(hold_t *hold) {
    if (hold->depth == 1) {
        atomic_store_explicit(&hold->slot->since, 0, memory_order_relaxed);
        clear_hint(hold->seg, false);
    }
    lock_release(hold, false);
}

static int refuse(handle_t *h, const char *why) {
    char name[OBJECT_NAME_ROOM];
    object_name(h->seg, h->slot, name);
    PyErr_Format(PyExc_RuntimeError, "%s: %s", name, why);
    return -1;
}

/* The lock, while this thread counts as wanting it: as lock_take(). */
static int take_lock(handle_t *h, hold_t *hold, int64_t timeout) {
    seg_t *seg = h->seg;
    uint32_t epoch = process.epoch;
    FAULT(rwlock_wanting);
    want(seg, true);
    FAULT(rwlock_wanted);
    raise_hint(hold->slot);
    FAULT(rwlock_hinted);
    int got = lock_take(hold, this_thread(), timeout, LOCK_QUIET, h);
    if (epoch != process.epoch) { /* a signal handler forked, and this is the child */
        if (got == 0 || got == 1) lock_release(hold, false);
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "a forked child does not go on with its parent's wait");
        return -1;
    }
    want(seg, false);
    FAULT(rwlock_unwanted);
    if (got < 0 || got == 2) clear_hint(seg, true);
    return got;
}

/* 0, or -1 with an exception. */
static int begin_writing(handle_t *h, int64_t timeout) {
    seg_t *seg = h->seg;
    hold_t *hold = handle_hold(h);
    if (hold == NULL) return -1;
    if (held_here(hold)) {
        if (hold->pending) return refuse(h, "a signal handler wants to write in the middle of its thread's wait to write");
        return hold->depth++, 0;
    }
    if (reading_here(seg) != NULL) return refuse(h, "this thread reads it: to wait until nobody does would be for ever; leave reading() first");
    if (seg->token == 0 && seat_take(seg) < 0) return raise_seatless(seg, errno), -1;
    slot_t *slot = h->slot;
    waiting_t w;
    uint32_t other = 0;
    int64_t start = now_ns();
    waiting_begin(&w, h, timeout);
    int got = take_lock(h, hold, timeout);
    if (got == 2) {
        other = atomic_load(&slot->lock);
        if (timeout > 0) count_one(&tally_of(seg, slot)->timeouts);
    } else if (got >= 0) {
        hold->pending = 1;
        atomic_store_explicit(&slot->since, (uint64_t)coarse_ns(), memory_order_relaxed);
        atomic_fetch_or(&slot->word, 1); /* it is set, unless the segment is damaged */
        FAULT(rwlock_draining);
        got = drain(&w, &other);
        hold->pending = 0;
        if (got <= 0 && held_here(hold)) end_writing(hold); /* else it was ended, with the handle */
        if (got == 0) got = 2;
    }
    if (got == 2) lock_timed_out(seg, other, now_ns() - start, slot);
    waiting_end(&w);
    if (got < 0 || got == 2) return -1;
    FAULT(rwlock_writing);
    return 0;
}

/* ---- the blocks ---- */

static PyObject *block_make(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, bool writes) {
    int64_t timeout = -1;
    if ((nargs > 0 || kwnames != NULL) && parse_wait(writes ? "writing()" : "reading()", args, nargs, kwnames, &timeout) < 0) return NULL;
    if (((handle_t *)self)->seg == NULL) return raise_closed();
    block_t *block = (block_t *)PyType_GenericAlloc(process.types.rwlock_block, 0);
    if (block == NULL) return NULL;
    block->handle = (handle_t *)Py_NewRef(self);
    block->timeout = timeout;
    block->writes = writes;
    return (PyObject *)block;
}

static PyObject *reading(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    return block_make(self, args, nargs, kwnames, false);
}

static PyObject *writing(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    return block_make(self, args, nargs, kwnames, true);
}

static PyObject *block_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    block_t *block = (block_t *)self;
    handle_t *h = block->handle;
    if (h->seg == NULL) return raise_closed();
    const seg_t *seg = h->seg;
    if ((block->writes ? begin_writing(h, block->timeout) : begin_reading(h, block->timeout)) < 0) return NULL;
    block->seg = seg;
    block->epoch = process.epoch;
    Py_RETURN_NONE;
}

/* Whoever entered it, the thread that leaves it ends one hold of its own. Silent if that was ended already, by close() or by a
 * fork. */
static PyObject *block_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    block_t *block = (block_t *)self;
    hold_t *hold = holds.first;
    while (hold != NULL && (hold->seg != block->seg || hold->reads == block->writes)) hold = hold->next;
    if (hold != NULL) {
        if (block->writes) end_writing(hold);
        else end_reading(hold);
        Py_RETURN_NONE;
    }
    bool raising = nargs > 0 && args[0] != Py_None;
    if (raising || block->handle->seg == NULL || (block->seg != NULL && block->epoch != process.epoch)) Py_RETURN_NONE;
    refuse(block->handle, block->writes ? "this thread does not write it" : "this thread does not read it");
    return NULL;
}

static void block_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF((PyObject *)((block_t *)self)->handle);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs) {
    handle_t *h = (handle_t *)self;
    PyObject *name = handle_parse(h, args, kwargs);
    if (name == NULL) return -1;
    return place_alone(h, KIND_RWLOCK, 0, sizeof(rwlock_t), NULL, 0) < 0 ? -1 : handle_publish(h, name);
}

static PyMethodDef methods[] = {
    {"reading", METHOD(reading), METH_FASTCALL | METH_KEYWORDS,
     "reading($self, timeout=None)\n--\n\n"},
    {"writing", METHOD(writing), METH_FASTCALL | METH_KEYWORDS,
     "writing($self, timeout=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_init, init}, {Py_tp_methods, methods}, {0, NULL}};
PyType_Spec rwlock_spec = {"procshare._native.RWLock", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

static PyMethodDef block_methods[] = {
    {"__enter__", block_enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(block_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot block_slots[] = {{Py_tp_dealloc, block_dealloc}, {Py_tp_methods, block_methods}, {0, NULL}};
PyType_Spec rwlock_block_spec = {"procshare._native.RWLockBlock", sizeof(block_t), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, block_slots};
