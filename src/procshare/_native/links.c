/* Handles in values: what a container keeps alive.
 *
 *   record with handles:  | size, 4 bytes | length, 2 bytes | name | length | name | ... | the pickle |
 *
 * A handle that is pickled into a container's value is noted, and the object behind it claimed: its claim (in the header, for a
 * slab's slot in the page of claims) is the container's id, once the record is written, and before anything names it. Whoever claims first keeps it. What is claimed belongs to no process: it
 * stays when its creator and all who are attached leave, and goes when the container does, or when the container is
 * compacted and no value names it any more. A container is not claimed by one that it keeps itself, at whatever depth.
 *
 * What is claimed stays registered with the resource tracker that knows its container too, so that both go with the process tree;
 * if the container outlives the tree (opened, handed over), it is taken off.
 *
 * Deaths. The claim is made before the record is named. In between it is kept by a container in which nothing names it,
 * until the next compaction or the container's end. Dropping marks the claim first (its bits inverted, an id that nobody
 * has), under the lock, gives it up after the lock, and then unlinks; in between it is garbage, which the next sweep takes
 * (segment.py).
 */
#include "queue.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DEEPEST 200 /* containers within containers that are released on one stack; what is deeper is left to the sweep */

static _Thread_local int depth;
static THREAD_LOCAL links_t links;

/* ---- noting handles ---- */

/* From now on this thread notes the handles it pickles. */
void links_begin(links_t *outer) {
    *outer = links;
    links = (links_t){.on = true};
}

/* A list of those it pickled, or NULL for none. */
PyObject *links_end(links_t *outer) {
    PyObject *handles = links.handles;
    links = *outer;
    return handles;
}

/* Its name is read; *fresh*: nobody has known it so far. */
int links_note(handle_t *h, bool fresh) {
    if (LIKELY(!links.on)) return h->exports++, 0;
    if (fresh) h->quiet = h->exports + 1;
    if (links.handles == NULL && (links.handles = PyList_New(0)) == NULL) return -1;
    if (PyList_Append(links.handles, (PyObject *)h) < 0) return -1;
    h->waiting++;
    return 0;
}

/* The value that they were noted for is done with. Those that nothing names, as it was not written, are no more exported than
 * before: else each attempt to store a new object would leave it behind until the process ends. */
void links_clear(PyObject **handles) {
    PyObject *list = *handles;
    *handles = NULL;
    if (list == NULL) return;
    if (Py_REFCNT(list) == 1) /* no other copy of the value waits to be written */
        for (Py_ssize_t i = 0; i < PyList_Size(list); i++) handle_withdraw((handle_t *)PyList_GetItem(list, i));
    Py_DECREF(list);
}

/* ---- names in a record ---- */

/* How long the names in front of a record's pickle are; 0: they make no sense. */
uint64_t links_length(const char *bytes, uint64_t length) {
    uint32_t size = 0;
    if (length >= 4) memcpy(&size, bytes, 4);
    return size >= 4 && size <= length ? size : 0;
}

typedef void (*visit_t)(const char *name, void *arg);

static void each_name(const char *bytes, uint64_t length, visit_t visit, void *arg) {
    uint64_t end = links_length(bytes, length), at = 4;
    char name[OBJECT_NAME_ROOM];
    while (at + 2 <= end) {
        uint16_t size;
        memcpy(&size, bytes + at, 2);
        if (size == 0 || size >= sizeof name || at + 2 + size > end) return;
        memcpy(name, bytes + at + 2, size);
        name[size] = '\0';
        at += 2u + size;
        visit(name, arg);
    }
}

/* Every name in every record of a generation, also of those that no word names any more. */
static void each_link(seg_t *seg, const generation_t *g, visit_t visit, void *arg) {
    for (unsigned a = 0; a < g->arenas && a < MAX_ARENAS; a++) {
        uint64_t at = g->arena[a] * 4096ull, end = at + (1ull << (g->arena_order[a] & 63)), length;
        uint64_t filled = a + 1 == g->arenas ? at + get(&g->arena_used) : end;
        uint8_t tag;
        if (filled < end) end = filled;
        while (at + 8 <= end) {
            const char *record = record_at(seg, at, &tag, &length);
            if (record == NULL || tag == 0 || record_room(length) > end - at) break;
            if (tag & RECORD_LINKED) each_name(record, length, visit, arg);
            at += record_room(length);
        }
    }
}

static uint64_t links_ever(const seg_t *seg) {
    if (seg->kind == KIND_QUEUE) return get(&queue_of(seg)->linked);
    return is_container(seg->kind) ? get(&current(seg)->linked) : 0;
}

typedef struct {
    visit_t visit;
    void *arg;
} visitor_t;

static void visit_body(const char *body, uint64_t length, void *arg) {
    const visitor_t *visitor = arg;
    each_name(body, length, visitor->visit, visitor->arg);
}

