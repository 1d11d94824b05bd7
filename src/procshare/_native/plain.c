/* Items of a queue as bytes, and back.
 *
 * None, bools, ints, floats, str and bytes need no pickle; nor do a tuple, list or dict of these, and tuples within: nothing
 * in such an object can be in it twice so that it shows. Everything else is pickled (protocol 5), and what the pickle leaves out of
 * band is copied straight from the object's own memory, and out again into a bytearray that the new object uses.
 *
 *   RECORD_WORD     a tagged word, see codec.c
 *   RECORD_PLAIN    one byte of type, then 8 bytes of an int or float; or 4 bytes of length, and so many bytes, or items
 *   RECORD_BUFFERS  | count, 8 bytes | length of the pickle | length of each buffer | pickle | buffer | ...
 */
#include "queue.h"

#include <stddef.h>
#include <stdlib.h>

enum { PLAIN_NONE = 1, PLAIN_FALSE, PLAIN_TRUE, PLAIN_INT, PLAIN_FLOAT, PLAIN_STR, PLAIN_BYTES, PLAIN_TUPLE, PLAIN_LIST, PLAIN_DICT };

#define DEEPEST 8 /* tuples within tuples; what is deeper is pickled */
#define MOST_BUFFERS 65536
#define WORD 8u /* of a count or length in a RECORD_BUFFERS */

/* ---- plain objects ---- */

typedef struct {
    char *at, *end;
} out_t;

static bool room_for(const out_t *out, uint64_t n) { return (uint64_t)(out->end - out->at) >= n; }

static bool add(out_t *out, char type, const void *bytes, uint32_t n) {
    if (!room_for(out, 1ull + n)) return false;
    *out->at = type;
    memcpy(out->at + 1, bytes, n);
    out->at += 1 + n;
    return true;
}

static bool add_text(out_t *out, char type, const char *bytes, Py_ssize_t length) {
    uint32_t n = (uint32_t)length;
    if (length > PLAIN_ROOM || !room_for(out, 5ull + n)) return false;
    add(out, type, &n, 4);
    memcpy(out->at, bytes, n);
    out->at += n;
    return true;
}

static bool add_object(out_t *out, PyObject *obj, int depth);

static bool add_tuple(out_t *out, PyObject *obj, int depth) {
    uint32_t n = (uint32_t)PyTuple_Size(obj);
    if (depth >= DEEPEST || PyTuple_Size(obj) > PLAIN_ROOM || !add(out, PLAIN_TUPLE, &n, 4)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!add_object(out, PyTuple_GetItem(obj, i), depth + 1)) return false;
    return true;
}

static bool add_object(out_t *out, PyObject *obj, int depth) {
    if (PyLong_CheckExact(obj)) {
        int overflow = 0;
        long long n = PyLong_AsLongLongAndOverflow(obj, &overflow);
        return !overflow && add(out, PLAIN_INT, &n, 8);
    }
    if (PyUnicode_CheckExact(obj)) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(obj, &length);
        if (text == NULL) PyErr_Clear(); /* surrogates */
        return text != NULL && add_text(out, PLAIN_STR, text, length);
    }
    if (PyFloat_CheckExact(obj)) {
        double d = PyFloat_AsDouble(obj);
        return add(out, PLAIN_FLOAT, &d, 8);
    }
    if (obj == Py_None) return add(out, PLAIN_NONE, "", 0);
    if (obj == Py_True || obj == Py_False) return add(out, obj == Py_True ? PLAIN_TRUE : PLAIN_FALSE, "", 0);
    if (PyBytes_CheckExact(obj)) return add_text(out, PLAIN_BYTES, PyBytes_AsString(obj), PyBytes_Size(obj));
    return PyTuple_CheckExact(obj) && add_tuple(out, obj, depth);
}

