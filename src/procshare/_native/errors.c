/* Raising procshare's errors, whose classes Python hands in by configure(). */
#include "native.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Raise errors.<cls>(*args), stealing args. */
static void *raise_with(const char *cls, PyObject *args) {
    if (args == NULL) return NULL;
    PyObject *type = PyObject_GetAttrString(process.errors, cls);
    PyObject *error = type ? PyObject_CallObject(type, args) : NULL;
    if (error != NULL) PyErr_SetObject(type, error);
    Py_XDECREF(error);
    Py_XDECREF(type);
    Py_DECREF(args);
    return NULL;
}

void *raise_named(const char *cls, const char *name, const char *format, ...) {
    char detail[400] = "";
    va_list ap;
    va_start(ap, format);
    vsnprintf(detail, sizeof detail, format, ap);
    va_end(ap);
    return raise_with(cls, Py_BuildValue("(ss)", public_name(name), detail));
}

void *raise_closed(void) { return raise_with("Closed", PyTuple_New(0)); }

void *raise_out_of_memory(const char *name, uint64_t needed, uint64_t free) {
    return raise_with("OutOfSharedMemory", Py_BuildValue("(sKK)", public_name(name), (unsigned long long)needed,
                                                         (unsigned long long)free));
}

/* What there is too little of is not memory: "files", "address space" or "file size". */
void *raise_no_room(const char *name, uint64_t needed, const char *limit) {
    return raise_with("OutOfSharedMemory", Py_BuildValue("(sKOs)", public_name(name), (unsigned long long)needed, Py_None, limit));
}

/* A file could not be made as long as *needed*: by which limit. */
void *raise_too_long(int error, const char *name, uint64_t needed) {
    if (error == ENOSPC || error == ENOMEM) return raise_out_of_memory(name, needed, shm_free_bytes());
    return error == EFBIG ? raise_no_room(name, needed, "file size") : raise_os(error, name);
}

/* So much could not be mapped. */
void *raise_unmapped(int error, const char *name, uint64_t needed) {
    return error == ENOMEM ? raise_no_room(name, needed, "address space") : raise_os(error, name);
}

void *raise_lock_timeout(const char *name, int64_t waited_ns, uint32_t holder, int64_t held_ns) {
    PyObject *pid = holder ? PyLong_FromUnsignedLong(holder) : Py_NewRef(Py_None);
    PyObject *held = held_ns >= 0 ? PyFloat_FromDouble((double)held_ns / 1e9) : Py_NewRef(Py_None);
    return raise_with("LockTimeout", Py_BuildValue("(sdNN)", public_name(name), (double)waited_ns / 1e9, pid, held));
}

/* OSError, of the class that the number stands for, with what to do about it. */
void *raise_os_hint(int error, const char *name, const char *hint) {
    PyObject *text = PyUnicode_FromFormat("%s; %s", strerror(error), hint);
    PyObject *args = text ? Py_BuildValue("(iOs)", error, text, name) : NULL;
    if (args != NULL) PyErr_SetObject(PyExc_OSError, args);
    Py_XDECREF(args);
    Py_XDECREF(text);
    return NULL;
}

static const char *hint_for(int error) {
    switch (error) {
    case EMFILE:
    case ENFILE: return "each container, queue and array takes a descriptor: raise the limit (ulimit -n)";
    case ENOLCK: return "the kernel has no room for another file lock: close objects that are not needed";
    case EAGAIN: return "what this needs is in use or locked: try again, with fewer objects or processes";
    case ENOMEM: return "the kernel has no memory for this: close objects, or end processes";
    case EIO: return "nothing was changed; the kernel's log (dmesg) may tell more";
    default:
        return "procshare needs files in a tmpfs that can be mapped, locked and linked: look for a filter of system calls, a security "
               "module or a full disk, or use the stdlib backend (PROCSHARE_BACKEND=stdlib)";
    }
}

void *raise_os(int error, const char *name) { return raise_os_hint(error, name, hint_for(error)); }

/* It could not sit down. A process that was forked after its parent had become another user cannot open the file. */
void *raise_seatless(const seg_t *seg, int error) {
    if (seg->foreign == 0 && error == EAGAIN)
        return raise_os_hint(error, seg->name, "as many processes are attached as it has seats for, 768");
    if (seg->foreign == 0) return raise_os(error, seg->name);
    return raise_named("NotOwned", seg->name,
                       "it belongs to user %u, and this process was forked as user %u: fork first, then become another user; or make it with "
                       "mode= and group= that let that user in",
                       (unsigned)(seg->foreign - 1), (unsigned)geteuid());
}

/* Call hooks.<hook>(*args), or without arguments; 0, or -1 with an exception. Steals args. */
int call_hook(const char *hook, PyObject *args) {
    PyObject *fn = PyObject_GetAttrString(process.hooks, hook);
    PyObject *done = NULL;
    if (fn != NULL) done = PyObject_CallObject(fn, args);
    Py_XDECREF(fn);
    Py_XDECREF(args);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}
