/* Sleeping until a slot changes, and waking who sleeps: futexes on the slot's change sequence.
 *
 * The waiters bit is sticky: a waiter sets it, and the committer that sees it clears it, bumps the sequence and wakes
 * all. There is no count that a killed waiter could leave wrong; a committer killed between its bump and its wake
 * costs the waiters one slice.
 */
#include "native.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t ns) {
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT, expected, &ts, NULL, 0);
}

int futex_wake(_Atomic uint32_t *word, int count) { return (int)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0); }

int64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t coarse_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* As people tell the time, and only for them. */
int64_t clock_time_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void change_wake(slot_t *slot) {
    uint32_t seen = atomic_load(&slot->change);
    while ((seen & 1) && !atomic_compare_exchange_weak(&slot->change, &seen, (seen + 2) & ~1u)) {}
    if (!(seen & 1)) return;
    FAULT(change_bumped);
    futex_wake(&slot->change, INT32_MAX);
}

/* Sleep until change is no longer *token*, a slice or the time is over, or a signal came: 0, or -1 with an exception. */
int change_wait(slot_t *slot, uint32_t token, int64_t timeout_ns) {
    int64_t slice = timeout_ns >= 0 && timeout_ns < SLICE_NS ? timeout_ns : SLICE_NS;
    Py_BEGIN_ALLOW_THREADS
    int64_t until = process.cpus > 1 ? now_ns() + (slice < SPIN_NS ? slice : SPIN_NS) : 0;
    while (until && atomic_load(&slot->change) == token && now_ns() < until) cpu_relax();
    if (atomic_load(&slot->change) == token) futex_wait(&slot->change, token, slice);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

/* ---- one waiter for one change ---- */

/* The bit stays until fewer were asleep than should be woken, so that nobody who sleeps is forgotten: whoever lay down between
 * that count and the clearing of the bit is woken to set it again. Whoever was woken and died at once costs the others a slice. */
void signal_slowly(_Atomic uint32_t *word, int count) {
    uint32_t seen = atomic_fetch_add(word, 2) + 2;
    FAULT(change_bumped);
    if (futex_wake(word, count) < count && atomic_compare_exchange_strong(word, &seen, seen & ~1u)) futex_wake(word, INT32_MAX);
}

/* Sleep until the word is no longer *token*, but a slice at most, which grows: 0, or -1 with an exception from a signal handler. */
int signal_wait(_Atomic uint32_t *word, uint32_t token, int64_t ns, int64_t *slice) {
    Py_BEGIN_ALLOW_THREADS
    if (atomic_load(word) == token) futex_wait(word, token, ns >= 0 && ns < *slice ? ns : *slice);
    Py_END_ALLOW_THREADS
    *slice = *slice < SLICE_NS / 2 ? *slice * 2 : SLICE_NS;
    return PyErr_CheckSignals();
}
