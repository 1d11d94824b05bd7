/* The ring: bytes of a queue, with a lock for those who put and one for those who take.
 *
 *   root (where other kinds have meta) | what each seat owes | the first ring | leases | extents: larger rings, large items ...
 *
 *   record:  | tag, 8 bits; length, 56 bits | body, padded to 8 bytes |     at position % size, wrapping round
 *   large:   | tag + RECORD_LARGE; 16       | extent | length of the body there |
 *
 * Each end keeps its books (layout.h) twice and says by its number of commits which ones are valid, so that all of a commit
 * appears by one store. Whoever puts, under put_lock, writes records behind the head, then commits head and count. Whoever takes,
 * under take_lock, copies out and commits tail and count. The two never wait for each other, and look into the other's
 * books only when their own last look says full, or empty. (After Michael and Scott, "Simple, Fast, and Practical Non-Blocking and
 * Blocking Concurrent Queue Algorithms", 1996: the two-lock queue; and Lamport, "Specifying Concurrent Program Modules", 1983.)
 *
 * When more must fit, and capacity allows, the ring moves to an extent of twice the size, under both locks: all between tail and
 * head is copied, and one store of `growths` makes it the ring. The old one is given back. A large ring that has been empty for a while
 * goes back to the first one, which is kept.
 *
 * Deaths. Putting: what lies behind the head is nothing until the commit, and is overwritten by the next one. Taking: nothing has
 * happened until the commit; what else it changes (what the taker owes, a lease's state) is written in it, and done by the taker, or
 * again by whoever takes the lock over from the dead (ring_lock_takes): it is the last commit's, so it changes nothing that
 * came later. Growing: before the store the old ring is valid, after it the new one; an extent is lost until the queue
 * is gone. A large item whose record was not committed, likewise. A dead waiter is not waited for; a waker that dies between its commit
 * and the wake costs a slice.
 */
#include "queue.h"

#include <stdlib.h>
#include <sys/stat.h>

#define LAST_ORDER 44
#define LARGE_RING (256u << 10)

void *queue_corrupt(seg_t *seg) {
    if (segment_whole(seg) == 0 && !segment_unmapped(seg)) raise_named("CorruptSegment", public_name(seg->name), "its ring makes no sense");
    return NULL;
}

/* ---- books ---- */

static put_books_t puts_now(const queue_t *q, uint64_t commits) {
    const puts_t *p = &q->puts[commits & 1];
    return (put_books_t){get(&p->head), get(&p->in), get(&p->large)};
}

static take_books_t takes_now(const queue_t *q, uint64_t commits) {
    const takes_t *t = &q->takes[commits & 1];
    return (take_books_t){get(&t->tail), get(&t->out), get(&t->large), get(&t->done)};
}

#define TRIES 100000 /* nobody commits that often while this reads a cache line; a damaged segment might */

/* The books of an end as they are, or just were, also without its lock. */
put_books_t ring_puts(seg_t *seg) {
    queue_t *q = queue_of(seg);
    for (int tries = 0;; tries++) {
        uint64_t commits = atomic_load_explicit(&q->put_commits, memory_order_acquire);
        put_books_t books = puts_now(q, commits);
        atomic_thread_fence(memory_order_acquire);
        if (get(&q->put_commits) != commits && tries < TRIES) continue;
        return seg->queue->puts = books;
    }
}

take_books_t ring_takes(seg_t *seg) {
    queue_t *q = queue_of(seg);
    for (int tries = 0;; tries++) {
        uint64_t commits = atomic_load_explicit(&q->take_commits, memory_order_acquire);
        take_books_t books = takes_now(q, commits);
        atomic_thread_fence(memory_order_acquire);
        if (get(&q->take_commits) != commits && tries < TRIES) continue;
        return seg->queue->takes = books;
    }
}

void ring_commit_puts(seg_t *seg, const put_books_t *books) {
    queue_t *q = queue_of(seg);
    uint64_t commits = get(&q->put_commits) + 1;
    atomic_thread_fence(memory_order_release); /* after the last commit, if that was under this same lock */
    puts_t *p = &q->puts[commits & 1];
    put(&p->head, books->head);
    put(&p->in, books->in);
    put(&p->large, books->large);
    FAULT(queue_putting);
    atomic_store_explicit(&q->put_commits, commits, memory_order_release);
    FAULT(queue_put);
    seg->queue->puts = *books;
}

