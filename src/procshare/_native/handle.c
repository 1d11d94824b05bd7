/* The handle: one process's hold on a shared object. Base of the C types behind every class of the shm backend. */
#include "native.h"

#include <stdio.h>
#include <string.h>
#include <structmember.h>
#include <time.h>
#include <unistd.h>

/* Whether this process made the object, and still owns it. */
static bool mine(const handle_t *h) {
    const seg_t *seg = h->seg ? h->seg : h->former;
    return h->created && h->epoch == process.epoch && seg != NULL && atomic_load(segment_claim(seg, h->index)) == 0;
}

hold_t *handle_hold(handle_t *h) {
    if (h->hold == NULL) h->hold = hold_of(h->seg, h->index);
    return h->hold;
}

static void take_place(handle_t *h, seg_t *seg, uint32_t index) {
    h->seg = seg;
    h->index = index;
    h->slot = segment_slot(seg, index);
    h->generation = atomic_load(&h->slot->generation);
    h->word = &h->slot->word;
    seg->open[index]++;
}

/* Space for a new object, without a name yet; what it holds is for the caller to fill in before handle_publish(). */
int handle_place(handle_t *h, uint8_t kind, PyObject *name) {
    if (h->seg != NULL) {
        PyErr_SetString(PyExc_TypeError, "__init__ was called again on an object that exists; make a new one");
        return -1;
    }
    seg_t *seg;
    uint32_t index = 0;
    if ((name == NULL || name == Py_None) && h->mode == 0) {
        if (slab_take(&seg, &index) < 0) return -1;
    } else {
        if ((seg = segment_create(kind, 0, NULL, 0, 0, ALL_OF_IT)) == NULL) return -1;
        seg->handles++;
    }
    take_place(h, seg, index);
    h->slot->kind = h->kind = kind;
    h->created = true;
    h->epoch = process.epoch;
    return 0;
}

void handle_let_go(handle_t *h) {
    seg_t *seg = h->seg;
    if (seg == NULL) return;
    bool give_back = mine(h) && !h->exported && h->index > 0;
    uint32_t index = h->index;
    bool owned = index == 0 ? seg->owner : seg->born != NULL && seg->born[index] != 0; /* not unlinked yet */
    if (mine(h) && h->exported && owned) { /* unlink() and the end of `with` still mean the object, which lives on */
        segment_ref(seg);
        h->former = seg;
    }
    bool orphan = --seg->open[index] == 0 && index > 0 && (atomic_load(&h->slot->flags) & SLOT_ORPHAN) &&
                  atomic_load(segment_claim(seg, index)) == 0;
    if (orphan) {
        slab_give_back(seg, index);
        give_back = false;
    }
    h->word = NULL;
    h->seg = NULL;
    h->slot = NULL;
    h->hold = NULL;
    if (h->kind > KIND_QUEUE && seg->open[index] == 0) sync_closed(seg, index);
    if (give_back) {
        hold_t *hold = seg->holds ? seg->holds[index] : NULL;
        if (hold != NULL && atomic_load(&hold->thread) != 0) {
            lock_abandon(hold);
            seg->slot_exported[index] = 1; /* that thread may be in the middle of a write: the slot is not used again */
        }
        slab_give_back(seg, index);
    }
    if (--seg->handles == 0) segment_leave(seg);
    segment_unref(seg);
}

/* Undo handle_place() when the object could not be made. */
void handle_abort(handle_t *h) {
    handle_let_go(h);
    h->created = false;
}

/* A new, empty container; what it holds is for the caller to fill in before handle_publish(). */
int handle_create_container(handle_t *h, uint8_t kind) {
    if (h->seg != NULL) {
        PyErr_SetString(PyExc_TypeError, "__init__ was called again on an object that exists; make a new one");
        return -1;
    }
    seg_t *seg = container_create(kind);
    if (seg == NULL) return -1;
    handle_adopt(h, seg, 0, kind, 0);
    h->created = true;
    h->epoch = process.epoch;
    seg->making = true;
    return 0;
}

