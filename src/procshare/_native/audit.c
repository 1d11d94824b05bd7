/* What a test looks at: which objects this process has, and which locks it holds. Nobody else can tell it of objects that were never
 * exported, or of who reads. */
#include "native.h"

static int add(PyObject *found, const hold_t *hold) {
    char name[OBJECT_NAME_ROOM];
    if (atomic_load(&hold->thread) == 0) return 0;
    object_name(hold->seg, hold->slot, name);
    PyObject *item = Py_BuildValue("(siO)", name, (int)hold->slot->kind, hold->reads ? Py_True : Py_False);
    int added = item == NULL ? -1 : PyList_Append(found, item);
    Py_XDECREF(item);
    return added;
}

static int add_all(PyObject *found, const seg_t *seg) {
    for (uint32_t i = 0; seg->holds != NULL && i <= seg->slots; i++)
        if (seg->holds[i] != NULL && add(found, seg->holds[i]) < 0) return -1;
    for (const hold_t *reading = seg->readings; reading != NULL; reading = reading->sibling)
        if (add(found, reading) < 0) return -1;
    return 0;
}

/* [(name of the object, its kind, whether it is only read), ...] */
PyObject *audit_holds(void) {
    PyObject *found = PyList_New(0);
    for (seg_t *seg = process.segments, *next; seg != NULL; seg = next) {
        segment_ref(seg); /* to make a list may collect handles */
        if (found != NULL && add_all(found, seg) < 0) Py_CLEAR(found);
        next = seg->next;
        segment_unref(seg);
    }
    return found;
}

static int add_name(PyObject *found, seg_t *seg, uint32_t index) {
    char name[OBJECT_NAME_ROOM];
    object_name(seg, segment_slot(seg, index), name);
    PyObject *text = PyUnicode_FromString(name);
    int added = text == NULL ? -1 : PySet_Add(found, text);
    Py_XDECREF(text);
    return added;
}

/* {name, ...} of what this process has made, or is attached to. */
PyObject *audit_objects(void) {
    PyObject *found = PySet_New(NULL);
    for (seg_t *seg = process.segments, *next; seg != NULL; seg = next) {
        segment_ref(seg);
        for (uint32_t i = 0; found != NULL && i <= seg->slots; i++) {
            bool here = i == 0 ? seg->slots == 0 && seg->header != NULL : seg->born != NULL && seg->born[i] != 0;
            if (here && add_name(found, seg, i) < 0) Py_CLEAR(found);
        }
        next = seg->next;
        segment_unref(seg);
    }
    return found;
}
