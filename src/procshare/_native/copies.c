/* Whole reads: private copies of all keys and words and of the records they name, decoded when all are there.
 *
 *   copy of an entry:  | word | key length, 7 bytes; key tag | record length, 7 bytes; record tag | key | record |
 *
 * They are taken without the lock, between two looks at `sequence`: if it was even and did not change, and the generation did
 * not either, they are one state that really was. After three attempts they are taken under the lock.
 */
#include "container.h"

#include <stdlib.h>

#define HEAD 24u
#define LARGE (64u << 10) /* bytes of a record that a glance does not copy; it shows as `...` */
#define UNSEEN 0xff       /* in place of the tag of one that was left out */

static char *more(copies_t *copies, uint64_t need) {
    if (copies->used + need > copies->room) {
        uint64_t room = (copies->used + need) * 2 + 256;
        char *larger = room < (1ull << 46) ? realloc(copies->bytes, room) : NULL;
        if (larger == NULL) return NULL;
        copies->bytes = larger;
        copies->room = room;
    }
    copies->used += need;
    return copies->bytes + copies->used - need;
}

void copies_free(copies_t *copies) { free(copies->bytes); }

static int add(copies_t *copies, uint64_t word, uint8_t key_tag, const char *key, uint64_t key_length, uint8_t tag,
               const char *record, uint64_t length) {
    if (!copies->keys) key_length = 0;
    if (copies->glance && length > LARGE) tag = UNSEEN, length = 0;
    char *to = more(copies, HEAD + key_length + length);
    if (to == NULL) return -1;
    uint64_t head[3] = {word, (uint64_t)key_tag << 56 | key_length, (uint64_t)tag << 56 | length};
    memcpy(to, head, HEAD);
    memcpy(to + HEAD, key, key_length);
    memcpy(to + HEAD + key_length, record, length);
    copies->count++;
    return 0;
}

static bool enough(const copies_t *copies) { return copies->most != 0 && copies->count >= copies->most; }

static int add_word(seg_t *seg, copies_t *copies, uint64_t word, uint8_t key_tag, const char *key, uint64_t key_length) {
    uint8_t tag = 0;
    uint64_t length = 0;
    const char *record = "";
    if (copies->values && tagged_is_record((int64_t)word) &&
        (record = record_at(seg, tagged_offset(word), &tag, &length)) == NULL)
        return -2;
    return add(copies, word, key_tag, key, key_length, tag, record, length);
}

static int add_item(seg_t *seg, copies_t *copies, const item_t *item, uint8_t key_tag, const char *key, uint64_t key_length) {
    if (item->record == NULL) return add_word(seg, copies, item->word, key_tag, key, key_length);
    return add(copies, tagged_at(0), key_tag, key, key_length, (uint8_t)item->word, PyBytes_AsString(item->record),
               (uint64_t)PyBytes_Size(item->record));
}

/* The entry's own value, or what the block made of it. -1 no memory, -2 nonsense. */
static int add_entry(seg_t *seg, copies_t *copies, const entry_t *e, uint64_t word, const stage_t *stage) {
    const char *key;
    uint64_t length;
    if (!key_of_entry(seg, e, &key, &length)) return -2;
    if (stage == NULL) return add_word(seg, copies, word, e->tag, key, length);
    mapkey_t wanted = {.tag = e->tag, .data = key, .length = length};
    const change_t *change = stage_find(stage, &wanted);
    if (change == NULL) return PyErr_Occurred() ? -1 : add_word(seg, copies, word, e->tag, key, length);
    return change->set && !change->fresh ? add_item(seg, copies, &change->item, e->tag, key, length) : 0;
}

static int take_map(seg_t *seg, copies_t *copies, const stage_t *stage) {
    geometry_t *g = seg->geometry;
    uint64_t used = atomic_load(&generation_of(seg, g->generation)->span);
    if (used > g->capacity && (container_glance(seg) == NULL || used > g->capacity)) return -2;
    for (uint64_t i = map_present(seg, 0); i < used && !enough(copies) && !(stage && stage->cleared); i = map_present(seg, i + 1)) {
        const entry_t *e = entry(g, i);
        uint64_t word = atomic_load_explicit(&e->word, memory_order_acquire);
        int done = word == 0 ? 0 : add_entry(seg, copies, e, word, stage);
        if (done < 0) return done;
        if (i % 1024 == 0 && get(&container_of(seg)->generation) != g->generation) return -2;
    }
    for (uint64_t i = 0; stage != NULL && i < stage->count && !enough(copies); i++) {
        const change_t *change = &stage->change[i];
        if (!change->set || !change->fresh || change->gone) continue;
        const char *key = PyBytes_AsString(change->key);
        int done = add_item(seg, copies, &change->item, (uint8_t)key[0], key + 1, (uint64_t)PyBytes_Size(change->key) - 1);
        if (done < 0) return done;
    }
    return 0;
}

