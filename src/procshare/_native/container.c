/* Containers: generations of extents behind a root of two cache lines.
 *
 *   root:        | number of the current generation, pending redo, seed of the hash | sequence | generation 0 | generation 1 |
 *   generation:  an index of hashes (maps), a table of entries (maps) or of words (lists), an arena of records
 *   table:       | 4 KiB | 4 KiB | 8 KiB | 16 KiB | ...     segments, so that it grows without being copied
 *   arena:       | record | record | ...                    extents, appended to; a record: tag and length in 8 bytes, then bytes
 *
 * Who has the container's lock writes. Readers take none: they look up the generation's number, read, and look at the number again;
 * what they read in between may have been anything, so each offset is checked before it is followed, and what was
 * read is used only if the number is still the same. A change that everyone sees is always one store: of an entry's
 * word, of a list's span, of the number of the generation, or of `pending` (redo.c).
 *
 * There are no lists of free extents. What the current generation names is in use, and everything else in the file is
 * free: an extent is placed by looking for a gap. Growing the index, compacting, and shrinking build the other
 * generation in such gaps and publish it with one store of its number; then the pages of all gaps are given back (holes read as
 * 0, which is no word, no tag and no slot). Memory is reserved in steps of an eighth, so that little of it lies idle.
 *
 * Deaths. Before the number is stored, the new generation is unnamed, so it is a gap, whose pages the next owner gives back.
 * After it, the old one is. A segment or arena extent is counted after its page is written down; until then it is a gap.
 * While an arena's extent is added, `arena_used` says so, and the next owner knows by the count of extents whether it was.
 * `arena_used` moves when a record is whole, and a record is named after that, so what is overwritten was never named. The
 * counts (`count`, `live`) are right while `sequence` is even; whoever takes the lock from the dead finds it odd, and counts again.
 */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ull
#define TOP (1ull << 44) /* extents are named by 32 bits of page */
#define LARGEST_STEP (4ull << 20)
#define MOST_EXTENTS (3 + MAX_SEGMENTS + MAX_ARENAS)
#define SPARE_ORDER 13
#define READERS_ORDER 16

typedef struct {
    uint64_t start, end;
} range_t;

void *container_corrupt(seg_t *seg) {
    if (segment_whole(seg) == 0 && !PyErr_Occurred() && !segment_unmapped(seg))
        raise_named("CorruptSegment", seg->name, "what it says about itself makes no sense");
    return NULL;
}

static unsigned segment_order(unsigned s) { return EXTENT_ORDER + (s > 0 ? s - 1 : 0); }

/* How many elements *count* segments have. */
static uint64_t elements_of(unsigned count, unsigned first) {
    if (count > MAX_SEGMENTS) count = MAX_SEGMENTS;
    return count == 0 ? 0 : 1ull << (first + count - 1);
}

uint64_t container_elements(const generation_t *g, unsigned shift) {
    return elements_of(g->segments, EXTENT_ORDER - shift);
}

static unsigned shift_of(const seg_t *seg) { return is_list(seg) ? 3 : 5; }

/* ---- extents ---- */

static range_t range(uint32_t page, unsigned order) {
    return (range_t){page * PAGE, page * PAGE + (1ull << (order & 63))};
}

static unsigned ranges(const generation_t *g, range_t *out) {
    unsigned n = 0;
    if (g == NULL) return 0;
    if (g->index_order > 0) out[n++] = range(g->index, g->index_order);
    if (g->spare > 0) out[n++] = range(g->spare, SPARE_ORDER);
    for (unsigned s = 0; s < g->segments && s < MAX_SEGMENTS; s++) out[n++] = range(g->table[s], segment_order(s));
    for (unsigned a = 0; a < g->arenas && a < MAX_ARENAS; a++) out[n++] = range(g->arena[a], g->arena_order[a]);
    return n;
}

/* Give back the whole pages in a range of the file that nobody reads: how many bytes that are. */
uint64_t punch(seg_t *seg, uint64_t from, uint64_t to) {
    from = (from + PAGE - 1) & ~(PAGE - 1);
    to &= ~(PAGE - 1);
    if (from >= to || segment_fd(seg) < 0) return 0;
    int error = fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
    return error == 0 ? to - from : 0;
}

/* What was had of a reservation that failed goes back. */
static void unback(seg_t *seg, uint64_t offset, uint64_t length) {
    if (readers_gone(seg)) punch(seg, offset, offset + length);
    else seg->unpunched = true;
}

