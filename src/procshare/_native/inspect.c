/* Looking at a segment without attaching to it: no seat is taken, nothing is mapped, nobody is waited for.
 *
 * All of it is read from the file into private memory, twice: before and after the look at the seats. What somebody writes
 * meanwhile may be read half, so what is told of a moment may be off by that. What is damaged gives numbers that mean nothing.
 */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LONGEST_META (1u << 20) /* of an array that is described at greater length, that is not told */
#define TRIES 10

/* A segment's first bytes, and where the rest is. */
typedef struct {
    int fd;
    size_t length;
    const header_t *header;
    char *base;
    uint64_t file_size, memory;
    uid_t user;
} window_t;

/* ---- reading ---- */

static int read_window(const window_t *w, const char *name) {
    ssize_t n = AGAIN(pread(w->fd, w->base, w->length, 0));
    if (n == (ssize_t)w->length) return 0;
    if (n < 0) raise_os(errno, name);
    else raise_named("CorruptSegment", name, "the file is too short");
    return -1;
}

/* Bytes behind the window; whether there are so many. */
static bool read_at(const window_t *w, uint64_t offset, void *to, size_t length) {
    return offset <= w->file_size && AGAIN(pread(w->fd, to, length, (off_t)offset)) == (ssize_t)length;
}

static const slot_t *slot_in(const char *base, uint32_t i) {
    return i == 0 ? &((const header_t *)(const void *)base)->root : (const slot_t *)(const void *)(base + SLOTS_OFFSET) + (i - 1);
}

static uint64_t claim_in(const char *base, uint32_t i) {
    return i == 0 ? atomic_load(&((const header_t *)(const void *)base)->claim) : ((const uint64_t *)(const void *)(base + HEADER_SIZE))[i];
}

static const tally_t *tally_in(const char *base, uint32_t i) {
    return i == 0 ? &((const header_t *)(const void *)base)->tally : (const tally_t *)(const void *)(base + TALLIES_OFFSET) + (i - 1);
}

/* ---- who is there ---- */

static PyObject *seated(const window_t *w) {
    PyObject *pids = PyList_New(0);
    const seat_t *seats = (const seat_t *)(const void *)(w->base + SEATS_OFFSET);
    for (uint32_t seat = 0; pids != NULL && seat < SEAT_COUNT; seat++) {
        if (atomic_load(&seats[seat].generation) == 0 || !seat_taken(w->fd, seat)) continue;
        PyObject *pid = PyLong_FromUnsignedLong(atomic_load(&seats[seat].pid));
        if (pid == NULL || PyList_Append(pids, pid) < 0) Py_CLEAR(pids);
        Py_XDECREF(pid);
    }
    return pids;
}

static long holder_of(const window_t *w, const slot_t *slot) {
    uint32_t lock = atomic_load(&slot->lock), seat = ((lock & ~LOCK_WAITERS) >> 21) - 1;
    if (lock == 0 || seat >= SEAT_COUNT || !seat_taken(w->fd, seat)) return 0;
    const seat_t *taken = (const seat_t *)(const void *)(w->base + SEATS_OFFSET) + seat;
    if ((atomic_load(&taken->generation) & LOCK_GENERATION) != (lock & LOCK_GENERATION)) return 0;
    return (long)atomic_load(&taken->pid);
}

static uint64_t sequence_in(const char *base, const header_t *h) {
    return is_container(h->kind) ? get(&((const container_t *)(const void *)(base + META_OFFSET))->sequence) : 0;
}

/* ---- what it is ---- */

static PyObject *number(uint64_t n) { return PyLong_FromUnsignedLongLong(n); }

/* How often it was changed; None if that is not counted. */
static PyObject *changes_of(const window_t *w, const slot_t *slot) {
    const queue_t *q = (const queue_t *)(const void *)(w->base + META_OFFSET);
    uint64_t word = (uint64_t)atomic_load(&slot->word), version = get(&slot->version);
    switch (slot->kind) {
    case KIND_VALUE: return number(slot->code == 0 && version > 0 ? version - 1 : version); /* the first one made it */
    case KIND_ARRAY:
    case KIND_EVENT: return number(word >> 1);
    case KIND_BARRIER: return number(word >> 3);
    case KIND_QUEUE: return number(get(&q->puts[get(&q->put_commits) & 1].in));
    default: return is_container(slot->kind) ? number(sequence_in(w->base, w->header) >> 1) : Py_NewRef(Py_None);
    }
}

