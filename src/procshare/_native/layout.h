/* What lies in shared memory, byte by byte. Everything here is read by other processes.
 *
 *   segment:  | header, 8 KiB                                   | payload           | heap, grows ... |
 *   header:   | fields | root slot, its tally | meta, 1 KiB | seats, 768 × 8 bytes |
 *   slab:     payload is a page of claims, 8 bytes a slot, 332 slots of 128 bytes, and a tally for each, 32 bytes
 *   array:    payload is the elements, C order
 *   counter, value with a name of their own: no payload; the root slot is the object
 *   container: no payload; its root is where other kinds have meta, the rest lies in extents, see container.c
 *   robust semaphore, condition, barrier, read-write lock: payload is what each process, or each waiter, has of it; see there
 *   queue:    its root is there too; payload is what each process owes, and leases; the ring lies in an extent, see ring.c
 *
 * Fields that never change after creation are copied to private memory by an attacher when it has checked
 * them, and not read again; offsets found later (buffers, free lists) are checked at each use.
 */
#ifndef PROCSHARE_LAYOUT_H
#define PROCSHARE_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define LAYOUT_MAGIC "procshr\x01"
#define LAYOUT_VERSION 3u
#define HEADER_SIZE 8192u
#define META_OFFSET 1024u
#define META_ROOM 1024u
#define SEATS_OFFSET 2048u
#define SEAT_COUNT ((HEADER_SIZE - SEATS_OFFSET) / 8u)
#define SEAT_LOCK_BASE (1LL << 60) /* file offset of seat 0's locked byte, far beyond any data */
#define SLAB_SIZE 65536u
#define SLOTS_OFFSET (HEADER_SIZE + 4096u)
#define SLAB_SLOTS ((SLAB_SIZE - SLOTS_OFFSET) / (128u + 32u))
#define TALLIES_OFFSET (SLOTS_OFFSET + SLAB_SLOTS * 128u)
#define NAME_ROOM 232

enum kind {
    KIND_SLAB = 1, KIND_COUNTER, KIND_VALUE, KIND_ARRAY, KIND_DICT, KIND_LIST, KIND_SET, KIND_NAMESPACE, KIND_QUEUE,
    KIND_LOCK, KIND_RLOCK, KIND_SEMAPHORE, KIND_BOUNDED_SEMAPHORE, KIND_EVENT, KIND_CONDITION, KIND_BARRIER, KIND_RWLOCK, KIND_END
};

/* header.flags */
enum {
    SEG_LINKED = 1,   /* it has had its name */
    SEG_SHARED = 2,   /* opened or handed over: belongs to whoever is attached */
    SEG_PERSIST = 4,  /* stays when nobody is attached */
    SEG_PROCEED = 8,  /* an array that goes on after a holder's death */
    SEG_ABROAD = 16,  /* a container of another user has claimed it, or something in it */
};

/* slot.flags */
enum {
    SLOT_IN_FLIGHT = 1, /* handed over, and nobody has attached since */
    SLOT_EXPORTED = 2,  /* somebody may know its name */
    SLOT_ORPHAN = 4,    /* what kept it has let it go: it ends with the last handle here */
};

/* slot.state */
enum { SLOT_FREE = 0, SLOT_LIVE = 1, SLOT_DEAD = 2 };

/* One shared object's core: a word, a lock, a change sequence, and two buffers for what a word cannot hold.
 *
 * lock     0: free. Else waiters bit 31, seat + 1 in bits 21-30, the seat's generation in bits 0-20.
 * change   bit 0: somebody waits for a change. The rest counts the wakes.
 * word     counter: the count, or COUNTER_LOCKED while a block holds it and `saved` is the last commit.
 *          value with a type code: its bits. Any other value: a tagged word, see codec.c.
 *          array: a sequence number, odd while a block holds the lock; odd and unlocked: its holder died.
 *          semaphore: free permits; `saved`: all of them. Event: 2 * how often it was set + whether it is. Barrier, read-write
 *          lock: see there.
 * version  of a value: counts commits, so that a reader knows that the record it copied was not replaced, and people how many.
 * buffer   offset << 6 | log2(capacity): where the two records lie that are published in turn.
 */
