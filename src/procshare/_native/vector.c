/* The vector: the C side of a shared list. */
#include "container.h"

static int64_t staged_index(const access_t *a, int64_t index, bool clip) {
    int64_t length = (int64_t)(a->stage ? stage_length(a->seg, a->stage) : span_length(get(&current(a->seg)->span)));
    if (index < 0) index += length;
    if (clip) return index < 0 ? 0 : index > length ? length : index;
    return index < 0 || index >= length ? -1 : index;
}

static PyObject *out_of_range(const char *what) {
    PyErr_SetString(PyExc_IndexError, what);
    return NULL;
}

/* ---- reading ---- */

static Py_ssize_t length(PyObject *self) {
    access_t a;
    if (access_read((handle_t *)self, &a) < 0) return -1;
    if (a.stage != NULL) return (Py_ssize_t)stage_length(a.seg, a.stage);
    container_t *c = container_of(a.seg);
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t generation = atomic_load(&c->generation), pending = atomic_load(&c->pending);
        uint64_t span = atomic_load(&generation_of(a.seg, generation)->span);
        bool sure = true;
        if (UNLIKELY(pending != 0)) {
            uint64_t outer = reading_begin(a.seg);
            sure = redo_span(a.seg, pending, &span) >= 0;
            reading_end(a.seg, outer);
        }
        if (!sure || atomic_load(&c->generation) != generation || atomic_load(&c->pending) != pending) continue;
        if (segment_whole(a.seg) < 0) return -1;
        if (LIKELY(span_start(span) + span_length(span) <= a.seg->geometry->capacity)) return (Py_ssize_t)span_length(span);
        if (container_look(a.seg) == NULL) return -1; /* it has grown, or it is damaged */
    }
    return container_corrupt(a.seg), -1;
}

/* All items, or those of a slice. */
static PyObject *some(PyObject *self, PyObject *slice) {
    copies_t copies = {.values = true, .step = 1, .stop = PY_SSIZE_T_MAX};
    if (slice != NULL && PySlice_Unpack(slice, &copies.start, &copies.stop, &copies.step) < 0) return NULL;
    PyObject *out = copies_take((handle_t *)self, &copies) < 0 ? NULL : copies_list(&copies);
    copies_free(&copies);
    return out;
}

/* _glance(most): the first items, or LockTimeout rather than wait; Ellipsis for a large one. For repr(). */
static PyObject *glance(PyObject *self, PyObject *most) {
    copies_t copies = {.values = true, .glance = true, .step = 1, .stop = PyLong_AsSsize_t(most)};
    if (PyErr_Occurred()) return NULL;
    PyObject *out = copies_take((handle_t *)self, &copies) < 0 ? NULL : copies_list(&copies);
    copies_free(&copies);
    return out;
}

static PyObject *list(PyObject *self, PyObject *unused) { return (void)unused, some(self, NULL); }

static PyObject *get_item(handle_t *h, int64_t index) {
    access_t a;
    uint64_t word, generation;
    if (access_read(h, &a) < 0) return NULL;
    if (UNLIKELY(a.stage != NULL)) {
        int64_t i = staged_index(&a, index, false);
        if (i < 0) return out_of_range("list index out of range");
        if ((uint64_t)i >= a.stage->kept) {
            const item_t *item = &a.stage->tail[(uint64_t)i - a.stage->kept];
            if (item->record != NULL) return item_decode(item);
            copy_t copy;
            return word_copy(a.seg, item->word, &copy) < 0 ? NULL : copy_decode(&copy);
        }
        index = i;
    }
    taken_t taken;
    uint64_t outer = reading_begin(a.seg);
    int found;
    do found = list_get(a.seg, index, &word, &generation);
    while (found == 1 && (found = word_take(a.seg, word, generation, &taken)) == 0);
    reading_end(a.seg, outer);
    if (LIKELY(found == 1)) return taken_decode(&taken);
    return found < 0 || segment_whole(a.seg) < 0 ? NULL : out_of_range("list index out of range");
}

static int as_index(PyObject *obj, int64_t *index) {
    PyObject *number = PyNumber_Index(obj);
    int overflow = 0;
    if (number == NULL) return -1;
    *index = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (overflow) *index = overflow < 0 ? INT64_MIN / 2 : INT64_MAX / 2;
    return 0;
}