/* Items of a container, as of one commit if one can be had between two. */
static uint64_t container_length(const window_t *w) {
    _Alignas(64) char room[sizeof(container_t)];
    const container_t *c = (const container_t *)(const void *)(w->base + META_OFFSET);
    for (int tries = 0; tries < TRIES && (get(&c->sequence) & 1); tries++) {
        if (!read_at(w, META_OFFSET, room, sizeof room)) break;
        c = (const container_t *)(const void *)room;
    }
    const generation_t *g = &c->generations[get(&c->generation) & 1];
    return w->header->kind == KIND_LIST ? span_length(get(&g->span)) : get(&g->count);
}

/* Items of a queue, those included that came back from a lease. */
static uint64_t queue_length(const window_t *w) {
    const queue_t *q = (const queue_t *)(const void *)(w->base + META_OFFSET);
    const seat_t *seats = (const seat_t *)(const void *)(w->base + SEATS_OFFSET);
    uint64_t in = get(&q->puts[get(&q->put_commits) & 1].in), out = get(&q->takes[get(&q->take_commits) & 1].out);
    uint64_t length = (int64_t)(in - out) > 0 ? in - out : 0;
    uint32_t leases = atomic_load(&q->leases);
    for (uint32_t i = 0; i < leases && i < LEASES; i++) {
        lease_t lease;
        if (!read_at(w, LEASES_OFFSET + i * sizeof lease, &lease, sizeof lease)) break;
        uint32_t state = (uint32_t)get(&lease.state), token = (uint32_t)(get(&lease.state) >> 32), seat = (token >> 21) - 1;
        bool dead = state == LEASE_HELD && (seat >= SEAT_COUNT || (atomic_load(&seats[seat].generation) & LOCK_GENERATION) != (token & LOCK_GENERATION) ||
                                            !seat_taken(w->fd, seat));
        length += dead || state == LEASE_BACK;
    }
    return length;
}

static PyObject *length_of(const window_t *w, const slot_t *slot) {
    if (is_container(slot->kind)) return number(container_length(w));
    return slot->kind == KIND_QUEUE ? number(queue_length(w)) : Py_NewRef(Py_None);
}

/* Whether somebody waits for a condition: they sleep on words of their own. */
static bool any_party_waits(const window_t *w) {
    uint64_t at = w->header->payload, room = w->header->payload_size;
    parties_t head;
    party_t party[64];
    if (room < sizeof head || !read_at(w, at, &head, sizeof head)) return false;
    uint64_t used = atomic_load(&head.used), most = (room - sizeof head) / sizeof *party;
    if (used > most) used = most;
    for (uint64_t i = 0; i < used && i < CONDITION_PARTIES; i++) {
        if (i % 64 == 0) {
            uint64_t left = used - i < 64 ? used - i : 64;
            if (!read_at(w, at + sizeof head + i * sizeof *party, party, left * sizeof *party)) return false;
        }
        const party_t *each = &party[i % 64];
        if (atomic_load(&each->token) != 0 && (atomic_load(&each->state) & 3) == PARTY_WAITING) return true;
    }
    return false;
}

static bool gate_watched(const window_t *w) {
    uint32_t gate = 0;
    return w->header->payload_size >= sizeof gate && read_at(w, w->header->payload, &gate, sizeof gate) && (gate & 1);
}

static bool any_waits(const window_t *w, const slot_t *slot) {
    const queue_t *q = (const queue_t *)(const void *)(w->base + META_OFFSET);
    if ((atomic_load(&slot->lock) & LOCK_WAITERS) || (atomic_load(&slot->change) & 1)) return true;
    if (slot->kind == KIND_CONDITION) return any_party_waits(w);
    if (slot->kind == KIND_RWLOCK) return gate_watched(w);
    if (slot->kind != KIND_QUEUE) return false;
    return ((atomic_load(&q->items) | atomic_load(&q->space) | atomic_load(&q->all_done)) & 1) ||
           ((atomic_load(&q->put_lock) | atomic_load(&q->take_lock)) & LOCK_WAITERS);
}

/* (slot, generation, kind, type code, holder, held since, created, (waits, timeouts, owner deaths), changes, length, waiting) */
static PyObject *object_in(const window_t *w, uint32_t i) {
    const slot_t *slot = slot_in(w->base, i);
    const tally_t *tally = tally_in(w->base, i);
    long holder = holder_of(w, slot);
    return Py_BuildValue("(IIiilKK(KKK)NNO)", i, slot->generation, (int)slot->kind, (int)slot->code, holder,
                         (unsigned long long)(holder != 0 ? get(&slot->since) : 0), (unsigned long long)get(&tally->created),
                         (unsigned long long)get(&tally->waits), (unsigned long long)get(&tally->timeouts),
                         (unsigned long long)get(&tally->owner_deaths), changes_of(w, slot), length_of(w, slot),
                         any_waits(w, slot) ? Py_True : Py_False);
}

