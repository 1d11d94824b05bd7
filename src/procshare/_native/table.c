/* The table: what dict, set and namespace have in common; and the map, which is dict's own methods. */
#include "container.h"

/* ---- one key ---- */

/* What the block that the call is made in has made of a key: 1 *out is its value, 0 it has deleted it, 2 nothing, -1 exception. */
static int look_staged(const access_t *a, const mapkey_t *key, PyObject **out) {
    if (a->stage == NULL) return 2;
    change_t *change = stage_find(a->stage, key);
    if (change == NULL) return PyErr_Occurred() ? -1 : a->stage->cleared ? 0 : 2;
    if (!change->set) return 0;
    *out = item_decode(&change->item);
    return *out == NULL ? -1 : 1;
}

/* A key's value: 1 and a new reference, 0 it is not there, -1 exception. */
static int look(handle_t *h, PyObject *name, PyObject **out) {
    mapkey_t key;
    access_t a;
    taken_t taken;
    uint64_t word, generation;
    if (access_read(h, &a) < 0 || key_encode(a.seg, name, &key) < 0) return -1;
    int found = UNLIKELY(a.hold != NULL) ? look_staged(&a, &key, out) : 2;
    if (LIKELY(found == 2)) {
        uint64_t outer = reading_begin(a.seg);
        do found = map_find(a.seg, &key, &word, &generation);
        while (found == 1 && (found = word_take(a.seg, word, generation, &taken)) == 0);
        reading_end(a.seg, outer);
        if (LIKELY(found == 1) && UNLIKELY((*out = taken_decode(&taken)) == NULL)) found = -1;
        if (UNLIKELY(found != 1) && segment_whole(a.seg) < 0) found = -1;
    }
    if (UNLIKELY(key.owner != NULL)) key_clear(&key);
    return found;
}

static PyObject *missing(PyObject *key) {
    PyObject *args = PyTuple_Pack(1, key); /* a tuple as the key is one argument, not several */
    if (args != NULL) PyErr_SetObject(PyExc_KeyError, args);
    Py_XDECREF(args);
    return NULL;
}

static PyObject *subscript(PyObject *self, PyObject *name) {
    PyObject *out;
    int found = look((handle_t *)self, name, &out);
    if (LIKELY(found == 1)) return out;
    return found == 0 ? missing(name) : NULL;
}

static PyObject *find(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *out;
    if (nargs < 1 || nargs > 2) return PyErr_Format(PyExc_TypeError, "expected a key and perhaps a default");
    int found = look((handle_t *)self, args[0], &out);
    if (found == 1) return out;
    return found == 0 ? Py_NewRef(nargs == 2 ? args[1] : Py_None) : NULL;
}

static int contains(PyObject *self, PyObject *name) {
    mapkey_t key;
    access_t a;
    uint64_t word, generation;
    if (access_read((handle_t *)self, &a) < 0 || key_encode(a.seg, name, &key) < 0) return -1;
    int found = -2;
    if (UNLIKELY(a.stage != NULL)) {
        change_t *change = stage_find(a.stage, &key);
        if (change != NULL) found = change->set;
        else if (PyErr_Occurred()) found = -1;
        else if (a.stage->cleared) found = 0;
    }
    if (found == -2) {
        uint64_t outer = reading_begin(a.seg);
        found = map_find(a.seg, &key, &word, &generation);
        reading_end(a.seg, outer);
        if (segment_whole(a.seg) < 0) found = -1;
    }
    key_clear(&key);
    return found;
}

/* d[name] = item, in the block or at once: 1 the key is new, 0 it was there, -1 exception. Takes what the item owns. */
static int assign(access_t *a, const mapkey_t *key, item_t *item) {
    if (!a->inside) return map_put(a->seg, key, item);
    bool fresh;
    return stage_set(a->seg, a->stage, key, item, &fresh) < 0 ? -1 : fresh;
}