/* It is filled: give it its name, if it was asked to have one, or keeps others, by whom it is looked for. */
int handle_publish_container(handle_t *h, PyObject *name) {
    h->seg->making = false;
    container_filled(h->seg);
    if (handle_publish(h, name) < 0) return -1;
    if (!container_keeps(h->seg) || segment_name(h->seg) == 0) return 0;
    handle_abort(h);
    return -1;
}

/* Who may use it besides its user, as mode= and group= say: 0, or -1 with an exception. Before it has its place. */
int handle_permit(handle_t *h, PyObject *mode, PyObject *group) {
    if (LIKELY(mode == NULL && (group == NULL || group == Py_None))) return 0;
    PyObject *both = PyObject_CallMethod(process.hooks, "permissions", "OO", mode ? mode : Py_None, group ? group : Py_None);
    int done = both != NULL && PyArg_ParseTuple(both, "II", &h->mode, &h->group) ? 0 : -1;
    Py_XDECREF(both);
    return done;
}

/* What a type takes that is made without anything else: the name, borrowed, or None; NULL with an exception. */
PyObject *handle_parse(handle_t *h, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"name", "mode", "group", "backend", NULL};
    PyObject *name = Py_None, *mode = NULL, *group = NULL, *backend = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO", names, &name, &mode, &group, &backend)) return NULL;
    return handle_permit(h, mode, group) < 0 ? NULL : name;
}