static PyObject *live_objects(const window_t *w) {
    PyObject *objects = PyList_New(0);
    for (uint32_t i = 0; objects != NULL && i <= w->header->slots; i++) {
        const slot_t *slot = slot_in(w->base, i);
        if (slot->state != SLOT_LIVE || (i == 0) == (w->header->kind == KIND_SLAB)) continue;
        if (i > 0 && !(slot->flags & SLOT_EXPORTED)) continue;
        PyObject *object = object_in(w, i);
        if (object == NULL || PyList_Append(objects, object) < 0) Py_CLEAR(objects);
        Py_XDECREF(object);
    }
    return objects;
}

/* ---- the segment ---- */

/* The ids of the containers that have claimed it, or something in it. */
static PyObject *claims_on(const window_t *w) {
    PyObject *claims = PyList_New(0);
    for (uint32_t i = 0; claims != NULL && i <= w->header->slots; i++) {
        uint64_t claim = claim_in(w->base, i);
        PyObject *id = claim != 0 ? number(claim) : NULL;
        if (claim != 0 && (id == NULL || PyList_Append(claims, id) < 0)) Py_CLEAR(claims);
        Py_XDECREF(id);
    }
    return claims;
}

/* Whether something in it was handed over, and waits to be attached to. What a container had claimed does not wait: if that is
 * gone, its end was this one's. */
static bool waits_for_somebody(const window_t *w) {
    for (uint32_t i = 0; i <= w->header->slots; i++) {
        const slot_t *slot = slot_in(w->base, i);
        if ((slot->flags & SLOT_IN_FLIGHT) && (i == 0 || slot->state == SLOT_LIVE) && claim_in(w->base, i) == 0) return true;
    }
    return false;
}

/* What describes an array, as JSON; None for other kinds. */
static PyObject *description_of(const window_t *w) {
    const header_t *h = w->header;
    if (h->kind != KIND_ARRAY || h->meta_size > LONGEST_META) return Py_NewRef(Py_None);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)h->meta_size);
    if (bytes == NULL || read_at(w, h->meta, PyBytes_AsString(bytes), h->meta_size)) return bytes;
    Py_DECREF(bytes);
    return Py_NewRef(Py_None);
}

/* See inspect() in _native.pyi. */
static PyObject *told(window_t *w, const char *name) {
    PyObject *pids = NULL, *out = NULL, *claims = NULL, *objects = NULL, *description = NULL;
    int done = read_window(w, name);
    FAULT(segment_inspecting);
    /* Read again after the look at the seats: who sat there a moment ago may have handed it over, or stored it in a container,
     * before it left. */
    if (done == 0 && (pids = seated(w)) != NULL && read_window(w, name) == 0 && (claims = claims_on(w)) != NULL &&
        (objects = live_objects(w)) != NULL && (description = description_of(w)) != NULL) {
        const header_t *h = w->header, *now = (const header_t *)(const void *)w->base;
        /* A container's file has holes, so its memory is what it takes. */
        out = Py_BuildValue("(iKIIOKOKOkKOO)", (int)h->kind, (unsigned long long)(is_container(h->kind) ? w->memory : w->file_size),
                            (unsigned)now->flags, (unsigned)h->creator_pid, pids, (unsigned long long)now->handed_at,
                            waits_for_somebody(w) ? Py_True : Py_False, (unsigned long long)h->id, claims, (unsigned long)w->user,
                            (unsigned long long)get(&now->tally.created), description, objects);
    }
    Py_XDECREF(pids);
    Py_XDECREF(claims);
    Py_XDECREF(objects);
    Py_XDECREF(description);
    return out;
}

static PyObject *inspect(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    int foreign = 0;
    struct stat st;
    header_t h;
    PyObject *out = NULL;
    if (!PyArg_ParseTuple(args, "s|p", &name, &foreign)) return NULL;
    window_t w = {.fd = segment_open_checked(name, &st, foreign), .header = &h};
    if (w.fd < 0) return NULL;
    if (segment_read_header(w.fd, name, &st, &h) == 0) {
        w.length = h.kind == KIND_SLAB ? SLAB_SIZE : HEADER_SIZE;
        w.file_size = (uint64_t)st.st_size;
        w.memory = (uint64_t)st.st_blocks * 512;
        w.user = st.st_uid;
        w.base = aligned_alloc(128, w.length);
        out = w.base == NULL ? PyErr_NoMemory() : told(&w, name);
        free(w.base);
    }
    close(w.fd);
    return out;
}

PyMethodDef inspect_methods[] = {
    {"inspect", inspect, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