static int put_item(handle_t *h, PyObject *name, PyObject *value) {
    mapkey_t key;
    item_t item;
    access_t a;
    if (h->seg == NULL) return access_read(h, &a);
    if (key_encode(h->seg, name, &key) < 0) return -1;
    if (item_encode(value, &item) < 0) return key_clear(&key), -1;
    int fresh = access_write(h, &a) < 0 ? -1 : 0;
    if (fresh == 0) {
        fresh = assign(&a, &key, &item);
        if (access_end(&a, fresh < 0 ? -1 : 1) < 0) fresh = -1;
    }
    if (UNLIKELY(item.record != NULL)) item_clear(&item);
    if (UNLIKELY(key.owner != NULL)) key_clear(&key);
    return fresh;
}

/* In a block: 1 removed, with its value if *out* is wanted, 0 it was not there, -1 exception. */
static int remove_staged(access_t *a, const mapkey_t *key, PyObject **out) {
    uint64_t number, word;
    change_t *change = stage_find(a->stage, key);
    if (change == NULL && PyErr_Occurred()) return -1;
    if (change != NULL && !change->set) return 0;
    if (change == NULL) {
        copy_t copy;
        int there = a->stage->cleared ? 0 : map_locate(a->seg, key, &number, &word);
        if (there <= 0) return there;
        if (out != NULL && (word_copy(a->seg, word, &copy) < 0 || (*out = copy_decode(&copy)) == NULL)) return -1;
    } else if (out != NULL && (*out = item_decode(&change->item)) == NULL)
        return -1;
    if (out != NULL && access_again(a) < 0) return -1;
    return stage_delete(a->seg, a->stage, key);
}

/* At once: the same; 2: the copy is to be decoded first. */
static int remove_direct(access_t *a, const mapkey_t *key, decoded_t *decoded, copy_t *copy) {
    uint64_t number, word;
    int there = map_locate(a->seg, key, &number, &word);
    if (there <= 0) return there;
    if (decoded != NULL && (there = copy_first(a->seg, number, word, decoded, copy)) <= 0) return there < 0 ? -1 : 2;
    commit_begin(a->seg);
    map_set_word(a->seg, number, 0);
    commit_end(a->seg);
    map_tidy(a->seg);
    return 1;
}

/* Remove a key: 1, with its value if *out* is wanted, 0 it was not there, -1 an exception and nothing was changed. */
static int take(handle_t *h, PyObject *name, PyObject **out) {
    mapkey_t key;
    access_t a;
    copy_t copy = {0};
    decoded_t decoded = {0};
    if (h->seg == NULL) return access_read(h, &a);
    if (key_encode(h->seg, name, &key) < 0) return -1;
    if (out != NULL) *out = NULL;
    int done;
    do {
        if ((done = access_write(h, &a)) < 0) break;
        done = a.inside ? remove_staged(&a, &key, out) : remove_direct(&a, &key, out ? &decoded : NULL, &copy);
        if (access_end(&a, done == 2 ? 0 : done) < 0) done = -1;
        if (done == 2 && (decoded.object = copy_decode(&copy)) == NULL) done = -1;
    } while (done == 2);
    key_clear(&key);
    if (done == 1 && out != NULL && *out == NULL) *out = decoded.object ? Py_NewRef(decoded.object) : copy_decode(&copy);
    Py_CLEAR(copy.record);
    Py_CLEAR(decoded.object);
    if (done < 1 && out != NULL) Py_CLEAR(*out);
    return done == 1 && out != NULL && *out == NULL ? -1 : done;
}

static int set_subscript(PyObject *self, PyObject *name, PyObject *value) {
    if (value != NULL) return put_item((handle_t *)self, name, value) < 0 ? -1 : 0;
    int done = take((handle_t *)self, name, NULL);
    if (done == 0) missing(name);
    return done == 1 ? 0 : -1;
}

static PyObject *put_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) return PyErr_Format(PyExc_TypeError, "expected a key and a value");
    int fresh = put_item((handle_t *)self, args[0], args[1]);
    return fresh < 0 ? NULL : PyBool_FromLong(fresh);
}