/* Every name in what it keeps. */
static void each_kept(seg_t *seg, visit_t visit, void *arg) {
    visitor_t visitor = {visit, arg};
    if (seg->kind == KIND_QUEUE) queue_each_body(seg, visit_body, &visitor);
    else each_link(seg, current(seg), visit, arg);
}

/* The segment of an object's name, its slot, and the slot's generation. */
static uint32_t split(const char *object, char *segment, uint32_t *generation) {
    unsigned index = 0, number = 0;
    const char *hash = strchr(object, '#');
    snprintf(segment, NAME_ROOM, "%.*s", hash ? (int)(hash - object) : NAME_ROOM - 1, object);
    if (hash != NULL && sscanf(hash, "#%u.%u", &index, &number) != 2) index = 0;
    *generation = number;
    return index;
}

static seg_t *mapped(const char *name) {
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next)
        if (seg->header != NULL && !seg->unlinked && strcmp(seg->name, name) == 0) return seg;
    return NULL;
}

/* ---- claiming ---- */

/* The claim on the segment with this id, looked for among the mapped ones and then among all; 0: none, or it is gone. */
static uint64_t claim_of_id(uint64_t id) {
    for (seg_t *seg = process.segments; seg != NULL; seg = seg->next)
        if (seg->header != NULL && seg->header->id == id) return atomic_load(&seg->header->claim);
    DIR *dir = opendir(SHM);
    struct dirent *each;
    uint64_t found = 0;
    while (dir != NULL && found == 0 && (each = readdir(dir)) != NULL) {
        header_t h;
        int fd = strncmp(each->d_name, "procshare", 9) == 0 ? segment_open(each->d_name) : -1;
        if (fd < 0) continue;
        if (pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && h.id == id) found = atomic_load(&h.claim);
        close(fd);
    }
    if (dir != NULL) closedir(dir);
    return found;
}

/* Whether *seg* is kept by *child*, directly or by way of others. */
static bool kept_by(const seg_t *seg, const seg_t *child) {
    uint64_t id = atomic_load(&seg->header->claim);
    if (links_ever(child) == 0) return false; /* it keeps nothing at all */
    for (int i = 0; i < 10000 && id != 0; i++) {
        if (id == child->header->id) return true;
        id = claim_of_id(id);
    }
    return false;
}

/* The object goes when the container does: so it is no longer the tracker's either, if the container is not. */
static void untrack(seg_t *child) {
    if (child->header->name[0] != '\0') segment_unregister(&child->header->tracker, child->name);
    if (keeps_others(child->kind)) links_untrack(child);
}

/* Whether it was claimed by this call. */
static bool claim(seg_t *seg, handle_t *h) {
    seg_t *child = h->seg;
    uint64_t none = 0;
    if (child == NULL || child == seg || (atomic_load(&child->header->flags) & SEG_PERSIST)) return false;
    if (keeps_others(child->kind) && kept_by(seg, child)) return false;
    _Atomic uint64_t *word = segment_claim(child, h->index);
    FAULT(links_claiming);
    if (!atomic_compare_exchange_strong(word, &none, seg->header->id)) {
        return none == ~seg->header->id && atomic_compare_exchange_strong(word, &none, seg->header->id); /* it was about to be dropped */
    }
    FAULT(links_claimed);
    if (keeps_others(child->kind) && kept_by(seg, child)) { /* it claimed us meanwhile */
        atomic_store(word, 0);
        return false;
    }
    atomic_fetch_and(&h->slot->flags, (uint8_t)~SLOT_IN_FLIGHT);
    segment_ref(child);
    if (child->uid != seg->uid) atomic_fetch_or(&child->header->flags, SEG_ABROAD);
    if (atomic_load(&child->header->tracker) != atomic_load(&seg->header->tracker)) untrack(child);
    if (h->index == 0) segment_give_up(child);
    segment_unref(child);
    return true;
}

/* The names of what the handles lead to, as a record has them; NULL with an exception. */
PyObject *links_names(PyObject *handles) {
    Py_ssize_t n = PyList_Size(handles), room = 4;
    for (Py_ssize_t i = 0; i < n; i++) room += 2 + OBJECT_NAME_ROOM;
    PyObject *names = PyByteArray_FromStringAndSize(NULL, room), *out = NULL;
    if (names == NULL) return NULL;
    char *at = PyByteArray_AsString(names);
    uint32_t size = 4;
    for (Py_ssize_t i = 0; i < n; i++) {
        handle_t *h = (handle_t *)PyList_GetItem(handles, i);
        if (h->seg == NULL) continue;
        char name[OBJECT_NAME_ROOM];
        if (h->index == 0) snprintf(name, sizeof name, "%s", h->seg->name);
        else object_name(h->seg, h->slot, name);
        uint16_t length = (uint16_t)strlen(name);
        memcpy(at + size, &length, 2);
        memcpy(at + size + 2, name, length);
        size += 2u + length;
    }
    memcpy(at, &size, 4);
    out = PyBytes_FromStringAndSize(at, size);
    Py_DECREF(names);
    return out;
}

