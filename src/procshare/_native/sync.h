/* What the files of the synchronisation types offer each other. */
#ifndef PROCSHARE_SYNC_H
#define PROCSHARE_SYNC_H

#include "native.h"

/* ---- sync.c: locks as objects, and what all of these types need ---- */

int parse_names(const char *call, const char *const *names, int count, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                PyObject **out);
int parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *ns);
int parse_wait(const char *call, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, int64_t *ns);

int place_alone(handle_t *h, uint8_t kind, uint8_t code, uint64_t payload, const void *meta, size_t meta_size);

uintptr_t lock_owner_here(const handle_t *h, const hold_t *hold);
int object_acquire(handle_t *h, int64_t timeout_ns);
int object_release(handle_t *h, bool silent);
bool object_locked(handle_t *h);

/* A wait that goes on until something in shared memory has changed. It keeps the segment mapped and this process in its seat. */
typedef struct {
    handle_t *h;
    seg_t *seg;
    slot_t *slot;
    int64_t until, slice; /* until: -1 for ever */
    uint32_t epoch;
    bool spun, slept, late, tried; /* tried: it waits for nothing; late: its time was over */
} waiting_t;

void waiting_begin(waiting_t *w, handle_t *h, int64_t timeout_ns);
int waiting_turn(waiting_t *w, _Atomic uint32_t *word, uint32_t token);
bool waiting_spin(waiting_t *w, const _Atomic int64_t *word, int64_t value);
bool waiting_spin32(waiting_t *w, const _Atomic uint32_t *word, uint32_t value);
int waiting_open(const waiting_t *w);
void waiting_end(waiting_t *w);

/* ---- parties.c: a table of those who wait, in the payload of a segment ---- */

uint32_t parties_room(const seg_t *seg);
uint32_t parties_used(const seg_t *seg);
party_t *party_at(const seg_t *seg, uint32_t i);
party_t *party_enter(seg_t *seg, uint32_t state, uint64_t ticket);
bool party_leave(party_t *party, uint32_t token);
uint64_t parties_ticket(const seg_t *seg);

/* ---- condition.c, barrier.c, rwlock.c, semaphore.c: whether a segment can be one ---- */

bool semaphore_fits(const seg_t *seg, uint8_t code);
bool parties_fit(const seg_t *seg);
bool barrier_fits(const seg_t *seg);
bool rwlock_fits(const seg_t *seg);
void rwlock_closed(seg_t *seg);

#define METHOD(f) ((PyCFunction)(void (*)(void))(f))

#endif
