/* The core's private structures and what its files offer each other. */
#ifndef PROCSHARE_NATIVE_H
#define PROCSHARE_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Python 3.12's headers take these for immortal whatever the limited API asks for. A core built with them runs on 3.11 too,
 * where they are not. */
#undef Py_RETURN_NONE
#define Py_RETURN_NONE return Py_NewRef(Py_None)
#undef Py_RETURN_TRUE
#define Py_RETURN_TRUE return Py_NewRef(Py_True)
#undef Py_RETURN_FALSE
#define Py_RETURN_FALSE return Py_NewRef(Py_False)

#include "faults.h"
#include "layout.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline, cold))
#ifdef __GLIBC__ /* musl does not load a library later on that has thread-locals of this model, which is the fast one */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define THREAD_LOCAL _Thread_local
#endif
#define SHM "/dev/shm"
#define CHUNKS 40
#define SLICE_NS 50000000LL /* a wait looks at signals and at the holder this often */
#define FIRST_SLICE_NS 1000000LL
#define SPIN_NS 20000LL

typedef struct seg seg_t;
typedef struct mapping mapping_t;
struct geometry;
struct stage;

/* A thread's hold of one lock. There is one record for each (segment, slot) and process, shared by its handles.
 * `thread` and `depth` mean something while this process's seat is in the lock word. */
typedef struct hold {
    seg_t *seg;
    slot_t *slot;
    _Atomic uintptr_t thread; /* 0: nobody here; see this_thread(), is_task() */
    uint32_t depth;
    uint64_t blocks;           /* counts first holds, so that a guard knows its own from a later one */
    bool dirty;                /* something is staged; counted in process.staged */
    bool direct;               /* of a container: held for the length of one call, not by a block */
    bool from_dead;            /* it was taken from a holder who died */
    bool reads;                /* of a read-write lock: one thread's reading, in seg->readings; not the lock */
    int64_t pending;           /* the block's word, not yet committed */
    PyObject *record;          /* or the block's encoded record, bytes; its tag is then in `pending` */
    struct stage *stage;       /* of a container: what the block changed */
    struct hold *next, **link; /* in the thread's list, so that its exit abandons them */
    struct hold *sibling;      /* in seg->readings */
} hold_t;

/* One mapping of one file; one for each (device, inode) and process. Guarded by the GIL, but for what is atomic. */
struct seg {
    seg_t *next;
    long refs;    /* handles, views, ownership, running calls */
    long handles; /* what needs the seat: open handles, and ownership of what was exported */
    dev_t dev;
    ino_t ino;
    uid_t uid; /* whose file it is */
    int fd;
    char *base;
    header_t *header;
    uint64_t size, payload, payload_size, meta, known_size;
    uint32_t meta_size, kind, slots;
    char *chunk[CHUNKS]; /* chunk i maps [size << i, size << (i + 1)) of the file */
    mapping_t *mapping, *chunk_mapping[CHUNKS]; /* of each mapping, see mapping.c */
    _Atomic bool cut;    /* likewise: its file was made shorter */
    bool linked;         /* this process knows that it has a name */
    uint64_t tracker;    /* with which this process registered it; 0: with none */
    int seat;
    uint32_t token; /* my lock word */
    bool owner, exported, unlinked, heap_busy; /* heap_busy: a thread of ours has the heap lock */
    uint32_t foreign; /* of a forked child that may not open it: 1 + whose it is */
    bool making;  /* a container that is being filled: it gets its name when it is whole */
    hold_t **holds; /* by slot index; the root slot is index 0 */
    uint32_t *open; /* likewise: this process's handles */
    char name[NAME_ROOM];
    struct geometry *geometry; /* of a container */
    _Atomic uint64_t *reading; /* likewise: this process's word among the readers'; NULL: not joined yet */
    uint64_t quiet;            /* nobody reads a generation before this one any more */
    uint64_t unmapped;         /* how much the last segment_at() that gave NULL could not map; 0: that was not why */
    bool unpunched;            /* there are gaps whose memory could not be given back yet */
    char *drops;               /* names of what it need not keep any longer, see links.c */
    size_t drops_length;
    struct queue_view *queue;  /* of a queue */
    hold_t *readings;          /* of a read-write lock: records of who reads here, used again */
    uint32_t wanting;          /* likewise: threads that wait to write */
    /* of a slab that this process allocates from */
    seg_t *next_slab;
    uint32_t live, spare, fresh;
    bool keeping; /* counted in `handles`: this process has objects of its own there, or may yet make some */
    uint16_t *spares;
    uint64_t *born;        /* by slot: fork count at its allocation */
    uint8_t *slot_exported;
};