static PyObject *take_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *out;
    if (nargs < 1 || nargs > 2) return PyErr_Format(PyExc_TypeError, "expected a key and perhaps a default");
    int done = take((handle_t *)self, args[0], &out);
    if (done == 1) return out;
    if (done == 0 && nargs == 2) return Py_NewRef(args[1]);
    return done == 0 ? missing(args[0]) : NULL;
}

/* setdefault(key, default=None): the default is encoded before the lock is taken, needed or not. */
static PyObject *setdefault(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    handle_t *h = (handle_t *)self;
    PyObject *out = NULL, *value = nargs == 2 ? args[1] : Py_None;
    mapkey_t key;
    item_t item;
    access_t a;
    copy_t copy = {0};
    if (nargs < 1 || nargs > 2) return PyErr_Format(PyExc_TypeError, "expected a key and perhaps a default");
    int found = look(h, args[0], &out);
    if (found != 0) return found < 0 ? NULL : out;
    if (h->seg == NULL) return access_read(h, &a), NULL;
    if (key_encode(h->seg, args[0], &key) < 0) return NULL;
    if (item_encode(value, &item) < 0) return key_clear(&key), NULL;
    int done = access_write(h, &a);
    if (done == 0) {
        uint64_t number, word;
        item_t kept = {item.word, Py_XNewRef(item.record), NULL};
        int there = a.inside ? 0 : map_locate(a.seg, &key, &number, &word); /* since we looked */
        done = there < 0 ? -1 : there ? word_copy(a.seg, word, &copy) : assign(&a, &key, &item) < 0 ? -1 : 1;
        done = access_end(&a, done);
        if (done >= 0) out = there ? copy_decode(&copy) : item_decode(&kept);
        item_clear(&kept);
    }
    item_clear(&item);
    key_clear(&key);
    return out;
}

/* ---- adding to an int ---- */

static int no_int(PyObject *key) {
    PyErr_Format(PyExc_TypeError, "increment() needs an int at key %R, which holds something else; modify_item() changes any value", key);
    return -1;
}

static int as_int(PyObject *obj, PyObject *key) {
    if (PyLong_Check(obj) && !PyBool_Check(obj)) return 0;
    return no_int(key);
}

/* The sum as an item, from the old value's word or record. No user's code runs: an int is an int. */
static int add_to(PyObject *old, PyObject *n, PyObject *key, item_t *item, PyObject **sum) {
    *sum = as_int(old, key) < 0 ? NULL : PyNumber_Add(old, n);
    Py_DECREF(old);
    return *sum == NULL || item_encode(*sum, item) < 0 ? -1 : 0;
}

static int increment_locked(access_t *a, const mapkey_t *key, PyObject *name, PyObject *n, PyObject **sum) {
    uint64_t number, word;
    copy_t copy;
    item_t item = {0};
    PyObject *old = NULL;
    int found = look_staged(a, key, &old);
    if (found < 0) return -1;
    if (found == 2) {
        if ((found = map_locate(a->seg, key, &number, &word)) < 0) return -1;
        if (found == 1) {
            uint8_t tag = 0;
            uint64_t length;
            if (tagged_is_record((int64_t)word) && (record_at(a->seg, tagged_offset(word), &tag, &length) == NULL ||
                                                    (tag != RECORD_INT && tag != RECORD_BIGINT)))
                return no_int(name);
            if (word_copy(a->seg, word, &copy) < 0 || (old = copy_decode(&copy)) == NULL) return -1;
        }
    }
    if (found == 0) old = PyLong_FromLong(0);
    int done = old == NULL ? -1 : add_to(old, n, name, &item, sum);
    if (done == 0 && a->inside && access_again(a) < 0) done = -1;
    if (done == 0) done = assign(a, key, &item) < 0 ? -1 : 1;
    item_clear(&item);
    if (done < 0) Py_CLEAR(*sum);
    return done;
}

