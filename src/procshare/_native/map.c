/* The map behind dict, set and namespace: a table of entries in the order of their insertion, and an index of hashes over it.
 *
 *   index:  | hash, number + 1 | 0 | hash, number + 1 | ...      8 bytes a slot, a power of two of them, linear probing
 *   entry:  | word, 8 bytes | tag | length | key, 22 bytes |      a longer key is a record of the arena
 *
 * (The shape is that of CPython's dict, Objects/dictobject.c; Hettinger, 2012.) An entry's key never changes, its word
 * is its value: 0 means that there is none. An entry whose word has become 0 stays 0; a key that comes back gets a new
 * entry, at the end of the order, and its slot is pointed there, or a second slot is, further along.
 *
 * Every change is one store of one entry's word. Adding: the entry is written with word 0 and counted, its slot is stored, and
 * then its word. Replacing and deleting: the word. A lookup that meets the slot before the word finds no value,
 * which is what there was. A whole read copies all entries between two looks at `sequence`.
 *
 * Deaths. Before the word is stored: an entry without a value, which takes 32 bytes until the next compaction.
 * After it: `count` and `live` may be wrong, and are counted again because `sequence` is odd. A slot that was stored without
 * its word leads to nothing. When a slot is pointed to a new entry, both the old and the new one are without a value.
 */
#include "container.h"

#define LARGE_INDEX 16 /* log2 of the bytes up to which it is no matter that clear() needs two new pages */

typedef struct {
    uint64_t number, word; /* of the live entry, if *live* */
    uint64_t free, dead;   /* slots: the first empty one, and the first that leads to a dead entry of this key */
    bool live, has_dead;
} spot_t;

static inline bool same_key(seg_t *seg, const entry_t *e, const mapkey_t *key) {
    uint64_t block[3];
    memcpy(block, &e->tag, sizeof block);
    if (LIKELY(key->length <= INLINE_KEY))
        return block[0] == key->block[0] && block[1] == key->block[1] && block[2] == key->block[2];
    const char *data;
    uint64_t length;
    return e->tag == key->tag && e->length == LONG_KEY && key_of_entry(seg, e, &data, &length) && length == key->length &&
           memcmp(data, key->data, length) == 0;
}

/* ---- reading, without the lock ---- */

/* One attempt: 1 found, 0 absent, -1 what was read means nothing. */
static inline int probe(seg_t *seg, geometry_t *g, const mapkey_t *key, uint64_t *word) {
    uint64_t pending = atomic_load_explicit(&container_of(seg)->pending, memory_order_acquire);
    uint64_t at = key->hash & g->mask;
    for (uint64_t n = 0; n <= g->mask; n++, at = (at + 1) & g->mask) {
        uint64_t slot = atomic_load_explicit(&g->index[at], memory_order_acquire);
        if (slot == 0) break;
        if (slot >> 32 != key->hash) continue;
        uint64_t number = (uint32_t)slot - 1u;
        if (UNLIKELY(number >= g->capacity)) {
            uint64_t generation = g->generation;
            if (container_glance(seg) == NULL || g->generation != generation) return -1;
            if (number >= g->capacity) continue;
        }
        entry_t *e = entry(g, number);
        if (!same_key(seg, e, key)) continue;
        uint64_t found = atomic_load_explicit(&e->word, memory_order_acquire);
        if (UNLIKELY(pending != 0) && redo_look(seg, pending, number, &found) < 0) return -1;
        if (LIKELY(found != 0)) {
            *word = found;
            return LIKELY(pending == 0) || atomic_load(&container_of(seg)->pending) == pending ? 1 : -1;
        }
    }
    return LIKELY(pending == 0) || atomic_load(&container_of(seg)->pending) == pending ? 0 : -1;
}

/* 1 and the word as of *generation, which is for word_take() to check; 0 absent; -1 exception. */
int map_find(seg_t *seg, const mapkey_t *key, uint64_t *word, uint64_t *generation) {
    container_t *c = container_of(seg);
    geometry_t *g = seg->geometry;
    for (int tries = 0; tries < 1000; tries++) {
        if (UNLIKELY(g->generation != atomic_load_explicit(&c->generation, memory_order_acquire)) && container_look(seg) == NULL)
            return -1;
        *generation = g->generation;
        int found = probe(seg, g, key, word);
        if (LIKELY(found == 1)) return 1;
        if (UNLIKELY(PyErr_Occurred() != NULL)) return -1;
        atomic_thread_fence(memory_order_acquire);
        if (LIKELY(found == 0 && get(&c->generation) == *generation)) return 0;
    }
    return container_corrupt(seg), -1;
}