typedef struct {
    _Atomic int64_t word;
    _Atomic int64_t saved;
    _Atomic uint32_t lock;
    _Atomic uint32_t change;
    _Atomic uint32_t generation;
    uint8_t kind;
    uint8_t code;
    _Atomic uint8_t flags;
    _Atomic uint8_t state;
    _Atomic uint64_t since; /* CLOCK_MONOTONIC ns, coarse: when the holder's block began; 0: there is none. Of a counter the last one's. */
    _Atomic uint64_t version;
    _Atomic uint64_t buffer[2];
    char inline_room[2][32];
} slot_t;

/* What became of those who wanted a slot, for people. Nobody acts by it, and it is added to where somebody sleeps or repairs anyway. A
 * death right before costs one count, and nothing else. */
typedef struct {
    _Atomic uint64_t waits;        /* how often somebody went to sleep for it */
    _Atomic uint64_t timeouts;     /* and how many of these waits were in vain */
    _Atomic uint64_t owner_deaths; /* how often something was taken back from the dead */
    _Atomic uint64_t created;      /* CLOCK_REALTIME ns */
} tally_t;

typedef struct {
    _Atomic uint32_t generation; /* raised by each new occupant, who alone writes it */
    _Atomic uint32_t pid;        /* for messages only */
} seat_t;

#define HEAP_CLASSES 48

typedef struct {
    char magic[8];
    uint32_t layout;
    uint32_t kind;
    uint64_t size; /* of the first window: header and payload; a power of two where there is a heap */
    uint64_t payload;
    uint64_t payload_size;
    uint64_t meta;
    uint32_t meta_size;
    uint32_t slots;
    uint32_t creator_pid;
    _Atomic uint32_t flags;
    _Atomic uint64_t tracker;   /* inode of the resource tracker's pipe it is registered with, or 0 */
    _Atomic uint64_t handed_at; /* CLOCK_REALTIME seconds */
    uint64_t id;                /* random, never 0: what a claim names */
    _Atomic uint64_t claim;     /* id of the container that keeps this alive; 0: none */
    _Atomic uint32_t seat_hint;
    _Atomic uint32_t heap_lock;
    _Atomic uint64_t heap_end;
    _Atomic uint64_t heap_free[HEAP_CLASSES]; /* by log2(size): offset of the first free extent, or 0 */
    char name[NAME_ROOM];
    _Alignas(128) slot_t root;
    tally_t tally; /* the root's; in a slab, of what belongs to no slot */
} header_t;

/* ---- records ---- */

enum record { RECORD_INT = 1, RECORD_STR, RECORD_BYTES, RECORD_PICKLE, RECORD_BIGINT, RECORD_KEY, RECORD_REDO, RECORD_FREE, RECORD_WORD, RECORD_PLAIN, RECORD_BUFFERS };

#define RECORD_LINKED 0x80 /* before the bytes: the names of the handles in it, see links.c */
#define RECORD_LARGE 0x40  /* of a queue: the bytes lie in an extent of their own, see ring.c */

/* ---- containers ---- */

#define EXTENT_ORDER 12 /* the smallest extent: 4 KiB */
#define MAX_SEGMENTS 26
#define MAX_ARENAS 30

/* Where one generation of a container lies, and how full it is. Extents are powers of two long and aligned to their length, and
 * are named by their page (offset / 4096). Segment 0 and 1 of the table are of EXTENT_ORDER, each next one twice as long.
 *
 * The first fields are written by whoever has the lock; the rest only grows while the generation lasts. */
