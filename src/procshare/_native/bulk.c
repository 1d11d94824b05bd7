/* Many keys of a table, changed as one commit. */
#include "container.h"

/* A key and its value, encoded before the lock is taken. */
typedef struct {
    mapkey_t key;
    item_t item;
    PyObject *name;
} ready_t;

static void ready_free(ready_t *ready, Py_ssize_t count) {
    for (Py_ssize_t i = 0; ready != NULL && i < count; i++) {
        key_clear(&ready[i].key);
        item_clear(&ready[i].item);
        Py_CLEAR(ready[i].name);
    }
    PyMem_Free(ready);
}

/* A list of pairs, or of keys that get the value True; NULL with an exception. The caller keeps the segment: pickling may close
 * the handle. */
static ready_t *ready_all(seg_t *seg, PyObject *list, bool pairs) {
    Py_ssize_t n = PyList_Size(list);
    ready_t *ready = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof *ready);
    if (ready == NULL) return n < 0 ? NULL : (ready_t *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *each = PyList_GetItem(list, i), *name = each, *value = Py_True;
        bool fits = each != NULL && (!pairs || (PyTuple_Check(each) && PyTuple_Size(each) == 2));
        if (fits && pairs) {
            name = PyTuple_GetItem(each, 0);
            value = PyTuple_GetItem(each, 1);
        } else if (!fits && !PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "expected a list of pairs");
        if (fits) ready[i].name = Py_NewRef(name);
        if (!fits || key_encode(seg, name, &ready[i].key) < 0 || item_encode(value, &ready[i].item) < 0 || PyList_Size(list) != n) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the list changed while it was read");
            ready_free(ready, i + 1);
            return NULL;
        }
    }
    return ready;
}

/* Set many keys without a stage: 1 done, 0 a key comes twice, and nothing was changed, -1 exception. */
static int set_many(seg_t *seg, const ready_t *set, Py_ssize_t count) {
    redo_list_t list = {.span = get(&current(seg)->span)};
    if (map_make_room(seg, (uint64_t)count) < 0) return -1;
    uint64_t first = get(&current(seg)->span), number, old, word;
    int done = 1;
    for (Py_ssize_t i = 0; i < count && done == 1; i++) {
        int live = map_locate(seg, &set[i].key, &number, &old);
        if (live < 0 || item_place(seg, &set[i].item, &word) < 0) done = -1;
        else if (live == 0 && (done = map_added_since(seg, &set[i].key, first) ? 0 : 1) == 1)
            done = map_add(seg, &set[i].key, false, &number) < 0 ? -1 : 1;
        if (done == 1 && redo_add(&list, number, word) < 0) done = -1;
    }
    if (done == 1 && !redo_sort(&list)) done = 0;
    if (done == 1) done = redo_commit(seg, &list) < 0 ? -1 : 1;
    redo_free(&list);
    if (done == 1) map_tidy(seg);
    return done;
}

/* Clear, then set, then drop, as one commit. The block's stage, or one of this call's own. */
static int change_all(handle_t *h, bool empty, ready_t *set, Py_ssize_t count, ready_t *drop, Py_ssize_t drops) {
    access_t a;
    if (access_write(h, &a) < 0) return -1;
    stage_t *saved = NULL, *stage;
    if (!a.inside && !empty && drops == 0) {
        int quick = set_many(a.seg, set, count);
        if (quick != 0) return access_end(&a, quick);
    }
    int done = access_begin_many(&a, &stage, &saved, count + drops > 1);
    if (done == 0 && empty) done = stage_clear(a.seg, stage);
    for (Py_ssize_t i = 0; i < count && done == 0; i++) {
        bool fresh;
        done = stage_set(a.seg, stage, &set[i].key, &set[i].item, &fresh);
    }
    for (Py_ssize_t i = 0; i < drops && done >= 0; i++) done = stage_delete(a.seg, stage, &drop[i].key);
    return access_end_many(&a, stage, saved, done);
}

static int change_pairs(PyObject *self, PyObject *pairs, bool clear) {
    handle_t *h = (handle_t *)self;
    access_t a;
    seg_t *seg = h->seg;
    if (seg == NULL) return access_read(h, &a);
    segment_ref(seg);
    ready_t *ready = ready_all(seg, pairs, true);
    Py_ssize_t n = PyList_Size(pairs);
    int done = ready == NULL ? -1 : change_all(h, clear, ready, n, NULL, 0);
    ready_free(ready, n);
    segment_unref(seg);
    return done;
}

PyObject *table_update(PyObject *self, PyObject *pairs) {
    if (change_pairs(self, pairs, false) < 0) return NULL;
    Py_RETURN_NONE;
}

PyObject *table_replace(PyObject *self, PyObject *pairs) {
    if (change_pairs(self, pairs, true) < 0) return NULL;
    Py_RETURN_NONE;
}

/* _change(add, drop): keys alone. */
PyObject *table_change(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    PyObject *add, *drop;
    access_t a;
    if (!PyArg_ParseTuple(args, "OO", &add, &drop)) return NULL;
    seg_t *seg = h->seg;
    if (seg == NULL) return access_read(h, &a), NULL;
    segment_ref(seg);
    ready_t *set = ready_all(seg, add, false), *gone = set ? ready_all(seg, drop, false) : NULL;
    Py_ssize_t count = set ? PyList_Size(add) : 0, drops = gone ? PyList_Size(drop) : 0;
    int done = gone == NULL ? -1 : change_all(h, false, set, count, gone, drops);
    ready_free(set, count);
    ready_free(gone, drops);
    segment_unref(seg);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

