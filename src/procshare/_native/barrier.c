/* The barrier: a table of the parties who wait (parties.c), and a word that says which phase it is and what is done about it.
 *
 *   slot.word = phase << 3 | FILLING, ACTING, RELEASING, BROKEN or RESETTING;  an entry's state = phase << 2 | what became of it
 *
 * All is changed under slot.lock. Who arrives takes an entry of the phase; the last one stores RELEASING, which ends the phase,
 * marks all entries as released, opens the next phase, and wakes. With an action it stores ACTING first, and runs the action
 * without the lock. BROKEN marks the entries as broken; RESETTING does that and opens the next phase. A waiter goes by its own
 * entry alone, so the next phase may fill while it wakes, and gives it back without the lock.
 *
 * Deaths. A party has an entry from the moment that it counts, the last one too: before RELEASING is stored its empty seat
 * breaks the barrier, which another party sees that waits, in a slice, or whoever arrives last, or asks `broken`. Each waiter
 * looks at the next entry of another process, in a ring, so somebody looks at every process. After RELEASING, BROKEN or
 * RESETTING was stored that is what happened: whoever takes the lock next finds the word and marks what is not marked; that
 * changes nothing that was marked, so it may be done again. Between marks and wake: the waiters' slices end.
 */
#include "sync.h"

#include <stdlib.h>
#include <string.h>

enum { FILLING, ACTING, RELEASING, BROKEN, RESETTING };

#define MOST_PARTIES (1u << 20)
#define LONGEST_NS 9000000000000000000LL /* see parse_timeout() */
#define RETRY_NS 4000000LL

typedef struct {
    handle_t base;
    PyObject *action;
} barrier_t;

static uint64_t word_of(const slot_t *slot) { return (uint64_t)atomic_load(&slot->word); }
static uint64_t phase_of(uint64_t word) { return word >> 3; }
static uint32_t state_of(uint64_t word) { return (word & 7) > RESETTING ? BROKEN : (uint32_t)(word & 7); }
static uint32_t waiting_in(uint64_t phase) { return (uint32_t)phase << 2 | PARTY_WAITING; }
static bool is_open(uint64_t word) { return state_of(word) == FILLING || state_of(word) == ACTING; }

static barrier_meta_t meta_of(const seg_t *seg) {
    barrier_meta_t meta;
    memcpy(&meta, seg->base + seg->meta, sizeof meta);
    if (meta.timeout_ns < 0 || meta.timeout_ns > LONGEST_NS) meta.timeout_ns = -1;
    return meta;
}

bool barrier_fits(const seg_t *seg) {
    if (!parties_fit(seg) || seg->meta_size < sizeof(barrier_meta_t)) return false;
    uint32_t parties = meta_of(seg).parties;
    return parties > 0 && parties <= MOST_PARTIES && parties <= parties_room(seg);
}

static void *raise_broken(handle_t *h) {
    char name[OBJECT_NAME_ROOM] = "the barrier";
    PyObject *errors = PyObject_CallMethod(process.hooks, "channel_errors", NULL);
    PyObject *type = errors ? PyTuple_GetItem(errors, 3) : NULL;
    if (h->seg != NULL) object_name(h->seg, h->slot, name);
    if (type != NULL) PyErr_Format(type, "%s is broken: a party was late, left or died, or it was aborted or reset", name);
    Py_XDECREF(errors);
    return NULL;
}

/* ---- with the lock ---- */

static void mark(seg_t *seg, uint64_t phase, uint32_t as) {
    uint32_t waiting = waiting_in(phase), used = parties_used(seg);
    for (uint32_t i = 0; i < used; i++) {
        party_t *party = party_at(seg, i);
        if (atomic_load_explicit(&party->state, memory_order_relaxed) != waiting || atomic_load(&party->token) == 0) continue;
        atomic_store(&party->state, (waiting & ~3u) | as);
        FAULT(barrier_marking);
    }
}

