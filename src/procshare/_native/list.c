/* The list: a table of words, of which one word of the generation, the span, tells which are the list's.
 *
 *   span:   first position << 32 | length
 *   table:  | not any more ... | word | word | ... | word | not yet ... |
 *
 * One store changes it: of a word (replace), or of the span (append and extend, whose words are written behind its end first;
 * pop at either end). Whatever else there is, insert, delete, reverse, is a redo of many words (redo.c). A
 * reader loads span, word, span and word again. The index must still mean this position, or it is another's word that was
 * read; and the word must still be the same, or it may be one that was being appended in the place of one that was popped.
 *
 * Deaths. Words behind the span are nobody's. After the one store nothing is left to do but to count (`live`).
 */
#include "container.h"

/* Whether *index* means the same position in both spans. */
static bool same_place(uint64_t span, uint64_t after, int64_t index, uint64_t i) {
    if (LIKELY(span == after)) return true;
    if (index >= 0) return span_start(after) == span_start(span) && i < span_length(after);
    return span_start(after) + span_length(after) == span_start(span) + span_length(span) && (uint64_t)-index <= span_length(after);
}

/* 1 and the word at *index*, which may be negative; 0 there is none; -1 exception. */
int list_get(seg_t *seg, int64_t index, uint64_t *word, uint64_t *generation) {
    container_t *c = container_of(seg);
    geometry_t *g = seg->geometry;
    for (int tries = 0; tries < 1000; tries++) {
        if (UNLIKELY(g->generation != atomic_load_explicit(&c->generation, memory_order_acquire)) && container_look(seg) == NULL)
            return -1;
        generation_t *now = generation_of(seg, g->generation);
        *generation = g->generation;
        uint64_t pending = atomic_load_explicit(&c->pending, memory_order_acquire);
        uint64_t span = atomic_load_explicit(&now->span, memory_order_acquire);
        if (UNLIKELY(pending != 0) && redo_span(seg, pending, &span) < 0) continue;
        int64_t length = (int64_t)span_length(span), i = index < 0 ? index + length : index;
        if (UNLIKELY(i < 0 || i >= length)) {
            atomic_thread_fence(memory_order_acquire);
            if (get(&c->generation) == *generation) return 0;
            continue;
        }
        uint64_t position = span_start(span) + (uint64_t)i;
        if (UNLIKELY(position >= g->capacity) &&
            (container_look(seg) == NULL || (position >= g->capacity && g->generation == *generation)))
            return container_corrupt(seg), -1;
        if (UNLIKELY(g->generation != *generation)) continue;
        *word = atomic_load_explicit(word_at(g, position), memory_order_acquire);
        if (UNLIKELY(pending != 0) && redo_look(seg, pending, position, word) < 0) continue;
        atomic_thread_fence(memory_order_acquire);
        if (UNLIKELY(get(&c->pending) != pending || get(&c->generation) != *generation)) continue;
        if (UNLIKELY(pending != 0)) return 1;
        uint64_t after = atomic_load_explicit(&now->span, memory_order_acquire);
        if (UNLIKELY(!same_place(span, after, index, (uint64_t)i))) continue;
        if (LIKELY(atomic_load_explicit(word_at(g, position), memory_order_acquire) == *word)) {
            if (LIKELY(*word != 0)) return 1;
            if (tries > 100) break;
        }
    }
    return container_corrupt(seg), -1;
}

/* ---- writing, with the lock, nothing pending ---- */

static geometry_t *geometry(seg_t *seg) {
    geometry_t *g = seg->geometry;
    generation_t *now = current(seg);
    bool known = g->generation == get(&container_of(seg)->generation) && g->capacity == container_elements(now, 3);
    if (!known && container_look(seg) == NULL) return NULL;
    uint64_t span = get(&now->span);
    if (span_start(span) + span_length(span) > g->capacity) return container_corrupt(seg);
    return g;
}

static int compact(seg_t *seg, uint64_t extra, bool records) {
    geometry_t *g = geometry(seg), new_g = {0};
    if (g == NULL) return -1;
    generation_t *old = current(seg), *new = generation_of(seg, g->generation + 1);
    uint64_t span = get(&old->span), start = span_start(span), length = span_length(span);
    if (start + length > g->capacity) return container_corrupt(seg), -1;
    container_start_generation(seg, new, false, !records);
    int done = container_ready(seg, new, old, length + extra > 0 ? length + extra : 1);
    if (done == 0 && container_map_generation(seg, new, &new_g) < 0) done = (container_corrupt(seg), -1);
    if (done == 0 && length > new_g.capacity) done = (container_corrupt(seg), -1); /* somebody writes into it meanwhile */
    for (uint64_t i = 0; i < length && done == 0; i++) {
        uint64_t word = start + i < g->capacity ? get(word_at(g, start + i)) : 0;
        if (records && word_move(seg, new, &word) < 0) done = -1;
        put(word_at(&new_g, i), word);
    }
    put(&new->span, length);
    if (done == 0) container_publish(seg, &new_g);
    else container_abandon(seg);
    return done;
}

/* Whether there are words behind a span, which the caller holds or has read the generation's number around; else CorruptSegment. */
bool list_fits(seg_t *seg, uint64_t span) {
    uint64_t end = span_start(span) + span_length(span);
    if (LIKELY(end <= seg->geometry->capacity)) return true;
    return container_look(seg) != NULL && (end <= seg->geometry->capacity || container_corrupt(seg));
}