static PyObject *method_permit(PyObject *self, PyObject *args) {
    PyObject *mode, *group;
    if (!PyArg_ParseTuple(args, "OO", &mode, &group) || handle_permit((handle_t *)self, mode, group) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Let others in, and give a finished object the name that it was asked to have. One for others has a name from the start: who
 * made it may be another user when somebody asks for it. */
int handle_publish(handle_t *h, PyObject *name) {
    if (h->mode != 0 && (segment_permit(h->seg, h->mode, h->group) < 0 || ((name == NULL || name == Py_None) && segment_name(h->seg) < 0))) {
        handle_abort(h);
        return -1;
    }
    if (name == NULL || name == Py_None) return 0;
    PyObject *full = PyObject_CallMethod(process.hooks, "segment_name", "O", name);
    const char *text = full ? PyUnicode_AsUTF8AndSize(full, NULL) : NULL;
    int done = -1;
    if (text != NULL) {
        atomic_fetch_or(&h->seg->header->flags, h->wanted_flags);
        if (h->wanted_flags & SEG_SHARED) h->created = h->seg->owner = false;
        done = segment_publish(h->seg, text);
    }
    Py_XDECREF(full);
    if (done < 0) {
        handle_abort(h);
        return -1;
    }
    if (!h->created) return 0;
    h->exported = true;
    if (segment_export(h->seg) == 0) return 0;
    handle_abort(h);
    return -1;
}

/* ---- attaching ---- */

/* A handle on slot *index* of a segment of which the caller has a reference and passes it on. Kind and code are what the
 * caller checked: in the slot they may be others by now. */
void handle_adopt(handle_t *h, seg_t *seg, uint32_t index, uint8_t kind, uint8_t code) {
    take_place(h, seg, index);
    h->kind = kind;
    h->code = code;
    seg->handles++;
}

static const char *kind_name(int kind) {
    static const char *const names[] = {"slab", "counter", "value", "array", "dict", "list", "set", "namespace", "queue", "lock",
                                        "rlock", "semaphore", "bounded_semaphore", "event", "condition", "barrier", "rwlock"};
    return kind >= 1 && kind <= (int)(sizeof names / sizeof *names) ? names[kind - 1] : "thing unknown here";
}

static void *another_kind(const char *name, int found, int wanted) {
    return raise_named("KindMismatch", name, "it is a %s, and not a %s; procshare.attach() finds the class that fits",
                       kind_name(found), kind_name(wanted));
}

static int check_object(seg_t *seg, const char *name, uint32_t index, uint32_t generation, int kind, uint8_t *code) {
    slot_t *slot = index <= seg->slots ? segment_slot(seg, index) : NULL;
    if (slot == NULL || (index == 0) != (seg->kind != KIND_SLAB) || atomic_load(&slot->state) != SLOT_LIVE ||
        (index > 0 && atomic_load(&slot->generation) != generation))
        return raise_named("NotFound", name, ""), -1;
    if (slot->kind != kind || (index == 0 && seg->kind != (uint32_t)kind)) return another_kind(name, slot->kind, kind), -1;
    *code = *(volatile uint8_t *)&slot->code;
    if ((kind == KIND_VALUE && *code != 0 && !code_known(*code)) || kind <= KIND_SLAB || kind >= KIND_END)
        return raise_named("CorruptSegment", name, "its type code is unknown"), -1;
    return 0;
}

/* cls._attach_to(segment, slot, generation, kind): a handle, without running __init__. */
static PyObject *attach_to(PyObject *cls, PyObject *args) {
    const char *name;
    unsigned int index, generation;
    int kind;
    if (!PyArg_ParseTuple(args, "sIIi", &name, &index, &generation, &kind)) return NULL;
    /* Made first: that may collect garbage, and with it the segment's last handle, which would give up our seat. */
    handle_t *h = (handle_t *)PyType_GenericAlloc((PyTypeObject *)cls, 0);
    if (h == NULL) return NULL;
    uint8_t code = 0;
    seg_t *seg = segment_attach(name);
    if (seg == NULL || check_object(seg, name, index, generation, kind, &code) < 0 ||
        (is_container((uint32_t)kind) && container_prepare(seg) < 0) || (kind == KIND_QUEUE && queue_prepare(seg) < 0) ||
        (kind > KIND_QUEUE && sync_prepare(seg, (uint8_t)kind, code) < 0)) {
        if (seg != NULL) {
            if (seg->handles == 0) segment_leave(seg);
            segment_unref(seg);
        }
        Py_DECREF((PyObject *)h);
        return NULL;
    }
    handle_adopt(h, seg, index, (uint8_t)kind, code);
    FAULT(segment_arriving);
    atomic_fetch_and(&h->slot->flags, (uint8_t)~SLOT_IN_FLIGHT);
    return (PyObject *)h;
}

/* ---- name and lifetime ---- */

static int export_now(handle_t *h) {
    if (h->name != NULL) return 0;
    if (h->seg == NULL) return raise_closed(), -1;
    char text[OBJECT_NAME_ROOM];
    seg_t *seg = h->seg;
    segment_ref(seg); /* the tracker is told in Python: another thread may close the handle meanwhile, or export it too */
    int done = segment_export(seg);
    if (done == 0 && h->seg == NULL) raise_closed(), done = -1;
    segment_unref(seg);
    if (done < 0) return -1;
    if (h->name != NULL) return 0;
    if (mine(h)) h->exported = true;
    atomic_fetch_or(&h->slot->flags, SLOT_EXPORTED);
    if (h->index > 0 && h->seg->born != NULL) h->seg->slot_exported[h->index] = 1;
    object_name(h->seg, h->slot, text);
    h->segment = PyUnicode_FromString(h->seg->name);
    h->name = PyUnicode_FromString(text);
    return h->segment == NULL || h->name == NULL ? -1 : 0;
}

/* A value that it was noted for is done with. If it was exported for nothing else, and none was written, it is as before. */
void handle_withdraw(handle_t *h) {
    if (h->waiting > 0 && --h->waiting > 0) return;
    if (h->seg == NULL || !mine(h) || h->quiet != h->exports + 1) return;
    if (atomic_load(segment_claim(h->seg, h->index)) != 0) return;
    h->quiet = 0;
    h->exported = false;
    Py_CLEAR(h->name);
    Py_CLEAR(h->segment);
    atomic_fetch_and(&h->slot->flags, (uint8_t)~SLOT_EXPORTED);
    if (h->index == 0) segment_withdraw(h->seg);
    else if (h->seg->born != NULL) h->seg->slot_exported[h->index] = 0;
}

static PyObject *get_name(PyObject *self, void *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    bool fresh = !h->exported;
    return export_now(h) < 0 || links_note(h, fresh) < 0 ? NULL : Py_NewRef(h->name);
}

static PyObject *get_segment(PyObject *self, void *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    h->exports++;
    return export_now(h) < 0 ? NULL : Py_NewRef(h->segment);
}

/* The name by which processes of other users find it, too. */
static PyObject *get_address(PyObject *self, void *unused) {
    handle_t *h = (handle_t *)self;
    PyObject *name = get_name(self, unused);
    if (name == NULL || h->index > 0) return name;
    Py_DECREF(name);
    return Py_NewRef(h->segment);
}

/* _label(): the name, for messages; it exports nothing. */
static PyObject *method_label(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    char text[OBJECT_NAME_ROOM];
    if (h->seg == NULL) return raise_closed();
    object_name(h->seg, h->slot, text);
    return PyUnicode_FromString(text);
}

/* _known_as(): the name, if anybody but this handle may know it, else None. For repr(), which exports nothing. */
static PyObject *method_known_as(PyObject *self, PyObject *unused) {
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    bool chosen = h->index == 0 && strcmp(public_name(h->seg->name), h->seg->name) != 0;
    if (!h->exported && h->created && !chosen) Py_RETURN_NONE;
    return method_label(self, unused);
}

/* _holder(): the process that has the object's lock, by its id; 0 if nobody living has it. */
static PyObject *method_holder(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    return h->seg == NULL ? raise_closed() : answer(h, PyLong_FromUnsignedLong(object_holder(h)));
}

static PyObject *get_closed(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((handle_t *)self)->seg == NULL);
}

static PyObject *method_close(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_let_go((handle_t *)self);
    Py_RETURN_NONE;
}

static void forget_former(handle_t *h) {
    seg_t *seg = h->former;
    h->former = NULL;
    if (seg != NULL) segment_unref(seg);
}

static void destroy_object(handle_t *h) {
    seg_t *seg = h->seg ? h->seg : h->former;
    if (seg == NULL || (h->seg == NULL && !mine(h))) return;
    segment_ref(seg);
    atomic_fetch_and(&segment_slot(seg, h->index)->flags, (uint8_t)~SLOT_IN_FLIGHT);
    if (h->index == 0) segment_destroy(seg);
    else if (h->exported || !mine(h)) slab_give_back(seg, h->index); /* else close() does: until then it is in use */
    forget_former(h);
    segment_unref(seg);
}

static PyObject *method_unlink(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg != NULL && h->index == 0 && !segment_may_unlink(h->seg->uid) && segment_names(h->seg, h->seg->name))
        return raise_named("NotOwned", h->seg->name, "it belongs to another user, %u, and only that user and root can remove it",
                           (unsigned)h->seg->uid);
    destroy_object(h);
    Py_RETURN_NONE;
}