static bool add_list(out_t *out, PyObject *obj) {
    uint32_t n = (uint32_t)PyList_Size(obj);
    if (PyList_Size(obj) > PLAIN_ROOM || !add(out, PLAIN_LIST, &n, 4)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!add_object(out, PyList_GetItem(obj, i), 1)) return false;
    return true;
}

static bool add_dict(out_t *out, PyObject *obj) {
    uint32_t n = (uint32_t)PyDict_Size(obj);
    Py_ssize_t at = 0;
    PyObject *key, *value;
    if (PyDict_Size(obj) > PLAIN_ROOM || !add(out, PLAIN_DICT, &n, 4)) return false;
    while (PyDict_Next(obj, &at, &key, &value))
        if (!add_object(out, key, 1) || !add_object(out, value, 1)) return false;
    return true;
}

/* How many bytes it took; -1, without an exception: it is not plain, or too long. */
int64_t plain_encode(PyObject *obj, char *room, uint64_t size) {
    out_t out = {room, room + size};
    bool done = PyTuple_CheckExact(obj)  ? add_tuple(&out, obj, 0)
                : PyList_CheckExact(obj) ? add_list(&out, obj)
                : PyDict_CheckExact(obj) ? add_dict(&out, obj)
                                         : false;
    return done ? out.at - room : -1;
}

typedef struct {
    const char *at, *end;
    uint64_t items; /* that may still be announced: each is a byte at least */
} in_t;

static bool take(in_t *in, void *to, uint64_t n) {
    if ((uint64_t)(in->end - in->at) < n) return false;
    memcpy(to, in->at, n);
    in->at += n;
    return true;
}

static PyObject *read_object(in_t *in, int depth);

/* A tuple or a list of *n* items. */
static PyObject *read_items(in_t *in, bool tuple, uint32_t n, int depth) {
    if (depth > DEEPEST || n > in->items) return NULL;
    in->items -= n;
    PyObject *out = tuple ? PyTuple_New((Py_ssize_t)n) : PyList_New((Py_ssize_t)n);
    for (uint32_t i = 0; out != NULL && i < n; i++) {
        PyObject *item = read_object(in, depth + 1);
        if (item == NULL) {
            Py_CLEAR(out);
        } else if (tuple) {
            PyTuple_SetItem(out, (Py_ssize_t)i, item);
        } else {
            PyList_SetItem(out, (Py_ssize_t)i, item);
        }
    }
    return out;
}

static PyObject *read_dict(in_t *in, uint32_t n) {
    PyObject *out = PyDict_New();
    for (uint32_t i = 0; out != NULL && i < n; i++) {
        PyObject *key = read_object(in, 1), *value = key ? read_object(in, 1) : NULL;
        if (value == NULL || PyDict_SetItem(out, key, value) < 0) Py_CLEAR(out);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return out;
}

static PyObject *read_object(in_t *in, int depth) {
    char type;
    long long number;
    double real;
    uint32_t n;
    if (!take(in, &type, 1)) return NULL;
    if (type == PLAIN_INT) return take(in, &number, 8) ? PyLong_FromLongLong(number) : NULL;
    if (type == PLAIN_FLOAT) return take(in, &real, 8) ? PyFloat_FromDouble(real) : NULL;
    if (type == PLAIN_NONE) return Py_NewRef(Py_None);
    if (type == PLAIN_TRUE || type == PLAIN_FALSE) return Py_NewRef(type == PLAIN_TRUE ? Py_True : Py_False);
    if (!take(in, &n, 4)) return NULL;
    if (type == PLAIN_TUPLE || (type == PLAIN_LIST && depth == 0)) return read_items(in, type == PLAIN_TUPLE, n, depth);
    if (type == PLAIN_DICT && depth == 0) return read_dict(in, n);
    if ((type != PLAIN_STR && type != PLAIN_BYTES) || n > (uint64_t)(in->end - in->at)) return NULL;
    const char *text = in->at;
    in->at += n;
    return type == PLAIN_STR ? text_decode(text, n, NULL) : PyBytes_FromStringAndSize(text, n);
}

/* A fresh object; NULL, with or without an exception. */
PyObject *plain_decode(const char *bytes, uint64_t length) {
    in_t in = {bytes, bytes + length, length};
    if (length > PLAIN_ROOM) return NULL; /* nobody made that */
    return read_object(&in, 0);
}

/* ---- packing ---- */

static void set_body(parcel_t *parcel, uint8_t tag, const char *data, uint64_t length) {
    parcel->data = data;
    parcel->length = parcel->data_length = length;
    parcel->head = (uint64_t)tag << 56 | length;
}

/* What a pickle left out of band: views of it, by list of PickleBuffers. */
static int keep_views(parcel_t *parcel, PyObject *buffers) {
    Py_ssize_t n = PyList_Size(buffers);
    if (n > MOST_BUFFERS) return PyErr_SetString(PyExc_ValueError, "an item has more than 65,536 buffers out of band"), -1;
    parcel->views = calloc((size_t)n, sizeof *parcel->views);
    if (parcel->views == NULL) return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *raw = PyObject_CallMethod(PyList_GetItem(buffers, i), "raw", NULL); /* flat, in whatever order it lies */
        int done = raw == NULL ? -1 : PyObject_GetBuffer(raw, &parcel->views[i], PyBUF_SIMPLE);
        Py_XDECREF(raw);
        if (done < 0) return -1;
        parcel->view_count++;
    }
    return 0;
}

