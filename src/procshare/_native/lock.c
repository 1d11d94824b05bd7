/* The lock: one futex word in shared memory that names its holder's seat, and private records of which thread has it.
 *
 * Taking it is one compare-exchange from 0 to my token. A waiter spins for at most 20 µs without the GIL, then sets
 * the waiters bit and sleeps in slices of 1 to 50 ms; before each sleep it asks the kernel whether the holder's seat
 * is still occupied, and takes a dead holder's lock by compare-exchange on the exact word it judged.
 *
 * Deaths. Holding it: the next one takes over. A container is recovered then; all else is published by one store, but for the
 * mark of a counter, which whoever changes it next takes away. Between freeing the word and waking: the sleepers' slice ends. A woken
 * waiter that dies at once: likewise. A waiter's bit that outlives its waiter costs one useless wake.
 *
 * A hold belongs to a thread, and is in that thread's list, so that its exit ends it as a death would; or to an asyncio task,
 * and is in no list. Where the lock is the object (SharedLock), such an end leaves LOCK_ABANDONED in the word, which is no seat's,
 * so that the next one takes over, and knows.
 *
 * Compare Drepper, "Futexes Are Tricky" (mutex 2), and the robust-mutex protocol of the Linux kernel
 * (Documentation/locking/robust-futexes.rst), whose lists of pointers in shared memory are what this one avoids.
 */
#include "native.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAVING 2 /* no thread's address and no task's: a hold that is being abandoned */

static pthread_key_t exit_key;
THREAD_LOCAL holds_t holds;
THREAD_LOCAL int lock_quiet;

/* ---- the word ---- */

bool lock_word_try(seg_t *seg, _Atomic uint32_t *word) {
    for (int i = 0; i < 2000; i++) {
        uint32_t free = 0;
        if (seg->token != 0 && atomic_compare_exchange_strong(word, &free, seg->token)) return true;
        cpu_relax();
    }
    return false;
}

static luck_t luck;

static void spin(_Atomic uint32_t *word, int64_t limit) {
    int64_t until = now_ns() + (limit >= 0 && limit < SPIN_NS ? limit : SPIN_NS);
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(word, memory_order_relaxed) == 0) return;
            cpu_relax();
        }
    } while (now_ns() < until);
}

int lock_timed_out(seg_t *seg, uint32_t seen, int64_t waited, slot_t *slot) {
    int64_t since = slot ? (int64_t)atomic_load(&slot->since) : 0;
    char name[OBJECT_NAME_ROOM];
    object_name(seg, slot, name);
    raise_lock_timeout(name, waited, seat_pid(seg, seen), since > 0 ? coarse_ns() - since : -1);
    return -1;
}

/* Whether somebody has a lock whose word is *seen*. Our own token counts only while a thread of ours has it: a damaged word
 * may name us, and we would wait for ourselves. (A hold begins and ends with the GIL held, but for lock_abandon().) */
bool holder_alive(seg_t *seg, const _Atomic uint32_t *word, uint32_t seen, const slot_t *slot) {
    if (!seat_alive(seg, seen)) return false;
    if ((seen & ~LOCK_WAITERS) != seg->token) return true;
    if (slot == NULL) return word == &seg->header->heap_lock ? seg->heap_busy : queue_busy(seg, word);
    size_t index = slot == &seg->header->root ? 0 : (size_t)(slot - (const slot_t *)(seg->base + SLOTS_OFFSET)) + 1;
    const hold_t *hold = seg->holds ? seg->holds[index] : NULL;
    return hold != NULL && atomic_load(&hold->thread) != 0;
}

/* Sleep for a slice or what is left of the time, then look at signals. Slices are short at first, because a holder that is
 * being killed takes a moment to be dead; then they double. */
static int doze(_Atomic uint32_t *word, uint32_t expected, int64_t left, int64_t *slice, int how) {
    Py_BEGIN_ALLOW_THREADS
    futex_wait(word, expected, left >= 0 && left < *slice ? left : *slice);
    Py_END_ALLOW_THREADS
    *slice = *slice < SLICE_NS / 2 ? *slice * 2 : SLICE_NS;
    return how & LOCK_DEAF ? 0 : PyErr_CheckSignals();
}

/* The interpreter ends while this daemon thread waits. An exception would be printed, and there is nothing to go on to. */
static void wait_for_the_end(void) {
    Py_BEGIN_ALLOW_THREADS
    for (;;) pause();
    Py_END_ALLOW_THREADS
}