/* Do what the word says is being done. */
static void finish(seg_t *seg, slot_t *slot) {
    uint64_t phase = phase_of(word_of(slot));
    uint32_t state = state_of(word_of(slot));
    if (state == FILLING || state == ACTING) return;
    mark(seg, phase, state == RELEASING ? PARTY_RELEASED : PARTY_BROKEN);
    FAULT(barrier_marked);
    if (state != BROKEN) atomic_store(&slot->word, (int64_t)((phase + 1) << 3 | FILLING));
    FAULT(barrier_opened);
    change_notify(slot);
}

static void move(seg_t *seg, uint32_t to) {
    slot_t *slot = &seg->header->root;
    FAULT(barrier_committing);
    atomic_store(&slot->word, (int64_t)(phase_of(word_of(slot)) << 3 | to));
    if (to == BROKEN) {
        FAULT(barrier_breaking);
    } else {
        FAULT(barrier_committed);
    }
    finish(seg, slot);
}

/* Take the lock; NULL with an exception: LockTimeout if whoever has it does not go on, and this is deaf to signals. */
static hold_t *begin_within(seg_t *seg, int how, int64_t timeout) {
    hold_t *hold = hold_of(seg, 0);
    if (hold == NULL || lock_take(hold, this_thread(), timeout, how, NULL) < 0) return NULL;
    finish(seg, hold->slot); /* what a dead one left */
    return hold;
}

static hold_t *begin(seg_t *seg, int how) { return begin_within(seg, how, how & LOCK_DEAF ? QUIET_NS : -1); }

static void end(hold_t *hold) { lock_release(hold, false); }

/* ---- the parties of a phase ---- */

static bool waits_in(const party_t *party, uint64_t phase) {
    return atomic_load_explicit(&party->state, memory_order_relaxed) == waiting_in(phase) && atomic_load(&party->token) != 0;
}

/* How many have arrived. *number: for the next one, the first that none of them has. */
static uint32_t arrived(seg_t *seg, uint64_t phase, uint64_t *number) {
    uint32_t count = 0, used = parties_used(seg);
    bool taken = false;
    for (uint32_t i = 0; i < used; i++) count += waits_in(party_at(seg, i), phase);
    *number = count;
    for (uint32_t i = 0; i < used; i++)
        if (waits_in(party_at(seg, i), phase)) taken = taken || atomic_load(&party_at(seg, i)->ticket) == count;
    char *had = taken ? calloc(1, count) : NULL; /* somebody was interrupted, and left */
    for (uint32_t i = 0; had != NULL && i < used; i++) {
        uint64_t ticket = atomic_load(&party_at(seg, i)->ticket);
        if (ticket < count && waits_in(party_at(seg, i), phase)) had[ticket] = 1;
    }
    for (uint64_t each = 0; had != NULL && each < count; each++)
        if (!had[each] && *number == count) *number = each;
    free(had);
    return count;
}

/* Whether a party that waits is dead. */
static bool any_dead(seg_t *seg, uint64_t phase) {
    uint32_t alive = seg->token, used = parties_used(seg);
    for (uint32_t i = 0; i < used; i++) {
        uint32_t token = atomic_load(&party_at(seg, i)->token);
        if (token == 0 || token == alive || !waits_in(party_at(seg, i), phase)) continue;
        if (!seat_alive(seg, token)) return true;
        alive = token;
    }
    return false;
}

/* The same, of the next party in the table that is another process's. */
static bool next_dead(seg_t *seg, const party_t *mine, uint64_t phase) {
    uint32_t used = parties_used(seg), me = (uint32_t)(mine - party_at(seg, 0));
    for (uint32_t n = 1; n < used; n++) {
        const party_t *party = party_at(seg, (me + n) % used);
        uint32_t token = atomic_load(&party->token);
        if (token != 0 && token != seg->token && waits_in(party, phase)) return !seat_alive(seg, token);
    }
    return false;
}

/* If a party that waits is dead, the barrier breaks: 0, or -1 with an exception. */
static int look(seg_t *seg) {
    slot_t *slot = &seg->header->root;
    uint64_t word = word_of(slot);
    if (is_open(word) && !any_dead(seg, phase_of(word))) return 0;
    if (state_of(word) == BROKEN) return 0;
    hold_t *hold = begin(seg, 0);
    if (hold == NULL) return -1;
    word = word_of(slot);
    if (is_open(word) && any_dead(seg, phase_of(word))) move(seg, BROKEN);
    end(hold);
    return 0;
}