/* The part before the buffers. */
static PyObject *buffers_front(const parcel_t *parcel, PyObject *pickle, uint64_t *total) {
    uint64_t count = (uint64_t)parcel->view_count, length = (uint64_t)PyBytes_Size(pickle);
    PyObject *front = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(WORD * (2 + count) + length));
    if (front == NULL) return NULL;
    char *at = PyBytes_AsString(front);
    memcpy(at, &count, WORD);
    memcpy(at + WORD, &length, WORD);
    *total = WORD * (2 + count) + length;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = (uint64_t)parcel->views[i].len;
        memcpy(at + WORD * (2 + i), &size, WORD);
        *total += size;
    }
    memcpy(at + WORD * (2 + count), PyBytes_AsString(pickle), length);
    return front;
}

static int pack_pickle(PyObject *obj, parcel_t *parcel) {
    PyObject *buffers = PyList_New(0);
    PyObject *pickle = buffers ? pickle_apart(obj, buffers) : NULL;
    int done = pickle == NULL ? -1 : 0;
    if (done == 0 && PyList_Size(buffers) == 0) {
        set_body(parcel, RECORD_PICKLE, PyBytes_AsString(pickle), (uint64_t)PyBytes_Size(pickle));
        parcel->owner = Py_NewRef(pickle);
    } else if (done == 0 && (done = keep_views(parcel, buffers)) == 0) {
        uint64_t total = 0;
        parcel->owner = buffers_front(parcel, pickle, &total);
        if (parcel->owner == NULL) done = -1;
        else set_body(parcel, RECORD_BUFFERS, PyBytes_AsString(parcel->owner), (uint64_t)PyBytes_Size(parcel->owner));
        parcel->length = total;
        parcel->head = (uint64_t)RECORD_BUFFERS << 56 | total;
    }
    Py_XDECREF(pickle);
    Py_XDECREF(buffers);
    return done;
}

/* The names of the handles go before the rest. */
static int add_names(parcel_t *parcel) {
    PyObject *names = links_names(parcel->links), *both;
    if (names == NULL) return -1;
    uint64_t n = (uint64_t)PyBytes_Size(names);
    both = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n + parcel->data_length));
    if (both != NULL) {
        memcpy(PyBytes_AsString(both), PyBytes_AsString(names), n);
        memcpy(PyBytes_AsString(both) + n, parcel->data, parcel->data_length);
        Py_XDECREF(parcel->owner);
        parcel->owner = both;
        parcel->data = PyBytes_AsString(both);
        parcel->data_length += n;
        parcel->length += n;
        parcel->head = (uint64_t)RECORD_LINKED << 56 | (parcel->head + n);
    }
    Py_DECREF(names);
    return both == NULL ? -1 : 0;
}

