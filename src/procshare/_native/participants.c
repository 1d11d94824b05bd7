/* Commits to several containers, finished by whoever comes after a death.
 *
 * The one with the lowest inode is the first. Each one's redo record names the first and the number of the transaction, and all
 * of them. The others' `pending` is set to PREPARED; then the first's is set to COMMITTED, and that store is the commit. Who
 * meets PREPARED asks the first: if what is pending there is this transaction, it is committed. The others are settled before the
 * first, so as long as anyone has to ask, the first can answer. It starts nothing new before, because whoever has its lock
 * settles the others first.
 *
 *   names in a redo record, behind its pairs:  | length, 2 bytes | name | length | name | ...   the first's first
 *
 * Deaths. Before the commit: the first has nothing pending, so what is PREPARED is dropped by the next owner of each; nobody
 * else could commit it any more. After it: each one's next owner applies it, and readers see it as if it were applied. If
 * the first is destroyed then (its owner was the one who died), the others ask each other: one who was told so, or has
 * settled it, says so.
 */
#include "container.h"

#include <unistd.h>

/* The next of the names at *at; NULL at the end. */
static const char *next_name(const char **at, const char *end, char *out) {
    uint16_t length = 0;
    if (end - *at < 2) return NULL;
    memcpy(&length, *at, 2);
    if (length == 0 || length >= NAME_ROOM || end - *at - 2 < length) return NULL;
    memcpy(out, *at + 2, length);
    out[length] = '\0';
    *at += 2 + length;
    return out;
}

static const char *names_of(seg_t *seg, uint64_t pending, const char **end) {
    uint8_t tag = 0;
    uint64_t length = 0, count;
    const redo_t *redo = redo_at(seg, pending, &count);
    const char *at = record_at(seg, redo_offset(pending), &tag, &length);
    *end = at == NULL || redo == NULL ? "" : at + length;
    const char *names = redo == NULL ? "" : (const char *)&redo->pair[count];
    return names > *end ? *end : names;
}

static seg_t *mapped(const char *name) {
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next)
        if (seg->geometry != NULL && seg->header != NULL && is_container(seg->kind) && strcmp(seg->name, name) == 0) return seg;
    return NULL;
}

/* Whether the transaction is known to be committed, as the container called *name* has it; without attaching to it. */
static bool says_committed(const char *name, const redo_t *redo) {
    _Alignas(64) char root[META_ROOM];
    redo_t head = {0};
    container_t *c = (container_t *)(void *)root;
    seg_t *seg = mapped(name);
    int fd = -1;
    if (seg != NULL) c = container_of(seg);
    else if ((fd = segment_open(name)) < 0) return false;
    else if (pread(fd, root, sizeof root, META_OFFSET) != (ssize_t)sizeof root) memset(root, 0, sizeof root);
    uint64_t pending = atomic_load(&c->pending);
    bool yes = get(&c->settled) == redo->transaction && get(&c->settled_first) == redo->first;
    if (!yes && (pending & 3) == REDO_COMMITTED) {
        uint64_t count;
        const redo_t *there = seg ? redo_at(seg, pending, &count) : NULL;
        if (there != NULL) head = *there;
        else if (fd >= 0 && pread(fd, &head, sizeof head, (off_t)(redo_offset(pending) + 8)) != (ssize_t)sizeof head) head.first = 0;
        yes = head.first == redo->first && head.transaction == redo->transaction;
    }
    if (fd >= 0) close(fd);
    return yes;
}

/* Whether what is PREPARED here is committed: 1, 0, or -1: it is not pending any more, look again. */
int transaction_decided(seg_t *seg, const redo_t *redo, uint64_t pending) {
    char name[NAME_ROOM];
    const char *end, *at = names_of(seg, pending, &end);
    container_t *c = container_of(seg);
    if (redo->first == 0 || (pending & 3) != REDO_PREPARED) return 0;
    for (int i = 0; i < MOST_MEMBERS && next_name(&at, end, name) != NULL; i++) {
        if (strcmp(name, seg->name) == 0 || !says_committed(name, redo)) continue;
        uint64_t seen = pending; /* from now on, whoever asks us is told */
        atomic_compare_exchange_strong(&c->pending, &seen, (pending & ~3ull) | REDO_COMMITTED);
        FAULT(transaction_decided);
        return 1;
    }
    if (atomic_load(&c->pending) != pending) return -1;
    hold_t *hold = seg->handles > 0 && !seat_alive(seg, atomic_load(&seg->header->root.lock)) ? hold_of(seg, 0) : NULL;
    if (hold == NULL || held_here(hold)) return 0;
    if (lock_acquire(hold, 0) == 0) { /* from the dead who left it, which settles it: nobody need ask again */
        lock_release(hold, false);
        return -1;
    }
    PyErr_Clear();
    return 0;
}