/* A handle: the C part of every class of the shm backend. */
typedef struct {
    PyObject_HEAD
    _Atomic int64_t *word; /* NULL before it is made and once it is closed, as is seg */
    seg_t *seg;
    seg_t *former;            /* of a closed handle whose exported object this process still owns */
    slot_t *slot;
    hold_t *hold;             /* see handle_hold() */
    PyObject *cells[2];       /* dead cells kept for the next blocks: `as cell` keeps the last one alive until then */
    PyObject *name, *segment; /* once read: then the object is exported */
    PyObject *weakrefs;
    uint32_t wanted_flags;    /* header flags to be made with, set by open() */
    uint32_t index, generation;
    uint32_t epoch;           /* the process that made it, if `created`: no forked child */
    uint32_t mode, group;     /* to be made with, see handle_permit(); mode 0: as all are, for nobody else */
    uint8_t kind, code;
    bool created, exported;
    uint32_t exports, quiet, waiting; /* how often its name was told; 1 more than that if it has it only for values; how many of
                                       * those are still to be written */
    uint64_t block; /* of a container's guard: which of its hold's; 0: no guard */
} handle_t;

typedef struct {
    PyTypeObject *handle, *counter, *value, *array, *cell, *block, *view, *table, *map, *vector, *transaction;
    PyTypeObject *queue, *lease, *lock, *rlock, *semaphore, *bounded_semaphore, *event, *condition, *barrier, *rwlock, *rwlock_block;
} types_t;

typedef struct {
    pid_t pid;
    uint32_t epoch;      /* raised in each forked child */
    uint64_t forks;      /* counted in the parent */
    seg_t *segments;
    seg_t *slabs;
    bool started;
    bool leaving;        /* leave_all() was called: what waits now is a daemon thread */
    int64_t interpreter; /* the one that has the core: types and handles are not shared between two */
    int cpus;
    _Atomic bool cut; /* some segment's file was made shorter: see mapping.c */
    uint32_t staged; /* holds whose thread reads what it staged and not what is committed; never too small */
    types_t types;
    PyObject *errors, *hooks; /* modules or namespaces handed in by configure() */
    PyObject *value_name;     /* interned "value" */
    PyObject *dumps, *loads;  /* of pickle, once needed */
} process_t;

extern process_t process;

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline bool is_container(uint32_t kind) { return kind >= KIND_DICT && kind <= KIND_NAMESPACE; }
static inline bool keeps_others(uint32_t kind) { return is_container(kind) || kind == KIND_QUEUE; }

/* audit.c */
PyObject *audit_holds(void);
PyObject *audit_objects(void);

