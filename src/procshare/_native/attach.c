/* Attaching to a segment by name, and clearing away one that nobody is attached to. What a file says is checked before any
 * of it is believed. */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What for: to attach; to look, in what is this user's own whoever else may write there, since nothing is unpickled; to read what a
 * look shows, whoever's it is; to remove. */
typedef enum { TO_ATTACH, TO_LOOK, TO_READ, TO_REAP } purpose_t;

/* What another user's file is refused with that this process may not even open. */
static void *raise_forbidden(const char *name, const char *path, int error) {
    struct stat st;
    if (error != EACCES || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid == geteuid())
        return raise_named("NotOwned", name, "it is not a file that this user made: %s", strerror(error));
    return raise_named("NotOwned", name, "it belongs to another user, %u, and its mode is %04o: %s; who makes it can let others in, by "
                       "mode=0o660 and group=", (unsigned)st.st_uid, (unsigned)st.st_mode & 07777, strerror(error));
}

/* Open a segment's file, refusing what another user could have put there: a descriptor, -1 with an exception. */
static int open_checked(const char *name, struct stat *st, purpose_t purpose) {
    char path[NAME_ROOM + 16], why[240];
    if (shm_path(path, sizeof path, name) < 0) return -1;
    int flags = (purpose == TO_READ ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd = purpose == TO_ATTACH ? AGAIN(open(path, flags)) : open_sparing(path, flags);
    if (fd < 0) {
        if (errno == ENOENT) raise_named("NotFound", name, "");
        else if (errno == EACCES || errno == ELOOP || errno == EISDIR || errno == ENXIO)
            raise_forbidden(name, path, errno);
        else raise_os(errno, path);
        return -1;
    }
    const char *refused = NULL;
    if (fstat(fd, st) < 0) refused = "it cannot be examined";
    else if (!S_ISREG(st->st_mode)) refused = "it is not a regular file";
    else if (purpose == TO_READ) return fd;
    else if ((st->st_mode & 07111) != 0 || (st->st_mode & 0600) != 0600) refused = "others may use it as no segment is used: see its mode";
    else if (st->st_uid == geteuid() && purpose != TO_ATTACH) return fd;
    else if (purpose == TO_REAP) refused = "it belongs to another user";
    else if (trust_refuses(st, why, sizeof why)) refused = why;
    if (refused == NULL) return fd;
    raise_named("NotOwned", name, "%s", refused);
    close(fd);
    return -1;
}

/* For a look without attaching; -1 with an exception. */
int segment_open_checked(const char *name, struct stat *st, bool foreign) { return open_checked(name, st, foreign ? TO_READ : TO_LOOK); }

/* The same; -1 without an exception. */
int segment_open(const char *name) {
    struct stat st;
    int fd = open_checked(name, &st, TO_LOOK);
    if (fd < 0) PyErr_Clear();
    return fd;
}

/* What is wrong with a header, or NULL. */
static const char *header_fault(const header_t *h, uint64_t file_size) {
    if (h->kind < KIND_SLAB || h->kind >= KIND_END) return "its kind is unknown";
    if (h->size < HEADER_SIZE || h->size % 4096 != 0 || h->size > file_size) return "its size is not the file's";
    if (h->payload < HEADER_SIZE || h->payload > h->size || h->payload_size > h->size - h->payload)
        return "its payload lies outside";
    if (h->meta > h->payload || h->meta_size > h->payload - h->meta) return "its description lies outside";
    if (h->meta == META_OFFSET && h->meta_size > META_ROOM) return "its description lies over its seats";
    if (h->meta != META_OFFSET && h->meta < HEADER_SIZE) return "its description lies over its seats";
    if (h->slots != (h->kind == KIND_SLAB ? SLAB_SLOTS : 0)) return "its number of slots is wrong";
    if (h->kind == KIND_SLAB && h->size != SLAB_SIZE) return "its size is not a slab's";
    if (h->kind == KIND_QUEUE && h->size != QUEUE_SIZE) return "its size is not a queue's";
    if (h->kind != KIND_SLAB && h->kind != KIND_ARRAY && h->kind < KIND_QUEUE && h->size != HEADER_SIZE)
        return "its size is not that of its kind";
    if (memchr(h->name, 0, NAME_ROOM) == NULL) return "its name has no end";
    return NULL;
}

/* 0, or -1 with CorruptSegment or VersionMismatch. */
int segment_read_header(int fd, const char *name, const struct stat *st, header_t *h) {
    ssize_t n = st->st_size < (off_t)HEADER_SIZE ? 0 : AGAIN(pread(fd, h, sizeof *h, 0));
    if (n != (ssize_t)sizeof *h) {
        if (n < 0) raise_os(errno, name);
        else raise_named("CorruptSegment", name, "the file is too short");
        return -1;
    }
    if (memcmp(h->magic, LAYOUT_MAGIC, sizeof h->magic) != 0) {
        raise_named("CorruptSegment", name, "it does not begin as a segment does");
        return -1;
    }
    if (h->layout != LAYOUT_VERSION) {
        raise_named("VersionMismatch", name, "it has version %u, this procshare has %u", h->layout, LAYOUT_VERSION);
        return -1;
    }
    const char *fault = header_fault(h, (uint64_t)st->st_size);
    if (fault != NULL) {
        raise_named("CorruptSegment", name, "%s", fault);
        return -1;
    }
    return 0;
}

/* Whether a claim keeps nothing, as there is none, or its container is known to be gone. */
static bool is_void(uint64_t claim, const past_t *past) {
    for (size_t i = 0; claim != 0 && i < past->count; i++)
        if (past->gone[i] == claim) return true;
    return claim == 0;
}

/* Whether nothing keeps what nobody is attached to. What cannot be read is no garbage: it may be anything. What a container had claimed
 * does not wait for anybody. */
static bool is_garbage(int fd, const header_t *h, const past_t *past) {
    enum { AT_ONCE = 32 };
    uint64_t claims[1 + SLAB_SLOTS];
    slot_t slot[AT_ONCE];
    if (atomic_load(&h->flags) & SEG_PERSIST) return false;
    if (!past->in_flight && (h->root.flags & SLOT_IN_FLIGHT) && atomic_load(&h->claim) == 0) return false;
    if (!is_void(atomic_load(&h->claim), past)) return false;
    if (h->slots == 0) return true;
    if (pread(fd, claims, sizeof claims, HEADER_SIZE) != (ssize_t)sizeof claims) return false;
    for (uint32_t i = 0; i < h->slots; i++) {
        if (i % AT_ONCE == 0 && pread(fd, slot, sizeof slot, (off_t)(SLOTS_OFFSET + i * sizeof *slot)) != (ssize_t)sizeof slot) return false;
        const slot_t *each = &slot[i % AT_ONCE];
        if (!past->in_flight && (each->flags & SLOT_IN_FLIGHT) && each->state == SLOT_LIVE && claims[i + 1] == 0) return false;
        if (!is_void(claims[i + 1], past)) return false;
    }
    return true;
}

/* Unlink *name* if it still leads to the file behind fd, all of whose seats we hold; tell the tracker if it is ours. */
static bool unlink_held(int fd, const char *name, header_t *h) {
    char path[NAME_ROOM + 16];
    struct stat here, there;
    snprintf(path, sizeof path, SHM "/%s", name);
    if (fstat(fd, &here) < 0 || lstat(path, &there) < 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev) return false;
    if (!segment_may_unlink(here.st_uid)) return false;
    if (keeps_others(h->kind)) container_end_file(name); /* what it keeps goes with it */
    sigset_t before;
    hold_signals(&before);
    FAULT(segment_reaping);
    bool gone = unlink(path) == 0;
    FAULT(segment_reaped);
    if (gone) segment_unregister(&h->tracker, name);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return gone;
}

/* If nobody is attached to *name* and nothing keeps it, unlink it. 1: done. 0: somebody is, or something does, or it is not there or
 * not ours. Never an exception. */
int segment_reap(const char *name, const past_t *past) {
    struct stat st;
    header_t h;
    int fd = open_checked(name, &st, TO_REAP), done = 0;
    if (fd >= 0 && segment_read_header(fd, name, &st, &h) == 0 && seat_take_all(fd)) {
        if (segment_read_header(fd, name, &st, &h) == 0 && is_garbage(fd, &h, past))
            done = unlink_held(fd, name, &h);
        seat_drop_all(fd);
    }
    if (fd >= 0) close(fd);
    PyErr_Clear();
    return done;
}

static seg_t *mapped_already(const struct stat *st) {
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next)
        if (seg->ino == st->st_ino && seg->dev == st->st_dev) return seg;
    return NULL;
}

