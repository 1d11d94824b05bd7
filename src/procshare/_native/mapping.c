/* Mappings of segments' files, and what happens when such a file is made shorter while it is mapped.
 *
 * Nobody who goes by the rules shortens a segment, and tmpfs knows no seal against it. If it happens all the same (by
 * `truncate`, or a shell's `>`), the kernel answers an access behind the file's new end with SIGBUS, which would end the
 * process. So the core has an action for that signal: if the address lies in one of its own mappings, private pages of
 * zeros are put there and the segment is marked as cut. The access then goes on and finds zeros, which is damage like
 * any other, and the call that made it, and each one after it, raises CorruptSegment (segment_whole()). The same happens
 * in the place of a hole for which tmpfs has no page left.
 *
 * Any other SIGBUS goes to whom it went before: to the action that was in force when the first segment was mapped. One that is
 * installed later, by the program or by faulthandler.enable(), takes ours away, and a cut file is a SIGBUS as in any program.
 *
 * The handler calls nothing but mmap(). It finds a mapping in a table that only grows, whose entries are written with
 * the GIL held: the length first, and the start last.
 */
#include "native.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES 126

struct mapping {
    _Atomic uintptr_t start; /* 0: free */
    _Atomic uintptr_t length;
    _Atomic(_Atomic bool *) cut; /* its segment's mark */
    mapping_t *next;               /* of the free ones */
};

typedef struct table {
    _Atomic(struct table *) next;
    mapping_t entries[ENTRIES];
} table_t;

static _Atomic(table_t *) tables;
static mapping_t *spare;
static struct sigaction former;
static uintptr_t page;

/* Put zeros behind the end of the file, from *at* on: whether it is a mapping of ours. */
static bool patch(uintptr_t at) {
    for (table_t *table = atomic_load(&tables); table != NULL; table = atomic_load(&table->next))
        for (int i = 0; i < ENTRIES; i++) {
            uintptr_t start = atomic_load(&table->entries[i].start), length = atomic_load(&table->entries[i].length);
            if (start == 0 || at < start || at - start >= length) continue;
            uintptr_t from = at / page * page;
            int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
            if (mmap((void *)from, start + length - from, PROT_READ | PROT_WRITE, how, -1, 0) == MAP_FAILED) return false;
            atomic_store(atomic_load(&table->entries[i].cut), true);
            atomic_store(&process.cut, true);
            return true;
        }
    return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int error = errno;
    if (info->si_code == BUS_ADRERR && patch((uintptr_t)info->si_addr)) {
        errno = error;
        return;
    }
    if (former.sa_flags & SA_SIGINFO) former.sa_sigaction(number, info, context);
    else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) former.sa_handler(number);
    else { /* the kernel ends the process at the next attempt, or now if it was sent by kill() */
        sigaction(number, &former, NULL);
        if (info->si_code <= 0) raise(number);
    }
    errno = error;
}

static int install(void) {
    if (page != 0) return 0;
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &former) < 0) return -1;
    page = size;
    return sigaction(SIGBUS, &ours, NULL);
}

/* An mapping that is free; NULL: no memory. */
static mapping_t *take_mapping(void) {
    if (spare == NULL) {
        table_t *more = calloc(1, sizeof *more);
        if (more == NULL) return NULL;
        for (int i = 0; i < ENTRIES; i++) {
            more->entries[i].next = spare;
            spare = &more->entries[i];
        }
        atomic_store(&more->next, atomic_load(&tables));
        atomic_store(&tables, more);
    }
    mapping_t *mapping = spare;
    spare = mapping->next;
    return mapping;
}

static void give_mapping_back(mapping_t *mapping) {
    atomic_store(&mapping->start, 0);
    mapping->next = spare;
    spare = mapping;
}

/* Map *length* bytes of a segment's file; NULL with errno. */
void *mapping_new(seg_t *seg, int fd, uint64_t length, uint64_t offset, mapping_t **mapping) {
    if (install() < 0 || (*mapping = take_mapping()) == NULL) return NULL;
    void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (at == MAP_FAILED) {
        int error = errno;
        give_mapping_back(*mapping);
        errno = error;
        return NULL;
    }
    atomic_store(&(*mapping)->cut, &seg->cut);
    atomic_store(&(*mapping)->length, (uintptr_t)length);
    atomic_store(&(*mapping)->start, (uintptr_t)at);
    return at;
}

void mapping_end(void *at, uint64_t length, mapping_t *mapping) {
    give_mapping_back(mapping);
    munmap(at, length);
}

/* Somebody saw that its file is too short. */
void mapping_is_cut(seg_t *seg) {
    atomic_store(&seg->cut, true);
    atomic_store(&process.cut, true);
}

/* CorruptSegment, if its file was cut: 0, or -1 with that in place of whatever was raised. */
int segment_check_cut(const seg_t *seg) {
    if (!atomic_load(&seg->cut)) return 0;
    PyErr_Clear();
    if (seg->foreign != 0) return raise_seatless(seg, EACCES), -1;
    raise_named("CorruptSegment", seg->name, "its file was made shorter while this process was attached");
    return -1;
}
