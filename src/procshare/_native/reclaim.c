/* Giving memory back where there is none left to copy into.
 *
 * Compacting needs memory for what lives, which a container that has filled /dev/shm cannot have. What is done then needs none: the
 * same extents are published as the next generation, so that readers of the last one look again, and then the pages are
 * punched in which nothing lives: of the table, pages of dead entries, and behind a list's end and before its start; of the
 * arena, pages between two live records. What lies between two live records becomes one record of free space, so that
 * the arena can still be walked.
 *
 * Deaths. Nothing that is named is touched. A punched page reads as 0: an entry without a value. The length of a free record is
 * stored at once, before its pages go.
 */
#include "container.h"

#include <fcntl.h>
#include <stdlib.h>

#define PAGE 4096ull

typedef struct {
    uint64_t *at, count, room;
    bool failed;
} offsets_t;

static void note(offsets_t *live, uint64_t offset) {
    if (live->count == live->room) {
        uint64_t room = live->room * 2 + 64, *larger = realloc(live->at, room * sizeof *larger);
        if (larger == NULL) {
            live->failed = true;
            return;
        }
        live->at = larger;
        live->room = room;
    }
    live->at[live->count++] = offset;
}

static void note_word(offsets_t *live, uint64_t word) {
    if (word != 0 && tagged_is_record((int64_t)word)) note(live, tagged_offset(word));
}

static void note_all(seg_t *seg, offsets_t *live) {
    const geometry_t *g = seg->geometry;
    uint64_t span = get(&current(seg)->span);
    if (is_list(seg)) {
        for (uint64_t i = 0; i < span_length(span); i++) note_word(live, get(word_at(g, span_start(span) + i)));
        return;
    }
    for (uint64_t i = 0; i < span; i++) {
        const entry_t *e = entry(g, i);
        if (get(&e->word) == 0) continue;
        note_word(live, get(&e->word));
        if (e->length == LONG_KEY) note(live, *(const uint64_t *)(const void *)(e->data + 6));
    }
}

static int by_value(const void *a, const void *b) {
    const uint64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

/* Punch the whole pages in a range of the file; how many bytes that gave back, or might have. */
static uint64_t punch(seg_t *seg, uint64_t from, uint64_t to) {
    from = (from + PAGE - 1) & ~(PAGE - 1);
    to &= ~(PAGE - 1);
    if (from >= to || segment_fd(seg) < 0) return 0;
    return fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) == 0 ? to - from : 0;
}

static uint64_t free_between(seg_t *seg, uint64_t from, uint64_t to) {
    char *at = to >= from + PAGE ? segment_at(seg, from, to - from) : NULL;
    if (at == NULL) return 0;
    atomic_store((_Atomic uint64_t *)(void *)at, (uint64_t)RECORD_FREE << 56 | (to - from - 8));
    return punch(seg, from + 8, to);
}

static uint64_t reclaim_arena(seg_t *seg) {
    generation_t *g = current(seg);
    offsets_t live = {0};
    uint64_t freed = 0, i = 0;
    note_all(seg, &live);
    if (live.count > 0) qsort(live.at, live.count, sizeof *live.at, by_value);
    for (unsigned pass = 0; pass < g->arenas && !live.failed; pass++) {
        uint64_t start = g->arena[pass] * PAGE, end = start + (1ull << (g->arena_order[pass] & 63)), at = start, length;
        if (pass + 1u == g->arenas) end = start + get(&g->arena_used);
        uint8_t tag;
        for (i = 0; i < live.count; i++) {
            if (live.at[i] < at || live.at[i] >= end) continue;
            if (record_at(seg, live.at[i], &tag, &length) == NULL) break;
            freed += free_between(seg, at, live.at[i]);
            at = live.at[i] + record_room(length);
        }
        if (pass + 1u == g->arenas) freed += free_between(seg, at, end);
        else punch(seg, at, end); /* behind the last record of a full extent there is nothing to walk */
    }
    free(live.at);
    put(&g->appended, get(&g->appended) > freed + get(&g->live) ? get(&g->appended) - freed : get(&g->live));
    return freed;
}

static uint64_t offset_of(seg_t *seg, uint64_t i) {
    const generation_t *g = current(seg);
    unsigned first = seg->geometry->first, s = 64 - (unsigned)__builtin_clzll(i | ((1ull << first) - 1)) - first;
    return g->table[s] * PAGE + ((i - (s == 0 ? 0 : 1ull << (first + s - 1))) << seg->geometry->shift);
}

/* Pages of a map's table in which every entry is dead. */
static uint64_t reclaim_entries(seg_t *seg) {
    const uint64_t page = PAGE / sizeof(entry_t);
    uint64_t freed = 0, used = get(&current(seg)->span);
    for (uint64_t i = 0; i + page <= used; i += page) {
        bool dead = true;
        for (uint64_t j = i; j < i + page && dead; j++) dead = get(&entry(seg->geometry, j)->word) == 0;
        if (dead) freed += punch(seg, offset_of(seg, i), offset_of(seg, i) + PAGE);
    }
    return freed;
}

/* Pages of a list's table before its start. */
static uint64_t reclaim_words(seg_t *seg) {
    const uint64_t page = PAGE / 8;
    uint64_t freed = 0, start = span_start(get(&current(seg)->span));
    for (uint64_t i = 0; i + page <= start; i += page) freed += punch(seg, offset_of(seg, i), offset_of(seg, i) + PAGE);
    return freed;
}

/* Take back the memory of the table behind so many elements. */
void container_trim(seg_t *seg, uint64_t elements) {
    generation_t *g = current(seg);
    geometry_t *look = container_look(seg);
    if (look == NULL) return;
    unsigned s = 1;
    while (s < MAX_SEGMENTS && 1ull << (look->first + s - 1) < elements) s++;
    if (s > g->segments) return;
    uint64_t before = s == 1 ? 0 : 1ull << (look->first + s - 2), start = g->table[s - 1] * PAGE;
    uint64_t length = 1ull << (s == 1 ? EXTENT_ORDER : EXTENT_ORDER + s - 2);
    uint64_t keep = elements > before ? (((elements - before) << look->shift) + PAGE - 1) & ~(PAGE - 1) : PAGE;
    atomic_store_explicit(&g->segments, (uint8_t)s, memory_order_release);
    put(&g->table_reserved, keep);
    punch(seg, start + keep, start + length);
    punch_gaps(seg);
    container_look(seg);
}

/* Give back what can be given back in place; how many bytes. */
uint64_t container_reclaim(seg_t *seg) {
    geometry_t *g = container_look(seg);
    if (g == NULL) return 0;
    const generation_t *old = current(seg);
    generation_t *new = generation_of(seg, g->generation + 1);
    bool arena = get(&old->live) > 0 || get(&old->linked) > 0; /* who keeps handles must know what they were */
    uint64_t all = get(&old->appended);
    geometry_t same = *g;
    container_start_generation(seg, new, true, arena);
    new->index = old->index;
    new->index_order = old->index_order;
    container_publish(seg, &same);
    uint64_t freed = arena ? 0 : all;
    if (arena && get(&new->linked) == 0) freed += reclaim_arena(seg);
    uint64_t span = get(&new->span);
    freed += is_list(seg) ? reclaim_words(seg) : reclaim_entries(seg);
    container_trim(seg, is_list(seg) ? span_start(span) + span_length(span) : span);
    return freed;
}