/* 0, or 1 if it was a dead one's, 2 if the time is over and LOCK_QUIET was said, or -1 with an exception. *h*, if any: give up
 * when this handle is closed. */
static int acquire_slowly(seg_t *seg, _Atomic uint32_t *word, int64_t timeout, slot_t *slot, int how, const handle_t *h) {
    int64_t start = now_ns(), left = timeout;
    int64_t slice = FIRST_SLICE_NS;
    uint32_t bit = how & LOCK_SLEPT ? LOCK_WAITERS : 0; /* once we slept there may be others, so we take it with the bit set */
    for (bool spun = false, slept = false;;) {
        uint32_t seen = 0;
        if (atomic_compare_exchange_strong(word, &seen, seg->token | bit)) return 0;
        if (!holder_alive(seg, word, seen, slot)) {
            if (!atomic_compare_exchange_strong(word, &seen, seg->token | LOCK_WAITERS)) continue;
            FAULT(lock_taken_over);
            if (slot != NULL) atomic_store_explicit(&slot->since, 0, memory_order_relaxed);
            death_found(seg, word == &seg->header->heap_lock ? NULL : slot ? slot : &seg->header->root, seen, LOST_LOCK);
            return 1;
        }
        if (timeout >= 0 && (left = start + timeout - now_ns()) <= 0) {
            if (how & LOCK_QUIET) return 2; /* whoever asked for that counts it, if it is a time-out to anybody */
            if (timeout > 0) count_one(&tally_of(seg, slot)->timeouts);
            return lock_timed_out(seg, seen, now_ns() - start, slot);
        }
        if (!spun && spin_worth(&luck)) {
            Py_BEGIN_ALLOW_THREADS
            spin(word, left);
            Py_END_ALLOW_THREADS
            spin_ended(&luck, atomic_load(word) == 0);
            spun = true;
        } else {
            if (!(seen & LOCK_WAITERS) && !atomic_compare_exchange_strong(word, &seen, seen | LOCK_WAITERS)) continue;
            if (!slept) count_one(&tally_of(seg, slot)->waits);
            slept = true;
            bit = LOCK_WAITERS;
            FAULT(lock_waiting);
            if (doze(word, seen | LOCK_WAITERS, left, &slice, how) < 0) return -1;
        }
        if (segment_whole(seg) < 0) return -1;
        if (UNLIKELY(seg->token == 0 && process.leaving)) wait_for_the_end();
        if (seg->token == 0 || seg->handles == 0 || (h != NULL && h->seg != seg))
            return raise_closed(), -1; /* closed by another thread meanwhile */
    }
}

static int take_slowly(seg_t *seg, _Atomic uint32_t *word, int64_t timeout, slot_t *slot, int how, const handle_t *h) {
    if (seg->token == 0 && seat_take(seg) < 0) return raise_seatless(seg, errno), -1;
    segment_ref(seg);
    int got = acquire_slowly(seg, word, timeout, slot, how, h);
    if (got != 0 && got != 1 && atomic_load(word) == 0) futex_wake(word, 1); /* we may have been woken for it */
    segment_unref(seg);
    if (got < 0) return -1;
    FAULT(lock_recovered);
    return got;
}

int lock_word_acquire_slowly(seg_t *seg, _Atomic uint32_t *word, int64_t timeout, slot_t *slot) {
    return take_slowly(seg, word, timeout, slot, lock_quiet ? LOCK_DEAF : 0, NULL);
}

/* Take a lock word, but give up without an exception after *timeout*: 0, 1 from a dead owner, 2 it was not to be had, -1 exception. */
int lock_word_take(seg_t *seg, _Atomic uint32_t *word, int64_t timeout) {
    uint32_t free = 0;
    int got = 0;
    if (UNLIKELY(seg->token == 0 || !atomic_compare_exchange_strong(word, &free, seg->token)))
        got = take_slowly(seg, word, timeout, NULL, LOCK_QUIET | (lock_quiet ? LOCK_DEAF : 0), NULL);
    if (got == 0 || got == 1) FAULT(lock_acquired);
    return (got == 0 || got == 1) && lock_whole(seg, word) < 0 ? -1 : got;
}

void lock_word_release(_Atomic uint32_t *word) {
    FAULT(lock_releasing);
    uint32_t was = atomic_exchange(word, 0);
    FAULT(lock_released);
    if (UNLIKELY(was & LOCK_WAITERS)) futex_wake(word, 1);
}