/* A str whose bytes Python has at hand, bytes, or what fits in a word: nothing is copied yet. 1; 0 it is something else. */
static int pack_simple(PyObject *obj, parcel_t *parcel) {
    if (PyBytes_CheckExact(obj)) {
        set_body(parcel, RECORD_BYTES, PyBytes_AsString(obj), (uint64_t)PyBytes_Size(obj));
        parcel->owner = Py_NewRef(obj);
        return 1;
    }
    if (PyUnicode_CheckExact(obj)) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(obj, &length);
        if (text == NULL) return PyErr_Clear(), 0;
        set_body(parcel, RECORD_STR, text, (uint64_t)length);
        parcel->owner = Py_NewRef(obj);
        return 1;
    }
    if (!PyLong_CheckExact(obj) && !PyFloat_CheckExact(obj) && obj != Py_None && obj != Py_True && obj != Py_False) return 0;
    int64_t word;
    if (tagged_encode(obj, &word, &parcel->owner) < 0) return -1;
    if (parcel->owner != NULL) {
        set_body(parcel, (uint8_t)word, PyBytes_AsString(parcel->owner), (uint64_t)PyBytes_Size(parcel->owner));
        return 1;
    }
    memcpy(parcel->room, &word, sizeof word);
    set_body(parcel, RECORD_WORD, parcel->room, sizeof word);
    return 1;
}

/* Before any lock is taken: pickling runs anybody's code. 0, or -1 with a TypeError for what cannot be pickled. */
int parcel_pack(PyObject *obj, parcel_t *parcel) {
    memset(parcel, 0, offsetof(parcel_t, room));
    int done = pack_simple(obj, parcel);
    if (done != 0) return done < 0 ? -1 : 0;
    int64_t length = plain_encode(obj, parcel->room, PARCEL_ROOM);
    if (length >= 0) return set_body(parcel, RECORD_PLAIN, parcel->room, (uint64_t)length), 0;
    char large[PLAIN_ROOM];
    if ((length = plain_encode(obj, large, PLAIN_ROOM)) >= 0) {
        if ((parcel->owner = PyBytes_FromStringAndSize(large, (Py_ssize_t)length)) == NULL) return -1;
        return set_body(parcel, RECORD_PLAIN, PyBytes_AsString(parcel->owner), (uint64_t)length), 0;
    }
    links_t outer;
    links_begin(&outer);
    if (PyUnicode_CheckExact(obj)) {
        int64_t word;
        if ((done = tagged_encode(obj, &word, &parcel->owner)) == 0)
            set_body(parcel, (uint8_t)word, PyBytes_AsString(parcel->owner), (uint64_t)PyBytes_Size(parcel->owner));
    } else {
        done = pack_pickle(obj, parcel);
    }
    parcel->links = links_end(&outer);
    if (done == 0 && parcel->links != NULL) done = add_names(parcel);
    if (done < 0) parcel_clear(NULL, parcel);
    return done;
}

/* In a child that was forked while this item waited: its extent and its place in the queue are for the parent to give. 0, or -1
 * with an exception. */
int parcel_inherited(const parcel_t *parcel) {
    if (LIKELY(parcel->epoch == process.epoch)) return 0;
    PyErr_SetString(PyExc_RuntimeError, "a forked child does not go on with its parent's put()");
    return -1;
}