static PyObject *subscript(PyObject *self, PyObject *key) {
    int64_t index;
    if (LIKELY(PyLong_CheckExact(key))) {
        int overflow = 0;
        index = PyLong_AsLongLongAndOverflow(key, &overflow);
        if (LIKELY(!overflow)) return get_item((handle_t *)self, index);
    }
    if (PySlice_Check(key)) return some(self, key);
    if (!PyIndex_Check(key))
        return PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %R", (PyObject *)Py_TYPE(key));
    return as_index(key, &index) < 0 ? NULL : get_item((handle_t *)self, index);
}

static PyObject *item_at(PyObject *self, Py_ssize_t index) { return get_item((handle_t *)self, index); }

/* ---- writing: one store ---- */

static int set_direct(seg_t *seg, int64_t index, const item_t *item) {
    uint64_t word, span = get(&current(seg)->span);
    int64_t length = (int64_t)span_length(span), i = index < 0 ? index + length : index;
    if (i < 0 || i >= length) return out_of_range("list assignment index out of range"), -1;
    if (item_place(seg, item, &word) < 0 || container_look(seg) == NULL) return -1;
    uint64_t position = span_start(span) + (uint64_t)i;
    if (position >= seg->geometry->capacity) return container_corrupt(seg), -1;
    bool garbage = tagged_is_record((int64_t)get(word_at(seg->geometry, position)));
    commit_begin(seg);
    list_set_word(seg, position, word);
    commit_end(seg);
    if (UNLIKELY(garbage)) list_tidy(seg);
    return 1;
}

static int set_staged(access_t *a, int64_t index, item_t *item) {
    int64_t i = staged_index(a, index, false);
    if (i < 0) return out_of_range("list assignment index out of range"), -1;
    if (stage_unfold(a->seg, a->stage, (uint64_t)i) < 0) return -1;
    item_t *at = &a->stage->tail[(uint64_t)i - a->stage->kept], old = *at;
    *at = *item;
    *item = (item_t){0};
    item_clear(&old);
    return 1;
}

static int set_item(handle_t *h, int64_t index, PyObject *value) {
    item_t item;
    access_t a;
    if (item_encode(value, &item) < 0) return -1;
    int done = access_write(h, &a);
    if (done == 0) done = access_end(&a, a.inside ? set_staged(&a, index, &item) : set_direct(a.seg, index, &item));
    item_clear(&item);
    return done < 0 ? -1 : 0;
}

/* Write words behind the end, then make them the list's by one store. */
static int try_extend(seg_t *seg, const item_t *items, uint64_t count) {
    if (list_make_room(seg, count) < 0) return -1;
    uint64_t span = get(&current(seg)->span), end = span_start(span) + span_length(span);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word;
        if (item_place(seg, &items[i], &word) < 0) return -1;
        if (end + i >= seg->geometry->capacity) return container_corrupt(seg), -1;
        put(word_at(seg->geometry, end + i), word);
    }
    FAULT(list_written);
    commit_begin(seg);
    list_set_span(seg, span_start(span), span_length(span) + count);
    commit_end(seg);
    return 1;
}

static int extend_direct(seg_t *seg, const item_t *items, uint64_t count) {
    int done = try_extend(seg, items, count);
    return LIKELY(done >= 0) || !container_make_way(seg) ? done : try_extend(seg, items, count);
}

static PyObject *append(PyObject *self, PyObject *value) {
    item_t item;
    access_t a;
    if (item_encode(value, &item) < 0) return NULL;
    int done = access_write((handle_t *)self, &a);
    if (done == 0) {
        if (a.inside) done = stage_insert(a.seg, a.stage, stage_length(a.seg, a.stage), &item, 1);
        else done = extend_direct(a.seg, &item, 1);
        done = access_end(&a, done);
    }
    if (UNLIKELY(item.record != NULL)) item_clear(&item);
    if (UNLIKELY(done < 0)) return NULL;
    Py_RETURN_NONE;
}