/* Whether it has, or had, handles in its values. */
bool container_keeps(const seg_t *seg) { return get(&current(seg)->linked) > 0; }

/* Claim what the handles lead to, as far as nobody else has; those are added to *claimed*, if it is a list. 0, or -1 with an
 * exception. */
int links_claim(seg_t *seg, PyObject *handles, PyObject *claimed) {
    for (Py_ssize_t i = 0; i < PyList_Size(handles); i++) {
        PyObject *handle = PyList_GetItem(handles, i);
        ((handle_t *)handle)->quiet = 0; /* from now on a record names it */
        if (claim(seg, (handle_t *)handle) && claimed != NULL && PyList_Append(claimed, handle) < 0) return -1;
    }
    return 0;
}

/* ---- letting go ---- */

typedef struct {
    uint64_t id;    /* the container's */
    bool compacted; /* it goes on, and no longer names what is dropped */
} dropping_t;

/* A slab's slot: dead; and the slab too, if nobody has it and nothing else in it is alive. */
static void end_slot(seg_t *slab, uint32_t index, bool attached, bool compacted) {
    if (attached && compacted && slab->open[index] > 0) { /* a handle here goes on, and takes it along */
        atomic_fetch_or(&segment_slot(slab, index)->flags, SLOT_ORPHAN);
        return;
    }
    slab_give_back(slab, index);
    if (attached || !seat_take_all(slab->fd)) return;
    if (!segment_claimed(slab) && !segment_in_flight(slab)) segment_unlink_name(slab);
    seat_drop_all(slab->fd);
}

/* What was handed over or opened, and what was taken out of a container that goes on, belongs to whoever is attached: it goes
 * with the last of them. */
static void end_segment(seg_t *child, bool attached, bool compacted) {
    bool shared = compacted || (atomic_load(&child->header->flags) & SEG_SHARED), alone = false;
    if (shared && (attached || !(alone = seat_take_all(child->fd)))) {
        atomic_fetch_or(&child->header->flags, SEG_SHARED);
        return;
    }
    if (attached) segment_destroy(child);
    else segment_unlink_name(child);
    if (alone) seat_drop_all(child->fd);
}

static void drop(const char *object, void *arg) {
    const dropping_t *dropping = arg;
    char name[NAME_ROOM];
    uint32_t generation, index = split(object, name, &generation);
    seg_t *child = mapped(name);
    bool attached = child != NULL;
    uint64_t id = dropping->compacted ? ~dropping->id : dropping->id, other = ~id;
    if (attached) segment_ref(child);
    else if ((child = segment_peek(name)) == NULL) return;
    bool there = index <= child->slots && (index > 0) == (child->kind == KIND_SLAB) &&
                 (index == 0 || atomic_load(&segment_slot(child, index)->generation) == generation);
    _Atomic uint64_t *word = there ? segment_claim(child, index) : NULL;
    if (there && (atomic_compare_exchange_strong(word, &id, 0) ||
                  (!dropping->compacted && atomic_compare_exchange_strong(word, &other, 0)))) {
        FAULT(links_dropping);
        if (index > 0) end_slot(child, index, attached, dropping->compacted);
        else end_segment(child, attached, dropping->compacted);
    }
    if (attached) segment_unref(child);
    else segment_discard(child);
}

/* The container is about to go: so does all that it keeps. */
void links_release(seg_t *seg) {
    dropping_t dropping = {seg->header->id, false};
    if (depth >= DEEPEST) return;
    depth++;
    each_kept(seg, drop, &dropping);
    depth--;
}

/* The same for one that nobody is attached to. */
void container_end_file(const char *name) {
    seg_t *seg = segment_peek(name);
    if (seg == NULL) return;
    if (is_container(seg->kind)) transaction_tell(seg);
    if (keeps_others(seg->kind)) links_release(seg);
    segment_discard(seg);
}

static void untrack_name(const char *object, void *arg) {
    const dropping_t *dropping = arg;
    char name[NAME_ROOM];
    uint32_t generation, index = split(object, name, &generation);
    seg_t *child = mapped(name);
    bool attached = child != NULL;
    if (attached) segment_ref(child);
    else if ((child = segment_peek(name)) == NULL) return;
    if (index <= child->slots && atomic_load(segment_claim(child, index)) == dropping->id) untrack(child);
    if (attached) segment_unref(child);
    else segment_discard(child);
}