/* One more item is done, unless it was said before that all are. Whether all are now. */
bool ring_count_done(seg_t *seg, take_books_t *books) {
    uint64_t in = ring_puts(seg).in;
    if (books->done < in) books->done++;
    return books->done == in;
}

/* What the commit that is being prepared also writes: *value* at *place* of the file. */
void ring_also(seg_t *seg, int which, uint64_t place, uint64_t value) {
    queue_t *q = queue_of(seg);
    atomic_thread_fence(memory_order_release); /* after the last commit, if that was under this same lock */
    takes_t *t = &q->takes[(get(&q->take_commits) + 1) & 1];
    put(&t->also[which].place, place);
    put(&t->also[which].value, value);
}

static void do_also(seg_t *seg) {
    queue_t *q = queue_of(seg);
    takes_t *t = &q->takes[get(&q->take_commits) & 1];
    for (int i = 0; i < 2; i++) {
        uint64_t place = get(&t->also[i].place);
        uint64_t n = atomic_load(&q->leases), end = LEASES_OFFSET + (n < LEASES ? n : LEASES) * sizeof(lease_t);
        if (place < OWED_OFFSET || place % 8 != 0 || (place > FIRST_RING - 8 && (place < LEASES_OFFSET || place > end - 8))) continue;
        atomic_store((_Atomic uint64_t *)(void *)(seg->base + place), get(&t->also[i].value));
        FAULT(queue_applied);
    }
}

/* After ring_also(0) and (1), both. */
void ring_commit_takes(seg_t *seg, const take_books_t *books) {
    queue_t *q = queue_of(seg);
    uint64_t commits = get(&q->take_commits) + 1;
    takes_t *t = &q->takes[commits & 1];
    put(&t->tail, books->tail);
    put(&t->out, books->out);
    put(&t->large, books->large);
    put(&t->done, books->done);
    FAULT(queue_taking);
    atomic_store_explicit(&q->take_commits, commits, memory_order_release);
    FAULT(queue_taken);
    do_also(seg);
    seg->queue->takes = *books;
}

/* ---- locks ---- */

/* A finalizer that the garbage collector ran in the middle of a call would wait for its own thread for ever. */
static int again(seg_t *seg) {
    PyErr_Format(PyExc_RuntimeError, "%s was used again in the middle of a call on it by the same thread", public_name(seg->name));
    return -1;
}

/* 0; 1 it was not to be had in time, or in BUSY_NS if that is longer; -1 an exception. Likewise ring_lock_takes(). */
int ring_lock_puts(seg_t *seg, int64_t ns) {
    if (UNLIKELY(seg->queue->putting == this_thread())) return again(seg);
    int got = lock_word_take(seg, &queue_of(seg)->put_lock, ns >= 0 && ns < BUSY_NS ? BUSY_NS : ns);
    if (UNLIKELY(got < 0 || got == 2)) return got < 0 ? -1 : 1;
    seg->queue->putting = this_thread();
    lock_quiet++;
    return 0;
}

/* Holding take_lock, once for each time that this process took a seat: what the seat's former occupant owed is the dead's. */
static void sit_down(seg_t *seg) {
    uint64_t value, place = ring_owe(seg, 0, &value);
    uint64_t before = atomic_load((_Atomic uint64_t *)(void *)(seg->base + place));
    uint64_t lost = atomic_load((_Atomic uint64_t *)(void *)(seg->base + LOST_OFFSET));
    seg->queue->token = seg->token;
    if ((uint32_t)before == 0 || before >> 32 == value >> 32) return;
    take_books_t books = ring_takes(seg);
    ring_also(seg, 0, LOST_OFFSET, lost + (uint64_t)(int64_t)(int32_t)(uint32_t)before);
    ring_also(seg, 1, place, value);
    ring_commit_takes(seg, &books);
}

