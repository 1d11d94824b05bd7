/* Objects as 64 bits, or as 64 bits and a record.
 *
 * A value with a type code is its C bits, zero-extended. Any other value is a tagged word: doubles are stored as
 * they are, and the NaNs that no arithmetic produces carry the rest (after Gudeman, "Representing Type Information in
 * Dynamically Typed Languages", 1993). The word is stored inverted, so that zero, as a hole in a file reads, means nothing.
 *
 *   fff9 0000 0000 000x   None, False, True
 *   fffa iiii iiii iiii   int of 48 bits
 *   fffb vvvv vvvv vvvb   a record: of a value, 47 bits of version, 1 bit of buffer; in a container, its offset / 8
 *   any other             double (a NaN with other bits than Python's own is pickled)
 */
#include "native.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#define TAG_CONSTANT 0xfff9ull
#define TAG_INT 0xfffaull
#define TAG_RECORD 0xfffbull
#define QUIET_NAN 0x7ff8000000000000ull


static uint64_t bits_of(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* ---- type codes ---- */

typedef struct {
    char code;
    bool is_signed;
    uint8_t size;
} integer_t;

static const integer_t integers[] = {
    {'?', false, 1}, {'b', true, 1}, {'B', false, 1}, {'h', true, 2},  {'H', false, 2},
    {'i', true, 4},  {'I', false, 4}, {'l', true, sizeof(long)}, {'L', false, sizeof(long)},
    {'q', true, 8},  {'Q', false, 8},
};

static const integer_t *integer(uint8_t code) {
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        if (integers[i].code == (char)code) return &integers[i];
    return NULL;
}

bool code_known(uint8_t code) { return code == 'f' || code == 'd' || code == 'c' || integer(code) != NULL; }

static int does_not_fit(uint8_t code, PyObject *obj) {
    PyErr_Format(PyExc_OverflowError, "%R does not fit type code '%c'; nothing was changed", obj, (int)code);
    return -1;
}

/* obj as an int. NumPy's bool, which alone of its integers has no __index__, will do for '?'. */
static PyObject *as_integer(char code, PyObject *obj) {
    if (code == '?' && !PyIndex_Check(obj)) {
        PyObject *name = PyType_GetName(Py_TYPE(obj));
        bool is_bool = name != NULL && (PyUnicode_CompareWithASCIIString(name, "bool") == 0 ||
                                        PyUnicode_CompareWithASCIIString(name, "bool_") == 0);
        Py_XDECREF(name);
        if (is_bool) return PyBool_FromLong(PyObject_IsTrue(obj));
    }
    return PyNumber_Index(obj);
}

static int encode_integer(const integer_t *type, PyObject *obj, int64_t *bits) {
    PyObject *number = as_integer(type->code, obj);
    if (number == NULL) return -1;
    int overflow = 0;
    long long n = PyLong_AsLongLongAndOverflow(number, &overflow);
    int failed = 0;
    if (type->code == '?') failed = overflow || n < 0 || n > 1;
    else if (type->is_signed) {
        long long top = type->size == 8 ? LLONG_MAX : (1ll << (type->size * 8 - 1)) - 1;
        failed = overflow || n > top || n < -top - 1;
    } else if (overflow > 0 && type->size == 8) {
        unsigned long long u = PyLong_AsUnsignedLongLong(number);
        failed = u == ULLONG_MAX && PyErr_Occurred();
        if (failed) PyErr_Clear();
        n = (long long)u;
    } else
        failed = overflow || n < 0 || (type->size < 8 && n >> (type->size * 8) != 0);
    Py_DECREF(number);
    if (failed) return does_not_fit((uint8_t)type->code, obj);
    *bits = n;
    return 0;
}

static int encode_byte(PyObject *obj, int64_t *bits) {
    if (!PyBytes_Check(obj) || PyBytes_Size(obj) == 0)
        return PyErr_Format(PyExc_TypeError, "type code 'c' holds one byte, as bytes of length 1, not %R", obj), -1;
    if (PyBytes_Size(obj) > 1) return does_not_fit('c', obj);
    *bits = (uint8_t)PyBytes_AsString(obj)[0];
    return 0;
}

/* obj as the bits of a type code: 0, or -1 with OverflowError or TypeError. */
int code_encode(uint8_t code, PyObject *obj, int64_t *bits) {
    if (code == 'c') return encode_byte(obj, bits);
    if (code != 'f' && code != 'd') return encode_integer(integer(code), obj, bits);
    double d = PyFloat_AsDouble(obj);
    if (d == -1.0 && PyErr_Occurred()) return -1;
    if (code == 'd') {
        *bits = (int64_t)bits_of(d);
        return 0;
    }
    float f = (float)d;
    if (isinf(f) && !isinf(d)) return does_not_fit(code, obj);
    uint32_t narrow;
    memcpy(&narrow, &f, sizeof narrow);
    *bits = narrow;
    return 0;
}

PyObject *code_decode(uint8_t code, int64_t bits) {
    if (LIKELY(code == 'd')) return PyFloat_FromDouble(double_of((uint64_t)bits));
    if (code == 'f') {
        uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        return PyFloat_FromDouble(f);
    }
    char byte = (char)bits;
    if (code == 'c') return PyBytes_FromStringAndSize(&byte, 1);
    if (code == '?') return PyBool_FromLong(bits & 1);
    if (code == 'Q' || code == 'L') return PyLong_FromUnsignedLongLong((unsigned long long)bits);
    return PyLong_FromLongLong(bits);
}

/* ---- tagged words ---- */

static int64_t seal(uint64_t tag, uint64_t payload) { return (int64_t)~(tag << 48 | (payload & 0xffffffffffffull)); }

bool tagged_is_record(int64_t word) { return ~(uint64_t)word >> 48 == TAG_RECORD; }

int64_t tagged_record(uint64_t version, unsigned buffer) { return seal(TAG_RECORD, version << 1 | buffer); }

uint64_t tagged_at(uint64_t offset) { return (uint64_t)seal(TAG_RECORD, offset >> 3); }

uint64_t tagged_offset(uint64_t word) { return (~word & 0xffffffffffffull) << 3; }

/* The object in a word that is no record; NULL without an exception if it is no word of ours. */
PyObject *tagged_decode(int64_t word) {
    uint64_t bits = ~(uint64_t)word, tag = bits >> 48;
    if (tag < TAG_CONSTANT) return PyFloat_FromDouble(double_of(bits));
    if (tag == TAG_INT) return PyLong_FromLongLong((int64_t)(bits << 16) >> 16);
    if (tag != TAG_CONSTANT || (bits & 0xffffffffffffull) > 2) return NULL;
    PyObject *constant[] = {Py_None, Py_False, Py_True};
    return Py_NewRef(constant[bits & 3]);
}

static int load_pickle(void) {
    if (process.loads != NULL) return 0;
    PyObject *pickle = PyImport_ImportModule("pickle");
    if (pickle == NULL) return -1;
    process.dumps = PyObject_GetAttrString(pickle, "dumps");
    process.loads = PyObject_GetAttrString(pickle, "loads");
    Py_DECREF(pickle);
    return process.dumps != NULL && process.loads != NULL ? 0 : -1;
}

static PyObject *dump(PyObject *obj, PyObject *apart) {
    if (apart == NULL) return PyObject_CallFunction(process.dumps, "Oi", obj, 5);
    PyObject *add = PyObject_GetAttrString(apart, "append");
    PyObject *args = Py_BuildValue("(Oi)", obj, 5), *how = add ? Py_BuildValue("{sO}", "buffer_callback", add) : NULL;
    PyObject *bytes = args && how ? PyObject_Call(process.dumps, args, how) : NULL;
    Py_XDECREF(add);
    Py_XDECREF(args);
    Py_XDECREF(how);
    return bytes;
}

/* The pickle, or NULL with a TypeError that names the type and has pickle's own error as its cause. *apart*: a list for the
 * buffers that are left out of it, or NULL. */
PyObject *pickle_apart(PyObject *obj, PyObject *apart) {
    if (load_pickle() < 0) return NULL;
    PyObject *bytes = dump(obj, apart);
    if (bytes != NULL) return bytes;
    PyObject *type, *cause, *traceback;
    PyErr_Fetch(&type, &cause, &traceback);
    PyErr_NormalizeException(&type, &cause, &traceback);
    PyObject *name = PyObject_GetAttrString(type, "__name__");
    bool refused = name != NULL && (PyUnicode_CompareWithASCIIString(name, "PicklingError") == 0 ||
                                    PyErr_GivenExceptionMatches(type, PyExc_TypeError) ||
                                    PyErr_GivenExceptionMatches(type, PyExc_AttributeError));
    Py_XDECREF(name);
    PyObject *own = refused ? PyObject_GetAttrString(process.errors, "ProcshareError") : NULL; /* which says it better */
    if (own == NULL) PyErr_Clear();
    else if (PyErr_GivenExceptionMatches(type, own)) refused = false;
    Py_XDECREF(own);
    if (!refused) {
        PyErr_Restore(type, cause, traceback);
        return NULL;
    }
    PyObject *why = PyObject_Str(cause);
    if (why == NULL || PyUnicode_GetLength(why) == 0) { /* it says nothing but its name */
        PyErr_Clear();
        Py_XDECREF(why);
        why = PyObject_Repr(cause);
    }
    PyObject *error = why == NULL ? NULL : PyObject_CallFunction(PyExc_TypeError, "N", PyUnicode_FromFormat(
        "an object of type %R cannot be shared, because it does not pickle: %U", (PyObject *)Py_TYPE(obj), why));
    Py_XDECREF(why);
    if (error != NULL) {
        PyException_SetCause(error, Py_NewRef(cause));
        PyErr_SetObject(PyExc_TypeError, error);
        Py_DECREF(error);
    }
    Py_XDECREF(type);
    Py_XDECREF(cause);
    Py_XDECREF(traceback);
    return NULL;
}

/* What pickle_apart() gave, with its buffers. */
PyObject *unpickle_with(const char *bytes, uint64_t length, PyObject *buffers) {
    if (load_pickle() < 0) return NULL;
    PyObject *args = Py_BuildValue("(y#)", bytes, (Py_ssize_t)length), *how = Py_BuildValue("{sO}", "buffers", buffers);
    PyObject *out = args && how ? PyObject_Call(process.loads, args, how) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(how);
    return out;
}

/* An int of any size as two's complement bytes, least significant first, and back. */
PyObject *int_bytes(PyObject *obj) {
    PyObject *bits = PyObject_CallMethod(obj, "bit_length", NULL), *out = NULL;
    Py_ssize_t length = bits ? PyLong_AsSsize_t(bits) / 8 + 1 : 0;
    PyObject *method = bits ? PyObject_GetAttrString(obj, "to_bytes") : NULL;
    PyObject *args = method ? Py_BuildValue("(ns)", length, "little") : NULL;
    PyObject *how = args ? Py_BuildValue("{sO}", "signed", Py_True) : NULL;
    if (how != NULL) out = PyObject_Call(method, args, how);
    Py_XDECREF(bits);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(how);
    return out;
}

PyObject *int_from_bytes(const char *bytes, Py_ssize_t length) {
    PyObject *method = PyObject_GetAttrString((PyObject *)&PyLong_Type, "from_bytes"), *out = NULL;
    PyObject *args = method ? Py_BuildValue("(Ns)", PyBytes_FromStringAndSize(bytes, length), "little") : NULL;
    PyObject *how = args ? Py_BuildValue("{sO}", "signed", Py_True) : NULL;
    if (how != NULL) out = PyObject_Call(method, args, how);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(how);
    return out;
}

static int encode_int(PyObject *obj, int64_t *word, PyObject **record) {
    int overflow = 0;
    long long n = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow) {
        *word = RECORD_BIGINT;
        *record = int_bytes(obj);
    } else if (n >= -(1ll << 47) && n < 1ll << 47) {
        *word = seal(TAG_INT, (uint64_t)n);
        return 0;
    } else {
        *word = RECORD_INT;
        *record = PyBytes_FromStringAndSize((const char *)&n, sizeof n);
    }
    return *record == NULL ? -1 : 0;
}