typedef struct {
    _Alignas(64) _Atomic uint64_t span; /* list: first position << 32 | length; map: entries in use, dead ones too */
    _Atomic uint64_t count;             /* map: live entries */
    _Atomic uint64_t arena_used;        /* bytes of the last arena extent that records fill */
    _Atomic uint64_t arena_reserved;    /* and that have memory */
    _Atomic uint64_t table_reserved;    /* bytes of the last table segment that have memory */
    _Atomic uint64_t appended;          /* bytes of all records */
    _Atomic uint64_t live;              /* bytes of those that a word or key names */
    _Atomic uint64_t linked;            /* records with handles, ever */
    _Atomic uint64_t dropped;           /* those that no word names any more */
    uint32_t index;
    uint32_t spare; /* of a large map: two pages, so that clear() needs no memory; 0: none */
    uint32_t table[MAX_SEGMENTS];
    uint32_t arena[MAX_ARENAS];
    uint8_t arena_order[MAX_ARENAS];
    uint8_t index_order;
    _Atomic uint8_t segments, arenas, holes; /* holes: pages of dead entries were punched */
} generation_t;

/* A container's root. */
typedef struct {
    _Atomic uint64_t generation; /* its number; generations[number & 1] describes it */
    _Atomic uint64_t pending;    /* some bits of a number << 48 | offset of a redo record << 2 | REDO_*, or 0 */
    uint64_t seed[3];            /* of the hash of keys */
    uint32_t readers;              /* page of the readers' words, see readers.c */
    _Atomic uint32_t reader_pages; /* how many pages of these have memory */
    _Alignas(64) _Atomic uint64_t sequence; /* odd while a commit is being made */
    _Atomic uint64_t transaction;           /* number of the last one over several containers that this one was first of */
    _Atomic uint64_t settled, settled_first; /* the last one that it was part of and that was committed: number, first's id */
    generation_t generations[2];
} container_t;

enum { REDO_COMMITTED = 1, REDO_PREPARED = 2 };

#define INLINE_KEY 22
#define LONG_KEY 255 /* entry.length of a key that lies in a record: its offset and length are in `data` */

/* An entry of a map. A word of 0 means that there is none: not yet, or no longer. The key never changes. */
typedef struct {
    _Atomic uint64_t word;
    uint8_t tag, length;
    char data[INLINE_KEY];
} entry_t;

/* A redo record's content: what the words at these positions shall be, sorted by position. Behind the pairs: where the first
 * of the transaction's containers and then the others are, see transaction.c. */
typedef struct {
    uint64_t count, span, transaction, first; /* first: id of the first container, 0 if there is only this one */
    struct {
        uint64_t position, word;
    } pair[];
} redo_t;

/* ---- queues ---- */

/* The books of a queue's two ends: all counts only grow. Each end has them twice; the last bit of its number of commits says
 * which are valid. */
typedef struct {
    _Atomic uint64_t head;  /* bytes ever put into the ring */
    _Atomic uint64_t in;    /* items ever put */
    _Atomic uint64_t large; /* bytes ever put into extents of their own */
} puts_t;

typedef struct {
    _Atomic uint64_t tail, out, large, done; /* done: items that task_done() was called for */
    struct {
        _Atomic uint64_t place, value; /* what the commit also writes: a word of the payload, by its offset in the file; 0: none */
    } also[2];
} takes_t;

#define LEASES 1024

enum { LEASE_FREE = 0, LEASE_HELD = 1, LEASE_BACK = 2 };

/* An item that is held, or came back. state: LEASE_* | the holder's token << 32. */
typedef struct {
    _Atomic uint64_t state, extent, record, ticket; /* record: its head; extent: offset << 6 | order, kept for the next one */
} lease_t;

typedef struct {
    /* Each lock in a cache line that only its own end writes; then what the other end looks at. */
    _Alignas(64) _Atomic uint32_t put_lock;
    _Alignas(64) _Atomic uint32_t items; /* a futex, see signal_some(): there are more of them */
    _Atomic uint64_t put_commits;
    puts_t puts[2];
    _Alignas(64) _Atomic uint32_t take_lock;
    _Alignas(64) _Atomic uint32_t space; /* likewise */
    _Atomic uint64_t take_commits;
    takes_t takes[2];
    _Alignas(64) _Atomic uint64_t growths; /* ring[growths & 1] is where the ring lies: offset << 6 | log2(size) */
    _Atomic uint64_t ring[2];
    _Atomic uint64_t linked; /* items with handles, ever */
    uint64_t maxsize, capacity;
    _Atomic uint32_t shut, all_done, leases; /* all_done: a futex, for join(); leases: one more than the last that is in use */
} queue_t;

