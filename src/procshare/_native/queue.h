/* What the files about queues offer each other. */
#ifndef PROCSHARE_QUEUE_H
#define PROCSHARE_QUEUE_H

#include "container.h"

/* ---- parcels: an item on its way in or out ---- */

#define PARCEL_ROOM 96
#define PLAIN_ROOM 4096

/* An encoded item: a head, and a body of one piece and of what a pickle left out of band. */
typedef struct {
    uint64_t head, length; /* head: tag << 56 | the length that the ring has, of the body or of where it lies */
    const char *data;
    uint64_t data_length;
    Py_buffer *views;
    Py_ssize_t view_count;
    PyObject *owner, *links, *claimed; /* what keeps *data*; the handles in the item; those that were claimed for it */
    uint64_t large;          /* where a body lies that has an extent of its own: offset << 6 | order; 0: none */
    uint32_t epoch;          /* the process whose extent and claims these are: no forked child of its */
    char room[PARCEL_ROOM];
} parcel_t;

/* Where an item's body is to be read: a ring of *size* bytes, or with UINT64_MAX a flat piece. */
typedef struct {
    const char *base;
    uint64_t size, at;
} source_t;

/* A body, copied out but not decoded yet, since that may run anybody's code. Not to be cleared before use. */
typedef struct {
    uint8_t tag;
    uint64_t length, ticket; /* length: of what is in *bytes* or *room*; ticket: the how-manieth item it is */
    uint64_t large; /* the extent that it had to itself; 0: none */
    PyObject *bytes, **buffers; /* buffers: bytearrays, no list, since making one may run the garbage collector */
    uint64_t buffer_count;
    char room[SHORT];
} fetched_t;

int parcel_pack(PyObject *obj, parcel_t *parcel);
int parcel_inherited(const parcel_t *parcel);
void parcel_clear(seg_t *seg, parcel_t *parcel);
void parcel_write(const parcel_t *parcel, char *at, uint64_t size, uint64_t from);
int fetch(source_t source, uint8_t tag, uint64_t length, fetched_t *out);
int fetch_or_spoil(source_t source, uint8_t tag, uint64_t length, fetched_t *out);
void fetched_clear(fetched_t *fetched);
PyObject *fetched_decode(seg_t *seg, fetched_t *fetched, bool taken);
PyObject *body_decode(seg_t *seg, uint8_t tag, const char *body, uint64_t length);
void source_copy(source_t source, uint64_t offset, void *to, uint64_t length);
int64_t plain_encode(PyObject *obj, char *room, uint64_t size);
PyObject *plain_decode(const char *bytes, uint64_t length);

/* ---- ring.c ---- */

typedef struct {
    uint64_t head, in, large;
} put_books_t;

typedef struct {
    uint64_t tail, out, large, done;
} take_books_t;

/* This process's view of a queue. Guarded by the GIL. */
typedef struct queue_view {
    uint64_t maxsize, capacity;
    char *ring; /* as it was after so many growths */
    uint64_t size, growths;
    put_books_t puts; /* as last seen: never more than there is */
    take_books_t takes;
    uintptr_t putting, taking; /* the thread of ours that has the lock; 0: none */
    uint32_t token;       /* whose debts were told from its seat's former occupant's */
    bool leases_ready;    /* there is memory behind them */
    int64_t patience; /* how long who takes next waits for the lock */
    luck_t luck;
    int64_t looked;       /* when the holders of leases were last looked at */
} queue_view_t;

static inline queue_t *queue_of(const seg_t *seg) { return (queue_t *)(seg->base + META_OFFSET); }

static inline uint64_t record_size(uint64_t head) { return record_room(head & 0xffffffffffffffull); }

#define BUSY_NS 50000000LL /* a call that waits for no item still waits this long for a lock, which is held for microseconds */

int ring_lock_puts(seg_t *seg, int64_t ns);
int ring_lock_takes(seg_t *seg, int64_t ns);
void ring_unlock_puts(seg_t *seg);
void ring_unlock_takes(seg_t *seg);
put_books_t ring_puts(seg_t *seg);
take_books_t ring_takes(seg_t *seg);
void ring_commit_puts(seg_t *seg, const put_books_t *books);
bool ring_count_done(seg_t *seg, take_books_t *books);
void ring_also(seg_t *seg, int which, uint64_t place, uint64_t value);
void ring_commit_takes(seg_t *seg, const take_books_t *books);
bool ring_extent_possible(seg_t *seg, uint64_t extent, uint64_t length);
int ring_map(seg_t *seg);
void ring_shrink(seg_t *seg);
int64_t ring_put(seg_t *seg, parcel_t *parcels, int64_t count, int64_t ns);
int ring_peek(seg_t *seg, take_books_t *books, uint64_t *head, source_t *body, uint64_t *length, uint64_t *large);
uint64_t ring_owe(seg_t *seg, int32_t more, uint64_t *value);
void *queue_corrupt(seg_t *seg);
int queue_enlarge(seg_t *seg, parcel_t *parcel);

/* ---- lease.c ---- */
lease_t *lease_at(const seg_t *seg, uint32_t i);
int lease_ready(seg_t *seg);
int lease_next_back(seg_t *seg, bool look, uint32_t *found);
bool lease_elsewhere(seg_t *seg);
uint64_t lease_backs(seg_t *seg);
int lease_fetch(seg_t *seg, uint32_t i, fetched_t *out);
void lease_let_go(seg_t *seg, uint32_t i);
int lease_put_back(seg_t *seg, const char *records, uint64_t length, uint64_t ticket, uint64_t skip);
int leases_drop(seg_t *seg);
PyObject *lease_make(PyObject *queue, int64_t ns);

/* ---- waits.c ---- */
enum channel_error { ERROR_EMPTY, ERROR_FULL, ERROR_SHUT_DOWN, ERROR_BROKEN_BARRIER };
void *raise_channel(enum channel_error which, PyObject *message);

enum { SHUT = 1, SHUT_AT_ONCE = 2 };

typedef struct {
    int64_t start, ns, slice;
    uint32_t token;
    bool spun, armed, slept;
} wait_t;

int queue_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, const char *const names[], int most, PyObject **out);
int64_t queue_left(const wait_t *w);
int queue_patience(PyObject *block, PyObject *timeout, int64_t *ns);
int queue_wait_step(handle_t *h, wait_t *w, const _Atomic uint64_t *commits, _Atomic uint32_t *word);
int queue_wait_items(handle_t *h, int (*take)(seg_t *seg, bool look, void *arg), void *arg, int64_t ns);
bool ring_empty(seg_t *seg);
int queue_finish_dead(seg_t *seg);
int queue_drop_all(seg_t *seg);
void queue_signal_space(seg_t *seg, uint64_t count);

/* ---- puts.c, takes.c, tasks.c: methods ---- */
PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_put_nowait(PyObject *self, PyObject *obj);
PyObject *queue_put_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_encode(PyObject *self, PyObject *obj);
PyObject *queue_put_encoded(PyObject *self, PyObject *capsule);
PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_get_nowait(PyObject *self, PyObject *unused);
PyObject *queue_get_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_task_done(PyObject *self, PyObject *unused);
PyObject *queue_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *queue_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

#endif
