/* What lies in shared memory, byte by byte. Everything here is read by other processes.
 *
 *   segment:  | header, 8 KiB                                   | payload           | heap, grows ... |
 *   header:   | fields | root slot | meta, 1 KiB | seats, 768 × 8 bytes |
 *   slab:     payload is a page of claims, 8 bytes a slot, and 416 slots of 128 bytes
 *   array:    payload is the elements, C order
 *   counter, value with a name of their own: no payload; the root slot is the object
 *   container: no payload; its root is where other kinds have meta, the rest lies in extents, see container.c
 *
 * Fields that never change after creation are copied to private memory by an attacher when it has checked
 * them, and not read again; offsets found later (buffers, free lists) are checked at each use.
 */
#ifndef PROCSHARE_LAYOUT_H
#define PROCSHARE_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define LAYOUT_MAGIC "procshr\x01"
#define LAYOUT_VERSION 2u
#define HEADER_SIZE 8192u
#define META_OFFSET 1024u
#define META_ROOM 1024u
#define SEATS_OFFSET 2048u
#define SEAT_COUNT ((HEADER_SIZE - SEATS_OFFSET) / 8u)
#define SEAT_LOCK_BASE (1LL << 60) /* file offset of seat 0's locked byte, far beyond any data */
#define SLAB_SIZE 65536u
#define SLOTS_OFFSET (HEADER_SIZE + 4096u)
#define SLAB_SLOTS ((SLAB_SIZE - SLOTS_OFFSET) / 128u)
#define NAME_ROOM 232

enum kind { KIND_SLAB = 1, KIND_COUNTER, KIND_VALUE, KIND_ARRAY, KIND_DICT, KIND_LIST, KIND_SET, KIND_NAMESPACE, KIND_END };

/* header.flags */
enum {
    SEG_LINKED = 1,   /* it has had its name */
    SEG_SHARED = 2,   /* opened or handed over: belongs to whoever is attached */
    SEG_PERSIST = 4,  /* stays when nobody is attached */
    SEG_PROCEED = 8,  /* an array that goes on after a holder's death */
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
 * version  counts published records, so that a reader knows that the one it copied was not replaced.
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
    _Atomic uint64_t since; /* CLOCK_MONOTONIC ns, coarse: when the lock was taken by a block */
    _Atomic uint64_t version;
    _Atomic uint64_t buffer[2];
    char inline_room[2][32];
} slot_t;

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
} header_t;

/* ---- records ---- */

enum record { RECORD_INT = 1, RECORD_STR, RECORD_BYTES, RECORD_PICKLE, RECORD_BIGINT, RECORD_KEY, RECORD_REDO, RECORD_FREE };

#define RECORD_LINKED 0x80 /* before the bytes: the names of the handles in it, see links.c */

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

_Static_assert(sizeof(container_t) <= META_ROOM, "a container's root fits where meta is");
_Static_assert(sizeof(entry_t) == 32, "two entries a cache line");
_Static_assert(sizeof(slot_t) == 128, "a slot is two cache lines");
_Static_assert(sizeof(header_t) <= META_OFFSET, "the fields and the root slot fit in one KiB");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free to be shared");

#define COUNTER_LOCKED INT64_MIN
#define LOCK_WAITERS 0x80000000u
#define LOCK_GENERATION 0x001fffffu

#endif
