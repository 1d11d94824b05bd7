/* libFuzzer on what turns bytes into objects: items of queues, keys, tagged words, records, the names of handles.
 *
 * The first byte of an input chooses the decoder, the second a tag; the rest is what is decoded, from memory of exactly that
 * length, or from a ring of the next power of two that it goes round. What decodes must encode again, and to the same object. */
#include "../../src/procshare/_native/queue.h"

#include <stdlib.h>

#include "python.h"

static char *base; /* of a segment that is nothing but a name and a seed */
static seg_t dummy;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    start_python("codec_inputs");
    base = calloc(1, HEADER_SIZE);
    dummy.base = base;
    strcpy(dummy.name, "procshare-fuzz");
    return 0;
}

/* NULL must come with an exception that is said to be possible, or with none. */
static void check_error(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) return;
    PyObject *corrupt = PyObject_GetAttrString(process.errors, "CorruptSegment");
    bool fine = PyErr_GivenExceptionMatches(type, corrupt);
    Py_DECREF(corrupt);
    PyObject *pickle = PyImport_ImportModule("pickle"), *spoiled = pickle ? PyObject_GetAttrString(pickle, "UnpicklingError") : NULL;
    if (!fine && (spoiled == NULL || !PyErr_GivenExceptionMatches(type, spoiled))) {
        PyErr_Restore(type, value, traceback);
        failed("this should not have been raised");
    }
    Py_DECREF(pickle);
    Py_DECREF(spoiled);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static void round_trip_plain(PyObject *obj) {
    char once[PLAIN_ROOM], twice[PLAIN_ROOM];
    int64_t n = plain_encode(obj, once, sizeof once);
    if (n < 0) return; /* a str, number or constant, or too long for another's encoding */
    PyObject *same = plain_decode(once, (uint64_t)n);
    if (same == NULL) failed("what was encoded does not decode");
    if (plain_encode(same, twice, sizeof twice) != n || memcmp(once, twice, (size_t)n) != 0) failed("it decodes to something else");
    Py_DECREF(same);
}

static void round_trip_key(PyObject *obj) {
    mapkey_t key;
    if (key_encode(&dummy, obj, &key) < 0) {
        PyErr_Clear();
        return;
    }
    PyObject *same = key_decode(key.tag, key.data, key.length);
    if (same == NULL || PyObject_RichCompareBool(obj, same, Py_EQ) != 1) failed("a key decodes to something else");
    Py_DECREF(same);
    key_clear(&key);
}

static void round_trip_word(int64_t word) {
    int64_t again;
    PyObject *record, *obj = tagged_is_record(word) ? NULL : tagged_decode(word);
    if (obj == NULL) return;
    if (tagged_encode(obj, &again, &record) < 0) failed("a word's object does not encode");
    if (record == NULL && tagged_is_record(again)) failed("it encodes to a record that is none");
    Py_XDECREF(record);
    Py_DECREF(obj);
}

/* Out of a ring, beginning *skip* before its end. */
static PyObject *from_ring(uint8_t tag, const char *data, uint64_t length, uint64_t skip) {
    uint64_t size = 64;
    while (size < length) size *= 2;
    char *ring = malloc(size);
    source_t source = {ring, size, size - skip % size};
    for (uint64_t i = 0; i < length; i++) ring[(source.at + i) & (size - 1)] = data[i];
    fetched_t fetched;
    PyObject *obj = NULL;
    if (fetch(source, tag, length, &fetched) == 0) obj = fetched_decode(&dummy, &fetched, false);
    free(ring);
    return obj;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length) {
    if (length < 2) return 0;
    uint8_t which = input[0] % 8, tag = input[1];
    char *data = malloc(length - 2); /* so that ASan sees the byte behind it */
    memcpy(data, input + 2, length - 2);
    length -= 2;
    PyObject *obj = NULL;
    int64_t word = 0;
    memcpy(&word, data, length < 8 ? length : 8);
    switch (which) {
    case 0:
        if ((obj = plain_decode(data, length)) != NULL) round_trip_plain(obj);
        break;
    case 1:
        if ((obj = key_decode(tag, data, length)) != NULL) round_trip_key(obj);
        break;
    case 2: round_trip_word(word); break;
    case 3: obj = from_ring(tag & ~RECORD_LARGE, data, length, input[0] / 8); break;
    case 4: obj = body_decode(&dummy, tag, data, length); break;
    case 5: obj = copied_decode(tag, data, length); break;
    case 6:
        if (code_known(tag)) obj = code_decode(tag, word);
        break;
    case 7:
        if (links_length(data, length) > length) failed("names longer than the record");
        obj = buffer_decode(tag, data, length);
        break;
    }
    if (obj == NULL) check_error();
    Py_XDECREF(obj);
    free(data);
    return 0;
}