int ring_lock_takes(seg_t *seg, int64_t ns) {
    if (UNLIKELY(seg->queue->taking == this_thread())) return again(seg);
    int got = lock_word_take(seg, &queue_of(seg)->take_lock, ns >= 0 && ns < BUSY_NS ? BUSY_NS : ns);
    if (UNLIKELY(got < 0 || got == 2)) return got < 0 ? -1 : 1;
    seg->queue->taking = this_thread();
    lock_quiet++;
    if (UNLIKELY(got == 1)) do_also(seg);
    if (UNLIKELY(seg->queue->token != seg->token)) sit_down(seg);
    return 0;
}

/* In a child that was forked in the middle of this call, by a finalizer, the lock is its parent's. */
static void unlock(_Atomic uint32_t *word, uintptr_t *holder) {
    bool mine = *holder == this_thread();
    lock_quiet--;
    if (UNLIKELY(!mine)) return;
    *holder = 0;
    lock_word_release(word);
}

void ring_unlock_puts(seg_t *seg) { unlock(&queue_of(seg)->put_lock, &seg->queue->putting); }

void ring_unlock_takes(seg_t *seg) { unlock(&queue_of(seg)->take_lock, &seg->queue->taking); }

/* For lock.c: whether a thread of ours has the lock whose word names us. */
bool queue_busy(const seg_t *seg, const _Atomic uint32_t *word) {
    if (seg->queue == NULL) return false;
    return (word == &queue_of(seg)->put_lock ? seg->queue->putting : seg->queue->taking) != 0;
}

void queue_after_fork(seg_t *seg) {
    if (seg->queue != NULL) seg->queue->putting = seg->queue->taking = 0;
}

/* What this process's word among the debts is, and would be with *more* items taken: its place in the file. */
uint64_t ring_owe(seg_t *seg, int32_t more, uint64_t *value) {
    uint64_t place = OWED_OFFSET + (uint64_t)(unsigned)seg->seat * 8, generation = seg->token & LOCK_GENERATION;
    uint64_t now = atomic_load((_Atomic uint64_t *)(void *)(seg->base + place));
    int32_t count = now >> 32 == generation ? (int32_t)(uint32_t)now : 0;
    int64_t sum = (int64_t)count + more; /* who never says that anything is done owes no more than this */
    sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
    *value = generation << 32 | (uint32_t)(int32_t)sum;
    return place;
}

/* ---- where the ring is ---- */

#define ALIGNED 64 /* bytes: no extent is shorter */

static char *extent_at(seg_t *seg, uint64_t extent, uint64_t length) {
    uint64_t offset = extent >> 6;
    unsigned order = extent & 63;
    if (order < 6 || order > LAST_ORDER || length > 1ull << order || offset % ALIGNED != 0) return NULL;
    if (offset < QUEUE_SIZE && (offset != FIRST_RING || order != FIRST_ORDER)) return NULL;
    return segment_at(seg, offset, length);
}

/* Whether the file has such an extent. Where that cannot be found out it counts as yes, since what has none is dropped. */
bool ring_extent_possible(seg_t *seg, uint64_t extent, uint64_t length) {
    uint64_t offset = extent >> 6;
    struct stat st;
    if ((extent & 63) > LAST_ORDER || length > 1ull << (extent & 63) || offset < QUEUE_SIZE || offset % ALIGNED != 0) return false;
    return segment_fd(seg) < 0 || fstat(seg->fd, &st) < 0 || offset + length <= (uint64_t)st.st_size;
}

/* Holding a lock, see that the ring is mapped: 0, or -1 with CorruptSegment. */
int ring_map(seg_t *seg) {
    queue_t *q = queue_of(seg);
    queue_view_t *view = seg->queue;
    uint64_t growths = atomic_load_explicit(&q->growths, memory_order_acquire);
    if (LIKELY(view->ring != NULL && view->growths == growths)) return 0;
    uint64_t extent = get(&q->ring[growths & 1]), size = 1ull << (extent & 63);
    char *at = (extent & 63) >= FIRST_ORDER ? extent_at(seg, extent, size) : NULL;
    if (at == NULL) return queue_corrupt(seg), -1;
    view->ring = at;
    view->size = size;
    view->growths = growths;
    return 0;
}