int lock_check_cut(seg_t *seg, _Atomic uint32_t *word) {
    if (!atomic_load(&seg->cut)) return 0;
    lock_word_release(word); /* first: to raise runs Python */
    return segment_check_cut(seg);
}

/* ---- the hold: thread and depth ---- */

hold_t *hold_of(seg_t *seg, uint32_t index) {
    if (seg->holds == NULL) seg->holds = calloc((size_t)seg->slots + 1, sizeof *seg->holds);
    if (seg->holds != NULL && seg->holds[index] == NULL) {
        hold_t *hold = calloc(1, sizeof *hold);
        if (hold != NULL) {
            hold->seg = seg;
            hold->slot = segment_slot(seg, index);
            seg->holds[index] = hold;
        }
    }
    hold_t *hold = seg->holds ? seg->holds[index] : NULL;
    if (hold == NULL) PyErr_NoMemory();
    return hold;
}

static void enlist(hold_t *hold) {
    if (UNLIKELY(!holds.armed)) {
        holds.armed = true;
        pthread_setspecific(exit_key, &holds);
    }
    hold->next = holds.first;
    hold->link = &holds.first;
    if (hold->next != NULL) hold->next->link = &hold->next;
    holds.first = hold;
}

static void delist(hold_t *hold) {
    if (hold->link == NULL) return; /* a task's */
    *hold->link = hold->next;
    if (hold->next != NULL) hold->next->link = hold->link;
    hold->link = NULL;
}

/* A hold begins. A task's is in no thread's list: it stays when the thread exits, which may be a pool's. */
void hold_begin(hold_t *hold, uintptr_t owner, bool from_dead) {
    atomic_store_explicit(&hold->thread, owner, memory_order_relaxed);
    hold->depth = 1;
    hold->blocks++;
    hold->from_dead = from_dead;
    if (is_task(owner)) hold->link = NULL;
    else enlist(hold);
}

void hold_end(hold_t *hold) {
    delist(hold);
    atomic_store_explicit(&hold->thread, 0, memory_order_relaxed);
}

/* Whether another thread or task of ours has it, whatever the word said before we took that: it is damaged. What a block has in
 * private memory must not be taken from under it. Our token in the word is now the truth again. */
static bool had_by_ours(const hold_t *hold) {
    uintptr_t thread = atomic_load_explicit(&hold->thread, memory_order_relaxed);
    return UNLIKELY(thread != 0) && thread != LEAVING;
}

/* Take the lock for an owner who has not got it, and nothing else: as acquire_slowly(). A hold keeps the segment mapped. */
int lock_take(hold_t *hold, uintptr_t owner, int64_t timeout, int how, const handle_t *h) {
    seg_t *seg = hold->seg;
    uint32_t free = 0;
    int got = 0;
    segment_ref(seg); /* before the wait: the handle may be closed in it, and the hold would go with the segment */
    if (UNLIKELY(seg->token == 0 || (how & LOCK_SLEPT) || !atomic_compare_exchange_strong(&hold->slot->lock, &free, seg->token)))
        got = take_slowly(seg, &hold->slot->lock, timeout, hold->slot, how, h);
    while ((got == 0 || got == 1) && had_by_ours(hold)) {
        int64_t start = now_ns();
        got = take_slowly(seg, &hold->slot->lock, timeout, hold->slot, how, h);
        if (timeout > 0) timeout = timeout > now_ns() - start ? timeout - (now_ns() - start) : 0;
    }
    if (UNLIKELY(got < 0 || got == 2)) {
        segment_unref(seg);
        return got;
    }
    FAULT(lock_acquired);
    if (UNLIKELY(lock_whole(seg, &hold->slot->lock) < 0)) {
        segment_unref(seg);
        return -1;
    }
    hold_begin(hold, owner, got == 1);
    return got;
}

/* Take the lock for this thread, once more if it has it. A first hold keeps the segment mapped until it ends. */
int lock_acquire(hold_t *hold, int64_t timeout) {
    if (held_here(hold)) {
        hold->depth++;
        return 0;
    }
    seg_t *seg = hold->seg;
    int got = lock_take(hold, this_thread(), timeout, 0, NULL);
    if (got < 0) return -1;
    hold_stage(hold, false);
    Py_CLEAR(hold->record); /* left by a thread that exited inside its block, as is the stage */
    struct stage *left = hold->stage;
    hold->stage = NULL;
    hold->direct = false;
    stage_free(left);
    if (UNLIKELY(got == 1) && is_container(seg->kind)) {
        hold->direct = true; /* nobody joins this */
        container_recover(seg);
        hold->direct = false;
    }
    return 0;
}

