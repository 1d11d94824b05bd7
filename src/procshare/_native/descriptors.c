/* One descriptor that this process keeps for the moment when it may open no more.
 *
 * Two things must not fail for want of a descriptor: a forked child's own file description for each segment, without which it
 * would keep its parent's seats alive, and the look at an object whose container is gone, which would be left behind. Both need one
 * for a moment only. The one that is kept is closed for that, and taken again afterwards. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int spare = -1;
static dev_t spare_dev;
static ino_t spare_ino;

/* Whether it is still ours: whoever closes all descriptors that they find closes this one, and opens something else. */
static bool ours(void) {
    struct stat st;
    return spare >= 0 && fstat(spare, &st) == 0 && st.st_dev == spare_dev && st.st_ino == spare_ino;
}

/* Keep one again, if there is one to be had. */
void spare_renew(void) {
    struct stat st;
    if (ours()) return;
    spare = (int)syscall(SYS_memfd_create, "procshare", 1u); /* MFD_CLOEXEC; a file that is nobody else's */
    if (spare < 0 || fstat(spare, &st) < 0) return;
    spare_dev = st.st_dev;
    spare_ino = st.st_ino;
}

/* open(2), for what is closed again soon. */
int open_sparing(const char *path, int flags) {
    int fd = AGAIN(open(path, flags));
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE)) return fd;
    if (!ours()) return errno = EMFILE, -1;
    close(spare);
    spare = -1;
    return AGAIN(open(path, flags));
}
