/* Who is reading a container without its lock, so that no page is punched under a reader.
 *
 *   readers' words:  one cache line for each seat, in an extent of their own of which only the pages of taken seats have memory
 *
 * A process writes the number of the generation that it reads into the word of its seat, looks whether it still is the current
 * one, reads, and clears the word. Whoever has published a new generation asks all processors for a memory barrier
 * (membarrier(2)), so that readers need none, and then looks at the words: a number below the current one is
 * somebody who still may touch the last generation's pages. They are then kept, and punched after a later change. (These are
 * hazard pointers: Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004; the asymmetric
 * barrier is that of userspace RCU, Desnoyers and others, 2012.)
 *
 * Without this a reader would still never believe what it read there, since it looks at the generation again. But
 * touching a hole of a tmpfs needs a page, and where /dev/shm is full that is a SIGBUS.
 *
 * Deaths. A word that a dead reader left is believed only while its seat is taken, and cleared otherwise.
 */
#include "container.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE 64u
#define PER_PAGE (4096u / LINE)
#define PATIENCE_NS 200000LL

bool readers_fence; /* the kernel has no membarrier for us: each reader makes its own */

static long barrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

static _Atomic uint64_t *word_of(seg_t *seg, uint32_t seat) {
    uint64_t page = container_of(seg)->readers;
    return page == 0 || seat >= SEAT_COUNT ? NULL : segment_at(seg, page * 4096ull + seat * LINE, 8);
}

/* A few pages, with the GIL: who reads keeps nothing, so no other thread may close the last handle meanwhile. */
static bool reserve(seg_t *seg, uint64_t offset, uint64_t length) {
    return segment_fd(seg) >= 0 && AGAIN(fallocate(seg->fd, 0, (off_t)offset, (off_t)length)) == 0;
}

/* Where this process reads that has no word, for want of a seat or of memory. */
static _Atomic uint64_t unseen;

/* This process's word, once it has a seat; see reading_begin(). Where there is no memory for it, a private one: then its reads
 * are not seen. */
_Atomic uint64_t *readers_join(seg_t *seg) {
    static pid_t registered;
    container_t *c = container_of(seg);
    if (registered != process.pid) {
        registered = process.pid;
        readers_fence = barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
    }
    if (seg->seat < 0) return &unseen;
    uint32_t seat = (uint32_t)seg->seat, pages = atomic_load(&c->reader_pages);
    uint64_t start = c->readers * 4096ull;
    _Atomic uint64_t *word = word_of(seg, seat);
    if (word == NULL) return &unseen;
    if (seat / PER_PAGE >= pages) {
        if (pages > SEAT_COUNT / PER_PAGE || !reserve(seg, start, (seat / PER_PAGE + 1) * 4096ull)) return &unseen;
        FAULT(readers_backed);
        while (pages <= seat / PER_PAGE && !atomic_compare_exchange_strong(&c->reader_pages, &pages, seat / PER_PAGE + 1)) {}
    }
    if (seg->seat != (int)seat) return &unseen;
    FAULT(readers_joined);
    atomic_store(word, 0);
    return seg->reading = word;
}

/* Whether nobody reads a generation before the current one any more. Who still does gets a moment to finish. */
bool readers_gone(seg_t *seg) {
    container_t *c = container_of(seg);
    uint64_t number = atomic_load(&c->generation);
    if (seg->quiet >= number) return true;
    if (barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0) atomic_thread_fence(memory_order_seq_cst);
    uint32_t seats = atomic_load(&c->reader_pages) * PER_PAGE;
    int64_t until = 0;
    for (uint32_t seat = 0; seat < seats && seat < SEAT_COUNT; seat++) {
        _Atomic uint64_t *word = word_of(seg, seat);
        uint64_t reads;
        if (word == NULL) return false;
        while ((reads = atomic_load(word)) != 0 && reads < number) {
            if (seat == (uint32_t)seg->seat) return false; /* a call of our own further up */
            if (until == 0) until = now_ns() + PATIENCE_NS;
            if (now_ns() > until) {
                if (segment_fd(seg) < 0 || seat_taken(seg->fd, seat)) return false;
                atomic_compare_exchange_strong(word, &reads, 0);
                break;
            }
            sched_yield();
        }
    }
    /* Whoever sits behind the words that have memory reads unseen, if it reads. */
    if (atomic_load(&unseen) != 0 || segment_fd(seg) < 0 || seats_taken_from(seg->fd, seats)) return false;
    seg->quiet = number;
    return true;
}
