/* Giving memory back where there is none left to copy into.
 *
 * Compacting needs memory for what lives, which a container that has filled /dev/shm cannot have. What is done then needs none: the
 * same extents are published as the next generation, so that readers of the last one look again, and then the pages are
 * punched in which nothing lives: of the table, pages of dead entries, and behind a list's end and before its start; of the
 * arena, pages between two live records. What lies between two live records becomes one record of free space, so that
 * the arena can still be walked.
 *
 * Who comes while this goes on must not touch those pages either. A lookup finds no slot that leads there, since the slots went
 * before the generation was published. A whole read, which looks at every entry, sees an odd `sequence` after it has said which
 * generation it reads, and does not begin; one that saw an even one reads the last generation, and is waited for.
 *
 * Deaths. Nothing that is named is touched. A slot that led to a dead entry leads nowhere before the entry's page goes. The
 * length of a free record is stored at once, before its pages go.
 */
#include "container.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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
        for (uint64_t i = span_start(span); i < span_start(span) + span_length(span) && i < g->capacity; i++)
            note_word(live, get(word_at(g, i)));
        return;
    }
    if (span > g->capacity) span = g->capacity; /* it is damaged, as above */
    for (uint64_t i = map_present(seg, 0); i < span; i = map_present(seg, i + 1)) {
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

static uint64_t offset_of(seg_t *seg, uint64_t i) {
    const generation_t *g = current(seg);
    unsigned first = seg->geometry->first, s = 64 - (unsigned)__builtin_clzll(i | ((1ull << first) - 1)) - first;
    return g->table[s] * PAGE + ((i - (s == 0 ? 0 : 1ull << (first + s - 1))) << seg->geometry->shift);
}

static uint64_t free_between(seg_t *seg, uint64_t from, uint64_t to) {
    char *at = to >= from + PAGE ? segment_at(seg, from, to - from) : NULL;
    if (at == NULL) return 0;
    atomic_store((_Atomic uint64_t *)(void *)at, (uint64_t)RECORD_FREE << 56 | (to - from - 8));
    FAULT(reclaim_freed);
    return punch(seg, from + 8, to);
}

static uint64_t reclaim_arena(seg_t *seg) {
    generation_t *g = current(seg);
    offsets_t live = {0};
    uint64_t freed = 0, i = 0;
    note_all(seg, &live);
    if (live.count > 0) qsort(live.at, live.count, sizeof *live.at, by_value);
    for (unsigned pass = 0; pass < g->arenas && pass < MAX_ARENAS && !live.failed; pass++) {
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

#define PER_PAGE (PAGE / sizeof(entry_t))
#define NO_ENTRY 0xffffffffull /* a slot that leads nowhere: of hash 0, to an entry that there cannot be */

/* From *i* on the next entry whose page has memory, by the kernel's word. */
uint64_t map_skip_holes(seg_t *seg, uint64_t i) {
    while (i < seg->geometry->capacity && i % PER_PAGE == 0 && segment_fd(seg) >= 0) {
        uint64_t at = offset_of(seg, i);
        off_t data = lseek(seg->fd, (off_t)at, SEEK_DATA);
        if (data >= 0 && (uint64_t)data < at + PAGE) break;
        i += PER_PAGE;
    }
    return i;
}

/* The pages of a map's table in which every entry is dead, a byte for each. From now on no slot leads there. */
static char *dead_pages(seg_t *seg, uint64_t *pages) {
    const geometry_t *g = seg->geometry;
    *pages = get(&current(seg)->span);
    *pages = (*pages < g->capacity ? *pages : g->capacity) / PER_PAGE;
    char *dead = calloc(*pages + 1, 1);
    if (dead == NULL) *pages = 0;
    for (uint64_t p = 0; p < *pages; p++) {
        dead[p] = map_present(seg, p * PER_PAGE) == p * PER_PAGE;
        for (uint64_t i = p * PER_PAGE; i < (p + 1) * PER_PAGE && dead[p]; i++) dead[p] = get(&entry(g, i)->word) == 0;
    }
    for (uint64_t at = 0; at <= g->mask && dead != NULL; at++) {
        uint64_t slot = get(&g->index[at]), page = ((uint32_t)slot - 1u) / PER_PAGE;
        if (slot != 0 && page < *pages && dead[page]) put(&g->index[at], NO_ENTRY);
    }
    current(seg)->holes = 1;
    FAULT(reclaim_hidden);
    return dead;
}

static uint64_t reclaim_entries(seg_t *seg, const char *dead, uint64_t pages) {
    uint64_t freed = 0;
    for (uint64_t p = 0; p < pages; p++) {
        uint64_t at = offset_of(seg, p * PER_PAGE);
        if (dead[p]) freed += punch(seg, at, at + PAGE);
    }
    FAULT(reclaim_punched);
    return freed;
}

/* Pages of a list's table before its start. */
static uint64_t reclaim_words(seg_t *seg) {
    const uint64_t page = PAGE / 8;
    uint64_t freed = 0, start = span_start(get(&current(seg)->span));
    if (start > seg->geometry->capacity) start = 0; /* it is damaged */
    for (uint64_t i = 0; i + page <= start; i += page) freed += punch(seg, offset_of(seg, i), offset_of(seg, i) + PAGE);
    return freed;
}

/* The same extents as the next generation, without the arena if nothing in it lives. Readers of the last one look again. True if
 * none is left who could touch what is punched now. */
static bool renew(seg_t *seg, bool arena) {
    geometry_t same = *seg->geometry;
    const generation_t *old = current(seg);
    generation_t *new = generation_of(seg, same.generation + 1);
    container_start_generation(seg, new, true, arena);
    new->index = old->index;
    new->index_order = old->index_order;
    container_publish(seg, &same);
    return readers_gone(seg);
}

/* Take back the memory of the table behind what is in use. */
static void trim(seg_t *seg) {
    generation_t *g = current(seg);
    geometry_t *look = seg->geometry;
    uint64_t span = get(&g->span), elements = is_list(seg) ? span_start(span) + span_length(span) : span;
    unsigned s = 1;
    while (s < MAX_SEGMENTS && 1ull << (look->first + s - 1) < elements) s++;
    if (s > g->segments) return;
    uint64_t before = s == 1 ? 0 : 1ull << (look->first + s - 2), start = g->table[s - 1] * PAGE;
    uint64_t length = 1ull << (s == 1 ? EXTENT_ORDER : EXTENT_ORDER + s - 2);
    uint64_t keep = elements > before ? (((elements - before) << look->shift) + PAGE - 1) & ~(PAGE - 1) : PAGE;
    atomic_store_explicit(&g->segments, (uint8_t)s, memory_order_release);
    FAULT(reclaim_trimming);
    put(&g->table_reserved, keep);
    FAULT(reclaim_trimmed);
    punch(seg, start + keep, start + length);
    punch_gaps(seg);
    container_glance(seg);
}

/* Give back what can be given back in place; how many bytes. Never an exception. */
uint64_t container_reclaim(seg_t *seg) {
    if (container_glance(seg) == NULL) return 0;
    generation_t *old = current(seg);
    bool arena = get(&old->live) > 0 || get(&old->linked) > 0; /* who keeps handles must know what they were */
    uint64_t freed = arena ? 0 : get(&old->appended), pages = 0;
    commit_begin(seg);
    char *dead = is_list(seg) ? NULL : dead_pages(seg, &pages);
    if (renew(seg, arena)) {
        if (arena && get(&current(seg)->linked) == 0) freed += reclaim_arena(seg);
        freed += is_list(seg) ? reclaim_words(seg) : reclaim_entries(seg, dead, pages);
        trim(seg);
    } else
        freed = 0;
    commit_end(seg);
    free(dead);
    PyErr_Clear(); /* what could not be given back stays as it is */
    return freed;
}

/* A change failed for want of memory: what it had reserved goes back. */
void container_slim(seg_t *seg) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (container_look(seg) != NULL) {
        seg->geometry->wait = 0;
        if (is_list(seg)) list_tidy(seg);
        else map_tidy(seg);
        if (renew(seg, true)) trim(seg);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

/* A change found no memory: whether it is worth another try, because some was given back. If not, the exception stays. */
bool container_make_way(seg_t *seg) {
    PyObject *type, *value, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_MemoryError) || seg->geometry == NULL) return false;
    PyErr_Fetch(&type, &value, &traceback);
    bool useful = seg->geometry->wait == 0 && container_reclaim(seg) > 0;
    if (!useful && seg->geometry->wait == 0) seg->geometry->wait = 256;
    else if (!useful) seg->geometry->wait--;
    if (!useful) {
        PyErr_Restore(type, value, traceback);
        return false;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return true;
}
