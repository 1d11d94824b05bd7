/* Keys: str, bytes, int, None and tuples of these, as canonical bytes with a tag, so that every process agrees on them.
 *
 *   's' UTF-8, lone surrogates included   'b' the bytes   'n' nothing   'i' 8 bytes, two's complement
 *   'I' an int that needs more            't' for each item: its tag, its length in 4 bytes, its bytes
 *
 * Equal keys have equal bytes, and different ones different bytes: bool and float are refused, since 1, 1.0 and True would be
 * equal in Python and could not be told apart, or only by rules that surprise.
 *
 * The hash folds 128-bit products, keyed with a random seed of the container's own (in the manner of wyhash, Wang Yi, 2019); 32
 * bits of it are kept in the index beside each entry's number, so that a lookup seldom reads an entry in vain.
 */
#include "container.h"

#define DEEPEST 50

/* The interface says why, with the same words for every backend. (It finds nothing wrong with the part of a key that is too deep.) */
static int refuse(PyObject *obj) {
    PyObject *done = PyObject_CallMethod(process.hooks, "check_key", "O", obj);
    if (done != NULL) PyErr_SetString(PyExc_TypeError, "a key nests at most 50 tuples; make it flatter");
    Py_XDECREF(done);
    return -1;
}

static int utf8(PyObject *obj, const char **data, Py_ssize_t *length, PyObject **owner) {
    *data = PyUnicode_AsUTF8AndSize(obj, length);
    if (LIKELY(*data != NULL)) return 0;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
    PyErr_Clear();
    if ((*owner = PyUnicode_AsEncodedString(obj, "utf-8", "surrogatepass")) == NULL) return -1;
    *data = PyBytes_AsString(*owner);
    *length = PyBytes_Size(*owner);
    return 0;
}

static int encode(PyObject *obj, mapkey_t *key, int depth);

/* A tuple as the bytes of its items. */
static int encode_tuple(PyObject *obj, mapkey_t *key, int depth) {
    PyObject *out = PyByteArray_FromStringAndSize(NULL, 0);
    Py_ssize_t n = PyTuple_Size(obj);
    for (Py_ssize_t i = 0; out != NULL && i < n; i++) {
        mapkey_t item = {0};
        if (encode(PyTuple_GetItem(obj, i), &item, depth + 1) < 0) {
            Py_CLEAR(out);
            break;
        }
        Py_ssize_t at = PyByteArray_Size(out);
        uint32_t length = (uint32_t)item.length;
        if (item.length > UINT32_MAX) PyErr_SetString(PyExc_OverflowError, "an item of a key is too long"), n = -1;
        else if (PyByteArray_Resize(out, at + 5 + (Py_ssize_t)item.length) < 0) n = -1;
        else {
            char *to = PyByteArray_AsString(out) + at;
            to[0] = (char)item.tag;
            memcpy(to + 1, &length, 4);
            memcpy(to + 5, item.data, item.length);
        }
        key_clear(&item);
        if (n < 0) Py_CLEAR(out);
    }
    if (out == NULL) return -1;
    key->owner = out;
    key->tag = 't';
    key->data = PyByteArray_AsString(out);
    key->length = (uint64_t)PyByteArray_Size(out);
    return 0;
}

static int encode_int(PyObject *obj, mapkey_t *key) {
    int overflow = 0;
    long long n = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (!overflow) {
        key->tag = 'i';
        memcpy(key->room, &n, 8);
        key->data = key->room;
        key->length = 8;
        return 0;
    }
    key->tag = 'I';
    if ((key->owner = int_bytes(obj)) == NULL) return -1;
    key->data = PyBytes_AsString(key->owner);
    key->length = (uint64_t)PyBytes_Size(key->owner);
    return 0;
}

/* Tag, data and length; not yet the block and the hash. */
static int encode(PyObject *obj, mapkey_t *key, int depth) {
    key->owner = NULL;
    if (LIKELY(PyUnicode_CheckExact(obj))) {
        key->tag = 's';
        Py_ssize_t length = 0;
        if (utf8(obj, &key->data, &length, &key->owner) < 0) return -1;
        key->length = (uint64_t)length;
        return 0;
    }
    if (PyLong_CheckExact(obj)) return encode_int(obj, key);
    if (PyBytes_CheckExact(obj)) {
        key->tag = 'b';
        key->data = PyBytes_AsString(obj);
        key->length = (uint64_t)PyBytes_Size(obj);
        return 0;
    }
    if (obj == Py_None) {
        key->tag = 'n';
        key->data = key->room;
        key->length = 0;
        return 0;
    }
    if (PyTuple_CheckExact(obj) && depth < DEEPEST) return encode_tuple(obj, key, depth);
    return refuse(obj);
}