static PyObject *method_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (((handle_t *)self)->seg == NULL) return raise_closed();
    return Py_NewRef(self);
}

static PyObject *method_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args, (void)nargs;
    handle_t *h = (handle_t *)self;
    if (mine(h)) destroy_object(h);
    handle_let_go(h);
    Py_RETURN_NONE;
}

static PyObject *method_hand_over(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    h->exports++;
    if (export_now(h) < 0) return NULL;
    if (!mine(h)) return Py_NewRef(self); /* it belongs to others already */
    seg_t *seg = h->seg;
    segment_ref(seg);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    atomic_store(&seg->header->handed_at, (uint64_t)now.tv_sec);
    atomic_fetch_or(&h->slot->flags, SLOT_IN_FLIGHT);
    FAULT(segment_handing);
    atomic_fetch_or(&seg->header->flags, SEG_SHARED);
    FAULT(segment_handed);
    segment_hand_over(seg);
    h->created = false;
    if (h->index > 0) slab_hand_over(seg, h->index);
    segment_unref(seg);
    return Py_NewRef(self);
}

/* ---- waiting for changes, for wait_until() ---- */

static PyObject *method_watch(PyObject *self, PyObject *unused) {
    (void)unused;
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) return raise_closed();
    uint32_t token = atomic_fetch_or(&h->slot->change, 1) | 1;
    FAULT(change_watching);
    return PyLong_FromUnsignedLong(token);
}