static PyObject *increment_by(PyObject *self, PyObject *name, PyObject *by) {
    handle_t *h = (handle_t *)self;
    mapkey_t key;
    access_t a;
    PyObject *sum = NULL, *n = PyNumber_Index(by);
    if (n == NULL) return NULL;
    if (h->seg == NULL || key_encode(h->seg, name, &key) < 0) {
        Py_DECREF(n);
        return h->seg == NULL ? (access_read(h, &a), NULL) : NULL;
    }
    if (access_write(h, &a) == 0 && access_end(&a, increment_locked(&a, &key, name, n, &sum)) < 0) Py_CLEAR(sum);
    key_clear(&key);
    Py_DECREF(n);
    return sum;
}

static PyObject *increment(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "n", NULL};
    PyObject *name, *by = NULL, *one = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:increment", names, &name, &by)) return NULL;
    if (by == NULL && (by = one = PyLong_FromLong(1)) == NULL) return NULL;
    PyObject *sum = increment_by(self, name, by);
    Py_XDECREF(one);
    return sum;
}

/* ---- all keys ---- */

/* Whether a map can have so many: whoever asks for a length may make room for it. */
static bool plausible(seg_t *seg, uint64_t count) {
    if (LIKELY(count <= seg->geometry->capacity)) return true;
    return container_look(seg) != NULL && count <= seg->geometry->capacity; /* it has grown */
}

static Py_ssize_t checked(seg_t *seg, uint64_t count) {
    if (segment_whole(seg) < 0) return -1;
    return LIKELY(plausible(seg, count)) ? (Py_ssize_t)count : (container_corrupt(seg), -1);
}

static Py_ssize_t locked_length(handle_t *h) {
    access_t a;
    if (access_write(h, &a) < 0) return -1;
    Py_ssize_t length = checked(a.seg, get(&current(a.seg)->count));
    return access_end(&a, 0) < 0 ? -1 : length;
}

/* Of a map that this thread has locked, with what is staged. */
static Py_ssize_t staged_length(const access_t *a) {
    Py_ssize_t base = checked(a->seg, get(&current(a->seg)->count));
    if (base < 0 || a->stage == NULL) return base;
    return base + a->stage->more >= 0 ? base + (Py_ssize_t)a->stage->more : (container_corrupt(a->seg), -1);
}

static Py_ssize_t length(PyObject *self) {
    access_t a;
    if (access_read((handle_t *)self, &a) < 0) return -1;
    if (a.stage != NULL || a.hold != NULL) return staged_length(&a);
    container_t *c = container_of(a.seg);
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t sequence = atomic_load(&c->sequence), generation = atomic_load(&c->generation);
        uint64_t count = atomic_load(&generation_of(a.seg, generation)->count);
        atomic_thread_fence(memory_order_acquire);
        bool same = !(sequence & 1) && atomic_load(&c->sequence) == sequence && atomic_load(&c->generation) == generation;
        if (same && plausible(a.seg, count)) return segment_whole(a.seg) < 0 ? -1 : (Py_ssize_t)count;
        if (PyErr_Occurred()) return -1;
        cpu_relax();
    }
    return locked_length((handle_t *)self);
}

static PyObject *all(PyObject *self, bool keys, bool values) {
    copies_t copies = {.keys = keys, .values = values};
    PyObject *out = copies_take((handle_t *)self, &copies) < 0 ? NULL : copies_list(&copies);
    copies_free(&copies);
    return out;
}

/* _glance(most): the first pairs, or LockTimeout rather than wait; Ellipsis for a large value. For repr(). */
static PyObject *glance(PyObject *self, PyObject *most) {
    copies_t copies = {.keys = true, .values = true, .glance = true, .most = PyLong_AsUnsignedLong(most)};
    if (PyErr_Occurred()) return NULL;
    PyObject *out = copies_take((handle_t *)self, &copies) < 0 ? NULL : copies_list(&copies);
    copies_free(&copies);
    return out;
}

static PyObject *keys(PyObject *self, PyObject *unused) { return (void)unused, all(self, true, false); }
static PyObject *values(PyObject *self, PyObject *unused) { return (void)unused, all(self, false, true); }
static PyObject *items(PyObject *self, PyObject *unused) { return (void)unused, all(self, true, true); }