/* Copy what is between two positions from one ring into another. */
static void move(const char *from, uint64_t size, char *to, uint64_t new_size, uint64_t at, uint64_t end) {
    while (at < end) {
        uint64_t here = at & (size - 1), there = at & (new_size - 1), n = end - at;
        if (n > size - here) n = size - here;
        if (n > new_size - there) n = new_size - there;
        memmove(to + there, from + here, n); /* in a damaged segment they may overlap */
        at += n;
    }
}

/* Holding put_lock: a ring that has room for *need* bytes and for all that is between tail and *head*: 0, 1 not now,
 * -1 with an exception. */
static int grow(seg_t *seg, uint64_t head, uint64_t need) {
    queue_t *q = queue_of(seg);
    queue_view_t *view = seg->queue;
    uint64_t offset, used = head - ring_takes(seg).tail;
    unsigned order = FIRST_ORDER;
    if (used > view->size || need > 1ull << LAST_ORDER) return queue_corrupt(seg), -1;
    while (order < LAST_ORDER && 1ull << order < used + need) order++;
    if (1ull << order <= view->size) return 0; /* some was taken meanwhile */
    if (heap_alloc(seg, 1ull << order, true, &offset, &order) < 0) return -1;
    char *at = segment_at(seg, offset, 1ull << order);
    if (at == NULL) return heap_free(seg, offset, order), queue_corrupt(seg), -1;
    FAULT(queue_growing);
    int locked = ring_lock_takes(seg, 10 * BUSY_NS);
    if (locked != 0) return heap_free(seg, offset, order), locked;
    uint64_t tail = ring_takes(seg).tail, growths = get(&q->growths), old = get(&q->ring[growths & 1]);
    int done = ring_map(seg);
    if (done == 0 && head - tail > view->size) done = (queue_corrupt(seg), -1);
    if (done == 0) {
        move(view->ring, view->size, at, 1ull << order, tail, head);
        put(&q->ring[(growths + 1) & 1], offset << 6 | order);
        FAULT(queue_moved);
        atomic_store_explicit(&q->growths, growths + 1, memory_order_release);
        FAULT(queue_grown);
        done = ring_map(seg);
    } else {
        old = offset << 6 | order;
    }
    ring_unlock_takes(seg);
    heap_free(seg, old >> 6, old & 63);
    return done;
}

/* Only if it is free: there is nothing to wait for. */
static bool try_lock(seg_t *seg, _Atomic uint32_t *word, uintptr_t *holder) {
    uint32_t free = 0;
    if (seg->token == 0 || !atomic_compare_exchange_strong(word, &free, seg->token)) return false;
    *holder = this_thread();
    lock_quiet++;
    return true;
}

/* An idle and empty ring that once had to be large goes back to where it began, so that its memory is free. */
void ring_shrink(seg_t *seg) {
    queue_t *q = queue_of(seg);
    uint64_t old = 0;
    if (seg->queue->size < LARGE_RING || !try_lock(seg, &q->put_lock, &seg->queue->putting)) return;
    if (try_lock(seg, &q->take_lock, &seg->queue->taking)) {
        uint64_t growths = get(&q->growths);
        if (ring_puts(seg).head == ring_takes(seg).tail && (get(&q->ring[growths & 1]) & 63) > FIRST_ORDER) {
            old = get(&q->ring[growths & 1]);
            put(&q->ring[(growths + 1) & 1], (uint64_t)FIRST_RING << 6 | FIRST_ORDER);
            FAULT(queue_moved);
            atomic_store_explicit(&q->growths, growths + 1, memory_order_release);
            FAULT(queue_grown);
        }
        ring_unlock_takes(seg);
    }
    ring_unlock_puts(seg);
    if (old != 0) heap_free(seg, old >> 6, old & 63);
}

/* ---- putting ---- */

/* How much of the capacity an item takes. */
static uint64_t weight(const parcel_t *p) { return record_size(p->head) + (p->large ? p->length : 0); }

static bool fits(seg_t *seg, const put_books_t *b, const parcel_t *p, uint64_t back) {
    const queue_view_t *view = seg->queue;
    const take_books_t *t = &view->takes;
    uint64_t used = (b->head - t->tail) + (b->large - t->large);
    if (view->maxsize > 0 && b->in - t->out + back >= view->maxsize) return false;
    /* What is larger than the capacity goes alone. */
    return used == 0 || (used <= view->capacity && weight(p) <= view->capacity - used);
}