/* ---- wait ---- */

typedef struct {
    waiting_t waiting;
    party_t *party;
    uint64_t phase, number;
    uint32_t token;
} arrival_t;

/* Break the phase, unless it is over: 1, or -1 with an exception. */
static int break_phase(arrival_t *a) {
    seg_t *seg = a->waiting.seg;
    hold_t *hold = begin(seg, LOCK_DEAF);
    if (hold == NULL) return -1;
    uint64_t word = word_of(hold->slot);
    if (is_open(word) && phase_of(word) == a->phase) move(seg, BROKEN);
    end(hold);
    return 1;
}

/* Interrupted: it is as if it had not come, so that it may come again. */
static void go_away(arrival_t *a) {
    PyObject *type, *value, *traceback;
    if (a->waiting.epoch != process.epoch) return; /* a forked child: the entry is its parent's */
    PyErr_Fetch(&type, &value, &traceback);
    hold_t *hold = begin(a->waiting.seg, LOCK_DEAF);
    party_leave(a->party, a->token);
    if (hold != NULL) end(hold);
    PyErr_Restore(type, value, traceback);
}

/* Until the entry is marked: 1 released, 0 broken, -1 with an exception. */
static int await_mark(arrival_t *a) {
    waiting_t *w = &a->waiting;
    uint32_t waiting = waiting_in(a->phase), broken = (waiting & ~3u) | PARTY_BROKEN;
    int going = waiting_spin32(w, &a->party->state, waiting) ? waiting_open(w) : 1;
    while (going > 0) {
        uint32_t token = signal_watch(&w->slot->change), state = atomic_load(&a->party->state);
        if (state != waiting) {
            FAULT(barrier_leaving);
            party_leave(a->party, a->token);
            return state == ((waiting & ~3u) | PARTY_RELEASED);
        }
        uint64_t word = word_of(w->slot);
        if (!is_open(word) || phase_of(word) != a->phase) { /* its end is being written down, or who did that is dead */
            hold_t *hold = begin(w->seg, 0);
            if (hold == NULL) break;
            if (atomic_load(&a->party->state) == waiting) atomic_store(&a->party->state, broken);
            end(hold);
            continue;
        }
        going = waiting_turn(w, &w->slot->change, token);
        if (going == 0 || (going > 0 && next_dead(w->seg, a->party, a->phase))) going = break_phase(a);
    }
    go_away(a);
    return -1;
}

/* The last one runs the action: 1, 0 if the barrier broke meanwhile, -1 with its exception. */
static int act(barrier_t *b, arrival_t *a) {
    seg_t *seg = a->waiting.seg;
    PyObject *action = Py_NewRef(b->action), *type, *value, *traceback;
    FAULT(barrier_acting);
    PyObject *result = PyObject_CallNoArgs(action);
    FAULT(barrier_acted);
    bool raised = result == NULL;
    Py_XDECREF(result);
    Py_DECREF(action);
    if (a->waiting.epoch != process.epoch) return raised ? -1 : 0; /* it forked, and this is the child */
    PyErr_Fetch(&type, &value, &traceback);
    hold_t *hold = begin(seg, LOCK_DEAF);
    bool whole = hold != NULL && word_of(hold->slot) == (a->phase << 3 | ACTING);
    if (whole) move(seg, raised ? BROKEN : RELEASING);
    party_leave(a->party, a->token);
    if (hold != NULL) end(hold);
    else PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    return raised ? -1 : whole;
}

/* Arrive, under the lock: 2 wait for the others, 3 run the action, 1 all are there, 0 it is broken, -2 not now: look again
 * later. */