/* The first or last live entry and its key: 1, 0 there is none, -1 exception. */
static int end_entry(seg_t *seg, bool last, uint64_t *number, uint64_t *live, PyObject **key) {
    if (map_geometry(seg) == NULL) return -1;
    geometry_t *g = seg->geometry;
    uint64_t used = get(&current(seg)->span), length;
    const char *data;
    if (used > g->capacity) return container_corrupt(seg), -1;
    for (uint64_t i = last ? used : map_present(seg, g->head); last ? i > g->head : i < used;) {
        if (last && i == g->seen) i = g->tail;
        if (last && i-- <= g->head) break;
        if (last && map_present(seg, i & ~127ull) != (i & ~127ull)) { /* the whole page was punched */
            i &= ~127ull;
            continue;
        }
        const entry_t *e = entry(g, i);
        uint64_t word = get(&e->word);
        if (word == 0) {
            if (!last) i = map_present(seg, i + 1);
            continue;
        }
        if (!last) g->head = i;
        *number = i;
        *key = key_of_entry(seg, e, &data, &length) ? key_decode(e->tag, data, length) : NULL;
        if (*key == NULL) return container_corrupt(seg), -1;
        *live = word;
        return 1;
    }
    return 0;
}

static int take_end_direct(access_t *a, bool last, PyObject **key, decoded_t *decoded, copy_t *copy) {
    uint64_t number, word;
    int done = end_entry(a->seg, last, &number, &word, key);
    if (done <= 0) return done;
    if ((done = copy_first(a->seg, number, word, decoded, copy)) <= 0) return done < 0 ? -1 : 2;
    commit_begin(a->seg);
    map_set_word(a->seg, number, 0);
    commit_end(a->seg);
    if (last) {
        a->seg->geometry->tail = number;
        a->seg->geometry->seen = get(&current(a->seg)->span);
    }
    map_tidy(a->seg);
    return 1;
}

static void empty(const handle_t *h) {
    PyErr_SetString(PyExc_KeyError, h->kind == KIND_SET ? "pop from an empty set" : "popitem(): dictionary is empty");
}

/* _take_end(last) in a block: by way of all keys. */
static PyObject *take_end_staged(PyObject *self, bool last) {
    PyObject *all_keys = keys(self, NULL), *pair = NULL, *value = NULL;
    Py_ssize_t n = all_keys ? PyList_Size(all_keys) : -1;
    PyObject *key = n > 0 ? PyList_GetItem(all_keys, last ? n - 1 : 0) : NULL;
    if (n == 0) empty((handle_t *)self);
    if (key != NULL && take((handle_t *)self, key, &value) == 1) pair = PyTuple_Pack(2, key, value);
    Py_XDECREF(value);
    Py_XDECREF(all_keys);
    return pair || PyErr_Occurred() ? pair : container_corrupt(((handle_t *)self)->seg);
}

static PyObject *take_end(PyObject *self, PyObject *which) {
    handle_t *h = (handle_t *)self;
    access_t a;
    copy_t copy = {0};
    decoded_t decoded = {0};
    PyObject *key = NULL, *value = NULL, *pair = NULL;
    int last = PyObject_IsTrue(which), done = last < 0 ? -1 : 2;
    while (done == 2) {
        Py_CLEAR(key);
        if ((done = access_write(h, &a)) < 0) break;
        if (a.inside) {
            access_end(&a, 0);
            return take_end_staged(self, last);
        }
        done = take_end_direct(&a, last, &key, &decoded, &copy);
        if (access_end(&a, done == 2 ? 0 : done) < 0) done = -1;
        if (done == 2 && (decoded.object = copy_decode(&copy)) == NULL) done = -1;
    }
    if (done == 0) empty(h);
    if (done == 1) value = decoded.object ? Py_NewRef(decoded.object) : copy_decode(&copy);
    if (value != NULL) pair = PyTuple_Pack(2, key, value);
    Py_XDECREF(copy.record);
    Py_XDECREF(decoded.object);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return pair;
}