static seg_t *map_checked(int fd, const struct stat *st, const header_t *h, const char *name) {
    seg_t *seg = segment_new(h->slots);
    if (seg == NULL) return NULL;
    seg->base = mapping_new(seg, fd, h->size, 0, &seg->mapping);
    if (seg->base == NULL) {
        free(seg->open);
        free(seg);
        return raise_unmapped(errno, name, h->size);
    }
    seg->header = (header_t *)seg->base;
    seg->fd = fd;
    seg->dev = st->st_dev;
    seg->ino = st->st_ino;
    seg->uid = st->st_uid;
    seg->kind = h->kind;
    seg->size = h->size;
    seg->payload = h->payload;
    seg->payload_size = h->payload_size;
    seg->meta = h->meta;
    seg->meta_size = h->meta_size;
    seg->known_size = (uint64_t)st->st_size;
    seg->linked = true;
    snprintf(seg->name, NAME_ROOM, "%s", name);
    return seg;
}

/* A segment mapped without a seat, for a look or to end it; NULL without an exception. segment_discard() undoes it. */
seg_t *segment_peek(const char *name) {
    struct stat st;
    header_t h;
    seg_t *seg = NULL;
    int fd = open_checked(name, &st, TO_LOOK);
    if (fd >= 0 && segment_read_header(fd, name, &st, &h) == 0) seg = map_checked(fd, &st, &h, name);
    if (seg == NULL && fd >= 0) close(fd);
    PyErr_Clear();
    return seg;
}