/* See that so many words can be written behind the last. */
int list_make_room(seg_t *seg, uint64_t words) {
    if (geometry(seg) == NULL) return -1;
    generation_t *now = current(seg);
    uint64_t span = get(&now->span), start = span_start(span), length = span_length(span);
    if (start + length + words >= UINT32_MAX) return raise_out_of_memory(seg->name, length * 8, shm_free_bytes()), -1;
    if (UNLIKELY(start > length + 512) && compact(seg, words, false) < 0) return -1;
    now = current(seg);
    uint64_t end = span_start(get(&now->span)) + length;
    if (container_ready(seg, now, NULL, end + words) < 0) return -1;
    return geometry(seg) == NULL ? -1 : 0;
}

/* Keep account of the arena for the positions from *from* up to *to*, which the list gains or loses. */
static void account(seg_t *seg, uint64_t from, uint64_t to, bool gained) {
    for (uint64_t i = from; i < to && i < seg->geometry->capacity; i++) {
        uint64_t word = get(word_at(seg->geometry, i));
        if (word != 0 && tagged_is_record((int64_t)word)) word_replaced(seg, gained ? 0 : word, gained ? word : 0);
    }
}

/* The one store: these positions are the list now. In the middle of a commit. */
void list_set_span(seg_t *seg, uint64_t start, uint64_t length) {
    _Atomic uint64_t *span = &current(seg)->span;
    uint64_t was = get(span), end = start + length, old_start = span_start(was), old_end = old_start + span_length(was);
    FAULT(list_publishing);
    atomic_store_explicit(span, start << 32 | length, memory_order_release);
    FAULT(list_published);
    account(seg, old_start, start < old_end ? start : old_end, false);
    account(seg, end > old_start ? end : old_start, old_end, false);
    account(seg, old_end > start ? old_end : start, end, true);
}

/* The one store: this position now has this word. In the middle of a commit. */
void list_set_word(seg_t *seg, uint64_t position, uint64_t word) {
    if (position >= seg->geometry->capacity) return;
    _Atomic uint64_t *at = word_at(seg->geometry, position);
    uint64_t old = get(at);
    FAULT(list_storing);
    atomic_store_explicit(at, word, memory_order_release);
    FAULT(list_stored);
    if (tagged_is_record((int64_t)word) || (old != 0 && tagged_is_record((int64_t)old))) word_replaced(seg, old, word);
}

/* Commit a stage by a table of its own in the next generation, over the same arena: 1, or -1 with an exception and nothing
 * changed. It copies each word once, where a redo of as many words writes it three times. */
int list_rewrite(seg_t *seg, stage_t *stage) {
    geometry_t *g = geometry(seg), new_g = {0};
    uint64_t wanted = stage->kept + stage->tail_count;
    uint64_t *words = g == NULL ? NULL : PyMem_Malloc((stage->tail_count + 1) * sizeof *words);
    int done = words == NULL ? -1 : 0;
    if (g != NULL && words == NULL) PyErr_NoMemory();
    for (uint64_t i = 0; i < stage->tail_count && done == 0; i++) done = item_place(seg, &stage->tail[i], &words[i]);
    if (done < 0) return PyMem_Free(words), -1;
    generation_t *old = current(seg), *new = generation_of(seg, g->generation + 1);
    uint64_t start = span_start(get(&old->span));
    container_start_generation(seg, new, false, true);
    done = start + stage->kept > g->capacity ? (container_corrupt(seg), -1) : container_ready(seg, new, old, wanted > 0 ? wanted : 1);
    if (done == 0 && container_map_generation(seg, new, &new_g) < 0) done = (container_corrupt(seg), -1);
    if (done == 0 && wanted > new_g.capacity) done = (container_corrupt(seg), -1); /* somebody writes into it meanwhile */
    for (uint64_t i = 0; i < wanted && done == 0; i++)
        put(word_at(&new_g, i), i < stage->kept ? get(word_at(g, start + i)) : words[i - stage->kept]);
    put(&new->span, wanted);
    PyMem_Free(words);
    FAULT(list_written);
    if (done < 0) return container_abandon(seg), -1;
    commit_begin(seg);
    container_publish(seg, &new_g);
    list_recount(seg);
    commit_end(seg);
    return 1;
}

/* After a death: count what lives. */
void list_recount(seg_t *seg) {
    geometry_t *g = geometry(seg);
    generation_t *now = current(seg);
    if (g == NULL) return PyErr_Clear(); /* it is damaged; whoever uses it next is told */
    uint64_t live = 0, start = span_start(get(&now->span)), length = span_length(get(&now->span));
    for (uint64_t i = start; i < start + length && i < g->capacity; i++) live += item_size(seg, get(word_at(g, i)));
    put(&now->live, live);
}

/* Give memory back, if much of it is of no use. What that needs is not always to be had; then later. */
void list_tidy(seg_t *seg) {
    generation_t *now = current(seg);
    uint64_t span = get(&now->span), length = span_length(span), last = now->segments > 1 ? container_elements(now, 3) / 2 : 0;
    uint64_t backed = last + (get(&now->table_reserved) >> 3);
    bool words = span_start(span) > length + 512 || backed > 2 * (span_start(span) + length) + 4096;
    bool records = get(&now->appended) - get(&now->live) > get(&now->live) + 16384 || get(&now->dropped) > 16 + length / 4;
    if (UNLIKELY(seg->unpunched)) punch_gaps(seg);
    if (LIKELY(!words && !records)) return;
    if (seg->geometry->wait > 0 && --seg->geometry->wait > 0) return;
    for (int tries = 0; tries < 2 && compact(seg, 0, records) < 0; tries++) {
        PyErr_Clear();
        if (container_reclaim(seg) == 0 || tries == 1) seg->geometry->wait = 256 + length / 4, tries = 2;
    }
}