/* ---- writing, with the lock, nothing pending ---- */

/* The current generation, all of it. */
geometry_t *map_geometry(seg_t *seg) {
    geometry_t *g = seg->geometry;
    generation_t *now = current(seg);
    bool known = g->generation == get(&container_of(seg)->generation) && g->capacity == container_elements(now, 5);
    if (!known && container_look(seg) == NULL) return NULL;
    if (get(&now->span) > g->capacity) return container_corrupt(seg);
    return g;
}

static void find_spot(seg_t *seg, geometry_t *g, const mapkey_t *key, spot_t *spot) {
    uint64_t at = key->hash & g->mask;
    *spot = (spot_t){.free = UINT64_MAX};
    for (uint64_t n = 0; n <= g->mask; n++, at = (at + 1) & g->mask) {
        uint64_t slot = get(&g->index[at]);
        if (slot == 0) {
            spot->free = at;
            return;
        }
        uint64_t number = (uint32_t)slot - 1u;
        if (slot >> 32 != key->hash || number >= g->capacity) continue;
        entry_t *e = entry(g, number);
        if (!same_key(seg, e, key)) continue;
        uint64_t word = get(&e->word);
        if (word != 0) {
            spot->live = true;
            spot->number = number;
            spot->word = word;
            return;
        }
        if (!spot->has_dead) spot->dead = at;
        spot->has_dead = true;
    }
}

/* The live entry of a key: 1, 0 there is none, -1 an exception. */
int map_locate(seg_t *seg, const mapkey_t *key, uint64_t *number, uint64_t *word) {
    geometry_t *g = map_geometry(seg);
    spot_t spot;
    if (g == NULL) return -1;
    find_spot(seg, g, key, &spot);
    *number = spot.number;
    *word = spot.word;
    return spot.live;
}

/* Whether an entry of this key was added, without a value yet, from number *first* on. */
bool map_added_since(seg_t *seg, const mapkey_t *key, uint64_t first) {
    spot_t spot;
    find_spot(seg, seg->geometry, key, &spot);
    return spot.has_dead && (uint32_t)get(&seg->geometry->index[spot.dead]) - 1u >= first;
}

static void store_slot(_Atomic uint64_t *slot, uint32_t hash, uint64_t number) {
    atomic_store_explicit(slot, (uint64_t)hash << 32 | (uint32_t)(number + 1), memory_order_release);
}

static void index_entry(const geometry_t *g, uint32_t hash, uint64_t number) {
    uint64_t at = hash & g->mask;
    for (uint64_t n = 0; n <= g->mask && get(&g->index[at]) != 0; n++) at = (at + 1) & g->mask;
    store_slot(&g->index[at], hash, number);
}

static unsigned index_order(uint64_t entries, unsigned spare) {
    unsigned order = EXTENT_ORDER;
    while (order < 36 && (1ull << (order - 3)) * 2 < entries * spare) order++;
    return order;
}

static int copy_entries(seg_t *seg, const geometry_t *from, uint64_t used, generation_t *new, const geometry_t *to) {
    uint64_t number = 0;
    for (uint64_t i = map_present(seg, 0); i < used && i < from->capacity; i = map_present(seg, i + 1)) {
        const entry_t *e = entry(from, i);
        uint64_t word = get(&e->word);
        if (word == 0) continue;
        if (number >= to->capacity) return container_corrupt(seg), -1; /* there are more than were counted */
        entry_t *copy = entry(to, number);
        if (word_move(seg, new, &word) < 0) return -1;
        memmove(&copy->tag, &e->tag, 24); /* in a damaged map the two may overlap */
        if (UNLIKELY(e->length > INLINE_KEY)) {
            const char *data;
            uint64_t length;
            if (!key_of_entry(seg, e, &data, &length)) return container_corrupt(seg), -1;
            uint64_t offset = container_append(seg, new, current(seg), RECORD_KEY, "", 0, data, length);
            if (offset == 0) return -1;
            memcpy(copy->data + 6, &offset, 8);
            put(&new->live, get(&new->live) + record_room(length));
        }
        put(&copy->word, word);
        index_entry(to, key_hash_entry(seg, copy), number++);
    }
    put(&new->span, number);
    put(&new->count, number);
    return 0;
}

/* The next generation: with a larger index over the same table and arena, or with copies of what lives in both; 0, or -1 with an
 * exception and nothing changed. */