/* Any object: a word and *record NULL; or a record's bytes, and its tag in *word. -1 with TypeError: it does not pickle. */
int tagged_encode(PyObject *obj, int64_t *word, PyObject **record) {
    *record = NULL;
    if (obj == Py_None || obj == Py_False || obj == Py_True) {
        *word = seal(TAG_CONSTANT, obj == Py_None ? 0 : obj == Py_False ? 1 : 2);
        return 0;
    }
    if (PyLong_CheckExact(obj)) return encode_int(obj, word, record);
    if (PyFloat_CheckExact(obj)) {
        uint64_t bits = bits_of(PyFloat_AsDouble(obj));
        if (!isnan(double_of(bits)) || bits == QUIET_NAN) {
            *word = (int64_t)~bits;
            return 0;
        }
    }
    if (PyBytes_CheckExact(obj)) {
        *word = RECORD_BYTES;
        *record = Py_NewRef(obj);
        return 0;
    }
    if (PyUnicode_CheckExact(obj)) {
        *word = RECORD_STR;
        if ((*record = PyUnicode_AsEncodedString(obj, "utf-8", "surrogatepass")) != NULL) return 0;
        return -1;
    }
    *word = RECORD_PICKLE;
    *record = pickle_apart(obj, NULL);
    return *record == NULL ? -1 : 0;
}

