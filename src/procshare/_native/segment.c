/* Segments: files in /dev/shm, made, published, attached, left and unlinked.
 *
 * A segment is made without a name (O_TMPFILE), reserved, filled and seated, and gets its name by one linkat(): it
 * appears complete or not at all. One that is never exported never gets a name, so nothing can be left of it.
 *
 * An attacher opens, takes a seat, and then checks that the name still leads to this file: if not, someone unlinked it
 * in between, and the attacher starts again. Whoever leaves gives up its seat and tries to lock all seats; who
 * succeeds is the last one out, checks that the name leads to this very file, and unlinks. The order of seat and check
 * on one side and of lock and unlink on the other means that nobody keeps a seat in a file that vanished unseen.
 *
 * Deaths. Before linkat the file has no name and goes with its last descriptor. After it, the seat goes with the process;
 * the resource tracker, the last one out, or the next process to create something finds no seat taken and unlinks.
 */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull
#define RESERVE_STEP (64ull << 20) /* so that a signal costs at most this much work done again */

process_t process;

/* ---- small things ---- */

int shm_path(char *out, size_t room, const char *name) {
    int n = snprintf(out, room, SHM "/%s", name);
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || n < 0 || (size_t)n >= room) {
        raise_named("NotFound", name, "no segment can have this name");
        return -1;
    }
    return 0;
}

/* What a handle calls itself: a given name without "procshare.<uid>.", if it is of this user; else the whole. */
const char *public_name(const char *name) {
    if (strncmp(name, "procshare.", 10) != 0) return name;
    char *dot;
    unsigned long user = strtoul(name + 10, &dot, 10);
    return *dot == '.' && user == geteuid() ? dot + 1 : name;
}

/* What the handles of one object call it: for a slot, the slab's name, the slot and its generation. */
void object_name(seg_t *seg, slot_t *slot, char *out) {
    if (slot == NULL || slot == &seg->header->root) {
        snprintf(out, OBJECT_NAME_ROOM, "%s", public_name(seg->name));
        return;
    }
    unsigned index = (unsigned)(((char *)slot - (seg->base + SLOTS_OFFSET)) / sizeof *slot) + 1;
    snprintf(out, OBJECT_NAME_ROOM, "%s#%u.%u", seg->name, index, (unsigned)atomic_load(&slot->generation));
}