/* Also gives back an extent that was taken for it and not used. */
void parcel_clear(seg_t *seg, parcel_t *parcel) {
    for (Py_ssize_t i = 0; i < parcel->view_count; i++) PyBuffer_Release(&parcel->views[i]);
    free(parcel->views);
    parcel->views = NULL;
    parcel->view_count = 0;
    Py_CLEAR(parcel->owner);
    links_clear(&parcel->links);
    Py_CLEAR(parcel->claimed);
    if (parcel->large != 0 && parcel->epoch == process.epoch) heap_free(seg, parcel->large >> 6, parcel->large & 63);
    parcel->large = 0;
}

/* In a damaged segment extents may overlap: memmove here and below. */
static void write_piece(char *ring, uint64_t size, uint64_t *at, const char *bytes, uint64_t n) {
    uint64_t offset = *at & (size - 1), first = size - offset < n ? size - offset : n;
    memmove(ring + offset, bytes, first);
    memmove(ring, bytes + first, n - first);
    *at += n;
}

/* Write its body into a ring (or something flat of a power of two) of *size* bytes, from position *at* on. */
void parcel_write(const parcel_t *parcel, char *ring, uint64_t size, uint64_t at) {
    write_piece(ring, size, &at, parcel->data, parcel->data_length);
    for (Py_ssize_t i = 0; i < parcel->view_count; i++)
        write_piece(ring, size, &at, parcel->views[i].buf, (uint64_t)parcel->views[i].len);
}

/* ---- unpacking ---- */

void source_copy(source_t source, uint64_t offset, void *to, uint64_t n) {
    uint64_t at = source.at + offset;
    if (source.size == UINT64_MAX) {
        memmove(to, source.base + at, n);
        return;
    }
    at &= source.size - 1;
    uint64_t first = source.size - at < n ? source.size - at : n;
    memmove(to, source.base + at, first);
    memmove((char *)to + first, source.base, n - first);
}

/* How long the part before the buffers is, and the buffers themselves, copied: 0, or -1, with or without an exception. */
static int fetch_buffers(source_t source, uint64_t start, uint64_t length, fetched_t *out, uint64_t *front) {
    uint64_t count, pickle, size;
    if (length - start < 2 * WORD) return -1;
    source_copy(source, start, &count, WORD);
    source_copy(source, start + WORD, &pickle, WORD);
    uint64_t left = length - start - 2 * WORD;
    if (count > MOST_BUFFERS || count * WORD > left || pickle > left - count * WORD) return -1;
    left -= count * WORD + pickle;
    *front = length - left;
    uint64_t at = *front;
    if ((out->buffers = calloc(count + 1, sizeof *out->buffers)) == NULL) return PyErr_NoMemory(), -1;
    for (uint64_t i = 0; i < count; i++) {
        source_copy(source, start + WORD * (2 + i), &size, WORD);
        if (size > left) return -1;
        PyObject *buffer = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
        if (buffer == NULL) return -1;
        if (size > 0) source_copy(source, at, PyByteArray_AsString(buffer), size);
        out->buffers[out->buffer_count++] = buffer;
        at += size;
        left -= size;
    }
    return 0;
}

static int drop_buffers(fetched_t *out) {
    for (uint64_t i = 0; i < out->buffer_count; i++) Py_DECREF(out->buffers[i]);
    free(out->buffers);
    out->buffers = NULL;
    out->buffer_count = 0;
    return -1;
}

/* Copy a body out: 0, or -1, without an exception if it makes no sense. Nothing here runs anybody's code. */
int fetch(source_t source, uint8_t tag, uint64_t length, fetched_t *out) {
    out->tag = tag;
    out->bytes = NULL;
    out->large = 0;
    out->buffers = NULL;
    out->buffer_count = 0;
    uint64_t front = length, skip = 0;
    if ((tag & 0x3f) == RECORD_BUFFERS) {
        if (tag & RECORD_LINKED) {
            uint32_t names;
            if (length < 4) return -1;
            source_copy(source, 0, &names, 4);
            skip = names;
        }
        if (skip > length || fetch_buffers(source, skip, length, out, &front) < 0) return drop_buffers(out);
    }
    out->length = front;
    if (front > SHORT && (out->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)front)) == NULL) return drop_buffers(out);
    source_copy(source, 0, out->bytes ? PyBytes_AsString(out->bytes) : out->room, front);
    return 0;
}