/* Make room in the file for an extent that neither generation has: its offset, or 0 with an exception. No memory yet. */
static uint64_t place(seg_t *seg, const generation_t *g, const generation_t *other, unsigned order) {
    range_t used[2 * MOST_EXTENTS];
    if (order >= 44) return raise_out_of_memory(seg->name, UINT64_MAX, shm_free_bytes()), 0;
    unsigned n = ranges(g, used);
    n += ranges(other, used + n);
    if (container_of(seg)->readers > 0) used[n++] = range(container_of(seg)->readers, READERS_ORDER);
    uint64_t length = 1ull << order, at = length > HEADER_SIZE ? length : HEADER_SIZE;
    for (unsigned i = 0; i < n; i++) {
        if (used[i].start >= at + length || at >= used[i].end) continue;
        at = (used[i].end + length - 1) & ~(length - 1);
        i = (unsigned)-1; /* from the start: it may lie over an earlier one now. It only ever moves up. */
    }
    if (at + length > TOP) return raise_out_of_memory(seg->name, length, shm_free_bytes()), 0;
    if (segment_lengthen(seg, at + length, length) < 0) return 0;
    FAULT(container_placed);
    return at;
}

/* Map pages in one go that are about to be written, instead of fault by fault. */
static void populate(seg_t *seg, uint64_t offset, uint64_t length) {
    void *at = length > PAGE ? segment_at(seg, offset, length) : NULL;
#ifdef MADV_POPULATE_WRITE
    if (at != NULL) madvise(at, length, MADV_POPULATE_WRITE);
#endif
    (void)at;
}

/* See that the first *want* bytes of an extent have memory, and some more where there is. */
static int back(seg_t *seg, uint64_t offset, _Atomic uint64_t *reserved, uint64_t want, uint64_t length, uint64_t total) {
    uint64_t have = get(reserved), step = (total / 8 + PAGE - 1) & ~(PAGE - 1);
    if (want <= have) return 0;
    if (step > LARGEST_STEP) step = LARGEST_STEP;
    want = (want + PAGE - 1) & ~(PAGE - 1);
    uint64_t wish = have + step > want ? have + step : want;
    if (wish > length) wish = length;
    if (segment_reserve(seg, offset + have, wish - have) < 0) {
        unback(seg, offset + have, wish - have);
        if (wish == want || !PyErr_ExceptionMatches(PyExc_MemoryError)) return -1;
        PyErr_Clear();
        wish = want;
        if (segment_reserve(seg, offset + have, wish - have) < 0) return unback(seg, offset + have, wish - have), -1;
    }
    FAULT(container_reserved);
    populate(seg, offset + have, wish - have);
    put(reserved, wish);
    return 0;
}

static int by_start(const void *a, const void *b) {
    const range_t *one = a, *other = b;
    return one->start < other->start ? -1 : one->start > other->start;
}

/* Give back the memory of everything that the current generation does not name, unless somebody may still read the last one. */
void punch_gaps(seg_t *seg) {
    range_t used[MOST_EXTENTS];
    unsigned n = ranges(current(seg), used);
    struct stat st;
    seg->unpunched = !readers_gone(seg);
    if (seg->unpunched) return;
    if (container_of(seg)->readers > 0) used[n++] = range(container_of(seg)->readers, READERS_ORDER);
    if (segment_fd(seg) < 0 || fstat(seg->fd, &st) < 0) return;
    qsort(used, n, sizeof *used, by_start);
    uint64_t at = HEADER_SIZE;
    FAULT(container_punching);
    for (unsigned i = 0; i <= n; i++) {
        uint64_t end = i < n ? used[i].start : (uint64_t)st.st_size;
        if (end > at) punch(seg, at, end);
        if (i < n && used[i].end > at) at = used[i].end;
    }
    FAULT(container_punched);
}

/* ---- the parts of a generation. *other*: one more whose extents are in use; NULL while g is the current one ---- */

static int add_segment(seg_t *seg, generation_t *g, const generation_t *other) {
    unsigned s = g->segments;
    if (s >= MAX_SEGMENTS) return raise_out_of_memory(seg->name, 1ull << segment_order(s), shm_free_bytes()), -1;
    uint64_t at = place(seg, g, other, segment_order(s));
    if (at == 0) return -1;
    g->table[s] = (uint32_t)(at / PAGE);
    put(&g->table_reserved, 0); /* a death before the next store makes the last one's memory be reserved again, which it has */
    FAULT(container_segment_placed);
    atomic_store_explicit(&g->segments, (uint8_t)(s + 1), memory_order_release);
    FAULT(container_extended);
    return 0;
}