#define OWED_OFFSET HEADER_SIZE /* by seat: its generation << 32 | how many items it took and did not call task_done() for */
#define LOST_OFFSET (OWED_OFFSET + SEAT_COUNT * 8u) /* what the dead owed whose seats were taken again, signed */
#define FIRST_RING 16384u  /* the ring that a queue begins with; larger ones are extents behind all this */
#define FIRST_ORDER 13     /* log2 of its length */
#define LEASES_OFFSET 32768u /* there is memory behind these once one is used */
#define QUEUE_SIZE 65536u

/* ---- those who wait for a condition or at a barrier ---- */

/* state: its ticket, or phase, << 2 | PARTY_*; a futex of a condition's waiter. An entry is given out under the object's lock, and
 * given back by the one whose it is, or by anyone if that one is dead. */
typedef struct {
    _Atomic uint32_t token; /* of the waiter's seat; 0: free */
    _Atomic uint32_t state;
    _Atomic uint64_t ticket; /* condition: who came first; barrier: which of the parties */
} party_t;

enum { PARTY_WAITING = 1, PARTY_RELEASED = 2, PARTY_BROKEN = 3 };

typedef struct {
    _Atomic uint64_t tickets; /* condition: the last one given out */
    _Atomic uint32_t used;    /* entries from this one on were never used */
    uint32_t reserved;
    party_t party[];
} parties_t;

#define CONDITION_PARTIES 1023u /* with the head, four pages */

/* A barrier's meta. Behind it the action's pickle. */
typedef struct {
    uint32_t parties;
    uint8_t has_action;
    uint8_t reserved[3];
    int64_t timeout_ns; /* -1: none */
} barrier_meta_t;

/* ---- read-write locks ---- */

/* A process's. token of its seat << 32 | how many of its threads read, or want to write. */
typedef struct {
    _Alignas(64) _Atomic uint64_t reading;
    _Atomic uint64_t wanting;
} rw_seat_t;

typedef struct {
    _Alignas(64) _Atomic uint32_t gate; /* a futex, see signal_some(): readers have left */
    _Atomic uint32_t seats;             /* seats from this one on were never used */
    rw_seat_t seat[SEAT_COUNT];
} rwlock_t;

_Static_assert(sizeof(party_t) == 16 && sizeof(parties_t) == 16, "a table of parties fills its pages");
_Static_assert(sizeof(queue_t) <= META_ROOM, "a queue's root fits where meta is");
_Static_assert(LOST_OFFSET + 8 <= FIRST_RING && FIRST_RING + (1 << FIRST_ORDER) <= LEASES_OFFSET &&
                   LEASES_OFFSET + LEASES * sizeof(lease_t) <= QUEUE_SIZE,
               "what is owed, the first ring and the leases lie one behind the other in the first window");
_Static_assert(sizeof(container_t) <= META_ROOM, "a container's root fits where meta is");
_Static_assert(sizeof(entry_t) == 32, "two entries a cache line");
_Static_assert(sizeof(slot_t) == 128, "a slot is two cache lines");
_Static_assert(sizeof(tally_t) == 32 && TALLIES_OFFSET + SLAB_SLOTS * sizeof(tally_t) <= SLAB_SIZE, "the tallies fit behind the slots");
_Static_assert((SLAB_SLOTS + 1) * 8 <= SLOTS_OFFSET - HEADER_SIZE, "the claims fit in their page");
_Static_assert(sizeof(header_t) <= META_OFFSET, "the fields and the root slot fit in one KiB");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free to be shared");

#define COUNTER_LOCKED INT64_MIN
#define LOCK_WAITERS 0x80000000u
#define LOCK_ABANDONED 0x7fe00000u /* no seat's: whoever had it left it without releasing it */
#define LOCK_GENERATION 0x001fffffu

#endif
