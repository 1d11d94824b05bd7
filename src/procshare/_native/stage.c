/* What a locked block changes, in private memory, until its end.
 *
 * Of a map: a list of changes, the last for each key being in force, in the order in which keys came in. Of a list: so many
 * of its first words stay, and behind them comes a tail of items; what is changed further in front moves there first.
 */
#include "container.h"

#include <stdlib.h>

stage_t *stage_new(seg_t *seg) {
    stage_t *stage = calloc(1, sizeof *stage);
    if (stage == NULL) return (stage_t *)PyErr_NoMemory();
    if (is_list(seg)) {
        uint64_t span = get(&current(seg)->span);
        stage->kept = span_length(span);
        if (list_fits(seg, span)) return stage;
        free(stage);
        return NULL;
    }
    int collects = PyGC_Disable(); /* a finalizer might write to the block that this is for, and what it wrote be lost */
    stage->where = PyDict_New();
    if (collects) PyGC_Enable();
    if (stage->where != NULL) return stage;
    free(stage);
    return NULL;
}

void stage_free(stage_t *stage) {
    if (stage == NULL) return;
    for (uint64_t i = 0; i < stage->count; i++) {
        Py_CLEAR(stage->change[i].key);
        item_clear(&stage->change[i].item);
    }
    for (uint64_t i = 0; i < stage->tail_count; i++) item_clear(&stage->tail[i]);
    free(stage->change);
    free(stage->tail);
    Py_CLEAR(stage->where);
    free(stage);
}

static item_t another(const item_t *item) {
    return (item_t){item->word, Py_XNewRef(item->record), Py_XNewRef(item->links)};
}

/* For the savepoint of an inner block; NULL with an exception. */
stage_t *stage_copy(const stage_t *stage) {
    stage_t *copy = malloc(sizeof *copy);
    if (copy == NULL) return (stage_t *)PyErr_NoMemory();
    *copy = *stage;
    int collects = PyGC_Disable(); /* a finalizer might write to what is copied */
    copy->where = stage->where ? PyDict_Copy(stage->where) : NULL;
    if (collects) PyGC_Enable();
    copy->change = malloc((stage->count + 1) * sizeof *copy->change);
    copy->tail = malloc((stage->tail_count + 1) * sizeof *copy->tail);
    copy->room = stage->count + 1;
    copy->tail_room = stage->tail_count + 1;
    if ((stage->where != NULL && copy->where == NULL) || copy->change == NULL || copy->tail == NULL) {
        copy->count = copy->tail_count = 0;
        stage_free(copy);
        return (stage_t *)PyErr_NoMemory();
    }
    for (uint64_t i = 0; i < stage->count; i++) {
        copy->change[i] = stage->change[i];
        copy->change[i].key = Py_NewRef(stage->change[i].key);
        copy->change[i].item = another(&stage->change[i].item);
    }
    for (uint64_t i = 0; i < stage->tail_count; i++) copy->tail[i] = another(&stage->tail[i]);
    return copy;
}

/* ---- maps ---- */

/* The change of this key that is in force; NULL, perhaps with an exception: none. */
change_t *stage_find(const stage_t *stage, const mapkey_t *key) {
    PyObject *bytes = key_bytes(key);
    PyObject *number = bytes ? PyDict_GetItemWithError(stage->where, bytes) : NULL;
    Py_XDECREF(bytes);
    return number ? &stage->change[PyLong_AsSize_t(number)] : NULL;
}