int container_add_index(seg_t *seg, generation_t *g, const generation_t *other, unsigned order) {
    g->index_order = 0;
    uint64_t at = place(seg, g, other, order);
    if (at == 0) return -1;
    unback(seg, at, 1ull << order); /* it must be all zeros, whatever was left in this gap */
    if (segment_reserve(seg, at, 1ull << order) < 0) return -1;
    FAULT(container_index_backed);
    populate(seg, at, 1ull << order);
    if (seg->unpunched) {
        char *there = segment_at(seg, at, 1ull << order);
        if (there == NULL) return container_corrupt(seg), -1;
        memset(there, 0, 1ull << order);
    }
    g->index = (uint32_t)(at / PAGE);
    g->index_order = (uint8_t)order;
    return 0;
}

/* Two pages that are kept for the day when there are no others. */
int container_add_spare(seg_t *seg, generation_t *g, const generation_t *other) {
    if (g->spare != 0) return 0;
    uint64_t at = place(seg, g, other, SPARE_ORDER);
    if (at == 0 || segment_reserve(seg, at, 1ull << SPARE_ORDER) < 0) return -1;
    FAULT(container_spare_backed);
    g->spare = (uint32_t)(at / PAGE);
    return 0;
}

/* See that the table has this many elements, with memory. */
int container_ready(seg_t *seg, generation_t *g, const generation_t *other, uint64_t elements) {
    unsigned shift = shift_of(seg), first = EXTENT_ORDER - shift;
    for (;;) {
        unsigned s = g->segments;
        if (s > MAX_SEGMENTS) return container_corrupt(seg), -1;
        uint64_t before = s < 2 ? 0 : elements_of(s - 1, first), room = elements_of(s, first);
        if (s > 0 && elements > before) {
            uint64_t here = (elements < room ? elements : room) - before, length = 1ull << segment_order(s - 1);
            if (back(seg, g->table[s - 1] * PAGE, &g->table_reserved, here << shift, length, elements << shift) < 0) return -1;
        }
        if (elements <= room) return 0;
        if (add_segment(seg, g, other) < 0) return -1;
    }
}

/* What the last of the arena's extents holds, and what of it has memory, is not known while one is added: a death would leave one
 * figure of the old extent and one of the new. So meanwhile `arena_used` says this, and how many there were before. */
#define ARENA_ADDING (1ull << 60)

static void begin_arena(generation_t *g) {
    atomic_store_explicit(&g->arena_reserved, 0, memory_order_release);
    FAULT(container_arena_begun);
    atomic_store_explicit(&g->arena_used, 0, memory_order_release);
}

/* Append a record of two pieces: its offset, or 0 with an exception. */
uint64_t container_append(seg_t *seg, generation_t *g, const generation_t *other, uint8_t tag, const void *a, uint64_t na,
                          const void *b, uint64_t nb) {
    uint64_t need = record_room(na + nb);
    unsigned n = g->arenas;
    if (n > MAX_ARENAS) return container_corrupt(seg), 0;
    if (n == 0 || get(&g->arena_used) + need > 1ull << (g->arena_order[n - 1] & 63)) {
        unsigned order = n == 0 ? EXTENT_ORDER : (g->arena_order[n - 1] & 63) + (n > 3);
        uint64_t room = n == 0 && other != NULL ? need + get(&other->live) : need; /* a copy has all that lives in one extent */
        while (order < 44 && 1ull << order < room) order++;
        if (n > 0 && get(&g->arena_reserved) > get(&g->arena_used)) /* what is left of the last one counts as garbage */
            put(&g->appended, get(&g->appended) + get(&g->arena_reserved) - get(&g->arena_used));
        if (n == 4 && !is_list(seg) && container_add_spare(seg, g, other) < 0) return 0;
        if (n == MAX_ARENAS) return raise_out_of_memory(seg->name, need, shm_free_bytes()), 0;
        uint64_t at = place(seg, g, other, order);
        if (at == 0) return 0;
        g->arena[n] = (uint32_t)(at / PAGE);
        g->arena_order[n] = (uint8_t)order;
        put(&g->arena_used, ARENA_ADDING | n);
        FAULT(container_arena_placed);
        atomic_store_explicit(&g->arenas, (uint8_t)++n, memory_order_release);
        FAULT(container_arena_added);
        begin_arena(g);
    }
    uint64_t start = g->arena[n - 1] * PAGE, used = get(&g->arena_used), length = 1ull << (g->arena_order[n - 1] & 63);
    if (back(seg, start, &g->arena_reserved, used + need, length, get(&g->appended)) < 0) return 0;
    char *at = segment_at(seg, start + used, need);
    if (at == NULL) return container_corrupt(seg), 0;
    memcpy(at + 8, a, na);
    FAULT(container_writing);
    memmove(at + 8 + na, b, nb); /* in a damaged container another generation may overlap with this one */
    atomic_store_explicit((_Atomic uint64_t *)(void *)at, (uint64_t)tag << 56 | (na + nb), memory_order_release);
    put(&g->appended, get(&g->appended) + need);
    put(&g->arena_used, used + need);
    FAULT(container_appended);
    return start + used;
}