/* segment.c, attach.c, window.c */
#define ALL_OF_IT UINT64_MAX /* of a payload: there is memory behind it from the start */
seg_t *segment_new(uint32_t slots);
seg_t *segment_create(uint32_t kind, uint64_t payload, const void *meta, size_t meta_size, uint32_t slots, uint64_t reserve);
int segment_publish(seg_t *seg, const char *name);
int segment_permit(seg_t *seg, uint32_t mode, uint32_t group);
int segment_export(seg_t *seg);
int segment_name(seg_t *seg);
seg_t *segment_attach(const char *name);
int segment_fd(seg_t *seg);
void segment_ref(seg_t *seg);
void segment_unref(seg_t *seg);
void segment_leave(seg_t *seg);
void segment_pin(seg_t *seg);
void segment_unpin(seg_t *seg);
void segment_destroy(seg_t *seg);
void hold_signals(sigset_t *before);
void segment_unregister(_Atomic uint64_t *registered, const char *name);
void segment_hand_over(seg_t *seg);
bool segment_names(const seg_t *seg, const char *name);
void segment_unlink_name(seg_t *seg);
bool segment_may_unlink(uid_t owner);
void *segment_at(seg_t *seg, uint64_t offset, uint64_t length);
int segment_lengthen(seg_t *seg, uint64_t end, uint64_t needed);
bool segment_unmapped(seg_t *seg);
int segment_reserve(seg_t *seg, uint64_t offset, uint64_t length);
int segment_back(seg_t *seg, uint64_t offset, uint64_t length);
int segment_stretch(seg_t *seg, uint64_t end);
bool segment_in_flight(const seg_t *seg);
bool segment_claimed(const seg_t *seg);
_Atomic uint64_t *segment_claim(const seg_t *seg, uint32_t index);
void segment_give_up(seg_t *seg);
void segment_withdraw(seg_t *seg);
void segment_discard(seg_t *seg);
seg_t *segment_peek(const char *name);
/* What is known of a segment that nobody has, from before all its seats were taken: which of its claims are of containers that are
 * gone, and whether that it waits for somebody shall not keep it. */
typedef struct {
    const uint64_t *gone;
    size_t count;
    bool in_flight;
} past_t;
int segment_reap(const char *name, const past_t *past);
int segment_start_process(void);
PyObject *segment_tracker(const char *name);
int segment_open_checked(const char *name, struct stat *st, bool foreign);
int segment_read_header(int fd, const char *name, const struct stat *st, header_t *h);
slot_t *segment_slot(seg_t *seg, uint32_t index);
void segment_remap_child(void);
int segment_open(const char *name);
uint64_t shm_free_bytes(void);
/* A system call that a signal may interrupt; Python looks at signals after the core's calls. */
#define AGAIN(call) (__extension__({ \
    __typeof__(call) result_; \
    do result_ = (call); \
    while (result_ < 0 && errno == EINTR); \
    result_; \
}))

int draw_random(void *out, size_t length);
int shm_path(char *out, size_t room, const char *name);
const char *public_name(const char *segment_name);
#define OBJECT_NAME_ROOM (NAME_ROOM + 32)
uint32_t object_holder(handle_t *h);
uint64_t store_room(const slot_t *slot);
void object_name(seg_t *seg, slot_t *slot, char *out);

/* mapping.c */
void *mapping_new(seg_t *seg, int fd, uint64_t length, uint64_t offset, mapping_t **mapping);
void mapping_end(void *at, uint64_t length, mapping_t *mapping);
void mapping_is_cut(seg_t *seg);
int segment_check_cut(const seg_t *seg);
int lock_check_cut(seg_t *seg, _Atomic uint32_t *word);

/* 0, or -1 with CorruptSegment if its file was made shorter: then what was just read or written is nothing. */
static inline int segment_whole(const seg_t *seg) {
    return LIKELY(!atomic_load_explicit(&process.cut, memory_order_relaxed)) ? 0 : segment_check_cut(seg);
}

/* The same for who has just taken a lock in it: others, who have not noticed yet, must not wait for it. */
static inline int lock_whole(seg_t *seg, _Atomic uint32_t *word) {
    return LIKELY(!atomic_load_explicit(&process.cut, memory_order_relaxed)) ? 0 : lock_check_cut(seg, word);
}

/* A call's answer, or CorruptSegment in its place. */
static inline PyObject *answer(const handle_t *h, PyObject *out) {
    if (LIKELY(!atomic_load_explicit(&process.cut, memory_order_relaxed)) || h->seg == NULL || segment_check_cut(h->seg) == 0) return out;
    Py_XDECREF(out);
    return NULL;
}

/* trust.c */
#define NO_GROUP UINT32_MAX
bool trust_refuses(const struct stat *st, char *why, size_t room);
PyObject *trust(PyObject *module, PyObject *args);

/* descriptors.c */
void spare_renew(void);
int open_sparing(const char *path, int flags);