static int settle_other(const char *name, const redo_t *redo) {
    seg_t *seg = mapped(name);
    if (seg != NULL) segment_ref(seg);
    else if ((seg = segment_attach(name)) == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_FileNotFoundError)) return -1; /* it may yet be there */
        PyErr_Clear(); /* it is gone, and with it what it had to do */
        return 0;
    }
    uint64_t count;
    const redo_t *there = is_container(seg->kind) ? redo_at(seg, atomic_load(&container_of(seg)->pending), &count) : NULL;
    int done = 0;
    segment_pin(seg); /* who waits for a lock needs a seat */
    if (there != NULL && there->first == redo->first && there->transaction == redo->transaction) {
        hold_t *hold = container_prepare(seg) < 0 ? NULL : hold_of(seg, 0);
        done = hold == NULL ? -1 : lock_acquire(hold, -1); /* from the dead, which settles it */
        if (done == 0) {
            done = redo_settle(seg);
            lock_release(hold, true);
        }
    }
    segment_unpin(seg);
    segment_unref(seg);
    return done;
}

/* The first of a committed transaction sees to it that the others are settled: 0, or -1 with an exception. */
int transaction_settle_others(seg_t *seg, const redo_t *redo) {
    char name[NAME_ROOM];
    if (redo->first == 0 || redo->first != seg->header->id) return 0;
    const char *end, *at = names_of(seg, atomic_load(&container_of(seg)->pending), &end);
    for (int i = 0; i < MOST_MEMBERS && next_name(&at, end, name) != NULL; i++)
        if (strcmp(name, seg->name) != 0 && settle_other(name, redo) < 0) return -1;
    return 0;
}

/* A container that may be the first of a committed transaction is about to go: tell the others that it is committed. */
void transaction_tell(seg_t *seg) {
    container_t *c = container_of(seg);
    uint64_t pending = atomic_load(&c->pending), count;
    const redo_t *redo = (pending & 3) == REDO_COMMITTED ? redo_at(seg, pending, &count) : NULL;
    char name[NAME_ROOM];
    if (redo == NULL || redo->first == 0) return;
    const char *end, *at = names_of(seg, pending, &end);
    for (int i = 0; i < MOST_MEMBERS && next_name(&at, end, name) != NULL; i++) {
        if (strcmp(name, seg->name) == 0) continue;
        seg_t *other = mapped(name), *peeked = other ? NULL : segment_peek(name);
        if (other == NULL && (other = peeked) == NULL) continue;
        uint64_t theirs = is_container(other->kind) ? atomic_load(&container_of(other)->pending) : 0;
        const redo_t *there = (theirs & 3) == REDO_PREPARED ? redo_at(other, theirs, &count) : NULL;
        if (there != NULL && there->first == redo->first && there->transaction == redo->transaction)
            atomic_compare_exchange_strong(&container_of(other)->pending, &theirs, (theirs & ~3ull) | REDO_COMMITTED);
        FAULT(transaction_told);
        if (peeked != NULL) segment_discard(peeked);
    }
}

/* Before a process leaves a container, while it has its seat: what the dead left unfinished is finished. */
void transaction_finish(seg_t *seg) {
    if (LIKELY(get(&container_of(seg)->pending) == 0) || container_prepare(seg) < 0) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    hold_t *hold = seg->token == 0 ? NULL : hold_of(seg, 0);
    seg->handles++; /* who waits for a lock needs a seat */
    if (hold != NULL && !held_here(hold) && lock_acquire(hold, SLICE_NS) == 0) {
        redo_settle(seg);
        lock_release(hold, true);
    }
    seg->handles--;
    transaction_tell(seg);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

