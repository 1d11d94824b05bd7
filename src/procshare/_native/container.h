/* What maps and lists have in common, and what the files about them offer each other. */
#ifndef PROCSHARE_CONTAINER_H
#define PROCSHARE_CONTAINER_H

#include "native.h"

#include <string.h>

/* This process's view of a container: where its current generation lies. Guarded by the GIL. */
typedef struct geometry {
    uint64_t generation; /* which there is: it was looked at when the segment was attached */
    uint64_t mask;       /* of the index */
    _Atomic uint64_t *index;
    char *table[MAX_SEGMENTS]; /* so biased that element i of segment s is at table[s] + i * size */
    uint64_t capacity;         /* elements in the segments that are known */
    unsigned shift, first;     /* log2 of an element's size, and of how many segment 0 has */
    uint64_t wait;             /* after compacting failed: so many changes are let go by before it is tried again */
    uint64_t head, tail, seen; /* of a map, where popitem() need not look: entries below head, and those from tail to seen, are dead */
} geometry_t;

static inline container_t *container_of(const seg_t *seg) { return (container_t *)(seg->base + META_OFFSET); }

static inline generation_t *generation_of(const seg_t *seg, uint64_t number) {
    return &container_of(seg)->generations[number & 1];
}

static inline generation_t *current(const seg_t *seg) {
    return generation_of(seg, atomic_load_explicit(&container_of(seg)->generation, memory_order_relaxed));
}


static inline bool is_list(const seg_t *seg) { return seg->kind == KIND_LIST; }

/* Where element *i* is, which must be below geometry->capacity. */
static inline char *element(const geometry_t *g, uint64_t i) {
    unsigned s = 64 - (unsigned)__builtin_clzll(i | (((uint64_t)1 << g->first) - 1)) - g->first;
    return g->table[s] + (i << g->shift);
}

static inline entry_t *entry(const geometry_t *g, uint64_t i) { return (entry_t *)element(g, i); }
static inline _Atomic uint64_t *word_at(const geometry_t *g, uint64_t i) { return (_Atomic uint64_t *)element(g, i); }

static inline uint64_t get(const _Atomic uint64_t *field) { return atomic_load_explicit(field, memory_order_relaxed); }
static inline void put(_Atomic uint64_t *field, uint64_t value) {
    atomic_store_explicit(field, value, memory_order_relaxed);
}

/* readers.c */
extern bool readers_fence;
_Atomic uint64_t *readers_join(seg_t *seg);
bool readers_gone(seg_t *seg);

/* Before reading without the lock, and after it: no page is punched that may be read. Returns what reading_end() puts back, for
 * a read in the middle of another. */
static inline uint64_t reading_begin(seg_t *seg) {
    const container_t *c = container_of(seg);
    _Atomic uint64_t *word = LIKELY(seg->reading != NULL) ? seg->reading : readers_join(seg);
    uint64_t outer = get(word), number = get(&c->generation);
    if (UNLIKELY(outer != 0)) return outer;
    for (;;) {
        put(word, number);
        if (UNLIKELY(readers_fence)) atomic_thread_fence(memory_order_seq_cst);
        else atomic_signal_fence(memory_order_seq_cst);
        uint64_t again = atomic_load_explicit(&c->generation, memory_order_acquire);
        if (LIKELY(again == number)) return 0;
        number = again;
    }
}

static inline void reading_end(seg_t *seg, uint64_t outer) {
    if (LIKELY(seg->reading != NULL)) atomic_store_explicit(seg->reading, outer, memory_order_release);
}

/* container.c */
seg_t *container_create(uint32_t kind);
int container_prepare(seg_t *seg);
geometry_t *container_glance(seg_t *seg);
geometry_t *container_look(seg_t *seg);
void container_start_generation(seg_t *seg, generation_t *new, bool share_table, bool share_arena);
int container_add_index(seg_t *seg, generation_t *g, const generation_t *other, unsigned order);
uint64_t container_append(seg_t *seg, generation_t *g, const generation_t *other, uint8_t tag, const void *a, uint64_t na,
                          const void *b, uint64_t nb);