/* Take the first or last item off: 1, 2 its copy is to be decoded first, -1 exception. */
static int pop_end(seg_t *seg, uint64_t span, bool first, decoded_t *decoded, copy_t *copy) {
    uint64_t start = span_start(span), length = span_length(span), place = first ? start : start + length - 1;
    if (container_look(seg) == NULL) return -1;
    if (start + length > seg->geometry->capacity) return container_corrupt(seg), -1;
    int done = copy_first(seg, place, get(word_at(seg->geometry, place)), decoded, copy);
    if (done <= 0) return done < 0 ? -1 : 2;
    commit_begin(seg);
    list_set_span(seg, first ? start + 1 : start, length - 1);
    commit_end(seg);
    list_tidy(seg);
    return 1;
}

/* ---- writing: many words ---- */

static void items_free(item_t *items, Py_ssize_t count) {
    for (Py_ssize_t i = 0; items != NULL && i < count; i++) item_clear(&items[i]);
    PyMem_Free(items);
}

/* All of a list, encoded before the lock is taken; NULL with an exception. */
static item_t *items_of(PyObject *values) {
    Py_ssize_t n = PyList_Size(values);
    item_t *items = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof *items);
    if (items == NULL) return n < 0 ? NULL : (item_t *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *value = PyList_GetItem(values, i);
        if (value != NULL) Py_INCREF(value);
        int done = value == NULL ? -1 : item_encode(value, &items[i]);
        Py_XDECREF(value);
        if (done == 0 && PyList_Size(values) == n) continue;
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the list changed while it was read");
        items_free(items, i + 1);
        return NULL;
    }
    return items;
}

/* What a call does to the stage: slices say which positions, items what comes there. */
typedef struct {
    PyObject *slice; /* or NULL: at *index* */
    int64_t index;
    item_t *items;
    Py_ssize_t count; /* of items; -1: delete */
} edit_t;

static int edit_extended(access_t *a, stage_t *stage, const edit_t *edit, Py_ssize_t start, Py_ssize_t step, Py_ssize_t n) {
    if (edit->count >= 0 && edit->count != n) {
        PyErr_Format(PyExc_ValueError, "attempt to assign sequence of size %zd to extended slice of size %zd", edit->count, n);
        return -1;
    }
    Py_ssize_t lowest = step > 0 ? start : start + (n - 1) * step, stride = step > 0 ? step : -step;
    if (n == 0) return 0;
    if (stage_unfold(a->seg, stage, (uint64_t)lowest) < 0) return -1;
    item_t *tail = stage->tail + ((uint64_t)lowest - stage->kept);
    if (edit->count >= 0) {
        for (Py_ssize_t i = 0; i < n; i++) {
            item_t *to = &tail[start + i * step - lowest], old = *to;
            *to = edit->items[i];
            edit->items[i] = old; /* the caller clears it, when all is done */
        }
        return 0;
    }
    item_t *gone = PyMem_Malloc((size_t)n * sizeof *gone);
    if (gone == NULL) return PyErr_NoMemory(), -1;
    Py_ssize_t rest = (Py_ssize_t)(stage->tail_count - ((uint64_t)lowest - stage->kept)), kept = 0, removed = 0;
    for (Py_ssize_t i = 0; i < rest; i++) {
        if (i % stride == 0 && removed < n) gone[removed++] = tail[i];
        else tail[kept++] = tail[i];
    }
    stage->tail_count -= (uint64_t)removed;
    items_free(gone, removed);
    return 0;
}

static int edit_slice(access_t *a, stage_t *stage, const edit_t *edit) {
    Py_ssize_t start, stop, step, length = (Py_ssize_t)stage_length(a->seg, stage);
    if (PySlice_Unpack(edit->slice, &start, &stop, &step) < 0) return -1;
    Py_ssize_t n = PySlice_AdjustIndices(length, &start, &stop, step);
    if (step != 1) return edit_extended(a, stage, edit, start, step, n);
    if (n > 0 && stage_remove(a->seg, stage, (uint64_t)start, (uint64_t)n) < 0) return -1;
    return edit->count > 0 ? stage_insert(a->seg, stage, (uint64_t)start, edit->items, (uint64_t)edit->count) : 0;
}