static change_t *add_change(stage_t *stage, const mapkey_t *key) {
    if (stage->count == stage->room) {
        uint64_t room = stage->room * 2 + 8;
        void *larger = realloc(stage->change, room * sizeof *stage->change);
        if (larger == NULL) return (change_t *)PyErr_NoMemory();
        stage->change = larger;
        stage->room = room;
    }
    PyObject *bytes = key_bytes(key), *number = bytes ? PyLong_FromSize_t(stage->count) : NULL;
    int done = number ? PyDict_SetItem(stage->where, bytes, number) : -1;
    Py_XDECREF(number);
    if (done < 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    change_t *change = &stage->change[stage->count++];
    *change = (change_t){.key = bytes};
    return change;
}

static int in_base(seg_t *seg, const stage_t *stage, const mapkey_t *key) {
    uint64_t number, word;
    return stage->cleared ? 0 : map_locate(seg, key, &number, &word);
}

/* Takes what *item* owns if it succeeds: 0, or -1 with an exception. *fresh*: whether the key was not there. */
int stage_set(seg_t *seg, stage_t *stage, const mapkey_t *key, item_t *item, bool *fresh) {
    change_t *change = stage_find(stage, key);
    if (change == NULL && PyErr_Occurred()) return -1;
    *fresh = false;
    if (change == NULL || !change->set) {
        int base = change ? change->base : in_base(seg, stage, key);
        bool back = change != NULL && change->base;
        if (base < 0) return -1;
        uint64_t old = change ? (uint64_t)(change - stage->change) : 0;
        bool had = change != NULL;
        if ((change = add_change(stage, key)) == NULL) return -1;
        if (had) stage->change[old].gone = true;
        change->set = true;
        change->base = base;
        change->fresh = !base || back;
        *fresh = had || !base;
        stage->more += *fresh;
    }
    item_t old = change->item;
    change->item = *item;
    *item = (item_t){0};
    item_clear(&old); /* last: a handle's end may run anybody's code */
    return 0;
}

/* 1 deleted, 0 it was not there, -1 exception. */
int stage_delete(seg_t *seg, stage_t *stage, const mapkey_t *key) {
    change_t *change = stage_find(stage, key);
    if (change == NULL) {
        if (PyErr_Occurred()) return -1;
        int base = in_base(seg, stage, key);
        if (base <= 0) return base;
        if ((change = add_change(stage, key)) == NULL) return -1;
        change->base = true;
    } else if (!change->set)
        return 0;
    change->set = change->fresh = false;
    stage->more--;
    item_t old = change->item;
    change->item = (item_t){0};
    item_clear(&old);
    return 1;
}

/* Without anything in it, list or map. */
int stage_clear(seg_t *seg, stage_t *stage) {
    if (is_list(seg)) return stage_remove(seg, stage, 0, stage_length(seg, stage));
    uint64_t count = get(&current(seg)->count);
    if (count > seg->geometry->capacity && container_look(seg) == NULL) return -1; /* it has grown */
    if (count > seg->geometry->capacity) return container_corrupt(seg), -1;
    PyObject *where = PyDict_New();
    if (where == NULL) return -1;
    stage_t old = *stage;
    *stage = (stage_t){.where = where, .cleared = true, .more = -(int64_t)count};
    stage_t *rest = malloc(sizeof *rest);
    if (rest != NULL) *rest = old;
    stage_free(rest);
    return 0;
}

uint64_t stage_length(seg_t *seg, const stage_t *stage) {
    if (is_list(seg)) return stage->kept + stage->tail_count;
    return get(&current(seg)->count) + (uint64_t)stage->more;
}

static void key_of_change(seg_t *seg, const change_t *change, mapkey_t *key) {
    *key = (mapkey_t){.tag = (uint8_t)PyBytes_AsString(change->key)[0],
                      .data = PyBytes_AsString(change->key) + 1,
                      .length = (uint64_t)PyBytes_Size(change->key) - 1};
    key_hash(seg, key);
}

static int prepare_change(seg_t *seg, const change_t *change, redo_list_t *list) {
    mapkey_t key;
    uint64_t number, old, word = 0;
    key_of_change(seg, change, &key);
    int live = map_locate(seg, &key, &old, &word);
    if (live < 0) return -1;
    if (change->base && live && (!change->set || change->fresh) && redo_add(list, old, 0) < 0) return -1;
    if (!change->set) return 0;
    if (item_place(seg, &change->item, &word) < 0) return -1;
    if (!change->fresh && live) return redo_add(list, old, word);
    if (map_add(seg, &key, live, &number) < 0) return -1;
    return redo_add(list, number, word);
}

static int prepare_map(seg_t *seg, stage_t *stage, redo_list_t *list) {
    uint64_t fresh = 0;
    for (uint64_t i = 0; i < stage->count; i++) fresh += stage->change[i].set && stage->change[i].fresh && !stage->change[i].gone;
    if (map_make_room(seg, fresh) < 0) return -1;
    uint64_t used = stage->cleared ? get(&current(seg)->span) : 0;
    if (used > seg->geometry->capacity) return container_corrupt(seg), -1; /* somebody writes into it meanwhile */
    for (uint64_t i = map_present(seg, 0); i < used; i = map_present(seg, i + 1))
        if (get(&entry(seg->geometry, i)->word) != 0 && redo_add(list, i, 0) < 0) return -1;
    for (uint64_t i = 0; i < stage->count; i++)
        if (!stage->change[i].gone && prepare_change(seg, &stage->change[i], list) < 0) return -1;
    return 0;
}

static int prepare_list(seg_t *seg, stage_t *stage, redo_list_t *list) {
    uint64_t length = span_length(get(&current(seg)->span)), wanted = stage->kept + stage->tail_count;
    if (list_make_room(seg, wanted > length ? wanted - length : 0) < 0) return -1;
    uint64_t start = span_start(get(&current(seg)->span));
    for (uint64_t i = 0; i < stage->tail_count; i++) {
        uint64_t position = start + stage->kept + i, word;
        if (item_place(seg, &stage->tail[i], &word) < 0) return -1;
        if (position >= seg->geometry->capacity) return container_corrupt(seg), -1;
        _Atomic uint64_t *at = word_at(seg->geometry, position);
        if (position >= start + length) put(at, word); /* behind the end, where nobody looks */
        else if (get(at) != word && redo_add(list, position, word) < 0) return -1;
    }
    list->span = start << 32 | wanted;
    FAULT(list_written);
    return 0;
}

/* Do all of a commit that can fail, and collect what one store will then change: 0, or -1 with an exception. */
int stage_prepare(seg_t *seg, stage_t *stage, redo_list_t *list) {
    *list = (redo_list_t){.span = get(&current(seg)->span)};
    return is_list(seg) ? prepare_list(seg, stage, list) : prepare_map(seg, stage, list);
}

/* After the commit: let the slots of keys that were deleted and set anew lead straight to their new entries. */
void stage_committed(seg_t *seg, stage_t *stage) {
    for (uint64_t i = 0; i < stage->count; i++) {
        mapkey_t key;
        uint64_t number, word;
        if (!stage->change[i].fresh || stage->change[i].gone) continue;
        key_of_change(seg, &stage->change[i], &key);
        if (map_locate(seg, &key, &number, &word) == 1) map_point(seg, &key, number);
        else PyErr_Clear(); /* only in a damaged segment; what was committed stays so */
    }
}

/* ---- lists ---- */

static void move_items(item_t *to, const item_t *from, uint64_t count) {
    if (count > 0) memmove(to, from, count * sizeof *to); /* without any there may be no tail */
}

static int tail_room(stage_t *stage, uint64_t more) {
    if (stage->tail_count + more <= stage->tail_room) return 0;
    uint64_t room = (stage->tail_count + more) + stage->tail_room / 2 + 8;
    void *larger = realloc(stage->tail, room * sizeof *stage->tail);
    if (larger == NULL) return PyErr_NoMemory(), -1;
    stage->tail = larger;
    stage->tail_room = room;
    return 0;
}

/* See that the items from *from* on are in the tail. */
int stage_unfold(seg_t *seg, stage_t *stage, uint64_t from) {
    if (from >= stage->kept) return 0;
    uint64_t more = stage->kept - from, start = span_start(get(&current(seg)->span));
    if (container_look(seg) == NULL) return -1;
    if (start + stage->kept > seg->geometry->capacity) return container_corrupt(seg), -1;
    if (tail_room(stage, more) < 0) return -1;
    move_items(stage->tail + more, stage->tail, stage->tail_count);
    for (uint64_t i = 0; i < more; i++)
        stage->tail[i] = (item_t){get(word_at(seg->geometry, start + from + i)), NULL, NULL};
    stage->tail_count += more;
    stage->kept = from;
    return 0;
}

/* Takes what the items own if it succeeds. */
int stage_insert(seg_t *seg, stage_t *stage, uint64_t at, item_t *items, uint64_t count) {
    if (count == 0) return 0;
    if (stage_unfold(seg, stage, at) < 0 || tail_room(stage, count) < 0) return -1;
    item_t *to = stage->tail + (at - stage->kept);
    move_items(to + count, to, stage->tail_count - (at - stage->kept));
    move_items(to, items, count);
    memset(items, 0, count * sizeof *items);
    stage->tail_count += count;
    return 0;
}

int stage_remove(seg_t *seg, stage_t *stage, uint64_t at, uint64_t count) {
    uint64_t length = stage_length(seg, stage);
    if (count == 0) return 0;
    if (at + count == length && at < stage->kept && stage->tail_count == 0) { /* from the end: nothing to move */
        stage->kept = at;
        return 0;
    }
    item_t *gone = PyMem_Malloc((count + 1) * sizeof *gone);
    if (gone == NULL) return PyErr_NoMemory(), -1;
    if (stage_unfold(seg, stage, at) < 0) return PyMem_Free(gone), -1;
    item_t *from = stage->tail + (at - stage->kept);
    move_items(gone, from, count);
    move_items(from, from + count, stage->tail_count - (at - stage->kept) - count);
    stage->tail_count -= count;
    for (uint64_t i = 0; i < count; i++) item_clear(&gone[i]); /* last, since a handle's end may run anybody's code */
    PyMem_Free(gone);
    return 0;
}