/* Undo one lock_acquire(). *changed*: the outermost block committed something, so wake who waits for it; the exchange of
 * the lock word is the barrier between the commit and the look at the waiters bit. */
void lock_release(hold_t *hold, bool changed) {
    if (--hold->depth > 0) return;
    seg_t *seg = hold->seg;
    hold_end(hold);
    lock_word_release(&hold->slot->lock);
    if (changed) change_notify(hold->slot);
    segment_unref(seg);
}

/* Who takes a lock that is an object of its own after this is told that its holder is gone, as after a process's death. */
static void leave_word(hold_t *hold) {
    uint8_t kind = hold->slot->kind;
    bool told = kind == KIND_LOCK || kind == KIND_RLOCK;
    FAULT(lock_releasing);
    uint32_t was = atomic_exchange(&hold->slot->lock, told ? LOCK_ABANDONED : 0);
    FAULT(lock_released);
    if (was & LOCK_WAITERS) futex_wake(&hold->slot->lock, 1);
}

/* End a hold without its thread's doing, as if the holder had died. No Python here: a thread exits without the GIL. The
 * reference to the segment stays behind, so that the mapping is not pulled away; it goes with the process. */
static void abandon(hold_t *hold) {
    uintptr_t leaving = LEAVING, thread = atomic_load(&hold->thread);
    if (thread == 0 || thread == leaving) return; /* somebody was faster */
    if (hold->direct) { /* in the middle of a change to a container: the lock goes when the process does, to be recovered */
        delist(hold);
        atomic_store(&hold->thread, leaving);
        return;
    }
    delist(hold);
    hold->depth = 0;
    atomic_store(&hold->thread, leaving);
    if (hold->reads) rwlock_abandoned(hold);
    else leave_word(hold);
    atomic_compare_exchange_strong(&hold->thread, &leaving, 0); /* unless another thread has the lock by now */
}

/* A thread that exits and one that closes may end the same hold at once, and the first's list is gone when it has. */
static pthread_mutex_t ending = PTHREAD_MUTEX_INITIALIZER;

/* A fork waits until no thread is ending a hold: the child would have half of that, and a mutex of a thread that it has not got. */
void lock_before_fork(void) { pthread_mutex_lock(&ending); }

void lock_parent_forked(void) { pthread_mutex_unlock(&ending); }

void lock_abandon(hold_t *hold) {
    pthread_mutex_lock(&ending);
    abandon(hold);
    pthread_mutex_unlock(&ending);
}

static void thread_exits(void *unused) {
    (void)unused;
    pthread_mutex_lock(&ending);
    while (holds.first != NULL) abandon(holds.first);
    pthread_mutex_unlock(&ending);
}

int lock_install(void) { return pthread_key_create(&exit_key, thread_exits); }

/* In a forked child: holds do not pass to it. */
void lock_after_fork(void) {
    pthread_mutex_unlock(&ending);
    holds.first = NULL;
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next) {
        seg->heap_busy = false;
        queue_after_fork(seg);
        for (uint32_t i = 0; seg->holds != NULL && i <= seg->slots; i++)
            if (seg->holds[i] != NULL) {
                atomic_store_explicit(&seg->holds[i]->thread, 0, memory_order_relaxed);
                seg->holds[i]->depth = 0;
                seg->holds[i]->direct = false;
            }
        seg->wanting = 0;
        for (hold_t *reading = seg->readings; reading != NULL; reading = reading->sibling) {
            atomic_store_explicit(&reading->thread, 0, memory_order_relaxed);
            reading->depth = 0;
        }
    }
}

/* None or a number of seconds; a negative one counts as 0. Sets -1 for ever. */
int parse_timeout(PyObject *timeout, int64_t *ns) {
    *ns = -1;
    if (timeout == NULL || timeout == Py_None) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout is not a number; give seconds, or None to wait for ever");
        return -1;
    }
    if (seconds < 9e9) *ns = seconds <= 0 ? 0 : (int64_t)(seconds * 1e9);
    return 0;
}