/* The last record is named by nothing any more: its place is free again. Of an older one it is garbage. */
void container_unappend(seg_t *seg, uint64_t offset, uint64_t length) {
    generation_t *g = current(seg);
    unsigned n = g->arenas;
    uint64_t room = record_room(length), used = get(&g->arena_used);
    if (n == 0 || n > MAX_ARENAS || used < room || g->arena[n - 1] * PAGE + used != offset + room) return;
    put(&g->arena_used, used - room);
    FAULT(container_unappended);
    put(&g->appended, get(&g->appended) - room);
}

/* ---- looking ---- */

/* Where all of a generation is mapped: 0, or -1 without an exception if it makes no sense. */
int container_map_generation(seg_t *seg, const generation_t *g, geometry_t *out) {
    out->shift = shift_of(seg);
    out->first = EXTENT_ORDER - out->shift;
    unsigned count = g->segments;
    if (count == 0 || count > MAX_SEGMENTS) return -1;
    for (unsigned s = 0; s < count; s++) {
        char *at = g->table[s] >= HEADER_SIZE / PAGE ? segment_at(seg, g->table[s] * PAGE, 1ull << segment_order(s)) : NULL;
        if (at == NULL) return -1;
        out->table[s] = at - ((s == 0 ? 0 : elements_of(s, out->first)) << out->shift);
    }
    out->capacity = elements_of(count, out->first);
    if (is_list(seg)) return 0;
    if (g->index_order < EXTENT_ORDER || g->index_order > 36 || g->index < HEADER_SIZE / PAGE) return -1;
    out->index = segment_at(seg, g->index * PAGE, 1ull << g->index_order);
    out->mask = (1ull << (g->index_order - 3)) - 1;
    return out->index == NULL ? -1 : 0;
}

/* The current generation, looked at anew; NULL without an exception: it makes no sense now, and may do so again later. */
geometry_t *container_glance(seg_t *seg) {
    container_t *c = container_of(seg);
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t number = atomic_load(&c->generation);
        const generation_t *there = generation_of(seg, number);
        uint8_t segments = atomic_load(&there->segments); /* first: what it counts is written down before */
        generation_t copy = *there;
        copy.segments = segments;
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&c->generation) != number) continue;
        geometry_t new;
        memset(&new, 0, sizeof new);
        int mapped = container_map_generation(seg, &copy, &new);
        if (mapped < 0) {
            if (atomic_load(&c->generation) != number) continue;
            break;
        }
        if (number == 0 || number == UINT64_MAX) break;
        new.generation = number;
        if (number == seg->geometry->generation) { /* it has only grown */
            new.wait = seg->geometry->wait;
            new.head = seg->geometry->head;
            new.tail = seg->geometry->tail;
            new.seen = seg->geometry->seen;
        }
        *seg->geometry = new;
        return seg->geometry;
    }
    return NULL;
}

/* The same; NULL with CorruptSegment. */
geometry_t *container_look(seg_t *seg) {
    geometry_t *there = container_glance(seg);
    return LIKELY(there != NULL) ? there : container_corrupt(seg);
}

/* Once for each mapping, before its first use: 0, or -1 with an exception. */
int container_prepare(seg_t *seg) {
    if (seg->geometry != NULL) return 0;
    if (seg->seat >= 0) readers_join(seg);
    if ((seg->geometry = calloc(1, sizeof *seg->geometry)) == NULL) return PyErr_NoMemory(), -1;
    seg->geometry->generation = UINT64_MAX; /* none that there is, so that it is looked at now */
    if (container_look(seg) != NULL) return 0;
    free(seg->geometry);
    seg->geometry = NULL;
    return -1;
}