static int take_list(seg_t *seg, copies_t *copies, const stage_t *stage) {
    geometry_t *g = seg->geometry;
    uint64_t span = atomic_load(&generation_of(seg, g->generation)->span);
    uint64_t start = span_start(span), kept = stage ? stage->kept : span_length(span);
    if (start + kept > g->capacity && (container_glance(seg) == NULL || start + kept > g->capacity)) return -2;
    Py_ssize_t first = copies->start, stop = copies->stop, length = (Py_ssize_t)(kept + (stage ? stage->tail_count : 0));
    Py_ssize_t count = PySlice_AdjustIndices(length, &first, &stop, copies->step);
    for (Py_ssize_t n = 0; n < count; n++) {
        uint64_t i = (uint64_t)(first + n * copies->step);
        if (i < kept) {
            uint64_t word = atomic_load_explicit(word_at(g, start + i), memory_order_acquire);
            int done = word == 0 ? -2 : add_word(seg, copies, word, 0, "", 0);
            if (done < 0) return done;
        } else {
            int done = add_item(seg, copies, &stage->tail[i - kept], 0, "", 0);
            if (done < 0) return done;
        }
        if (n % 1024 == 0 && get(&container_of(seg)->generation) != g->generation) return -2;
    }
    return 0;
}

static int take(seg_t *seg, copies_t *copies, const stage_t *stage) {
    copies->used = copies->count = 0;
    bool known = seg->geometry->generation == atomic_load(&container_of(seg)->generation);
    if (!known && container_look(seg) == NULL) return -1;
    copies->generation = seg->geometry->generation;
    return is_list(seg) ? take_list(seg, copies, stage) : take_map(seg, copies, stage);
}

static int failed(seg_t *seg, int done) {
    if (done == -1 && !PyErr_Occurred()) PyErr_NoMemory();
    if (done == -2) container_corrupt(seg);
    return done < 0 ? -1 : 0;
}

/* One attempt without the lock: 1 taken, 0 try again, -1 exception. */
static int try_take(seg_t *seg, copies_t *copies) {
    container_t *c = container_of(seg);
    for (int i = 0; i < 200 && (atomic_load(&c->sequence) & 1); i++) cpu_relax();
    uint64_t outer = reading_begin(seg), sequence = atomic_load(&c->sequence); /* in this order, see reclaim.c */
    int done = sequence & 1 ? -3 : take(seg, copies, NULL);
    reading_end(seg, outer);
    if (done == -3) return 0;
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&c->generation) != copies->generation || atomic_load(&c->sequence) != sequence) {
        if (done == -1) PyErr_Clear();
        return 0;
    }
    return failed(seg, done) < 0 ? -1 : 1;
}

static int take_locked(handle_t *h, copies_t *copies) {
    seg_t *seg = h->seg;
    hold_t *hold = handle_hold(h);
    segment_ref(seg);
    int done = hold == NULL || lock_acquire(hold, copies->glance ? 0 : -1) < 0 ? -1 : 0;
    if (done == 0) {
        bool closed = h->seg == NULL, was = hold->direct;
        hold->direct = true;
        if (!closed && redo_settle(seg) < 0) done = -1;
        if (!closed && done == 0) done = failed(seg, take(seg, copies, NULL));
        hold->direct = was;
        lock_release(hold, false);
        if (closed) raise_closed(), done = -1;
    }
    segment_unref(seg);
    return done;
}

/* Copies of everything, as one state: 0, or -1 with an exception. */
int copies_take(handle_t *h, copies_t *copies) {
    access_t a;
    if (access_read(h, &a) < 0) return -1;
    if (a.inside || (a.hold != NULL)) return failed(a.seg, take(a.seg, copies, a.stage));
    for (int tries = 0; tries < 3; tries++) {
        int done = try_take(a.seg, copies);
        if (done != 0) return done < 0 ? -1 : 0;
    }
    return take_locked(h, copies);
}

static PyObject *decode(const copies_t *copies, const char *at) {
    uint64_t head[3], key_length, length;
    memcpy(head, at, HEAD);
    key_length = head[1] & 0xffffffffffffffull;
    length = head[2] & 0xffffffffffffffull;
    PyObject *key = NULL, *value = NULL, *pair = NULL;
    if (copies->keys && (key = key_decode((uint8_t)(head[1] >> 56), at + HEAD, key_length)) == NULL) return NULL;
    if (!copies->values) return key;
    if (copies->glance && head[2] >> 56 == UNSEEN) value = Py_NewRef(Py_Ellipsis);
    else
        value = tagged_is_record((int64_t)head[0]) ? copied_decode((uint8_t)(head[2] >> 56), at + HEAD + key_length, length)
                                                   : tagged_decode((int64_t)head[0]);
    if (!copies->keys) return value;
    if (value != NULL) pair = PyTuple_Pack(2, key, value);
    Py_DECREF(key);
    Py_XDECREF(value);
    return pair;
}

/* The copies as a list of keys, of values, or of pairs. */
PyObject *copies_list(copies_t *copies) {
    PyObject *out = PyList_New((Py_ssize_t)copies->count);
    const char *at = copies->bytes;
    for (uint64_t i = 0; out != NULL && i < copies->count; i++) {
        uint64_t head[3];
        memcpy(head, at, HEAD);
        PyObject *object = decode(copies, at);
        if (object == NULL) {
            Py_CLEAR(out);
            if (!PyErr_Occurred()) raise_named("CorruptSegment", "", "a key or value in it makes no sense");
        } else
            PyList_SetItem(out, (Py_ssize_t)i, object);
        at += HEAD + (head[1] & 0xffffffffffffffull) + (head[2] & 0xffffffffffffffull);
    }
    return out;
}
