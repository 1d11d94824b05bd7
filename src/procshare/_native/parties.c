/* A table of those who wait for a condition or at a barrier, each with an entry that names its process's seat.
 *
 *   payload:  | last ticket, entries ever used | entry | entry | ...
 *
 * Entries are given out under the lock of whoever the table belongs to. An entry is its waiter's from the store of `token`,
 * which comes last, until `token` is 0 again, which its waiter stores without a lock, or anyone where it names the dead.
 *
 * Deaths. Before the token is stored the entry is free. After it, it is a dead one's: it is skipped and freed by who meets it.
 * `used` is raised before the token, and is only ever a bound on where to look.
 */
#include "sync.h"

static parties_t *table(const seg_t *seg) { return (parties_t *)(void *)(seg->base + seg->payload); }

bool parties_fit(const seg_t *seg) {
    return seg->slots == 0 && seg->payload % 16 == 0 && seg->payload_size >= sizeof(parties_t) + sizeof(party_t);
}

/* How many entries there are. */
uint32_t parties_room(const seg_t *seg) {
    uint64_t room = (seg->payload_size - sizeof(parties_t)) / sizeof(party_t);
    return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

/* How many of them to look at. */
uint32_t parties_used(const seg_t *seg) {
    uint32_t used = atomic_load(&table(seg)->used), room = parties_room(seg);
    return used < room ? used : room;
}

uint64_t parties_ticket(const seg_t *seg) { return atomic_fetch_add(&table(seg)->tickets, 1) + 1; }

party_t *party_at(const seg_t *seg, uint32_t i) { return &table(seg)->party[i]; }

static party_t *free_one(seg_t *seg) {
    uint32_t used = parties_used(seg);
    for (uint32_t i = 0; i < used; i++)
        if (atomic_load(&party_at(seg, i)->token) == 0) return party_at(seg, i);
    if (used == parties_room(seg)) return NULL;
    atomic_store(&table(seg)->used, used + 1);
    return party_at(seg, used);
}

/* An entry for the calling thread, under the lock; NULL, without an exception, if all are taken. */
party_t *party_enter(seg_t *seg, uint32_t state, uint64_t ticket) {
    party_t *party = free_one(seg);
    if (UNLIKELY(party == NULL)) {
        for (uint32_t i = 0; i < parties_room(seg); i++) {
            uint32_t token = atomic_load(&party_at(seg, i)->token);
            if (!seat_alive(seg, token)) party_leave(party_at(seg, i), token);
        }
        if ((party = free_one(seg)) == NULL) return NULL;
    }
    atomic_store(&party->state, state);
    atomic_store(&party->ticket, ticket);
    FAULT(parties_filled);
    atomic_store(&party->token, seg->token);
    return party;
}

/* The entry is free, if it is still this one's. */
bool party_leave(party_t *party, uint32_t token) { return atomic_compare_exchange_strong(&party->token, &token, 0); }