/* The container outlives this process tree: so does what it keeps. */
void links_untrack(seg_t *seg) {
    dropping_t dropping = {seg->header->id, false};
    if (depth >= DEEPEST) return;
    depth++;
    each_kept(seg, untrack_name, &dropping);
    depth--;
}

/* ---- after a compaction: what the old generation named, and the new one does not ---- */

typedef struct {
    char *bytes; /* names, each with its NUL */
    size_t length, room;
    bool failed;
} names_t;

static void collect(const char *name, void *arg) {
    names_t *names = arg;
    size_t size = strlen(name) + 1;
    if (names->length + size > names->room) {
        size_t room = names->room * 2 + size + 256;
        char *larger = realloc(names->bytes, room);
        if (larger == NULL) {
            names->failed = true;
            return;
        }
        names->bytes = larger;
        names->room = room;
    }
    memcpy(names->bytes + names->length, name, size);
    names->length += size;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Pointers to the names, sorted; NULL if there is no memory. */
static const char **sorted(const names_t *names, size_t *count) {
    size_t n = 0;
    for (size_t at = 0; at < names->length; at += strlen(names->bytes + at) + 1) n++;
    const char **out = malloc((n + 1) * sizeof *out);
    *count = 0;
    for (size_t at = 0; out != NULL && at < names->length; at += strlen(names->bytes + at) + 1) out[(*count)++] = names->bytes + at;
    if (out != NULL) qsort(out, n, sizeof *out, by_text);
    return out;
}

/* The claim says that it is about to be dropped: until it is, storing it again takes that back. */
static void mark(const char *object, uint64_t id) {
    char name[NAME_ROOM];
    uint32_t generation, index = split(object, name, &generation);
    seg_t *child = mapped(name), *peeked = child ? NULL : segment_peek(name);
    if (child == NULL && (child = peeked) == NULL) return;
    if (index <= child->slots) atomic_compare_exchange_strong(segment_claim(child, index), &id, ~id);
    FAULT(links_marked);
    if (peeked != NULL) segment_discard(peeked);
}

/* Note what need not be kept any longer. The lock is held, so it is not let go before links_drop(). */
void links_compare(seg_t *seg, const generation_t *old) {
    generation_t *new = current(seg);
    if (new->arenas > 0 && old->arenas > 0 && new->arena[0] == old->arena[0]) return; /* the same arena */
    names_t before = {0}, after = {0}, gone = {seg->drops, seg->drops_length, seg->drops_length, false};
    size_t n = 0, m = 0;
    each_link(seg, old, collect, &before);
    each_link(seg, new, collect, &after);
    const char **olds = sorted(&before, &n), **news = sorted(&after, &m);
    bool sure = olds != NULL && news != NULL && !before.failed && !after.failed; /* else keep all, rather than too few */
    for (size_t i = 0; i < n && sure; i++) {
        bool twice = i > 0 && strcmp(olds[i - 1], olds[i]) == 0;
        if (!twice && bsearch(&olds[i], news, m, sizeof *news, by_text) == NULL) {
            collect(olds[i], &gone);
            mark(olds[i], seg->header->id);
        }
    }
    seg->drops = gone.bytes;
    seg->drops_length = gone.length;
    free(olds);
    free(news);
    free(before.bytes);
    free(after.bytes);
}

/* Let go of what was noted; without the lock, since that may run Python. */
void links_drop(seg_t *seg) {
    if (LIKELY(seg->drops == NULL)) return;
    char *names = seg->drops;
    size_t length = seg->drops_length;
    dropping_t dropping = {seg->header->id, true};
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    seg->drops = NULL;
    seg->drops_length = 0;
    for (size_t at = 0; at < length; at += strlen(names + at) + 1) drop(names + at, &dropping);
    free(names);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

static void pass_on(const char *object, void *arg) {
    dropping_t *dropping = arg;
    mark(object, dropping->id);
    drop(object, dropping);
}

/* An item with these handles left its queue: they belong to whoever has them. It may run Python. */
void links_pass_on(seg_t *seg, const char *body, uint64_t length) {
    dropping_t dropping = {seg->header->id, true};
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    each_name(body, length, pass_on, &dropping);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

/* The same for what was claimed for an item that was not put in the end. */
void links_disown(seg_t *seg, PyObject *claimed) {
    dropping_t dropping = {seg->header->id, true};
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    for (Py_ssize_t i = 0; i < PyList_Size(claimed); i++) {
        handle_t *h = (handle_t *)PyList_GetItem(claimed, i);
        char name[OBJECT_NAME_ROOM];
        if (h->seg == NULL) continue; /* closed meanwhile: it stays claimed until the queue is gone */
        if (h->index == 0) snprintf(name, sizeof name, "%s", h->seg->name);
        else object_name(h->seg, h->slot, name);
        pass_on(name, &dropping);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}