static int rebuild(seg_t *seg, uint64_t extra, bool compact) {
    geometry_t *g = map_geometry(seg), new_g = {0};
    if (g == NULL) return -1;
    generation_t *old = current(seg), *new = generation_of(seg, g->generation + 1);
    uint64_t used = get(&old->span), keep = compact ? get(&old->count) : used;
    if (keep > used) return container_corrupt(seg), -1;
    container_start_generation(seg, new, !compact, !compact);
    int done = container_add_index(seg, new, old, index_order(keep + extra, compact ? 4 : 3));
    if (done == 0 && new->index_order > LARGE_INDEX) done = container_add_spare(seg, new, old);
    if (done == 0 && compact) done = container_ready(seg, new, old, keep + extra > 0 ? keep + extra : 1);
    if (done == 0 && container_map_generation(seg, new, &new_g) < 0) done = (container_corrupt(seg), -1);
    if (done == 0 && !compact) {
        for (uint64_t at = 0; at <= g->mask; at++) {
            uint64_t slot = get(&g->index[at]);
            if (slot != 0 && (uint32_t)slot - 1u < used) index_entry(&new_g, (uint32_t)(slot >> 32), (uint32_t)slot - 1u);
        }
    } else if (done == 0)
        done = copy_entries(seg, g, used, new, &new_g);
    if (done == 0) container_publish(seg, &new_g);
    else container_abandon(seg);
    return done;
}

int map_compact(seg_t *seg, uint64_t extra) { return rebuild(seg, extra, true); }

/* See that so many more entries can be added without fail. */
int map_make_room(seg_t *seg, uint64_t entries) {
    geometry_t *g = map_geometry(seg);
    if (g == NULL) return -1;
    generation_t *now = current(seg);
    uint64_t used = get(&now->span), dead = used - get(&now->count);
    if (used + entries >= UINT32_MAX) return raise_out_of_memory(seg->name, used * 32, shm_free_bytes()), -1;
    if (UNLIKELY((used + entries) * 3 > (g->mask + 1) * 2)) {
        if (rebuild(seg, entries, dead > used / 4) < 0) return -1;
        now = current(seg);
        used = get(&now->span);
    }
    uint64_t room = get(&now->table_reserved) >> 5, segments = now->segments;
    if (LIKELY(used + entries <= (segments < 2 ? 0 : 1ull << (7 + segments - 2)) + room)) return 0;
    if (container_ready(seg, now, NULL, used + entries) < 0) return -1;
    return map_geometry(seg) == NULL ? -1 : 0;
}

/* Write an entry for a key, without a value yet; there is room. *hidden*: by a second slot, because the first must still lead
 * to the live entry that it leads to. */
int map_add(seg_t *seg, const mapkey_t *key, bool hidden, uint64_t *number) {
    geometry_t *g = map_geometry(seg);
    if (g == NULL) return -1;
    generation_t *now = current(seg);
    uint64_t offset = 0;
    if (key->length > INLINE_KEY) {
        offset = container_append(seg, now, NULL, RECORD_KEY, "", 0, key->data, key->length);
        if (offset == 0) return -1;
    }
    *number = get(&now->span);
    if (*number >= g->capacity) return container_corrupt(seg), -1;
    entry_t *e = entry(g, *number);
    put(&e->word, 0);
    memcpy(&e->tag, key->block, 24);
    if (offset != 0) {
        memcpy(e->data + 6, &offset, 8);
        memcpy(e->data + 14, &key->length, 8);
    }
    FAULT(map_entered);
    atomic_store_explicit(&now->span, *number + 1, memory_order_release);
    FAULT(map_counted);
    bool indexed = true;
    if (hidden) index_entry(g, key->hash, *number);
    else indexed = map_point(seg, key, *number);
    FAULT(map_indexed);
    return indexed ? 0 : (container_corrupt(seg), -1);
}

/* Let the first slot of a key that leads to no live entry, or a new slot, lead to this one. */
bool map_point(seg_t *seg, const mapkey_t *key, uint64_t number) {
    spot_t spot;
    find_spot(seg, seg->geometry, key, &spot);
    if (spot.live && !spot.has_dead) return true;
    uint64_t at = spot.has_dead ? spot.dead : spot.free;
    if (at == UINT64_MAX) return false; /* only a damaged index is full */
    store_slot(&seg->geometry->index[at], key->hash, number);
    return true;
}