static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load(const char *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

static NOINLINE uint64_t hash_long(const uint64_t *seed, const char *data, uint64_t length) {
    uint64_t h = seed[0] ^ length;
    char last[16] = {0};
    while (length > 16) {
        h = fold(load(data) ^ seed[1], load(data + 8) ^ h);
        data += 16;
        length -= 16;
    }
    memcpy(last, data, length);
    return fold(load(last) ^ seed[1], load(last + 8) ^ h);
}

static inline uint32_t hash_block(const uint64_t *seed, const uint64_t *block) {
    uint64_t h = fold(block[0] ^ seed[0], block[1] ^ seed[1]) ^ (block[2] + seed[2]);
    return (uint32_t)(fold(h, seed[2] | 1) >> 16);
}

/* The block that is compared with entries, and the hash. */
void key_hash(seg_t *seg, mapkey_t *key) {
    const uint64_t *seed = container_of(seg)->seed;
    char *block = (char *)key->block;
    key->block[0] = key->block[1] = key->block[2] = 0;
    block[0] = (char)key->tag;
    if (LIKELY(key->length <= INLINE_KEY)) {
        block[1] = (char)key->length;
        memcpy(block + 2, key->data, key->length);
    } else {
        uint64_t h = hash_long(seed, key->data, key->length);
        block[1] = (char)LONG_KEY;
        memcpy(block + 2, &h, 8); /* where an entry has the record's offset and length */
    }
    key->hash = hash_block(seed, key->block);
}

/* Where an entry's key is: false if that makes no sense. */
bool key_of_entry(seg_t *seg, const entry_t *e, const char **data, uint64_t *length) {
    uint8_t tag = 0, here = *(const volatile uint8_t *)&e->length; /* once: to a reader it may change */
    *data = e->data;
    *length = here;
    if (here <= INLINE_KEY) return true;
    const volatile uint64_t *place = (const volatile uint64_t *)(const void *)(e->data + 6);
    *data = here == LONG_KEY ? record_at(seg, place[0], &tag, length) : NULL;
    return *data != NULL && tag == RECORD_KEY;
}

uint32_t key_hash_entry(seg_t *seg, const entry_t *e) {
    mapkey_t key = {.tag = e->tag};
    if (!key_of_entry(seg, e, &key.data, &key.length)) return 0;
    key_hash(seg, &key);
    return key.hash;
}

/* A key that *obj* can be: 0 with a hold on its bytes, or -1 with a TypeError that says why not. */
int key_encode(seg_t *seg, PyObject *obj, mapkey_t *key) {
    if (encode(obj, key, 0) < 0) return -1;
    key_hash(seg, key);
    return 0;
}

void key_clear(mapkey_t *key) { Py_CLEAR(key->owner); }

static PyObject *decode_tuple(const char *data, uint64_t length, int depth);

static PyObject *decode(uint8_t tag, const char *data, uint64_t length, int depth) {
    switch (tag) {
    case 's': return text_decode(data, length, "surrogatepass");
    case 'b': return PyBytes_FromStringAndSize(data, (Py_ssize_t)length);
    case 'n': return length == 0 ? Py_NewRef(Py_None) : NULL;
    case 'i': return length == 8 ? PyLong_FromLongLong((long long)load(data)) : NULL;
    case 'I': return int_from_bytes(data, (Py_ssize_t)length);
    case 't': return depth < DEEPEST ? decode_tuple(data, length, depth) : NULL;
    default: return NULL;
    }
}

static PyObject *decode_tuple(const char *data, uint64_t length, int depth) {
    PyObject *items = PyList_New(0), *out = NULL;
    while (items != NULL && length > 0) {
        uint32_t size = 0;
        if (length >= 5) memcpy(&size, data + 1, 4);
        PyObject *item = length >= 5 && size <= length - 5 ? decode((uint8_t)data[0], data + 5, size, depth + 1) : NULL;
        if (item == NULL || PyList_Append(items, item) < 0) Py_CLEAR(items);
        Py_XDECREF(item);
        data += 5 + (uint64_t)size;
        length -= length >= 5 ? 5 + (uint64_t)size : length;
    }
    if (items != NULL) out = PyList_AsTuple(items);
    Py_XDECREF(items);
    return out;
}

/* The key from its tag and bytes, which must be private; NULL, perhaps without an exception, if they are none. */
PyObject *key_decode(uint8_t tag, const char *data, uint64_t length) { return decode(tag, data, length, 0); }

/* Tag and bytes as an object, for looking up what a block staged. */
PyObject *key_bytes(const mapkey_t *key) {
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)key->length + 1);
    if (out == NULL) return NULL;
    char *to = PyBytes_AsString(out);
    to[0] = (char)key->tag;
    memcpy(to + 1, key->data, key->length);
    return out;
}