int container_map_generation(seg_t *seg, const generation_t *g, geometry_t *out);
void container_unappend(seg_t *seg, uint64_t offset, uint64_t length);
void container_publish(seg_t *seg, const geometry_t *new);
int container_ready(seg_t *seg, generation_t *g, const generation_t *other, uint64_t elements);
void container_recover(seg_t *seg);
extern bool container_recovering;
void *container_corrupt(seg_t *seg);
uint64_t container_elements(const generation_t *g, unsigned shift);
void container_abandon(seg_t *seg);
void punch_gaps(seg_t *seg);
uint64_t punch(seg_t *seg, uint64_t from, uint64_t to);
int container_add_spare(seg_t *seg, generation_t *g, const generation_t *other);

/* reclaim.c */
uint64_t container_reclaim(seg_t *seg);
void container_slim(seg_t *seg);
bool container_make_way(seg_t *seg);
uint64_t map_skip_holes(seg_t *seg, uint64_t i);

/* The next entry from *i* on whose page has memory: of what was punched nothing lives, and reading it would fill the hole. */
static inline uint64_t map_present(seg_t *seg, uint64_t i) {
    return LIKELY(generation_of(seg, seg->geometry->generation)->holes == 0) ? i : map_skip_holes(seg, i);
}

/* The record at *offset*: where its bytes are, and its tag and length; NULL, without an exception: none can be there. */
static inline const char *record_at(seg_t *seg, uint64_t offset, uint8_t *tag, uint64_t *length) {
    const char *at = offset % 8 == 0 && offset >= HEADER_SIZE ? segment_at(seg, offset, 8) : NULL;
    if (at == NULL) return NULL;
    uint64_t head = atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_acquire);
    *tag = (uint8_t)(head >> 56);
    *length = head & 0xffffffffffffffull;
    return segment_at(seg, offset, 8 + *length) != NULL ? at + 8 : NULL;
}

static inline uint64_t record_room(uint64_t length) { return 8 + ((length + 7) & ~7ull); }

