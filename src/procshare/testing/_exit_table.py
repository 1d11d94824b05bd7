"""The ways to end that `procshare.testing.exits` tries, and what is promised of each."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from procshare.testing._exit_makers import LEAVING, OVER


@dataclass(frozen=True)
class Way:
    """A way to end.

    Attributes:
        title: In the table.
        act: A key of `ACTS`.
        code: Its exit status.
        says: A regular expression for all of its stderr.
        orderly: Whether Python's own exit is run, in the process that made things or in its parent after it.
        makers: How many processes make things.
        signal: Sent to its first maker, or to all of its process group.
        group: Which of the two.
        users: How many others tell how they went on.
        late: Things are made only after it was told to end.
        apart: The makers are not waited for with the program.
        inherited: Whether a child inherits what its first maker made, or is given it, and so has attached to it.
        swept: Whether it takes the next creation to remove what it owned, since the resource tracker died, too.
    """

    title: str
    act: str
    code: int = 0
    says: str = ""
    orderly: bool = True
    makers: int = 1
    signal: int = 0
    group: bool = False
    users: int = 0
    late: bool = False
    apart: bool = False
    inherited: bool = False
    swept: bool = False


WARNING = r"(.*resource_tracker.*\n\s*warnings.warn.*\n)*"  # of the resource tracker, after a violent death
FAILURE = r"Traceback(.|\n)*\nKeyError: 'unheard of'\n"


def violent(title: str, act: str, code: int, says: str = "", **more: Any) -> Way:
    """A way to end without Python."""
    return Way(title, act, code, says + WARNING, orderly=False, **more)


WAYS: dict[str, Way] = {
    way.title: way
    for way in [
        Way("end of the program, handles in a global", "end"),
        Way("… in a cycle of references", "cycle"),
        Way("… closed", "closed"),
        Way("uncaught exception", "exception", 1, FAILURE),
        Way("… inside `with`", "with", 1, FAILURE),
        Way("… inside `locked()`", "locked", 1, FAILURE),
        Way("`sys.exit(3)`", "sys.exit", 3),
        Way("SIGINT", "signal", -signal.SIGINT, r"Traceback(.|\n)*\nKeyboardInterrupt\n", signal=signal.SIGINT),
        Way("SIGTERM, a handler calls `sys.exit`", "handled", 4, signal=signal.SIGTERM),
        Way("a thread goes on at exit", "thread"),
        Way("a daemon thread goes on at exit", "daemon-thread"),
        Way("made in `atexit`", "atexit", late=True),
        Way("made in `util.Finalize`", "finalize", late=True),
        Way("made in the last `util.Finalize`", "late-finalize", late=True),
        violent("SIGTERM", "signal", -signal.SIGTERM, signal=signal.SIGTERM),
        violent("SIGHUP", "signal", -signal.SIGHUP, signal=signal.SIGHUP),
        violent("SIGHUP to the process group", "signal", -signal.SIGHUP, signal=signal.SIGHUP, group=True, swept=True),
        violent("SIGKILL", "signal", -signal.SIGKILL, signal=signal.SIGKILL),
        violent(
            "SIGKILL to the process group", "signal", -signal.SIGKILL, signal=signal.SIGKILL, group=True, swept=True
        ),
        violent("`os._exit(5)`", "_exit", 5),
        violent("`os.abort()`", "abort", -signal.SIGABRT),
        violent("fatal error of the interpreter", "fatal", -signal.SIGABRT, r"Fatal Python error(.|\n)*"),
        violent("segmentation fault", "segfault", -signal.SIGSEGV),
        violent("`exec` of another program", "exec", 0),
        Way("`os.fork()`: child ends", "fork-exit", makers=2, inherited=True),
        violent("`os.fork()`: child calls `os._exit`", "fork-_exit", 0, makers=2, inherited=True),
        violent("`os.fork()`: child is killed", "fork-kill", 0, makers=2, inherited=True),
        Way("`os.fork()`: child goes on", "fork-on", users=1, inherited=True),
        Way("a daemon: two forks, descriptors closed", "daemon", apart=True),
    ]
}
for _method in "fork", "spawn", "forkserver":
    for _way in [
        Way(f"`Process` ends ({_method})", f"child-end-{_method}"),
        violent(f"`Process` calls `os._exit` ({_method})", f"child-_exit-{_method}", 0),
        violent(f"`Process` is killed ({_method})", f"child-kill-{_method}", 0),
        violent(f"daemonic `Process`, its parent ends ({_method})", f"child-wait-{_method}", 0),
        Way(f"end, `Process` still at work ({_method})", f"on-{LEAVING}-{_method}", users=1, inherited=True),
        violent(
            f"SIGKILL, `Process` goes on ({_method})",
            f"on-{OVER}-{_method}",
            -signal.SIGKILL,
            signal=signal.SIGKILL,
            users=1,
            inherited=True,
        ),
        violent(f"worker of a `Pool`, terminated ({_method})", f"pool-{_method}", 0),
        Way(f"worker of a `Pool`, joined ({_method})", f"pool-closed-{_method}"),
        Way(f"worker of a `ProcessPoolExecutor` ({_method})", f"executor-{_method}"),
    ]:
        WAYS[_way.title] = _way