/* seat.c */
int seat_take(seg_t *seg);
int seat_try(seg_t *seg, int patience);
void seat_leave(seg_t *seg);
bool seat_take_all(int fd);
void seat_drop_all(int fd);
void seat_keep_one(int fd, uint32_t seat);
bool seat_taken(int fd, uint32_t seat);
bool seats_taken_from(int fd, uint32_t seat);
bool seat_alive(seg_t *seg, uint32_t lock);
uint32_t seat_pid(seg_t *seg, uint32_t lock);
void seat_install_fork_handlers(void);

/* heap.c */
#define HEAP_PUNCHED 16 /* from 64 KiB on, a free extent gives its pages back, but for the first */
int heap_alloc(seg_t *seg, uint64_t need, bool whole, uint64_t *offset, unsigned *order);
void heap_free(seg_t *seg, uint64_t offset, unsigned order);

/* slab.c */
int slab_take(seg_t **seg, uint32_t *index);
void slab_hand_over(seg_t *seg, uint32_t index);
void slab_give_back(seg_t *seg, uint32_t index);
void slab_forget(seg_t *seg);
void slab_end(seg_t *seg);
void slab_parent_forked(void);

/* What became of those who wanted it: see tally_t. Without a slot: of the segment itself. */
static inline tally_t *tally_of(const seg_t *seg, const slot_t *slot) {
    if (slot == NULL || slot == &seg->header->root) return &seg->header->tally;
    return (tally_t *)(void *)(seg->base + TALLIES_OFFSET) + (slot - (const slot_t *)(void *)(seg->base + SLOTS_OFFSET));
}

static inline void count_one(_Atomic uint64_t *count) { atomic_fetch_add_explicit(count, 1, memory_order_relaxed); }

