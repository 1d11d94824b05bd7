/* Values of containers, as words and records of the arena. */
#include "container.h"

/* Before any lock is taken: pickling runs anybody's code. 0, or -1 with a TypeError for what cannot be pickled. */
int item_encode(PyObject *obj, item_t *item) {
    int64_t word;
    links_t outer;
    item->record = item->links = NULL;
    if (PyLong_CheckExact(obj) || PyUnicode_CheckExact(obj)) {
        int done = tagged_encode(obj, &word, &item->record);
        item->word = (uint64_t)word;
        return done;
    }
    links_begin(&outer);
    int done = tagged_encode(obj, &word, &item->record);
    item->links = links_end(&outer);
    if (done < 0) links_clear(&item->links);
    item->word = (uint64_t)word;
    return done;
}

void item_clear(item_t *item) {
    Py_CLEAR(item->record);
    links_clear(&item->links);
}

/* Put it into the arena, if it needs a record: 0 and the word that names it, or -1 with an exception. */
int item_place(seg_t *seg, const item_t *item, uint64_t *word) {
    *word = item->word;
    if (item->record == NULL) return 0;
    const char *bytes = PyBytes_AsString(item->record);
    uint64_t length = (uint64_t)PyBytes_Size(item->record), offset;
    if (item->links == NULL) {
        offset = container_append(seg, current(seg), NULL, (uint8_t)item->word, "", 0, bytes, length);
    } else {
        PyObject *names = segment_name(seg) < 0 ? NULL : links_names(item->links); /* a sweep looks for who claimed it */
        if (names == NULL) return -1;
        offset = container_append(seg, current(seg), NULL, (uint8_t)item->word | RECORD_LINKED, PyBytes_AsString(names),
                                  (uint64_t)PyBytes_Size(names), bytes, length);
        Py_DECREF(names);
    }
    if (offset == 0) return -1;
    if (item->links != NULL) links_claim(seg, item->links, NULL); /* before anything names the record */
    if (item->links != NULL) put(&current(seg)->linked, get(&current(seg)->linked) + 1);
    *word = tagged_at(offset);
    return 0;
}

/* A fresh object from what is not in shared memory yet. */
PyObject *item_decode(const item_t *item) {
    if (item->record == NULL) return tagged_decode((int64_t)item->word);
    PyObject *record = Py_NewRef(item->record); /* unpickling runs Python, which may drop the item */
    PyObject *out = record_decode((uint8_t)item->word, record);
    Py_DECREF(record);
    return out;
}

/* How much of the arena a word's record takes. */
uint64_t item_size(seg_t *seg, uint64_t word) {
    uint8_t tag;
    uint64_t length;
    if (word == 0 || !tagged_is_record((int64_t)word) || record_at(seg, tagged_offset(word), &tag, &length) == NULL) return 0;
    return record_room(length);
}

bool item_linked(seg_t *seg, uint64_t word) {
    uint8_t tag = 0;
    uint64_t length;
    return word != 0 && tagged_is_record((int64_t)word) && record_at(seg, tagged_offset(word), &tag, &length) != NULL &&
           (tag & RECORD_LINKED);
}

/* A copied record, decoded. Its handles' names come first, if it has any. */
PyObject *copied_decode(uint8_t tag, const char *bytes, uint64_t length) {
    if (!(tag & RECORD_LINKED)) return buffer_decode(tag, bytes, length);
    uint64_t skip = links_length(bytes, length);
    return skip == 0 ? NULL : buffer_decode(tag & ~RECORD_LINKED, bytes + skip, length - skip);
}

/* What a word names, copied, as it was in this generation: 1, 0 the generation is over, and what was read means nothing, -1 an
 * exception. */
int word_take(seg_t *seg, uint64_t word, uint64_t generation, taken_t *taken) {
    container_t *c = container_of(seg);
    const char *at = "";
    taken->word = word;
    taken->large = NULL;
    if (tagged_is_record((int64_t)word)) {
        char *copy = taken->room;
        at = record_at(seg, tagged_offset(word), &taken->tag, &taken->length);
        if (at != NULL && taken->length > SHORT) {
            taken->large = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)taken->length);
            copy = taken->large ? PyBytes_AsString(taken->large) : NULL;
        }
        if (at != NULL && copy != NULL) memcpy(copy, at, taken->length);
    }
    atomic_thread_fence(memory_order_acquire);
    if (LIKELY(get(&c->generation) == generation && at != NULL && !PyErr_Occurred())) return 1;
    Py_CLEAR(taken->large);
    if (get(&c->generation) == generation) return container_corrupt(seg), -1;
    PyErr_Clear(); /* no memory for a length that meant nothing */
    return 0;
}