static PyObject *clear(PyObject *self, PyObject *unused) {
    (void)unused;
    access_t a;
    if (access_write((handle_t *)self, &a) < 0) return NULL;
    int done = a.inside ? stage_clear(a.seg, a.stage) : map_empty(a.seg) < 0 ? -1 : 1;
    if (access_end(&a, done) < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- making ---- */

/* _create(kind, pairs, name) */
static PyObject *create(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    PyObject *pairs, *name;
    int kind;
    if (!PyArg_ParseTuple(args, "iO!O", &kind, &PyList_Type, &pairs, &name)) return NULL;
    if (handle_create_container(h, (uint8_t)kind) < 0) return NULL;
    access_t a;
    int done = access_write(h, &a) < 0 ? -1 : access_end(&a, map_make_room(h->seg, (uint64_t)PyList_Size(pairs)));
    for (Py_ssize_t i = 0, n = PyList_Size(pairs); i < n && done >= 0; i++) {
        PyObject *pair = PyList_GetItem(pairs, i);
        bool fits = PyTuple_Check(pair) && PyTuple_Size(pair) == 2;
        if (!fits) PyErr_SetString(PyExc_TypeError, "expected a list of pairs");
        done = fits ? put_item(h, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1)) : -1;
    }
    if (done < 0) handle_abort(h);
    if (done < 0 || handle_publish_container(h, name) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_create", create, METH_VARARGS, NULL},
    {"_keys", keys, METH_NOARGS, NULL},
    {"_values", values, METH_NOARGS, NULL},
    {"_items", items, METH_NOARGS, NULL},
    {"_glance", glance, METH_O, NULL},
    {"_find", (PyCFunction)(void (*)(void))find, METH_FASTCALL, NULL},
    {"_put", (PyCFunction)(void (*)(void))put_method, METH_FASTCALL, NULL},
    {"_take", (PyCFunction)(void (*)(void))take_method, METH_FASTCALL, NULL},
    {"_take_end", take_end, METH_O, NULL},
    {"_update", table_update, METH_O, NULL},
    {"_replace", table_replace, METH_O, NULL},
    {"_change", table_change, METH_VARARGS, NULL},
    {"_increment", (PyCFunction)(void (*)(void))increment, METH_VARARGS | METH_KEYWORDS, NULL},
    {"clear", clear, METH_NOARGS, "clear($self)\n--\n\n"},
    {"_stamp", method_stamp, METH_NOARGS, NULL},
    {"locked", (PyCFunction)(void (*)(void))method_block, METH_VARARGS | METH_KEYWORDS,
     "locked($self, timeout=None)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_methods, methods}, {Py_mp_length, length}, {Py_sq_contains, contains}, {0, NULL},
};

PyType_Spec table_spec = {"procshare._native.Table", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

/* ---- dict's own ---- */

static PyObject *popitem(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"last", NULL};
    PyObject *last = Py_True;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:popitem", names, &last)) return NULL;
    return take_end(self, last);
}

static PyMethodDef map_methods[] = {
    {"get", (PyCFunction)(void (*)(void))find, METH_FASTCALL, "get($self, key, default=None, /)\n--\n\n"},
    {"pop", (PyCFunction)(void (*)(void))take_method, METH_FASTCALL,
     "pop($self, key, default=..., /)\n--\n\n"},
    {"popitem", (PyCFunction)(void (*)(void))popitem, METH_VARARGS | METH_KEYWORDS,
     "popitem($self, last=True)\n--\n\n"},
    {"setdefault", (PyCFunction)(void (*)(void))setdefault, METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"},
    {"increment", (PyCFunction)(void (*)(void))increment, METH_VARARGS | METH_KEYWORDS,
     "increment($self, key, n=1)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot map_slots[] = {
    {Py_tp_methods, map_methods},
    {Py_mp_length, length},
    {Py_mp_subscript, subscript},
    {Py_mp_ass_subscript, set_subscript},
    {Py_sq_contains, contains},
    {0, NULL},
};

PyType_Spec map_spec = {"procshare._native.Map", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, map_slots};