static PyObject *method_await_change(PyObject *self, PyObject *args) {
    handle_t *h = (handle_t *)self;
    unsigned long token;
    PyObject *timeout;
    int64_t ns;
    if (!PyArg_ParseTuple(args, "kO", &token, &timeout) || parse_timeout(timeout, &ns) < 0) return NULL;
    if (h->seg == NULL) return raise_closed();
    seg_t *seg = h->seg;
    segment_ref(seg);
    int done = change_wait(h->slot, (uint32_t)token, ns);
    if (segment_whole(seg) < 0) done = -1;
    segment_unref(seg);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

/* _tally(late): somebody waits here by a loop in Python, or did so in vain. */
static PyObject *method_tally(PyObject *self, PyObject *late) {
    handle_t *h = (handle_t *)self;
    if (h->seg == NULL) Py_RETURN_NONE;
    tally_t *tally = tally_of(h->seg, h->slot);
    count_one(late == Py_True ? &tally->timeouts : &tally->waits);
    Py_RETURN_NONE;
}

static PyObject *method_want(PyObject *self, PyObject *persist) {
    handle_t *h = (handle_t *)self;
    uint32_t flags = SEG_SHARED | (PyObject_IsTrue(persist) ? SEG_PERSIST : 0);
    if (h->seg == NULL) h->wanted_flags = flags;
    else if (atomic_load(&h->seg->header->flags) & SEG_SHARED) atomic_fetch_or(&h->seg->header->flags, flags);
    Py_RETURN_NONE;
}

PyObject *handle_read_only(void) {
    PyErr_SetString(PyExc_AttributeError,
                    "value is read-only, because reading and writing it in two steps would race; use set(), modify(), "
                    "increment(), or `with x.locked() as guard:`");
    return NULL;
}

/* ---- the type ---- */

static PyObject *handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    return PyType_GenericAlloc(type, 0);
}

static void handle_dealloc(PyObject *self) {
    handle_t *h = (handle_t *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (h->weakrefs != NULL) PyObject_ClearWeakRefs(self);
    handle_let_go(h);
    forget_former(h);
    Py_CLEAR(h->cells[0]);
    Py_CLEAR(h->cells[1]);
    Py_CLEAR(h->name);
    Py_CLEAR(h->segment);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"_attach_to", attach_to, METH_VARARGS | METH_CLASS, NULL},
    {"_watch", method_watch, METH_NOARGS, NULL},
    {"_await_change", method_await_change, METH_VARARGS, NULL},
    {"_label", method_label, METH_NOARGS, NULL},
    {"_known_as", method_known_as, METH_NOARGS, NULL},
    {"_holder", method_holder, METH_NOARGS, NULL},
    {"_tally", method_tally, METH_O, NULL},
    {"_want", method_want, METH_O, NULL},
    {"_permit", method_permit, METH_VARARGS, NULL},
    {"close", method_close, METH_NOARGS, NULL},
    {"unlink", method_unlink, METH_NOARGS, NULL},
    {"hand_over", method_hand_over, METH_NOARGS, NULL},
    {"__enter__", method_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))method_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"name", get_name, NULL, NULL, NULL},
    {"segment", get_segment, NULL, NULL, NULL},
    {"_address", get_address, NULL, NULL, NULL},
    {"closed", get_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(handle_t, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, handle_new},     {Py_tp_dealloc, handle_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, getset},      {Py_tp_members, members},        {0, NULL},
};

PyType_Spec handle_spec = {"procshare._native.Handle", sizeof(handle_t), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
