/* Redo: many changes that appear as one.
 *
 *   redo record:  | count, span, transaction, first | position, word | position, word | ... |   sorted by position
 *
 * All that can fail is done first, where nobody sees it: records are appended, entries of new keys written without a value, words
 * written behind a list's end. Then the redo record is appended, and the one store to the root's `pending` commits it: from
 * then on readers look in the record before the table. Applying stores each word, allocates nothing, and may be
 * done again; `pending` is cleared last.
 *
 * The record's place is used again for the next one. So a reader that looked in it looks at `pending` again, which carries some
 * bits of a number: if it is no longer the same, what it found there means nothing.
 *
 * Words are applied from the last position to the first. A key that was deleted and set anew has a new entry behind
 * its old one; so a lookup that finds the old one empty already finds the new one full.
 *
 * Deaths. Before the store to `pending` nothing was committed, and what was written is nobody's. After it, whoever takes the
 * lock applies the record (container_recover), and until then readers see it as if it were applied.
 */
#include "container.h"

#include <stdlib.h>

/* The redo record that `pending` names, and how many pairs it has, which is not to be read again: to a reader the record may
 * be gone. NULL if there is none. */
const redo_t *redo_at(seg_t *seg, uint64_t pending, uint64_t *count) {
    uint8_t tag = 0;
    uint64_t length = 0;
    const char *at = record_at(seg, redo_offset(pending), &tag, &length);
    if (at == NULL || tag != RECORD_REDO || length < sizeof(redo_t)) return NULL;
    const redo_t *redo = (const redo_t *)(const void *)at;
    *count = *(const volatile uint64_t *)&redo->count;
    return *count <= (length - sizeof(redo_t)) / sizeof redo->pair[0] ? redo : NULL;
}

/* Whether what is pending counts as done: 1, 0, or -1 if that cannot be told any more: look again. */
static int committed(seg_t *seg, const redo_t *redo, uint64_t pending) {
    return (pending & 3) == REDO_COMMITTED ? 1 : transaction_decided(seg, redo, pending);
}

/* For a reader: 1 and the word that a commit gave this position, 0 if it gave none, -1 look again. */
int redo_look(seg_t *seg, uint64_t pending, uint64_t position, uint64_t *word) {
    uint64_t low = 0, high, count;
    const redo_t *redo = redo_at(seg, pending, &count);
    if (redo == NULL) return -1;
    int done = committed(seg, redo, pending);
    if (done <= 0) return done;
    high = count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (redo->pair[middle].position < position) low = middle + 1;
        else high = middle;
    }
    if (low >= count || redo->pair[low].position != position) return 0;
    *word = redo->pair[low].word;
    return 1;
}

int redo_span(seg_t *seg, uint64_t pending, uint64_t *span) {
    uint64_t count;
    const redo_t *redo = redo_at(seg, pending, &count);
    if (redo == NULL) return -1;
    int done = committed(seg, redo, pending);
    if (done == 1) *span = redo->span;
    return done;
}

static void apply(seg_t *seg, const redo_t *redo, uint64_t count) {
    for (uint64_t i = count; i-- > 0;) {
        if (is_list(seg)) list_set_word(seg, redo->pair[i].position, redo->pair[i].word);
        else map_set_word(seg, redo->pair[i].position, redo->pair[i].word);
        FAULT(redo_applying);
    }
    if (is_list(seg)) list_set_span(seg, span_start(redo->span), span_length(redo->span));
}

/* Holding the lock: finish what was committed, drop what was not. */
int redo_settle(seg_t *seg) {
    container_t *c = container_of(seg);
    uint64_t pending = get(&c->pending), count, length;
    uint8_t tag;
    if (pending == 0) return 0;
    if (container_look(seg) == NULL) return -1;
    const redo_t *redo = redo_at(seg, pending, &count);
    if (redo != NULL) {
        int done = committed(seg, redo, pending);
        if (done < 0 || (done == 1 && transaction_settle_others(seg, redo) < 0)) return container_corrupt(seg), -1;
        commit_begin(seg);
        if (done == 1 && redo->first != 0 && container_recovering) transaction_tell(seg); /* the first may be gone */
        if (done == 1) apply(seg, redo, count);
        if (done == 1 && redo->first != 0) {
            put(&c->settled_first, redo->first);
            FAULT(redo_noting);
            put(&c->settled, redo->transaction);
        }
    }
    FAULT(redo_applied);
    atomic_store(&c->pending, 0);
    if (redo != NULL && record_at(seg, redo_offset(pending), &tag, &length) != NULL)
        container_unappend(seg, redo_offset(pending), length);
    commit_end(seg);
    FAULT(redo_settled);
    return 0;
}

int redo_add(redo_list_t *list, uint64_t position, uint64_t word) {
    if (list->count == list->room) {
        uint64_t room = list->room * 2 + 16;
        void *larger = PyMem_Realloc(list->pair, room * sizeof list->pair[0]);
        if (larger == NULL) return PyErr_NoMemory(), -1;
        list->pair = larger;
        list->room = room;
    }
    list->pair[list->count].position = position;
    list->pair[list->count++].word = word;
    return 0;
}

static int by_position(const void *a, const void *b) {
    const uint64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

/* Sort by position; false: a position comes twice. */
bool redo_sort(redo_list_t *list) {
    bool sorted = true, once = true;
    for (uint64_t i = 1; i < list->count; i++) sorted = sorted && list->pair[i - 1].position < list->pair[i].position;
    if (sorted) return true;
    qsort(list->pair, list->count, sizeof list->pair[0], by_position);
    for (uint64_t i = 1; i < list->count; i++) once = once && list->pair[i - 1].position < list->pair[i].position;
    return once;
}

/* Append the record: its offset, or 0 with an exception. *others*: who else is in the transaction, or "". */
uint64_t redo_write(seg_t *seg, redo_list_t *list, uint64_t transaction, uint64_t first, const char *others, uint64_t length) {
    redo_t head = {list->count, list->span, transaction, first};
    redo_sort(list);
    uint64_t pairs = list->count * sizeof list->pair[0];
    char *body = PyMem_Malloc(pairs + length + 1);
    if (body == NULL) return PyErr_NoMemory(), 0;
    if (pairs > 0) memcpy(body, list->pair, pairs);
    memcpy(body + pairs, others, length);
    uint64_t offset = container_append(seg, current(seg), NULL, RECORD_REDO, &head, sizeof head, body, pairs + length);
    PyMem_Free(body);
    return offset;
}

/* Commit to this container alone: 0, or -1 with an exception and nothing changed. */
int redo_commit(seg_t *seg, redo_list_t *list) {
    container_t *c = container_of(seg);
    bool span = is_list(seg) && list->span != get(&current(seg)->span);
    if (list->count + span == 0) return 0;
    if (list->count + span == 1) { /* one store, which needs no record */
        commit_begin(seg);
        if (span) list_set_span(seg, span_start(list->span), span_length(list->span));
        else if (is_list(seg)) list_set_word(seg, list->pair[0].position, list->pair[0].word);
        else map_set_word(seg, list->pair[0].position, list->pair[0].word);
        commit_end(seg);
        return 0;
    }
    uint64_t offset = redo_write(seg, list, 0, 0, "", 0);
    if (offset == 0) return -1;
    FAULT(redo_written);
    commit_begin(seg);
    atomic_store(&c->pending, redo_name(offset, get(&c->sequence) >> 1, REDO_COMMITTED));
    FAULT(redo_pending);
    return redo_settle(seg);
}