/* The object that was taken; NULL with an exception. No page is to be touched any more: this may run anybody's code. */
PyObject *taken_decode(taken_t *taken) {
    PyObject *out;
    if (LIKELY(!tagged_is_record((int64_t)taken->word))) out = tagged_decode((int64_t)taken->word);
    else out = copied_decode(taken->tag, taken->large ? PyBytes_AsString(taken->large) : taken->room, taken->length);
    Py_CLEAR(taken->large);
    if (UNLIKELY(out == NULL) && !PyErr_Occurred()) raise_named("CorruptSegment", "", "a value in it makes no sense");
    return out;
}

/* Copy what a word names, holding the lock: 0, or -1 with an exception. */
int word_copy(seg_t *seg, uint64_t word, copy_t *copy) {
    uint64_t length = 0;
    copy->word = word;
    copy->record = NULL;
    if (!tagged_is_record((int64_t)word)) return 0;
    const char *at = record_at(seg, tagged_offset(word), &copy->tag, &length);
    if (at == NULL) return container_corrupt(seg), -1;
    copy->record = PyBytes_FromStringAndSize(at, (Py_ssize_t)length);
    return copy->record == NULL ? -1 : 0;
}

/* The object that was copied; NULL with an exception, CorruptSegment if it is none. */
PyObject *copy_decode(copy_t *copy) {
    PyObject *out;
    if (copy->record == NULL) out = tagged_decode((int64_t)copy->word);
    else if (copy->tag & RECORD_LINKED)
        out = copied_decode(copy->tag, PyBytes_AsString(copy->record), (uint64_t)PyBytes_Size(copy->record));
    else out = record_decode(copy->tag, copy->record);
    Py_CLEAR(copy->record);
    if (out == NULL && !PyErr_Occurred()) raise_named("CorruptSegment", "", "a value in it makes no sense");
    return out;
}

/* Before a value is taken out, with the lock: 1 go ahead, 0 let go of the lock, decode the copy, and come again, -1 exception. */
int copy_first(seg_t *seg, uint64_t place, uint64_t word, decoded_t *decoded, copy_t *copy) {
    uint64_t generation = get(&container_of(seg)->generation);
    *copy = (copy_t){0};
    if (decoded->object != NULL && decoded->generation == generation && decoded->place == place && decoded->word == word) return 1;
    Py_CLEAR(decoded->object);
    if (word_copy(seg, word, copy) < 0) return -1;
    if (copy->record == NULL || (copy->tag & ~RECORD_LINKED) != RECORD_PICKLE) return 1;
    *decoded = (decoded_t){generation, place, word, NULL};
    return 0;
}

/* Keep account of the arena when a word takes another's place. */
void word_replaced(seg_t *seg, uint64_t old, uint64_t new) {
    generation_t *g = current(seg);
    put(&g->live, get(&g->live) + item_size(seg, new) - item_size(seg, old));
    if (UNLIKELY(item_linked(seg, old))) put(&g->dropped, get(&g->dropped) + 1);
}

/* Copy a word's record to the generation that is being built: 0, or -1 with an exception. */
int word_move(seg_t *seg, generation_t *new, uint64_t *word) {
    uint8_t tag;
    uint64_t length;
    if (!tagged_is_record((int64_t)*word)) return 0;
    const char *at = record_at(seg, tagged_offset(*word), &tag, &length);
    uint64_t offset = at == NULL ? 0 : container_append(seg, new, current(seg), tag, "", 0, at, length);
    if (offset == 0) return container_corrupt(seg), -1;
    put(&new->live, get(&new->live) + record_room(length));
    if (tag & RECORD_LINKED) put(&new->linked, get(&new->linked) + 1);
    *word = tagged_at(offset);
    return 0;
}