static inline void commit_begin(seg_t *seg) {
    container_t *c = container_of(seg);
    atomic_store_explicit(&c->sequence, get(&c->sequence) | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    FAULT(container_committing);
}

static inline void commit_end(seg_t *seg) {
    container_t *c = container_of(seg);
    FAULT(container_committed);
    atomic_store_explicit(&c->sequence, (get(&c->sequence) | 1) + 1, memory_order_release);
}

/* A key on its way into or out of a map. */
typedef struct {
    const char *data;
    uint64_t length;
    uint32_t hash;
    uint8_t tag;
    uint64_t block[3]; /* tag, length and the first bytes, as an entry has them */
    PyObject *owner;   /* what keeps *data* */
    char room[8];
} mapkey_t;

/* A value on its way into a container: a word, or a record whose tag the word is. */
typedef struct {
    uint64_t word;
    PyObject *record, *links; /* links: the handles in it, or NULL */
} item_t;

/* A value on its way out: copied, but not decoded yet, since that may run anybody's code. */
typedef struct {
    uint64_t word;
    PyObject *record;
    uint8_t tag;
} copy_t;

/* The same, for a reader without the lock: a short record needs no object of its own. Not to be cleared before use. */
#define SHORT 1024
typedef struct {
    uint64_t word, length;
    PyObject *large;
    uint8_t tag;
    char room[SHORT];
} taken_t;

/* A value that is to be taken out, and was decoded before, since that runs anybody's code, and may fail. */
typedef struct {
    uint64_t generation, place, word;
    PyObject *object;
} decoded_t;

/* keys.c */
int key_encode(seg_t *seg, PyObject *obj, mapkey_t *key);
void key_clear(mapkey_t *key);
void key_hash(seg_t *seg, mapkey_t *key);
uint32_t key_hash_entry(seg_t *seg, const entry_t *e);
bool key_of_entry(seg_t *seg, const entry_t *e, const char **data, uint64_t *length);
PyObject *key_decode(uint8_t tag, const char *data, uint64_t length);
PyObject *key_bytes(const mapkey_t *key);

/* items.c */
int item_encode(PyObject *obj, item_t *item);
void item_clear(item_t *item);
int item_place(seg_t *seg, const item_t *item, uint64_t *word);
PyObject *item_decode(const item_t *item);
uint64_t item_size(seg_t *seg, uint64_t word);
bool item_linked(seg_t *seg, uint64_t word);
PyObject *copied_decode(uint8_t tag, const char *bytes, uint64_t length);
int word_take(seg_t *seg, uint64_t word, uint64_t generation, taken_t *taken);
PyObject *taken_decode(taken_t *taken);
int word_copy(seg_t *seg, uint64_t word, copy_t *copy);
PyObject *copy_decode(copy_t *copy);
int copy_first(seg_t *seg, uint64_t place, uint64_t word, decoded_t *decoded, copy_t *copy);
void word_replaced(seg_t *seg, uint64_t old, uint64_t new);
int word_move(seg_t *seg, generation_t *new, uint64_t *word);

/* map.c */
int map_find(seg_t *seg, const mapkey_t *key, uint64_t *word, uint64_t *generation);
int map_locate(seg_t *seg, const mapkey_t *key, uint64_t *number, uint64_t *word);
geometry_t *map_geometry(seg_t *seg);
bool map_added_since(seg_t *seg, const mapkey_t *key, uint64_t first);
int map_make_room(seg_t *seg, uint64_t entries);
int map_add(seg_t *seg, const mapkey_t *key, bool hidden, uint64_t *number);
int map_put(seg_t *seg, const mapkey_t *key, const item_t *item);
void map_set_word(seg_t *seg, uint64_t number, uint64_t word);
bool map_point(seg_t *seg, const mapkey_t *key, uint64_t number);
int map_empty(seg_t *seg);
int map_compact(seg_t *seg, uint64_t extra);
void map_recount(seg_t *seg);
void map_tidy(seg_t *seg);

/* list.c */
int list_get(seg_t *seg, int64_t index, uint64_t *word, uint64_t *generation);
bool list_fits(seg_t *seg, uint64_t span);
int list_make_room(seg_t *seg, uint64_t words);
void list_set_span(seg_t *seg, uint64_t start, uint64_t length);
void list_set_word(seg_t *seg, uint64_t position, uint64_t word);
struct stage;
int list_rewrite(seg_t *seg, struct stage *stage);
void list_recount(seg_t *seg);
void list_tidy(seg_t *seg);

static inline uint64_t span_start(uint64_t span) { return span >> 32; }
static inline uint64_t span_length(uint64_t span) { return span & 0xffffffffu; }

/* redo.c: what shall be where, collected, and then committed by one store */
typedef struct {
    struct {
        uint64_t position, word;
    } *pair;
    uint64_t count, room, span;
} redo_list_t;
static inline void redo_free(redo_list_t *list) {
    PyMem_Free(list->pair);
    list->pair = NULL;
}
/* What `pending` says. A number's last bits tell one record from a later one at the same place. */
static inline uint64_t redo_name(uint64_t offset, uint64_t number, uint64_t state) {
    return number << 48 | offset << 2 | state;
}
static inline uint64_t redo_offset(uint64_t pending) { return (pending & 0xffffffffffffull) >> 2; }
int redo_add(redo_list_t *list, uint64_t position, uint64_t word);
bool redo_sort(redo_list_t *list);
int redo_commit(seg_t *seg, redo_list_t *list);
int redo_look(seg_t *seg, uint64_t pending, uint64_t position, uint64_t *word);
int redo_span(seg_t *seg, uint64_t pending, uint64_t *span);
int redo_settle(seg_t *seg);
const redo_t *redo_at(seg_t *seg, uint64_t pending, uint64_t *count);

uint64_t redo_write(seg_t *seg, redo_list_t *list, uint64_t transaction, uint64_t first, const char *others, uint64_t length);

/* stage.c: what a block has changed, and nobody else sees yet */
typedef struct {
    PyObject *key; /* tag and bytes */
    item_t item;
    bool set;      /* else deleted */
    bool fresh;    /* it gets a new entry, at the end of the order */
    bool base;     /* the key has a live entry that the block has not cleared */
    bool gone;     /* another change has taken its place */
} change_t;

typedef struct stage {
    PyObject *where; /* map: from a key's bytes to the number of its change */
    change_t *change;
    uint64_t count, room;
    int64_t more;    /* map: by how many entries its length differs from the base's */
    bool cleared;    /* map: what the base has does not count */
    uint64_t kept;   /* list: so many of the base's first words stay; behind them comes the tail */
    item_t *tail;
    uint64_t tail_count, tail_room;
} stage_t;

stage_t *stage_new(seg_t *seg);
stage_t *stage_copy(const stage_t *stage);
void stage_free(stage_t *stage);
int stage_prepare(seg_t *seg, stage_t *stage, redo_list_t *list);
int stage_commit(seg_t *seg, stage_t *stage);
void stage_committed(seg_t *seg, stage_t *stage);
change_t *stage_find(const stage_t *stage, const mapkey_t *key);
int stage_set(seg_t *seg, stage_t *stage, const mapkey_t *key, item_t *item, bool *fresh);
int stage_delete(seg_t *seg, stage_t *stage, const mapkey_t *key);
int stage_clear(seg_t *seg, stage_t *stage);
uint64_t stage_length(seg_t *seg, const stage_t *stage);
int stage_unfold(seg_t *seg, stage_t *stage, uint64_t from);
int stage_insert(seg_t *seg, stage_t *stage, uint64_t at, item_t *items, uint64_t count);
int stage_remove(seg_t *seg, stage_t *stage, uint64_t at, uint64_t count);

/* access.c: how a call on a handle gets at its container */
typedef struct {
    seg_t *seg;
    hold_t *hold;
    stage_t *stage; /* of the block that the call is made in; NULL: none, or nothing is changed in it yet */
    uint64_t block; /* which of its hold's that is, for a call that writes */
    bool inside;    /* a block */
} access_t;
int access_read(handle_t *h, access_t *a);
int access_write(handle_t *h, access_t *a);
int access_end(access_t *a, int done);
int access_stage(access_t *a);
int access_again(access_t *a);
int access_begin_many(access_t *a, stage_t **stage, stage_t **saved, bool steps);
int access_end_many(access_t *a, stage_t *stage, stage_t *saved, int done);
bool guard_usable(const handle_t *h);
PyObject *method_stamp(PyObject *self, PyObject *unused);

/* copies.c: whole reads */
typedef struct {
    char *bytes;
    uint64_t used, room, count;
    bool keys, values, glance; /* glance: wait for nobody, and leave out what is large */
    uint64_t most;             /* entries; 0: all */
    Py_ssize_t start, stop, step; /* list: which items */
    uint64_t generation;          /* that they were taken from */
} copies_t;
int copies_take(handle_t *h, copies_t *copies);
PyObject *copies_list(copies_t *copies);
void copies_free(copies_t *copies);

/* bulk.c */
PyObject *table_update(PyObject *self, PyObject *pairs);
PyObject *table_replace(PyObject *self, PyObject *pairs);
PyObject *table_change(PyObject *self, PyObject *args);

/* participants.c */
#define MOST_MEMBERS 4096 /* of a transaction: a damaged record is not read for ever */
int transaction_decided(seg_t *seg, const redo_t *redo, uint64_t pending);
void transaction_finish(seg_t *seg);
void transaction_tell(seg_t *seg);
int transaction_settle_others(seg_t *seg, const redo_t *redo);

/* transaction.c */
PyObject *transaction_make(PyObject *containers, PyObject *timeout, bool single);
PyObject *method_block(PyObject *self, PyObject *args, PyObject *kwargs);
extern PyType_Spec transaction_spec, table_spec, map_spec, vector_spec;

/* links.c: handles in values */
typedef struct {
    bool on;
    PyObject *handles;
} links_t; /* those that this thread has pickled */
void links_begin(links_t *outer);
PyObject *links_end(links_t *outer);
PyObject *links_names(PyObject *handles);
int links_claim(seg_t *seg, PyObject *handles, PyObject *claimed);
void links_clear(PyObject **handles);
void links_disown(seg_t *seg, PyObject *claimed);
void links_drop(seg_t *seg);
void links_compare(seg_t *seg, const generation_t *old);
void links_release(seg_t *seg);
void links_pass_on(seg_t *seg, const char *body, uint64_t length);
void queue_each_body(seg_t *seg, void (*visit)(const char *body, uint64_t length, void *arg), void *arg);
void container_end_file(const char *name);
void links_untrack(seg_t *seg);
uint64_t links_length(const char *bytes, uint64_t length);

#endif