static int arrive(arrival_t *a, uint32_t parties, bool acts) {
    seg_t *seg = a->waiting.seg;
    slot_t *slot = a->waiting.slot;
    uint64_t word = word_of(slot);
    if (state_of(word) == BROKEN) return 0;
    a->phase = phase_of(word);
    if (state_of(word) == ACTING) {
        if (!any_dead(seg, a->phase)) return -2;
        move(seg, BROKEN);
        return 0;
    }
    bool last = arrived(seg, a->phase, &a->number) + 1 >= parties;
    FAULT(barrier_entering);
    if ((a->party = party_enter(seg, waiting_in(a->phase), a->number)) == NULL) return -2;
    FAULT(barrier_entered);
    if (!last) return 2;
    bool whole = !any_dead(seg, a->phase);
    if (acts && whole) {
        atomic_store(&slot->word, (int64_t)(a->phase << 3 | ACTING));
        return 3;
    }
    move(seg, whole ? RELEASING : BROKEN);
    party_leave(a->party, a->token);
    return whole;
}

static int pass(barrier_t *b, arrival_t *a, const barrier_meta_t *meta) {
    waiting_t *w = &a->waiting;
    for (int going = 1;;) {
        uint32_t token = signal_watch(&w->slot->change);
        int64_t left = w->until < 0 ? -1 : w->until - now_ns();
        hold_t *hold = begin_within(w->seg, 0, w->until < 0 || left > SLICE_NS ? left : SLICE_NS);
        if (hold == NULL) return -1;
        a->token = w->seg->token;
        int state = arrive(a, meta->parties, meta->has_action);
        if (state == -2 && going == 0) { /* the time is over before it could arrive */
            move(w->seg, BROKEN);
            state = 0;
        }
        end(hold);
        if (state == 2) {
            FAULT(barrier_waiting);
            return await_mark(a);
        }
        if (state == 3) return act(b, a);
        if (state >= 0) return state;
        if (w->slice > RETRY_NS) w->slice = RETRY_NS;
        if ((going = waiting_turn(w, &w->slot->change, token)) < 0) return -1;
    }
}

static PyObject *wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[] = {"timeout"};
    barrier_t *b = (barrier_t *)self;
    handle_t *h = &b->base;
    PyObject *timeout = Py_None;
    arrival_t a = {0};
    if (parse_names("wait()", names, 1, args, nargs, kwnames, &timeout) < 0) return NULL;
    if (h->seg == NULL) return raise_closed();
    barrier_meta_t meta = meta_of(h->seg);
    int64_t ns = meta.timeout_ns;
    if (timeout != Py_None && parse_timeout(timeout, &ns) < 0) return NULL;
    if (meta.has_action && b->action == NULL) return PyErr_Format(PyExc_RuntimeError, "this barrier is not yet bound to its action");
    waiting_begin(&a.waiting, h, ns);
    int done = pass(b, &a, &meta);
    waiting_end(&a.waiting);
    if (done == 0) return h->seg != NULL && segment_whole(h->seg) < 0 ? NULL : raise_broken(h);
    return done < 0 ? NULL : answer(h, PyLong_FromUnsignedLongLong(a.number));
}

/* ---- the other methods ---- */

static PyObject *change(PyObject *self, uint32_t to) {
    seg_t *seg = ((handle_t *)self)->seg;
    if (seg == NULL) return raise_closed();
    segment_pin(seg);
    hold_t *hold = begin(seg, 0);
    if (hold != NULL) {
        move(seg, to);
        end(hold);
    }
    segment_unpin(seg);
    if (hold == NULL) return NULL;
    Py_RETURN_NONE;
}

static PyObject *reset(PyObject *self, PyObject *unused) { return (void)unused, change(self, RESETTING); }
static PyObject *abort_(PyObject *self, PyObject *unused) { return (void)unused, change(self, BROKEN); }

/* The word, after a look for the dead: 0, or -1 with an exception. */
static int current(handle_t *h, uint64_t *word) {
    if (h->seg == NULL) return raise_closed(), -1;
    seg_t *seg = h->seg;
    segment_pin(seg);
    int done = look(seg);
    *word = word_of(&seg->header->root);
    if (segment_whole(seg) < 0) done = -1;
    segment_unpin(seg);
    return done;
}

static PyObject *get_parties(PyObject *self, void *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    return seg == NULL ? raise_closed() : PyLong_FromUnsignedLong(meta_of(seg).parties);
}