#define SEAT_LOOKS 5          /* with the GIL */
#define PATIENCE_NS 10000000000LL

/* Sit down in a freshly mapped segment: 1 seated, 0 try again from the start, 2 likewise but later, -1 exception. */
static int settle(seg_t *seg, header_t *h) {
    bool alone = seat_take_all(seg->fd);
    if (alone) FAULT(segment_alone);
    /* Read again, now that nobody is left who could change them: it may have been handed over or claimed since. */
    atomic_store(&h->flags, atomic_load(&seg->header->flags));
    atomic_store(&h->claim, atomic_load(&seg->header->claim));
    atomic_store(&h->root.flags, atomic_load(&seg->header->root.flags));
    if (alone && is_garbage(seg->fd, h, &(past_t){0})) { /* all who had it are dead, and it should have gone with them */
        bool gone = unlink_held(seg->fd, seg->name, h);
        seat_drop_all(seg->fd);
        return gone || !segment_names(seg, seg->name) ? 0 : (raise_named("NotFound", seg->name, "its owner is gone"), -1);
    }
    if (seat_try(seg, SEAT_LOOKS) < 0) {
        if (errno == EBUSY) return 2;
        if (errno != EAGAIN) return raise_os(errno, seg->name), -1;
        if (!segment_names(seg, seg->name)) return 0;
        PyErr_Format(PyExc_OSError, "%s has no free seat: %u processes are attached", seg->name, (unsigned)SEAT_COUNT);
        return -1;
    }
    if (alone) seat_keep_one(seg->fd, (uint32_t)seg->seat);
    FAULT(segment_attached);
    return segment_names(seg, seg->name);
}

/* Somebody holds all seats for a moment: wait, with nothing open that a child forked meanwhile would keep. False, with an
 * exception: that process is stopped, or so slow that it seems to be. */
static bool wait_for_seats(const char *name, int64_t start) {
    if (now_ns() - start > PATIENCE_NS) {
        raise_lock_timeout(public_name(name), now_ns() - start, 0, -1);
        return false;
    }
    Py_BEGIN_ALLOW_THREADS
    usleep(500);
    Py_END_ALLOW_THREADS
    return true;
}

/* Attach: one reference and a seat, or NULL with an exception. */
seg_t *segment_attach(const char *name) {
    int64_t start = now_ns();
    if (segment_start_process() < 0) return NULL;
    for (int tries = 0; tries < 1000; tries++) {
        struct stat st;
        header_t h;
        char path[NAME_ROOM + 16];
        if (shm_path(path, sizeof path, name) < 0) return NULL;
        seg_t *seg = lstat(path, &st) == 0 ? mapped_already(&st) : NULL; /* then it was checked, and needs no descriptor */
        int fd = seg == NULL ? open_checked(name, &st, TO_ATTACH) : -1;
        if (seg == NULL && fd < 0) return NULL;
        FAULT(segment_opened);
        if (seg == NULL && (seg = mapped_already(&st)) != NULL) close(fd);
        if (seg != NULL) {
            if (seg->token == 0 && seat_take(seg) < 0) return raise_seatless(seg, errno);
            if (!segment_names(seg, name)) {
                if (seg->handles == 0) seat_leave(seg);
                continue;
            }
            segment_ref(seg);
            return seg;
        }
        if (segment_read_header(fd, name, &st, &h) < 0 || (seg = map_checked(fd, &st, &h, name)) == NULL) {
            close(fd);
            return NULL;
        }
        int settled = settle(seg, &h);
        if (settled == 1) {
            seg->refs = 1;
            seg->next = process.segments;
            process.segments = seg;
            return seg;
        }
        segment_discard(seg);
        if (settled < 0 || PyErr_CheckSignals() < 0) return NULL;
        if (settled == 2 && !wait_for_seats(name, start)) return NULL;
        if (settled == 2) tries--;
    }
    return raise_named("NotFound", name, "it was replaced again and again while attaching");
}

/* What identifies the resource tracker that answers for a segment; 0: none does. */
PyObject *segment_tracker(const char *name) {
    struct stat st;
    header_t h;
    int fd = open_checked(name, &st, TO_LOOK);
    if (fd < 0) return NULL;
    int seen = segment_read_header(fd, name, &st, &h);
    close(fd);
    return seen < 0 ? NULL : PyLong_FromUnsignedLongLong(atomic_load(&h.tracker));
}