/* Whether a ring of which so much is used, as far as we know, cannot have *need* bytes more. A damaged tail may be anywhere. */
static bool no_room(const queue_view_t *view, uint64_t head, uint64_t need) {
    uint64_t used = head - view->takes.tail;
    return used > view->size || need > view->size - used;
}

/* Write a record behind the books' head: 0, 1 there is no room for now, -1 with an exception. */
static int write_record(seg_t *seg, put_books_t *b, const parcel_t *p) {
    queue_view_t *view = seg->queue;
    uint64_t need = record_size(p->head);
    if (UNLIKELY(no_room(view, b->head, need))) {
        ring_takes(seg);
        int grown = no_room(view, b->head, need) ? grow(seg, b->head, need) : 0;
        if (grown != 0) return grown;
        if (no_room(view, b->head, need)) return queue_corrupt(seg), -1;
    }
    uint64_t at = b->head & (view->size - 1);
    memcpy(view->ring + at, &p->head, 8);
    if (UNLIKELY(p->large)) {
        uint64_t where[2] = {p->large, p->length};
        for (int i = 0; i < 2; i++) memcpy(view->ring + ((b->head + 8 + 8 * (uint64_t)i) & (view->size - 1)), &where[i], 8);
        b->large += p->length;
    } else {
        parcel_write(p, view->ring, view->size, b->head + 8);
    }
    b->head += need;
    b->in++;
    return 0;
}

/* Put as many as there is room for, in one commit: how many, or -1 with ShutDown or another exception, and nothing put. */
int64_t ring_put(seg_t *seg, parcel_t *parcels, int64_t count, int64_t ns) {
    queue_t *q = queue_of(seg);
    int64_t done = 0, links = 0;
    int locked = ring_lock_puts(seg, ns);
    if (UNLIKELY(locked != 0)) return locked < 0 ? -1 : 0;
    put_books_t books = puts_now(q, get(&q->put_commits));
    uint64_t back = UNLIKELY(seg->queue->maxsize > 0 && atomic_load(&q->leases) > 0) ? lease_backs(seg) : 0;
    if (UNLIKELY(count > 0 && parcel_inherited(parcels) < 0)) {
        done = -1;
    } else if (UNLIKELY(atomic_load(&q->shut))) {
        raise_channel(ERROR_SHUT_DOWN, NULL);
        done = -1;
    } else if (UNLIKELY(ring_map(seg) < 0 || books.head % 8 != 0)) {
        if (!PyErr_Occurred()) queue_corrupt(seg);
        done = -1;
    }
    while (done >= 0 && done < count) {
        if (UNLIKELY(!fits(seg, &books, &parcels[done], back))) {
            ring_takes(seg);
            if (!fits(seg, &books, &parcels[done], back)) break;
        }
        int written = write_record(seg, &books, &parcels[done]);
        if (UNLIKELY(written > 0)) break;
        done = written < 0 ? -1 : done + 1;
    }
    for (int64_t i = 0; i < done; i++) links += parcels[i].links != NULL;
    if (done > 0) {
        if (UNLIKELY(links > 0)) put(&q->linked, get(&q->linked) + (uint64_t)links);
        ring_commit_puts(seg, &books);
        for (int64_t i = 0; i < done; i++) parcels[i].large = 0; /* it is the queue's now */
    }
    ring_unlock_puts(seg);
    if (done > 0) signal_some(&q->items, done < INT32_MAX ? (int)done : INT32_MAX);
    return done;
}

/* Before any lock is taken: an item that is larger than the capacity gets an extent of its own, filled. 0, or -1 with an exception. */
int queue_enlarge(seg_t *seg, parcel_t *parcel) {
    if (LIKELY(record_size(parcel->head) <= seg->queue->capacity)) return 0;
    uint64_t offset;
    unsigned order;
    if (heap_alloc(seg, parcel->length, false, &offset, &order) < 0) return -1;
    char *at = segment_at(seg, offset, parcel->length);
    if (at == NULL) return heap_free(seg, offset, order), queue_corrupt(seg), -1;
    parcel->large = offset << 6 | order;
    FAULT(queue_filling);
    parcel_write(parcel, at, 1ull << order, 0);
    FAULT(queue_filled);
    parcel->head = (parcel->head >> 56 | RECORD_LARGE) << 56 | 16;
    return 0;
}

