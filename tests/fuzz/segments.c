/* libFuzzer on whole segments: `one(input)` of segment_inputs.py lays out a segment of some kind, damages it as the input says, and makes the
 * calls that the input names. What should not come of it is an exception there. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "python.h"

static PyObject *one;

/* Of an input, see segment_inputs.py: how long what comes before the damages is, and each damage. */
#define FRONT(input, length) ((length) < 3 ? (length) : 3u + (input)[2] % 16u)
#define DAMAGE 12u

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static uint64_t some_word(unsigned *seed) {
    static const uint64_t often[] = {0, 1, 2, 7, 8, 4095, 4096, 8192, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX, 1ull << 63, 1ull << 40};
    uint64_t any = (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed) << 11 ^ (uint64_t)rand_r(seed);
    switch (rand_r(seed) % 6) {
    case 0: return often[any % (sizeof often / sizeof *often)];
    case 1: return any % 300;
    case 2: return -(any % 300);
    case 3: return 1ull << any % 64;
    case 4: return any % (1 << 20) << 6 | (any >> 32) % 64; /* an extent */
    default: return any;
    }
}

/* Another call, one more damage, one less, another word in one; or what libFuzzer thinks of, within a damage or anywhere. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    size_t front = FRONT(data, size), damages;
    if (size < 3 || front > size || rand_r(&seed) % 8 == 0) return LLVMFuzzerMutate(data, size, max);
    damages = (size - front) / DAMAGE;
    uint8_t *last = data + front + damages * DAMAGE, *some = data + front + (damages ? rand_r(&seed) % damages : 0) * DAMAGE;
    uint64_t word = some_word(&seed);
    size = (size_t)(last - data);
    switch (rand_r(&seed) % 8) {
    case 0: /* a call more */
        if (front - 3 == 15 || size + 1 > max) break;
        memmove(data + front + 1, data + front, size - front);
        data[front] = (uint8_t)rand_r(&seed);
        data[2] = (uint8_t)(data[2] + 1);
        return size + 1;
    case 1: /* another call */
        if (front > 3) data[3 + rand_r(&seed) % (front - 3)] = (uint8_t)rand_r(&seed);
        return size;
    case 2: /* one less damage */
        if (damages < 2) break;
        memmove(some, some + DAMAGE, (size_t)(last - some) - DAMAGE);
        return size - DAMAGE;
    case 3: data[rand_r(&seed) % 2] = (uint8_t)rand_r(&seed); return size; /* another kind, another time */
    case 4:
        if (damages > 0) memcpy(some + 4, &word, 8);
        return size;
    case 5:
        if (damages > 0) LLVMFuzzerMutate(some, DAMAGE, DAMAGE);
        return size;
    default: break;
    }
    if (damages >= 8 || size + DAMAGE > max) return size;
    for (int i = 0; i < 4; i++) last[i] = (uint8_t)rand_r(&seed);
    memcpy(last + 4, &word, 8);
    return size + DAMAGE;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    start_python("segment_inputs");
    PyObject *module = PyImport_ImportModule("segment_inputs");
    if (module == NULL || (one = PyObject_GetAttrString(module, "one")) == NULL) failed("segment_inputs.py has no one()");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length) {
    PyObject *result = PyObject_CallFunction(one, "y#", (const char *)input, (Py_ssize_t)length);
    if (result == NULL) failed("this should not have been raised");
    Py_DECREF(result);
    return 0;
}