static int edit_index(access_t *a, stage_t *stage, const edit_t *edit) {
    access_t there = *a;
    there.stage = stage;
    int64_t i = staged_index(&there, edit->index, edit->count >= 0);
    if (i < 0) return out_of_range("list assignment index out of range"), -1;
    if (edit->count < 0) return stage_remove(a->seg, stage, (uint64_t)i, 1);
    return stage_insert(a->seg, stage, (uint64_t)i, edit->items, (uint64_t)edit->count);
}

static int edit_list(handle_t *h, const edit_t *edit) {
    access_t a;
    stage_t *stage, *saved;
    if (access_write(h, &a) < 0) return -1;
    int done = access_begin_many(&a, &stage, &saved, false);
    if (done == 0) done = edit->slice ? edit_slice(&a, stage, edit) : edit_index(&a, stage, edit);
    return access_end_many(&a, stage, saved, done);
}

static int edit_with(handle_t *h, PyObject *slice, PyObject *values) {
    PyObject *plain = PySequence_List(values);
    if (plain == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) PyErr_SetString(PyExc_TypeError, "can only assign an iterable");
        return -1;
    }
    edit_t edit = {.slice = slice, .items = items_of(plain), .count = PyList_Size(plain)};
    int done = edit.items == NULL ? -1 : edit_list(h, &edit);
    items_free(edit.items, edit.count);
    Py_DECREF(plain);
    return done;
}

static int set_subscript(PyObject *self, PyObject *key, PyObject *value) {
    handle_t *h = (handle_t *)self;
    edit_t edit = {.count = -1};
    if (PySlice_Check(key)) {
        edit.slice = key;
        return (value ? edit_with(h, key, value) : edit_list(h, &edit)) < 0 ? -1 : 0;
    }
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %R", (PyObject *)Py_TYPE(key));
        return -1;
    }
    if (as_index(key, &edit.index) < 0) return -1;
    return value ? set_item(h, edit.index, value) : edit_list(h, &edit) < 0 ? -1 : 0;
}