static PyObject *get_waiting(PyObject *self, void *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    uint64_t word, number;
    if (seg != NULL) segment_ref(seg);
    int done = current((handle_t *)self, &word);
    uint32_t count = done == 0 && is_open(word) ? arrived(seg, phase_of(word), &number) : 0;
    if (seg != NULL) segment_unref(seg);
    return done < 0 ? NULL : PyLong_FromUnsignedLong(count);
}

static PyObject *get_broken(PyObject *self, void *unused) {
    (void)unused;
    uint64_t word;
    return current((handle_t *)self, &word) < 0 ? NULL : PyBool_FromLong(state_of(word) == BROKEN);
}

/* ---- making ---- */

/* _create(parties, timeout, action_pickle, has_action, name) */
static PyObject *create(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    PyObject *timeout, *pickle, *name;
    Py_ssize_t parties;
    int has_action;
    int64_t ns;
    if (!PyArg_ParseTuple(args, "nOOpO", &parties, &timeout, &pickle, &has_action, &name) || parse_timeout(timeout, &ns) < 0) return NULL;
    if (parties < 1 || parties > (Py_ssize_t)MOST_PARTIES)
        return PyErr_Format(PyExc_ValueError, "a barrier has 1 to %u parties", MOST_PARTIES);
    Py_ssize_t length = pickle == Py_None ? 0 : PyBytes_Size(pickle);
    if (length < 0) return NULL;
    char *meta = calloc(1, sizeof(barrier_meta_t) + (size_t)length);
    if (meta == NULL) return PyErr_NoMemory();
    *(barrier_meta_t *)(void *)meta = (barrier_meta_t){.parties = (uint32_t)parties, .has_action = (uint8_t)has_action, .timeout_ns = ns};
    if (length > 0) memcpy(meta + sizeof(barrier_meta_t), PyBytes_AsString(pickle), (size_t)length);
    uint64_t payload = (sizeof(parties_t) + (2 * (uint64_t)parties + 64) * sizeof(party_t) + 4095) / 4096 * 4096;
    int done = place_alone(h, KIND_BARRIER, 0, payload, meta, sizeof(barrier_meta_t) + (size_t)length);
    free(meta);
    if (done < 0 || handle_publish(h, name) < 0) return NULL;
    Py_RETURN_NONE;
}

/* _action(): its action's pickle, None if that has none, False if there is no action. */
static PyObject *get_action(PyObject *self, PyObject *unused) {
    (void)unused;
    seg_t *seg = ((handle_t *)self)->seg;
    if (seg == NULL) return raise_closed();
    if (!meta_of(seg).has_action) Py_RETURN_FALSE;
    if (seg->meta_size == sizeof(barrier_meta_t)) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(seg->base + seg->meta + sizeof(barrier_meta_t), (Py_ssize_t)(seg->meta_size - sizeof(barrier_meta_t)));
}

static PyObject *bind(PyObject *self, PyObject *action) {
    PyObject *old = ((barrier_t *)self)->action;
    ((barrier_t *)self)->action = action == Py_None ? NULL : Py_NewRef(action);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/* _bound(): the action that this process has, or None. */
static PyObject *bound(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *action = ((barrier_t *)self)->action;
    return Py_NewRef(action ? action : Py_None);
}

/* The action may well lead back here. */
static int traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((barrier_t *)self)->action);
    return 0;
}

static int forget(PyObject *self) {
    Py_CLEAR(((barrier_t *)self)->action);
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    forget(self);
    ((destructor)PyType_GetSlot(process.types.handle, Py_tp_dealloc))(self);
}

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL},
    {"_action", get_action, METH_NOARGS, NULL},
    {"_bind", bind, METH_O, NULL},
    {"_bound", bound, METH_NOARGS, NULL},
    {"wait", METHOD(wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\n"},
    {"reset", reset, METH_NOARGS, NULL},
    {"abort", abort_, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"parties", get_parties, NULL, NULL, NULL},
    {"n_waiting", get_waiting, NULL, NULL, NULL},
    {"broken", get_broken, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {{Py_tp_methods, methods}, {Py_tp_getset, getset}, {Py_tp_traverse, traverse},
                              {Py_tp_clear, forget},    {Py_tp_dealloc, dealloc}, {0, NULL}};
PyType_Spec barrier_spec = {"procshare._native.Barrier", sizeof(barrier_t), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