/* The same; but a body that makes no sense is copied as one that decodes to CorruptSegment. So a damaged item is taken and told of once,
 * like one that does not unpickle, and is not found again by each who comes. 0, or -1 with an exception. */
int fetch_or_spoil(source_t source, uint8_t tag, uint64_t length, fetched_t *out) {
    if (LIKELY(fetch(source, tag, length, out) == 0)) return 0;
    if (PyErr_Occurred()) return -1;
    out->tag = 0;
    out->length = 0;
    return 0;
}

void fetched_clear(fetched_t *fetched) {
    Py_CLEAR(fetched->bytes);
    drop_buffers(fetched);
}

static PyObject *decode_buffers(const char *body, uint64_t length, const fetched_t *fetched) {
    uint64_t count, pickle;
    if (length < 2 * WORD) return NULL;
    memcpy(&count, body, WORD);
    memcpy(&pickle, body + WORD, WORD);
    if (count > MOST_BUFFERS || length < WORD * (2 + count) || length - WORD * (2 + count) < pickle) return NULL;
    PyObject *buffers = PyList_New((Py_ssize_t)fetched->buffer_count), *out = NULL;
    for (uint64_t i = 0; buffers != NULL && i < fetched->buffer_count; i++)
        PyList_SetItem(buffers, (Py_ssize_t)i, Py_NewRef(fetched->buffers[i]));
    if (buffers != NULL) out = unpickle_with(body + WORD * (2 + count), pickle, buffers);
    Py_XDECREF(buffers);
    return out;
}

/* *fetched*: where *body* is, if it was fetched by itself. */
static PyObject *decode(uint8_t tag, const char *body, uint64_t length, const fetched_t *fetched) {
    switch (tag & 0x3f) {
        case RECORD_WORD: {
            int64_t word;
            if (length != sizeof word) return NULL;
            memcpy(&word, body, sizeof word);
            return tagged_is_record(word) ? NULL : tagged_decode(word);
        }
        case RECORD_PLAIN: return plain_decode(body, length);
        case RECORD_BUFFERS: return fetched ? decode_buffers(body, length, fetched) : NULL;
        case RECORD_BYTES:
            if (fetched != NULL && fetched->bytes != NULL && !(tag & RECORD_LINKED)) return Py_NewRef(fetched->bytes); /* copied once */
            break;
        default: break;
    }
    return buffer_decode(tag & 0x3f, body, length);
}

static PyObject *body_object(seg_t *seg, uint8_t tag, const char *body, uint64_t length, const fetched_t *fetched) {
    uint64_t skip = 0;
    PyObject *out = NULL;
    if (tag & RECORD_LINKED) skip = links_length(body, length);
    if (skip > 0 || !(tag & RECORD_LINKED)) out = decode(tag, body + skip, length - skip, fetched);
    if (UNLIKELY(out == NULL) && !PyErr_Occurred()) raise_named("CorruptSegment", public_name(seg->name), "an item in it makes no sense");
    return out;
}

/* The object in a body; NULL with an exception. */
PyObject *body_decode(seg_t *seg, uint8_t tag, const char *body, uint64_t length) {
    return body_object(seg, tag, body, length, NULL);
}

/* The same; if it is *taken* for good, handles in it belong to whoever has them from now on. */
PyObject *fetched_decode(seg_t *seg, fetched_t *f, bool taken) {
    const char *body = f->bytes ? PyBytes_AsString(f->bytes) : f->room;
    PyObject *out = body_object(seg, f->tag, body, f->length, f);
    if (UNLIKELY(taken && (f->tag & RECORD_LINKED))) links_pass_on(seg, body, f->length);
    fetched_clear(f);
    return out;
}