/* ---- making ---- */

/* A new segment with an empty container; one reference, no name. NULL with an exception. */
seg_t *container_create(uint32_t kind) {
    seg_t *seg = segment_create(kind, 0, NULL, 0, 0, ALL_OF_IT);
    if (seg == NULL) return NULL;
    container_t *c = container_of(seg);
    generation_t *g = generation_of(seg, 1);
    bool seeded = draw_random(c->seed, sizeof c->seed) == 0;
    uint64_t readers = seeded ? place(seg, NULL, NULL, READERS_ORDER) : 0;
    c->readers = (uint32_t)(readers / PAGE);
    if (readers != 0 && (kind == KIND_LIST || container_add_index(seg, g, NULL, EXTENT_ORDER) == 0) && container_ready(seg, g, NULL, 1) == 0) {
        atomic_store(&c->generation, 1);
        if (container_prepare(seg) == 0) return seg;
    }
    segment_leave(seg);
    segment_unref(seg);
    return NULL;
}

/* It has what it is made with, and nobody else knows it yet: changes count from here on. */
void container_filled(seg_t *seg) { put(&container_of(seg)->sequence, 0); }

/* ---- generations ---- */

/* Begin the next generation in *new, with the current one's table and arena as far as they stay. */
void container_start_generation(seg_t *seg, generation_t *new, bool share_table, bool share_arena) {
    const generation_t *old = current(seg);
    memset(new, 0, sizeof *new);
    if (share_table) {
        put(&new->span, get(&old->span));
        put(&new->count, get(&old->count));
        new->spare = old->spare;
        new->holes = old->holes;
        put(&new->table_reserved, get(&old->table_reserved));
        memcpy(new->table, old->table, sizeof new->table);
        new->segments = old->segments;
    }
    if (share_arena) {
        put(&new->arena_used, get(&old->arena_used));
        put(&new->arena_reserved, get(&old->arena_reserved));
        put(&new->appended, get(&old->appended));
        put(&new->live, get(&old->live));
        put(&new->linked, get(&old->linked));
        put(&new->dropped, get(&old->dropped));
        memcpy(new->arena, old->arena, sizeof new->arena);
        memcpy(new->arena_order, old->arena_order, sizeof new->arena_order);
        new->arenas = old->arenas;
    }
}

/* Make the generation that was built the current one. *g*: where it is mapped. */
void container_publish(seg_t *seg, const geometry_t *g) {
    container_t *c = container_of(seg);
    uint64_t number = get(&c->generation) + 1;
    FAULT(container_switching);
    atomic_store(&c->generation, number);
    FAULT(container_switched);
    *seg->geometry = *g;
    seg->geometry->generation = number;
    if (get(&generation_of(seg, number - 1)->linked) > 0) links_compare(seg, generation_of(seg, number - 1));
    punch_gaps(seg);
}

/* A generation could not be finished: what it took is free again. */
void container_abandon(seg_t *seg) { punch_gaps(seg); }

/* ---- after a death ---- */

/* If an extent was about to be added to the arena, it was, or the one before it counts as full. */
static void reset_arena(seg_t *seg) {
    generation_t *g = current(seg);
    uint64_t used = get(&g->arena_used);
    unsigned before = used & 63;
    if (!(used & ARENA_ADDING)) return;
    if (g->arenas > before) begin_arena(g);
    else put(&g->arena_used, before > 0 && before <= MAX_ARENAS ? 1ull << (g->arena_order[before - 1] & 63) : 0);
}

bool container_recovering; /* this process is at it */

/* The lock was taken from the dead: finish what they had committed, count what they left uncounted. */
void container_recover(seg_t *seg) {
    container_t *c = container_of(seg);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    container_recovering = true;
    if (container_prepare(seg) == 0 && container_look(seg) != NULL) {
        reset_arena(seg);
        if (get(&c->pending) != 0) redo_settle(seg);
        FAULT(container_recovering);
        if (is_list(seg)) list_recount(seg);
        else map_recount(seg);
        FAULT(container_recounted);
        if (get(&c->pending) == 0) atomic_store(&c->sequence, (get(&c->sequence) | 1) + 1);
        FAULT(container_recovered);
        punch_gaps(seg);
    }
    container_recovering = false;
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}