static PyObject *insert(PyObject *self, PyObject *args) {
    PyObject *at, *value;
    item_t item;
    edit_t edit = {.items = &item, .count = 1};
    if (!PyArg_ParseTuple(args, "OO:insert", &at, &value) || as_index(at, &edit.index) < 0) return NULL;
    if (item_encode(value, &item) < 0) return NULL;
    int done = edit_list((handle_t *)self, &edit);
    item_clear(&item);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

/* One of many, or in a block: by way of the stage; 1, 2 or -1 as pop_end(). */
static int pop_staged(access_t *a, uint64_t i, decoded_t *decoded, copy_t *copy, PyObject **out) {
    stage_t *stage, *saved;
    int done = access_begin_many(a, &stage, &saved, false);
    if (done == 0) done = stage_unfold(a->seg, stage, i);
    if (done == 0) {
        const item_t *item = &stage->tail[i - stage->kept];
        if (item->record != NULL) done = (*out = item_decode(item)) == NULL ? -1 : 1;
        else done = copy_first(a->seg, i, item->word, decoded, copy);
        if (done == 0 && a->inside) done = (*out = copy_decode(copy)) == NULL ? -1 : 1;
        if (done == 0) { /* nothing is changed: the lock goes, and what was staged with it */
            stage_free(stage);
            return access_end(a, 0) < 0 ? -1 : 2;
        }
    }
    if (done == 1 && a->inside) { /* it was decoded meanwhile */
        if (access_again(a) < 0) done = -1;
        stage = a->stage;
    }
    if (done == 1) done = i < stage_length(a->seg, stage) ? stage_remove(a->seg, stage, i, 1) : 0;
    return access_end_many(a, stage, saved, done) < 0 ? -1 : 1;
}

/* pop(index=-1): at the ends by one store, elsewhere by a redo. */
static PyObject *pop(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    handle_t *h = (handle_t *)self;
    int64_t index = -1;
    access_t a;
    copy_t copy = {0};
    decoded_t decoded = {0};
    PyObject *out = NULL;
    int done = 2;
    if (nargs > 1) return PyErr_Format(PyExc_TypeError, "pop() takes at most one argument, an index");
    if (nargs == 1 && as_index(args[0], &index) < 0) return NULL;
    while (done == 2) {
        if ((done = access_write(h, &a)) < 0) break;
        uint64_t span = get(&current(a.seg)->span);
        int64_t i = staged_index(&a, index, false);
        int64_t length = (int64_t)(a.stage ? stage_length(a.seg, a.stage) : span_length(span));
        if (i < 0) {
            if (access_end(&a, 0) == 0) out_of_range(length == 0 ? "pop from empty list" : "pop index out of range");
            done = -1;
        } else if (a.inside || (i > 0 && i < length - 1)) {
            done = pop_staged(&a, (uint64_t)i, &decoded, &copy, &out);
        } else {
            done = pop_end(a.seg, span, i == 0 && length > 1, &decoded, &copy);
            if (access_end(&a, done == 2 ? 0 : done) < 0) done = -1;
        }
        if (done == 2 && (decoded.object = copy_decode(&copy)) == NULL) done = -1;
    }
    if (done == 1 && out == NULL) out = decoded.object ? Py_NewRef(decoded.object) : copy_decode(&copy);
    if (done < 0) Py_CLEAR(out);
    Py_CLEAR(copy.record);
    Py_CLEAR(decoded.object);
    return out;
}

static PyObject *extend(PyObject *self, PyObject *values) {
    access_t a;
    if (!PyList_Check(values)) return PyErr_Format(PyExc_TypeError, "expected a list");
    Py_ssize_t n = PyList_Size(values);
    item_t *items = items_of(values);
    if (items == NULL) return NULL;
    int done = access_write((handle_t *)self, &a);
    if (done == 0) {
        if (a.inside) done = stage_insert(a.seg, a.stage, stage_length(a.seg, a.stage), items, (uint64_t)n);
        else if (n > 0) done = extend_direct(a.seg, items, (uint64_t)n);
        done = access_end(&a, done);
    }
    items_free(items, n);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *replace(PyObject *self, PyObject *values) {
    PyObject *slice = PySlice_New(NULL, NULL, NULL);
    int done = slice ? edit_with((handle_t *)self, slice, values) : -1;
    Py_XDECREF(slice);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *clear(PyObject *self, PyObject *unused) {
    (void)unused;
    access_t a;
    stage_t *stage, *saved;
    if (access_write((handle_t *)self, &a) < 0) return NULL;
    int done = access_begin_many(&a, &stage, &saved, false);
    if (done == 0) done = stage_clear(a.seg, stage);
    if (access_end_many(&a, stage, saved, done) < 0) return NULL;
    Py_RETURN_NONE;
}

/* _create(kind, items, name) */
static PyObject *create(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    PyObject *values, *name;
    int kind;
    if (!PyArg_ParseTuple(args, "iO!O", &kind, &PyList_Type, &values, &name)) return NULL;
    if (handle_create_container(h, (uint8_t)kind) < 0) return NULL;
    PyObject *done = extend(self, values);
    Py_XDECREF(done);
    if (done == NULL) handle_abort(h);
    if (done == NULL || handle_publish_container(h, name) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL},
    {"_extend", extend, METH_O, NULL},
    {"_replace", replace, METH_O, NULL},
    {"_list", list, METH_NOARGS, NULL},
    {"_glance", glance, METH_O, NULL},
    {"append", append, METH_O, "append($self, value, /)\n--\n\n"},
    {"insert", insert, METH_VARARGS, "insert($self, index, value, /)\n--\n\n"},
    {"pop", (PyCFunction)(void (*)(void))pop, METH_FASTCALL,
     "pop($self, index=-1, /)\n--\n\n"},
    {"clear", clear, METH_NOARGS, "clear($self)\n--\n\n"},
    {"_stamp", method_stamp, METH_NOARGS, NULL},
    {"locked", (PyCFunction)(void (*)(void))method_block, METH_VARARGS | METH_KEYWORDS,
     "locked($self, timeout=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_methods, methods},
    {Py_mp_length, length},
    {Py_sq_length, length},
    {Py_sq_item, item_at},
    {Py_mp_subscript, subscript},
    {Py_mp_ass_subscript, set_subscript},
    {0, NULL},
};

PyType_Spec vector_spec = {"procshare._native.Vector", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
