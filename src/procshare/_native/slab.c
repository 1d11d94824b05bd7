/* Slabs: segments of 128-byte slots for small anonymous objects, so that a counter costs no file of its own.
 *
 * Only the process that made a slab allocates from it, so what is free is private knowledge and needs no
 * lock. A slab has no name until one of its objects is exported: what nobody can attach to needs none, and leaves none.
 *
 * A slot is used again only if nobody else can know it: it was never exported, and no fork copied its handle.
 * Its generation is part of the object's name, and raised at each use. A death at any point leaves slots that
 * say LIVE but whose owner is gone; they go with the slab, when the last one out unlinks it.
 */
#include "native.h"

#include <stdlib.h>
#include <string.h>

static uint64_t fork_count;

void slab_parent_forked(void) { fork_count++; }

static seg_t *make(void) {
    seg_t *seg = segment_create(KIND_SLAB, SLAB_SIZE - HEADER_SIZE, NULL, 0, SLAB_SLOTS, ALL_OF_IT);
    if (seg == NULL) return NULL;
    seg->spares = malloc(SLAB_SLOTS * sizeof *seg->spares);
    seg->born = calloc(SLAB_SLOTS + 1, sizeof *seg->born);
    seg->slot_exported = calloc(SLAB_SLOTS + 1, 1);
    if (seg->spares == NULL || seg->born == NULL || seg->slot_exported == NULL) {
        segment_leave(seg);
        segment_unref(seg);
        return (seg_t *)PyErr_NoMemory();
    }
    seg->handles = 1;
    seg->keeping = true;
    seg->next_slab = process.slabs;
    process.slabs = seg;
    return seg;
}

static bool has_room(const seg_t *seg) { return !atomic_load(&seg->cut) && (seg->spare > 0 || seg->fresh < SLAB_SLOTS); }

/* A slot of this process's own: 0 with a reference to its slab, or -1 with an exception. */
int slab_take(seg_t **out, uint32_t *index) {
    seg_t *seg = process.slabs;
    while (seg != NULL && !has_room(seg)) seg = seg->next_slab;
    if (seg == NULL && (seg = make()) == NULL) return -1;
    *index = seg->spare > 0 ? seg->spares[--seg->spare] : ++seg->fresh;
    FAULT(slab_taken);
    seg->born[*index] = fork_count + 1; /* 0: not in use */
    seg->slot_exported[*index] = 0;
    seg->live++;
    slot_t *slot = segment_slot(seg, *index);
    uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_relaxed) + 1;
    memset(slot, 0, sizeof *slot);
    memset(tally_of(seg, slot), 0, sizeof(tally_t));
    atomic_store_explicit(&tally_of(seg, slot)->created, (uint64_t)clock_time_ns(), memory_order_relaxed);
    atomic_store_explicit(&slot->generation, generation, memory_order_relaxed);
    FAULT(slab_emptied);
    atomic_store_explicit(&slot->state, SLOT_LIVE, memory_order_release);
    FAULT(slab_live);
    segment_ref(seg);
    seg->handles++;
    *out = seg;
    return 0;
}

/* Stop allocating from a slab; it goes when the last handle in it does. */
void slab_forget(seg_t *seg) {
    for (seg_t **link = &process.slabs; *link != NULL; link = &(*link)->next_slab)
        if (*link == seg) {
            *link = seg->next_slab;
            seg->next_slab = NULL;
            seg->spare = 0;
            seg->fresh = SLAB_SLOTS;
            return;
        }
}

/* The process that made it is about to exit, so its objects end, also where another one in their slab was given away. */
void slab_end(seg_t *seg) {
    for (uint32_t i = 1; i <= seg->slots; i++)
        if (seg->born[i] != 0 && atomic_load(segment_claim(seg, i)) == 0) atomic_store(&segment_slot(seg, i)->state, SLOT_DEAD);
}

/* The object in a slot is gone. In the process that made it, the slot may be used again. */
void slab_give_back(seg_t *seg, uint32_t index) {
    slot_t *slot = segment_slot(seg, index);
    FAULT(slab_freeing);
    atomic_store(&slot->state, SLOT_DEAD);
    FAULT(slab_freed);
    if (seg->born == NULL || seg->born[index] == 0) return;
    bool private = !seg->slot_exported[index] && seg->born[index] == fork_count + 1;
    seg->born[index] = 0;
    seg->live--;
    if (private) store_drop(seg, slot); /* of a counter this is nothing */
    bool listed = false;
    for (seg_t *s = process.slabs; s != NULL && !listed; s = s->next_slab) listed = s == seg;
    if (listed && private) seg->spares[seg->spare++] = (uint16_t)index;
    if (seg->live > 0) return;
    bool named = atomic_load(&seg->header->flags) & SEG_LINKED;
    if (listed && !named && has_room(seg)) return; /* kept for the next object: it has no name to leave behind */
    slab_forget(seg);
    seg->keeping = false;
    if (--seg->handles == 0) segment_leave(seg);
    segment_unref(seg);
}

/* An object in a slab was given away: the slab now lasts until its last attacher leaves, so nothing new is put there. */
void slab_hand_over(seg_t *seg, uint32_t index) {
    slab_forget(seg);
    if (seg->born[index] == 0) return;
    seg->born[index] = 0;
    if (--seg->live > 0) return; /* this process's other objects there still need its seat */
    seg->keeping = false;
    seg->handles--;
    segment_unref(seg);
}
