/* Seats: who is attached to a segment, by the kernel's word.
 *
 * Each attached process holds a write lock on one byte of the file, far behind its data, on an open file description
 * of its own (F_OFD_SETLK, Linux 3.15). The lock goes when the last reference to that description goes: at process
 * exit, however violent. A mapping is such a reference, so a stray close() of the descriptor does not give up the seat;
 * a forked child inherits both, and swaps both for its own in an atfork handler.
 *
 * The generation in the seat's record tells one occupant from the next: a lock word names seat and generation. It is
 * raised by the occupant once it has the range, before it can take any lock. A death in between leaves a
 * free seat whose generation was raised or was not, and either is fine.
 *
 * Leaving: give up the seat, then lock all ranges at once. That succeeds only if nobody is seated, and while it lasts
 * nobody can sit down; the one who gets it is the last one out, and unlinks.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int range_lock(int fd, short type, uint32_t seat, uint32_t count) {
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = SEAT_LOCK_BASE + seat, .l_len = count};
    int r;
    do r = fcntl(fd, F_OFD_SETLK, &range);
    while (r < 0 && errno == EINTR);
    return r;
}

static seat_t *seat_at(seg_t *seg, uint32_t seat) { return (seat_t *)(seg->base + SEATS_OFFSET) + seat; }

/* Whether to try a seat again that could not be had: it is free by now, or was one of all that somebody holds who looks
 * whether it is alone. Not if a process sits there. */
static bool worth_another_try(int fd, uint32_t seat, int *patience) {
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SEAT_LOCK_BASE + seat, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &range) < 0 || (range.l_type != F_UNLCK && range.l_len == 1)) return false;
    if (--*patience < 0) return false;
    if (range.l_type != F_UNLCK) usleep(100);
    return true;
}

int seat_take(seg_t *seg) { return seat_try(seg, 10000); }

/* Sit down: 0; -1 with errno EAGAIN if all seats are taken, or EBUSY if for *patience* looks, of 0.1 ms or more, somebody held all of
 * them at once, which takes a moment only, unless that process is stopped in the middle. */
int seat_try(seg_t *seg, int patience) {
    if (segment_fd(seg) < 0) {
        errno = EBADF;
        return -1;
    }
    uint32_t hint = atomic_fetch_add_explicit(&seg->header->seat_hint, 1, memory_order_relaxed);
    /* These have a cache line for each seat: the first ones share a page, and are all that is looked at. */
    if (is_container(seg->kind) || seg->kind == KIND_RWLOCK) hint %= 64;
    for (uint32_t i = 0; i < SEAT_COUNT; i++) {
        uint32_t seat = (hint + i) % SEAT_COUNT;
        if (range_lock(seg->fd, F_WRLCK, seat, 1) == 0) {
            FAULT(seat_locked);
            seat_t *mine = seat_at(seg, seat);
            uint32_t generation = atomic_load_explicit(&mine->generation, memory_order_relaxed) + 1;
            atomic_store(&mine->generation, generation);
            FAULT(seat_raised);
            atomic_store_explicit(&mine->pid, (uint32_t)getpid(), memory_order_relaxed);
            seg->seat = (int)seat;
            seg->token = (seat + 1) << 21 | (generation & LOCK_GENERATION);
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES) return -1;
        if (worth_another_try(seg->fd, seat, &patience)) i--;
        if (patience < 0) {
            errno = EBUSY;
            return -1;
        }
    }
    errno = EAGAIN;
    return -1;
}

void seat_leave(seg_t *seg) {
    if (seg->seat >= 0 && segment_fd(seg) >= 0) range_lock(seg->fd, F_UNLCK, (uint32_t)seg->seat, 1);
    FAULT(seat_left);
    if (seg->reading != NULL) atomic_store(seg->reading, 0);
    seg->reading = NULL;
    seg->seat = -1;
    seg->token = 0;
}

/* Lock every seat: true only if no other open file description has one. */
bool seat_take_all(int fd) { return range_lock(fd, F_WRLCK, 0, SEAT_COUNT) == 0; }

void seat_drop_all(int fd) { range_lock(fd, F_UNLCK, 0, SEAT_COUNT); }

/* Keep only *seat* of all that seat_take_all() locked. */
void seat_keep_one(int fd, uint32_t seat) {
    if (seat > 0) range_lock(fd, F_UNLCK, 0, seat);
    if (seat + 1 < SEAT_COUNT) range_lock(fd, F_UNLCK, seat + 1, SEAT_COUNT - seat - 1);
}

/* Whether a seat is taken, asked on a descriptor that has not got it itself. What cannot be told counts as taken. */
bool seat_taken(int fd, uint32_t seat) {
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SEAT_LOCK_BASE + seat, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

/* Whether any seat from this one on is taken, but for those of the descriptor itself. */
bool seats_taken_from(int fd, uint32_t seat) {
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SEAT_LOCK_BASE + seat, .l_len = SEAT_COUNT - seat};
    return seat < SEAT_COUNT && (fcntl(fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK);
}

/* Whether the process named in a lock word is alive. A word that names no possible seat is nobody's. */
bool seat_alive(seg_t *seg, uint32_t lock) {
    uint32_t seat = ((lock & ~LOCK_WAITERS) >> 21) - 1;
    if (seat >= SEAT_COUNT) return false;
    if ((int)seat == seg->seat) return (lock & ~LOCK_WAITERS) == seg->token;
    uint32_t generation = atomic_load(&seat_at(seg, seat)->generation);
    if ((generation & LOCK_GENERATION) != (lock & LOCK_GENERATION)) return false;
    return segment_fd(seg) < 0 || seat_taken(seg->fd, seat);
}

/* Process id of the one named in a lock word, for messages; 0 if unknown. */
uint32_t seat_pid(seg_t *seg, uint32_t lock) {
    uint32_t seat = ((lock & ~LOCK_WAITERS) >> 21) - 1;
    if (lock == 0 || seat >= SEAT_COUNT) return 0;
    return atomic_load_explicit(&seat_at(seg, seat)->pid, memory_order_relaxed);
}

static void fork_prepare(void) {
    lock_before_fork();
    deaths_before_fork();
}

static void fork_parent(void) {
    lock_parent_forked();
    slab_parent_forked();
}

static void fork_child(void) {
    process.pid = getpid();
    process.epoch++;
    process.started = process.leaving = false;
    process.slabs = NULL;
    deaths_after_fork();
    lock_after_fork();
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next) {
        seg->owner = false;
        if (seg->exported) seg->handles--; /* neither ownership nor the right to allocate passes to a child */
        if (seg->keeping) seg->handles--;
        seg->exported = seg->keeping = false;
        seg->born = NULL;
        seg->next_slab = NULL;
        for (uint32_t i = 0; i <= seg->slots; i++) /* a child that inherits a handed-over object has attached to it */
            if (seg->open[i] > 0) atomic_fetch_and(&segment_slot(seg, i)->flags, (uint8_t)~SLOT_IN_FLIGHT);
    }
    segment_remap_child();
}

void seat_install_fork_handlers(void) {
    process.pid = getpid();
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}