/* A str; NULL without an exception if these bytes are none, which is damage. */
PyObject *text_decode(const char *bytes, uint64_t length, const char *errors) {
    PyObject *out = PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)length, errors);
    if (UNLIKELY(out == NULL) && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) PyErr_Clear();
    return out;
}

/* A fresh object from a record's tag and bytes; NULL without an exception if there is no such tag. */
PyObject *buffer_decode(uint8_t tag, const char *bytes, uint64_t length) {
    Py_ssize_t size = (Py_ssize_t)length;
    if (tag == RECORD_STR) return text_decode(bytes, length, "surrogatepass");
    if (tag == RECORD_BYTES) return PyBytes_FromStringAndSize(bytes, size);
    if (tag == RECORD_BIGINT) return int_from_bytes(bytes, size);
    if (tag == RECORD_PICKLE) {
        if (load_pickle() < 0) return NULL;
        PyObject *pickle = PyBytes_FromStringAndSize(bytes, size);
        PyObject *out = pickle ? PyObject_CallFunctionObjArgs(process.loads, pickle, NULL) : NULL;
        Py_XDECREF(pickle);
        return out;
    }
    if (tag != RECORD_INT || length != 8) return NULL;
    long long n;
    memcpy(&n, bytes, sizeof n);
    return PyLong_FromLongLong(n);
}

PyObject *record_decode(uint8_t tag, PyObject *bytes) {
    if (tag == RECORD_BYTES) return Py_NewRef(bytes);
    if (tag == RECORD_PICKLE) return load_pickle() < 0 ? NULL : PyObject_CallFunctionObjArgs(process.loads, bytes, NULL);
    return buffer_decode(tag, PyBytes_AsString(bytes), (uint64_t)PyBytes_Size(bytes));
}
