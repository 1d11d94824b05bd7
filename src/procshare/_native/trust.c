/* Whose segments this process attaches to. Who can write into one can make whoever reads it unpickle what he likes, which is to run
 * his code; so all who can, by the file's user, group and mode, must be trusted. Its own user is; the others it names.
 *
 * What is trusted stays so, in forked children too: what is attached by then could not be taken back. Guarded by the GIL. */
#include "native.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    uint32_t *ids;
    size_t count;
} ids_t;

enum { USER, GROUP, OTHERS };

static ids_t trusted[2];
static bool others;

static bool has(const ids_t *ids, uint32_t id) {
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] == id) return true;
    return false;
}

/* Whether somebody can use the file who is not trusted; *why*: who, and how to trust him. */
bool trust_refuses(const struct stat *st, char *why, size_t room) {
    if (st->st_uid != geteuid() && !has(&trusted[USER], st->st_uid))
        snprintf(why, room, "it belongs to another user, %u; if that user may run code in this process, call procshare.trust(user=%u) first",
                 (unsigned)st->st_uid, (unsigned)st->st_uid);
    else if ((st->st_mode & 070) && !has(&trusted[GROUP], st->st_gid))
        snprintf(why, room, "others may read or write it, group %u by its mode %04o; if its members may run code in this process, call "
                 "procshare.trust(group=%u) first", (unsigned)st->st_gid, (unsigned)st->st_mode & 07777, (unsigned)st->st_gid);
    else if ((st->st_mode & 07) && !others)
        snprintf(why, room, "others may read or write it, all by its mode %04o; if everybody may run code in this process, call "
                 "procshare.trust(others=True) first", (unsigned)st->st_mode & 07777);
    else return false;
    return true;
}

/* trust(which, id): USER or GROUP and its number, or OTHERS. */
PyObject *trust(PyObject *module, PyObject *args) {
    (void)module;
    unsigned int which, id;
    if (!PyArg_ParseTuple(args, "II", &which, &id)) return NULL;
    if (which >= OTHERS) {
        others = true;
        Py_RETURN_NONE;
    }
    ids_t *ids = &trusted[which];
    if (has(ids, id)) Py_RETURN_NONE;
    uint32_t *more = realloc(ids->ids, (ids->count + 1) * sizeof *more);
    if (more == NULL) return PyErr_NoMemory();
    ids->ids = more;
    ids->ids[ids->count++] = id;
    Py_RETURN_NONE;
}