/* One more commit to a value, by who has its lock. */
static inline void count_commit(slot_t *slot) {
    atomic_store_explicit(&slot->version, atomic_load_explicit(&slot->version, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* deaths.c */
enum death { LOST_LOCK, LOST_READING, LOST_PERMITS, LOST_LEASE };
NOINLINE void death_found(seg_t *seg, slot_t *slot, uint32_t token, enum death lost);
void deaths_before_fork(void);
void deaths_after_fork(void);
extern PyMethodDef deaths_methods[];

/* lock.c */
hold_t *hold_of(seg_t *seg, uint32_t index);
int lock_word_acquire_slowly(seg_t *seg, _Atomic uint32_t *word, int64_t timeout_ns, slot_t *slot);
bool lock_word_try(seg_t *seg, _Atomic uint32_t *word);
int lock_acquire(hold_t *hold, int64_t timeout_ns);
enum { LOCK_QUIET = 1, LOCK_DEAF = 2, LOCK_SLEPT = 4 }; /* 2 instead of LockTimeout; no signals; set the waiters bit */
int lock_take(hold_t *hold, uintptr_t owner, int64_t timeout_ns, int how, const handle_t *h);
int lock_timed_out(seg_t *seg, uint32_t seen, int64_t waited, slot_t *slot);
bool holder_alive(seg_t *seg, const _Atomic uint32_t *word, uint32_t seen, const slot_t *slot);
void hold_begin(hold_t *hold, uintptr_t owner, bool from_dead);
void hold_end(hold_t *hold);
void lock_release(hold_t *hold, bool changed);
int lock_word_take(seg_t *seg, _Atomic uint32_t *word, int64_t timeout_ns);
void lock_word_release(_Atomic uint32_t *word);
void lock_abandon(hold_t *hold);
void lock_before_fork(void);
void lock_parent_forked(void);
void lock_after_fork(void);
int lock_install(void);
int parse_timeout(PyObject *timeout, int64_t *ns);
int64_t now_ns(void);
int64_t coarse_ns(void);
int64_t clock_time_ns(void);

/* The holds of the calling thread, and by its address the thread itself. A few bytes of static TLS: without the model, each
 * access from a shared object is a call. */
typedef struct {
    hold_t *first;
    bool armed;
} holds_t;

/* Whether to spin before sleeping. Where that was in vain again and again, since what is waited for takes long, or since whoever
 * should do it waits for this very processor, it is tried only now and then. */
#define LUCK 4

typedef struct {
    uint8_t failed, skipped; /* how many in a row */
} luck_t;

static inline bool spin_worth(luck_t *luck) {
    return process.cpus > 1 && (luck->failed < LUCK || ++luck->skipped % 16 == 0);
}

static inline void spin_ended(luck_t *luck, bool well) { luck->failed = well ? 0 : luck->failed < LUCK ? luck->failed + 1 : LUCK; }

/* While it is not 0 this thread's waits for locks run no signal handlers: it holds another lock, which they might want. */
#define QUIET_NS 1000000000LL
extern THREAD_LOCAL int lock_quiet;

extern THREAD_LOCAL holds_t holds;

static inline uintptr_t this_thread(void) { return (uintptr_t)&holds; }

/* A lock may also belong to an asyncio task: its address, with a bit that no thread's address has. */
static inline bool is_task(uintptr_t owner) { return owner & 1; }

/* Whether the calling thread is inside a block of this lock. */
static inline bool held_here(const hold_t *hold) {
    return hold != NULL && atomic_load_explicit(&hold->thread, memory_order_relaxed) == this_thread();
}

static inline void hold_stage(hold_t *hold, bool dirty) {
    process.staged += (uint32_t)dirty - (uint32_t)hold->dirty;
    hold->dirty = dirty;
}

/* Take a lock word: 0, 1 from a dead owner, or -1 with LockTimeout or whatever a signal handler raised. *slot*: whose it is, if
 * it is a slot's. */
static inline int lock_word_acquire(seg_t *seg, _Atomic uint32_t *word, int64_t timeout_ns, slot_t *slot) {
    uint32_t free = 0;
    int got = 0;
    if (UNLIKELY(seg->token == 0 || !atomic_compare_exchange_strong(word, &free, seg->token)) &&
        (got = lock_word_acquire_slowly(seg, word, timeout_ns, slot)) < 0)
        return -1;
    if (UNLIKELY(lock_whole(seg, word) < 0)) return -1;
    FAULT(lock_acquired);
    return got;
}

/* stage.c, container.c, links.c, for those that know no containers */
void stage_free(struct stage *stage);
void container_recover(seg_t *seg);
int container_prepare(seg_t *seg);
bool container_keeps(const seg_t *seg);
void container_filled(seg_t *seg);
seg_t *container_create(uint32_t kind);
int links_note(handle_t *h, bool fresh);
void handle_withdraw(handle_t *h);

/* queue.c */
int queue_prepare(seg_t *seg);
bool queue_busy(const seg_t *seg, const _Atomic uint32_t *word);
void queue_after_fork(seg_t *seg);

/* sync.c, rwlock.c, for those that know none of their kinds */
int sync_prepare(seg_t *seg, uint8_t kind, uint8_t code);
void sync_closed(seg_t *seg, uint32_t index);
void rwlock_abandoned(hold_t *reading);

/* change.c */
NOINLINE void change_wake(slot_t *slot);
int change_wait(slot_t *slot, uint32_t token, int64_t timeout_ns);
long futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t ns);
int futex_wake(_Atomic uint32_t *word, int count);
void signal_slowly(_Atomic uint32_t *word, int count);
int signal_wait(_Atomic uint32_t *word, uint32_t token, int64_t ns, int64_t *slice);

/* After a commit to slot->word and a full barrier: wake who waits for changes. The waiter
 * sets the bit, then reads the word; we write the word, then read the bit: one of us sees the other. */
static inline void change_notify(slot_t *slot) {
    if (UNLIKELY(atomic_load(&slot->change) & 1)) change_wake(slot);
}

/* The same where one waiter is enough for one change: after the change and a full barrier, wake *count* of those who wait. */
static inline void signal_some(_Atomic uint32_t *word, int count) {
    if (UNLIKELY(atomic_load(word) & 1)) signal_slowly(word, count);
}

static inline uint32_t signal_watch(_Atomic uint32_t *word) {
    uint32_t token = atomic_fetch_or(word, 1) | 1;
    atomic_thread_fence(memory_order_seq_cst); /* what is looked at now is not older than the bit */
    FAULT(change_watching);
    return token;
}

/* codec.c */
int code_encode(uint8_t code, PyObject *obj, int64_t *bits);
PyObject *code_decode(uint8_t code, int64_t bits);
bool code_known(uint8_t code);
int tagged_encode(PyObject *obj, int64_t *word, PyObject **record);
bool tagged_is_record(int64_t word);
PyObject *tagged_decode(int64_t word);
int64_t tagged_record(uint64_t version, unsigned buffer);
PyObject *record_decode(uint8_t tag, PyObject *bytes);
PyObject *text_decode(const char *bytes, uint64_t length, const char *errors);
PyObject *buffer_decode(uint8_t tag, const char *bytes, uint64_t length);
PyObject *pickle_apart(PyObject *obj, PyObject *apart);
PyObject *unpickle_with(const char *bytes, uint64_t length, PyObject *buffers);
PyObject *int_bytes(PyObject *obj);
PyObject *int_from_bytes(const char *bytes, Py_ssize_t length);
uint64_t tagged_at(uint64_t offset);
uint64_t tagged_offset(uint64_t word);

/* store.c */
PyObject *store_read(handle_t *h, bool holding);
int store_publish(seg_t *seg, slot_t *slot, int64_t word, PyObject *record);
void store_init(seg_t *seg, slot_t *slot);
void store_drop(seg_t *seg, slot_t *slot);

/* handle.c */
int handle_place(handle_t *h, uint8_t kind, PyObject *name);
int handle_publish(handle_t *h, PyObject *name);
int handle_permit(handle_t *h, PyObject *mode, PyObject *group);
PyObject *handle_parse(handle_t *h, PyObject *args, PyObject *kwargs);
void handle_abort(handle_t *h);
int handle_create_container(handle_t *h, uint8_t kind);
int handle_publish_container(handle_t *h, PyObject *name);
void handle_let_go(handle_t *h);
void handle_adopt(handle_t *h, seg_t *seg, uint32_t index, uint8_t kind, uint8_t code);
hold_t *handle_hold(handle_t *h);
PyObject *handle_read_only(void);

static inline hold_t *hold_if_any(const handle_t *h) {
    if (h->hold != NULL) return h->hold;
    return h->seg->holds ? h->seg->holds[h->index] : NULL;
}

/* cell.c, counter.c, value.c, array.c, view.c */
PyObject *cell_make(handle_t *h, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_locked(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
void *guard_dead(void);
int64_t counter_read(slot_t *slot);
int counter_encode(PyObject *obj, int64_t *n);
int64_t counter_mark(slot_t *slot);
PyObject *value_read(handle_t *h);
PyObject *view_make(seg_t *seg);
extern PyType_Spec queue_spec, lease_spec;
extern PyType_Spec lock_spec, rlock_spec, semaphore_spec, bounded_semaphore_spec, event_spec, condition_spec, barrier_spec, rwlock_spec, rwlock_block_spec;
extern PyMethodDef park_methods[];
extern PyMethodDef inspect_methods[];
extern PyType_Spec handle_spec, counter_spec, value_spec, array_spec, cell_spec, block_spec, view_spec;
extern PyMethodDef counter_methods[], value_methods[];
extern PyGetSetDef counter_getset[], value_getset[];
void value_prepare(void);
extern PyTypeObject *value_leaf; /* the class for which `value` is looked up without a detour */
int faults_init(PyObject *module);

/* errors.c: each sets a Python exception of procshare and returns NULL */
void *raise_named(const char *cls, const char *name, const char *format, ...);
NOINLINE void *raise_closed(void);
void *raise_out_of_memory(const char *name, uint64_t needed, uint64_t free);
void *raise_no_room(const char *name, uint64_t needed, const char *limit);
void *raise_too_long(int error, const char *name, uint64_t needed);
void *raise_unmapped(int error, const char *name, uint64_t needed);
void *raise_os_hint(int error, const char *name, const char *hint);
void *raise_lock_timeout(const char *name, int64_t waited_ns, uint32_t holder, int64_t held_ns);
void *raise_os(int error, const char *name);
void *raise_seatless(const seg_t *seg, int error);
int call_hook(const char *hook, PyObject *args);

#endif