/* The one store: this entry now has this value. In the middle of a commit. */
void map_set_word(seg_t *seg, uint64_t number, uint64_t word) {
    geometry_t *g = seg->geometry;
    generation_t *now = current(seg);
    if (number >= g->capacity) return;
    entry_t *e = entry(g, number);
    uint64_t old = get(&e->word);
    FAULT(map_publishing);
    atomic_store_explicit(&e->word, word, memory_order_release);
    FAULT(map_published);
    uint64_t change = (word != 0) - (uint64_t)(old != 0);
    if (change != 0) put(&now->count, get(&now->count) + change);
    if (tagged_is_record((int64_t)word) || (old != 0 && tagged_is_record((int64_t)old))) word_replaced(seg, old, word);
    if (UNLIKELY(e->length > INLINE_KEY) && change != 0) {
        uint64_t length;
        const char *data;
        if (key_of_entry(seg, e, &data, &length)) put(&now->live, get(&now->live) + change * record_room(length));
    }
}

/* d[key] = item: 1 the key is new, 0 it was there, -1 an exception and nothing changed. */
static int try_put(seg_t *seg, const mapkey_t *key, const item_t *item) {
    uint64_t word, number;
    spot_t spot;
    geometry_t *g = map_geometry(seg);
    if (g == NULL) return -1;
    find_spot(seg, g, key, &spot);
    if (!spot.live && map_make_room(seg, 1) < 0) return -1; /* first: it may move everything that has a name */
    if (item_place(seg, item, &word) < 0) return -1;
    number = spot.number;
    if (!spot.live && map_add(seg, key, false, &number) < 0) return -1;
    commit_begin(seg);
    map_set_word(seg, number, word);
    commit_end(seg);
    if (UNLIKELY(spot.live && tagged_is_record((int64_t)spot.word))) map_tidy(seg);
    return !spot.live;
}

int map_put(seg_t *seg, const mapkey_t *key, const item_t *item) {
    int done = try_put(seg, key, item);
    return LIKELY(done >= 0) || !container_make_way(seg) ? done : try_put(seg, key, item);
}

/* Without any entry: one store, of a new generation. */
int map_empty(seg_t *seg) {
    geometry_t *g = map_geometry(seg), new_g = {0};
    if (g == NULL) return -1;
    generation_t *old = current(seg), *new = generation_of(seg, g->generation + 1);
    container_start_generation(seg, new, false, false);
    int done = container_add_index(seg, new, old, EXTENT_ORDER);
    if (done == 0) done = container_ready(seg, new, old, 1);
    if (done < 0 && old->spare != 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        container_start_generation(seg, new, false, false);
        new->index = old->spare;
        new->index_order = EXTENT_ORDER;
        new->table[0] = old->spare + 1;
        new->segments = 1;
        put(&new->table_reserved, 1u << EXTENT_ORDER);
        done = 0;
    }
    if (done == 0 && container_map_generation(seg, new, &new_g) < 0) done = (container_corrupt(seg), -1);
    if (done < 0) return container_abandon(seg), -1;
    commit_begin(seg);
    container_publish(seg, &new_g);
    commit_end(seg);
    return 0;
}

/* After a death: count what lives. */
void map_recount(seg_t *seg) {
    geometry_t *g = map_geometry(seg);
    generation_t *now = current(seg);
    if (g == NULL) return PyErr_Clear(); /* it is damaged; whoever uses it next is told */
    uint64_t count = 0, live = 0;
    for (uint64_t i = map_present(seg, 0), used = get(&now->span); i < used && i < g->capacity; i = map_present(seg, i + 1)) {
        const entry_t *e = entry(g, i);
        uint64_t word = get(&e->word), length;
        const char *data;
        if (word == 0) continue;
        count++;
        live += item_size(seg, word);
        if (e->length > INLINE_KEY && key_of_entry(seg, e, &data, &length)) live += record_room(length);
    }
    put(&now->count, count);
    put(&now->live, live);
}

/* Give memory back, if much of it is of no use. What that needs is not always to be had; then later. */
void map_tidy(seg_t *seg) {
    generation_t *now = current(seg);
    uint64_t count = get(&now->count);
    bool entries = get(&now->span) - count > count + 256;
    bool records = get(&now->appended) - get(&now->live) > get(&now->live) + 16384;
    bool index = now->index_order > LARGE_INDEX - 3 && now->index_order < 40 && 1ull << (now->index_order - 3) > 32 * (count + 64);
    if (UNLIKELY(seg->unpunched)) punch_gaps(seg);
    if (LIKELY(!entries && !records && !index && get(&now->dropped) < 16 + count / 4)) return;
    if (seg->geometry->wait > 0 && --seg->geometry->wait > 0) return;
    for (int tries = 0; tries < 2 && map_compact(seg, 0) < 0; tries++) {
        PyErr_Clear();
        if (container_reclaim(seg) == 0 || tries == 1) seg->geometry->wait = 256 + count / 4, tries = 2;
    }
}