uint64_t shm_free_bytes(void) {
    struct statvfs fs;
    return AGAIN(statvfs(SHM, &fs)) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* The segment's descriptor, after a look that it is still ours: daemons close all descriptors they find (os.closerange),
 * and the number may be another file's by now. A lost one is opened again by name; -1 if that cannot be. The mapping
 * keeps the seat meanwhile, so nobody takes us for dead. */
int segment_fd(seg_t *seg) {
    char path[NAME_ROOM + 16];
    struct stat st;
    if (seg->fd >= 0 && fstat(seg->fd, &st) == 0 && st.st_dev == seg->dev && st.st_ino == seg->ino) {
        if (seg->base != NULL && (uint64_t)st.st_size < seg->known_size) mapping_is_cut(seg);
        return seg->fd;
    }
    snprintf(path, sizeof path, SHM "/%s", seg->name);
    seg->fd = AGAIN(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (seg->fd < 0) return -1;
    if (fstat(seg->fd, &st) == 0 && st.st_dev == seg->dev && st.st_ino == seg->ino) return seg->fd;
    close(seg->fd);
    return seg->fd = -1;
}

void segment_ref(seg_t *seg) { seg->refs++; }

/* Unmap and forget a segment that is in no list. */
void segment_discard(seg_t *seg) {
    if (seg->base != NULL) mapping_end(seg->base, seg->size, seg->mapping);
    for (int i = 0; i < CHUNKS; i++)
        if (seg->chunk[i] != NULL) mapping_end(seg->chunk[i], seg->size << i, seg->chunk_mapping[i]);
    if (segment_fd(seg) >= 0) close(seg->fd);
    spare_renew();
    for (uint32_t i = 0; seg->holds != NULL && i <= seg->slots; i++) free(seg->holds[i]);
    free(seg->holds);
    for (hold_t *reading = seg->readings, *next; reading != NULL; reading = next) {
        next = reading->sibling;
        free(reading);
    }
    free(seg->geometry);
    free(seg->queue);
    free(seg->drops);
    free(seg->open);
    free(seg->spares);
    free(seg->born);
    free(seg->slot_exported);
    free(seg);
}

void segment_unref(seg_t *seg) {
    if (--seg->refs > 0) return;
    for (seg_t **link = &process.segments; *link != NULL; link = &(*link)->next)
        if (*link == seg) {
            *link = seg->next;
            break;
        }
    segment_discard(seg);
}

static void list_segment(seg_t *seg) {
    seg->refs = 1;
    seg->next = process.segments;
    process.segments = seg;
}

slot_t *segment_slot(seg_t *seg, uint32_t index) {
    if (index == 0) return &seg->header->root;
    return (slot_t *)(seg->base + SLOTS_OFFSET) + (index - 1);
}

/* Once in each process, before its first segment: clean up behind the dead, and arrange for our own exit. */
int segment_start_process(void) {
    if (process.started) return 0;
    process.started = true;
    spare_renew();
    if (call_hook("started", NULL) == 0) return 0;
    process.started = false;
    return -1;
}

/* ---- making ---- */

/* 0, or EBADF: there is no such file any more, or it was cut, which would be hidden if it were made longer again. Nothing is
 * raised, since the heap lock may be held. */
static int may_grow(seg_t *seg) { return segment_fd(seg) < 0 || atomic_load(&seg->cut) ? EBADF : 0; }

/* Whether so much is not there: it is refused before it takes, step by step, what others need meanwhile. */
static bool hopeless(int fd, uint64_t length) {
    struct stat st;
    struct statvfs fs;
    if (length <= RESERVE_STEP || fstat(fd, &st) < 0 || AGAIN(fstatvfs(fd, &fs)) < 0 || fs.f_blocks == 0) return false;
    return length > (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)st.st_blocks * 512;
}

/* Reserve file space, so that a full /dev/shm is an error now and not a SIGBUS later: 0 or errno. *had*: how much there was. */
static int reserve(seg_t *seg, uint64_t offset, uint64_t length, uint64_t *had) {
    int error = may_grow(seg);
    uint64_t done = 0;
    Py_BEGIN_ALLOW_THREADS
    if (error == 0 && hopeless(seg->fd, length)) error = ENOSPC;
    while (done < length && error == 0) {
        uint64_t step = length - done < RESERVE_STEP ? length - done : RESERVE_STEP;
        if (fallocate(seg->fd, 0, (off_t)(offset + done), (off_t)step) == 0)
            done += step;
        else if (errno != EINTR)
            error = errno;
    }
    Py_END_ALLOW_THREADS
    *had = done;
    return error;
}

/* The same for who holds a lock under which nothing may be raised: 0 or errno. */
int segment_back(seg_t *seg, uint64_t offset, uint64_t length) {
    uint64_t had;
    return reserve(seg, offset, length, &had);
}

/* 0, or -1 with an exception. */
int segment_reserve(seg_t *seg, uint64_t offset, uint64_t length) {
    uint64_t had;
    int error = reserve(seg, offset, length, &had);
    if (error != 0 && segment_whole(seg) < 0) return -1;
    if (error == ENOSPC || error == ENOMEM) return raise_out_of_memory(seg->name, length, shm_free_bytes() + had), -1;
    if (error != 0) return raise_too_long(error, seg->name, offset + length), -1;
    return 0;
}

/* See that the file is so long at least, with holes where nothing was reserved: 0 or errno. */
int segment_stretch(seg_t *seg, uint64_t end) {
    struct stat st;
    if (may_grow(seg) != 0 || fstat(seg->fd, &st) < 0) return EBADF;
    if ((uint64_t)st.st_size < end && AGAIN(ftruncate(seg->fd, (off_t)end)) < 0) return errno;
    if (seg->known_size < end) seg->known_size = end;
    return 0;
}

/* The same: 0, or -1 with an exception. *needed*: for how many bytes that is. */
int segment_lengthen(seg_t *seg, uint64_t end, uint64_t needed) {
    int error = segment_stretch(seg, end);
    if (error == 0) return 0;
    if (segment_whole(seg) < 0) return -1;
    return raise_too_long(error, seg->name, error == EFBIG ? end : needed), -1;
}

/* Up to 256 bytes that nobody can guess: 0, or -1 with an exception, where a filter of system calls forbids it. */
int draw_random(void *out, size_t length) {
    ssize_t n = AGAIN(getrandom(out, length, 0));
    if (n == (ssize_t)length) return 0;
    raise_os_hint(n < 0 ? errno : EIO, SHM, "names are drawn with getrandom(2), which a filter of system calls seems to refuse");
    return -1;
}

/* A name that nobody can guess, and an id; 0 with an exception. */
static uint64_t random_name(char *name) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    struct {
        uint64_t id;
        unsigned char bytes[16];
    } drawn;
    do
        if (draw_random(&drawn, sizeof drawn) < 0) return 0;
    while (drawn.id == 0);
    strcpy(name, "procshare-");
    for (int i = 0; i < 16; i++) name[10 + i] = digits[drawn.bytes[i] & 31];
    name[26] = '\0';
    return drawn.id;
}

static void fill_header(seg_t *seg, uint64_t id, const void *meta, size_t meta_size) {
    header_t *h = seg->header;
    h->layout = LAYOUT_VERSION;
    h->kind = seg->kind;
    h->size = seg->size;
    h->payload = seg->payload;
    h->payload_size = seg->payload_size;
    h->meta = seg->meta;
    h->meta_size = seg->meta_size;
    h->slots = seg->slots;
    h->creator_pid = (uint32_t)process.pid;
    h->id = id;
    atomic_store(&h->heap_end, seg->size);
    memcpy(h->name, seg->name, NAME_ROOM);
    if (meta_size > 0) memcpy(seg->base + seg->meta, meta, meta_size);
    atomic_store(&h->tally.created, (uint64_t)clock_time_ns());
    h->root.kind = (uint8_t)seg->kind;
    atomic_store(&h->root.generation, 1);
    atomic_store(&h->root.state, SLOT_LIVE);
    memcpy(h->magic, LAYOUT_MAGIC, sizeof h->magic);
}

/* No file can be made in /dev/shm, of whatever size. */
static void *raise_not_made(const seg_t *seg, int error) {
    if (error == ENOSPC) return raise_no_room(seg->name, seg->size, "files");
    if (error == EMFILE || error == ENFILE || error == ENOMEM) return raise_os(error, SHM);
    if (error == ENOENT || error == ENOTDIR || error == EROFS) /* the locks of the other backend would be there, too */
        return raise_os_hint(error, SHM, "shared objects are made there: mount a tmpfs that this user may write to");
    return raise_os_hint(error, SHM, "shared objects are made there: mount a tmpfs that this user may write to, or use the stdlib "
                                     "backend (PROCSHARE_BACKEND=stdlib)");
}

static int open_unnamed(seg_t *seg, uint64_t reserved) {
    seg->fd = AGAIN(open(SHM, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (seg->fd < 0) return raise_not_made(seg, errno), -1;
    FAULT(segment_made);
    struct stat st;
    if (fstat(seg->fd, &st) < 0) return raise_os(errno, SHM), -1;
    seg->dev = st.st_dev;
    seg->ino = st.st_ino;
    seg->uid = st.st_uid;
    if ((st.st_mode & 0777) != 0600 && fchmod(seg->fd, 0600) < 0) return raise_os(errno, SHM), -1; /* the umask */
    if (reserved < seg->size && AGAIN(ftruncate(seg->fd, (off_t)seg->size)) < 0) return raise_too_long(errno, seg->name, seg->size), -1; /* else reserving does it */
    if (segment_reserve(seg, 0, reserved) < 0) return -1;
    FAULT(segment_reserved);
    seg->base = mapping_new(seg, seg->fd, seg->size, 0, &seg->mapping);
    return seg->base == NULL ? (raise_unmapped(errno, seg->name, seg->size), -1) : 0;
}

/* The private record of a segment with this many slots, nothing mapped yet; NULL with an exception. */
seg_t *segment_new(uint32_t slots) {
    seg_t *seg = calloc(1, sizeof *seg);
    if (seg == NULL || (seg->open = calloc((size_t)slots + 1, sizeof *seg->open)) == NULL) {
        free(seg);
        return (seg_t *)PyErr_NoMemory();
    }
    seg->slots = slots;
    seg->fd = seg->seat = -1;
    return seg;
}

/* A new segment without a name, in which this process is seated; of the payload so much is reserved.
 * Returns one reference, or NULL with an exception. */
seg_t *segment_create(uint32_t kind, uint64_t payload, const void *meta, size_t meta_size, uint32_t slots, uint64_t reserve) {
    if (segment_start_process() < 0) return NULL;
    seg_t *seg = segment_new(slots);
    if (seg == NULL) return NULL;
    seg->kind = kind;
    seg->meta = meta_size <= META_ROOM ? META_OFFSET : HEADER_SIZE;
    seg->meta_size = (uint32_t)meta_size;
    seg->payload = HEADER_SIZE + (meta_size <= META_ROOM ? 0 : (meta_size + PAGE - 1) / PAGE * PAGE);
    seg->payload_size = payload;
    seg->size = (seg->payload + payload + PAGE - 1) / PAGE * PAGE;
    seg->known_size = seg->size;
    uint64_t id = random_name(seg->name);
    if (id == 0) {
        segment_discard(seg);
        return NULL;
    }
    list_segment(seg); /* before space is reserved, without the GIL: a child forked meanwhile would keep our seat alive */
    if (open_unnamed(seg, reserve < payload ? seg->payload + reserve : seg->size) < 0) {
        segment_unref(seg);
        return NULL;
    }
    seg->header = (header_t *)seg->base;
    fill_header(seg, id, meta, meta_size);
    FAULT(segment_filled);
    if (seat_take(seg) < 0) {
        raise_os(errno, SHM);
        segment_unref(seg);
        return NULL;
    }
    FAULT(segment_seated);
    seg->owner = true;
    return seg;
}

/* Let others use it, as far as *mode* says; before it has a name. 0, or -1 with an exception. */
int segment_permit(seg_t *seg, uint32_t mode, uint32_t group) {
    if (segment_fd(seg) < 0) return raise_os(EBADF, seg->name), -1;
    if (group != NO_GROUP && fchown(seg->fd, (uid_t)-1, group) < 0) {
        if (errno != EPERM) return raise_os(errno, seg->name), -1;
        return raise_os_hint(EPERM, seg->name, "a file is given to a group by root, or by a user who is a member of it"), -1;
    }
    if (fchmod(seg->fd, mode) < 0) return raise_os(errno, seg->name), -1;
    return 0;
}

/* ---- the name ---- */

/* Whether *name* leads to this very file. */
bool segment_names(const seg_t *seg, const char *name) {
    char path[NAME_ROOM + 16];
    struct stat st;
    snprintf(path, sizeof path, SHM "/%s", name);
    return lstat(path, &st) == 0 && st.st_dev == seg->dev && st.st_ino == seg->ino;
}

static int link_file(seg_t *seg) {
    char from[40], to[NAME_ROOM + 16];
    if (segment_fd(seg) < 0) {
        errno = EBADF;
        return -1;
    }
    snprintf(from, sizeof from, "/proc/self/fd/%d", seg->fd);
    snprintf(to, sizeof to, SHM "/%s", seg->name);
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0) return 0;
    if (errno == ENOENT && linkat(seg->fd, "", AT_FDCWD, to, AT_EMPTY_PATH) == 0) return 0; /* no /proc */
    return -1;
}

/* What identifies the resource tracker that this process uses; 0: none, or an exception was swallowed. */
static uint64_t my_tracker(void) {
    PyObject *id = PyObject_CallMethod(process.hooks, "tracker_id", NULL);
    uint64_t tracker = id ? PyLong_AsUnsignedLongLong(id) : 0;
    Py_XDECREF(id);
    if (!PyErr_Occurred()) return tracker;
    PyErr_WriteUnraisable(NULL);
    return 0;
}

/* Tell the resource tracker that this process answers for the name, and note which tracker it is. One that was killed, or cannot be
 * started, is no reason to fail: the last one out and the next process do without it. */
static int register_name(seg_t *seg) {
    if (call_hook("register", Py_BuildValue("(s)", seg->name)) == 0) {
        FAULT(segment_tracked);
        atomic_store(&seg->header->tracker, seg->tracker = my_tracker());
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) return -1;
    PyErr_Clear();
    return 0;
}

/* Take a name off the tracker it is registered with, if that is ours; once, whoever gets there first. Another tree's
 * tracker is told by the process that registered it, when that exits. */
void segment_unregister(_Atomic uint64_t *registered, const char *name) {
    if (atomic_load(registered) == 0) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    uint64_t tracker = my_tracker();
    if (tracker != 0 && atomic_compare_exchange_strong(registered, &tracker, 0)) {
        FAULT(segment_untracked);
        if (call_hook("unregister", Py_BuildValue("(s)", name)) < 0 && !PyErr_ExceptionMatches(PyExc_OSError))
            PyErr_WriteUnraisable(NULL); /* but for a tracker that is gone, and the name with it */
    }
    PyErr_Restore(type, value, traceback);
}

static void unregister_name(seg_t *seg) {
    _Atomic uint64_t remembered = seg->owner ? seg->tracker : 0;
    segment_unregister(atomic_load(&seg->cut) ? &remembered : &seg->header->tracker, seg->name);
    seg->tracker = 0;
}

/* Whether it has a name. A forked relative may have given it one; and the header may be damaged. */
static bool has_name(const seg_t *seg) { return seg->linked || (atomic_load(&seg->header->flags) & SEG_LINKED); }

/* It was made by another user, who this process was. The kernel lets only who could open a file give it a name. */
static void *raise_unnameable(const seg_t *seg) {
    return raise_named("NotOwned", seg->name,
                       "it has no name yet, which only the user who made it can give, %u, and this process is user %u: read its .name, "
                       "or store a handle in it, before it becomes another user; or make it with mode= and group=",
                       (unsigned)seg->uid, (unsigned)geteuid());
}

/* Give a finished segment its name (NULL: the random one it has): 0, or -1 with AlreadyExists or another exception. */
int segment_publish(seg_t *seg, const char *name) {
    if (name != NULL) {
        memset(seg->name, 0, NAME_ROOM);
        snprintf(seg->name, NAME_ROOM, "%s", name);
        memcpy(seg->header->name, seg->name, NAME_ROOM);
    }
    /* The tracker is told before a random name exists, so that no death leaves it untold. A name that was given may be
     * another's, and the tracker counts a name once: then it is told after. */
    bool tracked = !(atomic_load(&seg->header->flags) & SEG_SHARED) && seg->owner;
    if (tracked && name == NULL && register_name(seg) < 0) return -1;
    FAULT(segment_registered);
    atomic_fetch_or(&seg->header->flags, SEG_LINKED);
    FAULT(segment_linking);
    for (int tries = 0;; tries++) {
        if (link_file(seg) == 0) break;
        int error = errno;
        if (error == EEXIST && segment_names(seg, seg->name)) break; /* a forked relative was faster */
        if (error == EEXIST && tries == 0 && segment_reap(seg->name, &(past_t){0}) == 1) continue;
        atomic_fetch_and(&seg->header->flags, ~(uint32_t)SEG_LINKED);
        unregister_name(seg);
        if (error == EEXIST) raise_named("AlreadyExists", seg->name, "");
        else if (error == ENOENT) raise_named("NotFound", seg->name, "it was unlinked");
        else if (error == ENOSPC) raise_no_room(seg->name, seg->size, "files");
        else if (error == EPERM && seg->uid != geteuid()) raise_unnameable(seg);
        else raise_os(error, seg->name);
        return -1;
    }
    FAULT(segment_linked);
    seg->linked = true;
    return tracked && name != NULL ? register_name(seg) : 0;
}

/* Give it its name if it has none, though nobody was told it: it still goes with its owner's last handle. */
int segment_name(seg_t *seg) {
    return has_name(seg) || seg->unlinked || seg->making ? 0 : segment_publish(seg, NULL);
}

/* Make it attachable by whoever is told its name. The owner then keeps it until it exits or unlinks. */
int segment_export(seg_t *seg) {
    if (segment_name(seg) < 0) return -1;
    if (seg->owner && !seg->exported && seg->born == NULL) {
        seg->exported = true;
        seg->handles++;
        segment_ref(seg);
    }
    return 0;
}

/* Between unlinking a name and telling the tracker: a death there would make the tracker print a warning. A pool ends its
 * workers by SIGTERM, also those that are about to leave. */
void hold_signals(sigset_t *before) {
    sigset_t deadly;
    sigemptyset(&deadly);
    sigaddset(&deadly, SIGTERM);
    sigaddset(&deadly, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &deadly, before);
}

/* Whether another segment has the name now, and the same tracker knows it: someone removed ours by force. The tracker counts a
 * name once, so it is the other's from now on. */
static bool named_again(const seg_t *seg) {
    uint64_t tracker = 0;
    int fd = segment_open(seg->name);
    if (fd < 0) return false;
    if (pread(fd, &tracker, sizeof tracker, offsetof(header_t, tracker)) != (ssize_t)sizeof tracker) tracker = 0;
    close(fd);
    return tracker != 0 && tracker == atomic_load(&seg->header->tracker);
}

/* Whether this process may remove such a file's name: in a sticky directory, its user, the directory's, and root. */
bool segment_may_unlink(uid_t owner) {
    struct stat dir;
    uid_t me = geteuid();
    return me == owner || me == 0 || stat(SHM, &dir) < 0 || !(dir.st_mode & S_ISVTX) || dir.st_uid == me;
}

/* Remove the name, if it has one and it leads here. Who may not leaves it to its user's processes and to their tracker. */
void segment_unlink_name(seg_t *seg) {
    char path[NAME_ROOM + 16];
    if (!has_name(seg) || seg->unlinked || !segment_may_unlink(seg->uid)) return;
    if (keeps_others(seg->kind) && !atomic_load(&seg->cut)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback); /* a handle may be freed while an exception is on its way */
        if (is_container(seg->kind)) transaction_finish(seg); /* who may have to ask it has its answer */
        links_release(seg);                                   /* what it keeps goes with it */
        PyErr_Restore(type, value, traceback);
    }
    snprintf(path, sizeof path, SHM "/%s", seg->name);
    FAULT(segment_unlinking);
    sigset_t before;
    hold_signals(&before);
    bool ours = segment_names(seg, seg->name);
    if (ours) unlink(path);
    FAULT(segment_unlinked);
    seg->unlinked = true;
    if (ours || !named_again(seg)) unregister_name(seg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- leaving ---- */

/* The id of the container that keeps an object alive, or 0. */
_Atomic uint64_t *segment_claim(const seg_t *seg, uint32_t index) {
    return index == 0 ? &seg->header->claim : (_Atomic uint64_t *)(void *)(seg->base + HEADER_SIZE) + index;
}

/* Whether a container keeps it, or something in it. */
bool segment_claimed(const seg_t *seg) {
    for (uint32_t i = 0; i <= seg->slots; i++)
        if (atomic_load(segment_claim(seg, i)) != 0) return true;
    return false;
}

bool segment_in_flight(const seg_t *seg) {
    for (uint32_t i = 0; i <= seg->slots; i++) {
        slot_t *slot = segment_slot((seg_t *)seg, i);
        if ((atomic_load(&slot->flags) & SLOT_IN_FLIGHT) && atomic_load(&slot->state) == SLOT_LIVE) return true;
    }
    return false;
}

/* Nothing here needs the segment any more but perhaps views: unlink it if this process owns it; else give up the seat,
 * and unlink it if nobody is left. */
void segment_leave(seg_t *seg) {
    if (seg->holds != NULL && seg->holds[0] != NULL && seg->holds[0]->direct) {
        /* The process exits while a daemon thread is in the middle of a change. Its lock and its seat go with the process. */
        if (seg->owner && !segment_claimed(seg)) segment_unlink_name(seg);
        return;
    }
    for (uint32_t i = 0; seg->holds != NULL && i <= seg->slots; i++)
        if (seg->holds[i] != NULL && atomic_load(&seg->holds[i]->thread) != 0) lock_abandon(seg->holds[i]);
    if (is_container(seg->kind)) transaction_finish(seg);
    bool claimed = segment_claimed(seg); /* then it goes when the container that keeps it does */
    if (seg->owner && !claimed) {
        segment_unlink_name(seg);
        seat_leave(seg);
        return;
    }
    seat_leave(seg);
    if (claimed) return;
    FAULT(segment_leaving);
    if (!has_name(seg) || seg->unlinked || segment_fd(seg) < 0 || !seat_take_all(seg->fd)) return;
    FAULT(segment_last_out);
    bool kept = segment_claimed(seg); /* by somebody who was there until now */
    if (!kept && !(atomic_load(&seg->header->flags) & SEG_PERSIST) && !segment_in_flight(seg)) segment_unlink_name(seg);
    seat_drop_all(seg->fd);
}

/* For the length of a call that writes under a lock and may let other threads run: a close() meanwhile must not give up the
 * seat, or another process would take the lock from under the writer. */
void segment_pin(seg_t *seg) {
    segment_ref(seg);
    seg->handles++;
}

void segment_unpin(seg_t *seg) {
    if (--seg->handles == 0) segment_leave(seg);
    segment_unref(seg);
}

/* Destroy for everyone: the name goes now, the memory when the last process lets go. */
void segment_destroy(seg_t *seg) {
    segment_unlink_name(seg);
    seg->owner = false;
    if (!seg->exported) return;
    seg->exported = false;
    if (--seg->handles == 0) segment_leave(seg);
    segment_unref(seg);
}

/* The owner gives it away: its exit, and its tracker's, no longer remove it. */
void segment_hand_over(seg_t *seg) {
    seg->owner = false;
    unregister_name(seg);
    if (keeps_others(seg->kind)) links_untrack(seg);
    segment_give_up(seg);
}

/* Nobody was told its name after all: it goes with its owner's last handle, of which there is one. */
void segment_withdraw(seg_t *seg) {
    if (!seg->exported) return;
    seg->exported = false;
    seg->handles--;
    segment_unref(seg);
}

/* This process keeps it no longer than its handles do. */
void segment_give_up(seg_t *seg) {
    seg->owner = false;
    if (!seg->exported) return;
    seg->exported = false;
    if (--seg->handles == 0) segment_leave(seg); /* only if another thread closed the caller's handle meanwhile */
    segment_unref(seg);
}