/* ---- taking ---- */

/* Holding take_lock: the record at the tail. 1, 0 there is none, -1 CorruptSegment. *large*: the extent it has, or 0. Of an item whose
 * extent makes no sense only the record is taken, and its head has no tag. */
int ring_peek(seg_t *seg, take_books_t *books, uint64_t *head, source_t *body, uint64_t *length, uint64_t *large) {
    queue_t *q = queue_of(seg);
    queue_view_t *view = seg->queue;
    *books = takes_now(q, get(&q->take_commits));
    if ((int64_t)(view->puts.head - books->tail) <= 0 && ring_puts(seg).head == books->tail) return 0;
    if (UNLIKELY(ring_map(seg) < 0)) return -1;
    uint64_t there = view->puts.head - books->tail;
    if (UNLIKELY(there > view->size || there < 8 || books->tail % 8 != 0)) return queue_corrupt(seg), -1;
    *head = *(const uint64_t *)(const void *)(view->ring + (books->tail & (view->size - 1)));
    *length = *head & 0xffffffffffffffull;
    if (UNLIKELY(*length > there - 8 || record_room(*length) > there)) return queue_corrupt(seg), -1;
    *body = (source_t){view->ring, view->size, books->tail + 8};
    *large = 0;
    books->tail += record_size(*head);
    books->out++;
    if (UNLIKELY(*head >> 56 & RECORD_LARGE)) {
        uint64_t where[2] = {0, 0};
        if (*length == 16) source_copy(*body, 0, where, 16);
        const char *at = extent_at(seg, where[0], where[1]);
        if (at == NULL && ring_extent_possible(seg, where[0], where[1])) return queue_corrupt(seg), -1; /* it cannot be mapped now */
        *large = at ? where[0] : 0;
        *length = at ? where[1] : 0;
        if (at == NULL) *head = 0;
        *body = (source_t){at ? at : view->ring, UINT64_MAX, 0};
        books->large += *length;
    }
    if (books->tail == view->puts.head) books->large = view->puts.large; /* nothing is left, so nothing large is */
    return 1;
}

/* For links.c, perhaps without a lock and without a view: the bodies of all items that may have handles in them. */
void queue_each_body(seg_t *seg, void (*visit)(const char *body, uint64_t length, void *arg), void *arg) {
    queue_t *q = queue_of(seg);
    if (get(&q->linked) == 0) return;
    uint64_t extent = get(&q->ring[get(&q->growths) & 1]), size = 1ull << (extent & 63);
    const char *ring = extent_at(seg, extent, size);
    uint64_t at = takes_now(q, get(&q->take_commits)).tail, end = puts_now(q, get(&q->put_commits)).head;
    while (ring != NULL && end - at <= size && end - at >= 8) {
        uint64_t head = *(const uint64_t *)(const void *)(ring + (at & (size - 1) & ~7ull)), length = head & 0xffffffffffffffull, where[2];
        if (length > end - at - 8 || record_room(length) > end - at) break;
        if (head >> 56 & RECORD_LINKED) {
            source_t body = {ring, size, at + 8};
            const char *large = NULL;
            if (head >> 56 & RECORD_LARGE && length == 16) {
                source_copy(body, 0, where, 16);
                large = extent_at(seg, where[0], where[1]);
                if (large != NULL) visit(large, where[1], arg);
            }
            char *copy = large == NULL ? malloc(length + 1) : NULL;
            if (copy != NULL) {
                source_copy(body, 0, copy, length);
                visit(copy, length, arg);
                free(copy);
            }
        }
        at += record_room(length);
    }
    for (uint32_t i = 0; i < LEASES && i < atomic_load(&q->leases); i++) {
        const lease_t *lease = (const lease_t *)(const void *)(seg->base + LEASES_OFFSET) + i;
        uint64_t head = get(&lease->record), length = head & 0xffffffffffffffull;
        if ((uint32_t)get(&lease->state) == LEASE_FREE || !(head >> 56 & RECORD_LINKED)) continue;
        const char *body = extent_at(seg, get(&lease->extent), length);
        if (body != NULL) visit(body, length, arg);
    }
}
