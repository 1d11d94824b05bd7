"""The ways in which a process of `procshare.testing.exits` ends: this module is run as a program of its own for each.

It makes objects, tells which in a file, waits for a file that says that it may end, and ends.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from multiprocessing import util
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._exit_makers import GO, LEAVING, OVER, World, kind_of, prepared

if TYPE_CHECKING:
    from collections.abc import Callable


# ---- one process ----


def end(world: World, then: Callable[[], object] = lambda: None) -> None:
    """Make things, and end in some way."""
    world.make()
    world.wait(GO)
    then()


def in_a_cycle(world: World) -> None:
    """Nothing but a cycle of references leads to them, and no collection runs before the end."""
    gc.disable()
    end(world)
    world.kept.append(world.kept)
    world.kept = []


def closed(world: World) -> None:
    """Each handle was closed."""
    end(world)
    for each in world.kept:
        both: Any = each if kind_of(each) == "SharedPipe" else (each,)  # a pipe is a pair
        for handle in both:
            handle.close()


def fail() -> None:
    """An exception that nothing catches."""
    raise KeyError("unheard of")


def fail_in_with(world: World) -> None:
    """The same, with all of them entered by `with`, which of a lock means that it is held."""
    with ExitStack() as stack:
        end(world)
        for each in world.kept:
            if hasattr(each, "__enter__"):
                stack.enter_context(each)
        fail()


def fail_in_blocks(world: World) -> None:
    """The same, inside a block of each one's lock, after a change that is not to be seen."""
    with ExitStack() as stack:
        end(world)
        for each in world.kept:
            if isinstance(each, procshare.Shared):
                stack.enter_context(each.locked(timeout=20))
        fail()


def sleep(_world: World) -> None:
    """Until a signal comes."""
    time.sleep(60)


def leave(_number: int, _frame: object) -> None:
    """A signal's handler."""
    sys.exit(4)


def on_signal(world: World, handled: bool) -> None:
    """Wait for a signal, perhaps with a handler that raises SystemExit."""
    if handled:
        signal.signal(signal.SIGTERM, leave)
    world.make()
    sleep(world)


def segfault() -> None:
    """Read address 0."""
    ctypes.string_at(0)


def fatal() -> None:
    """What the interpreter does when its own state is broken."""
    ctypes.pythonapi.Py_FatalError(b"on purpose")


def become_another() -> None:
    """The same process id, but another program."""
    os.execv(sys.executable, [sys.executable, "-c", "print(end='')"])


def thread_goes_on(world: World, daemon: bool) -> None:
    """A thread uses them while the interpreter exits; one that is no daemon is waited for."""

    def use_until() -> None:
        until = time.monotonic() + 0.3
        while daemon or time.monotonic() < until:
            world.use(world.kept)

    end(world)
    threading.Thread(target=use_until, daemon=daemon).start()


def at_exit(world: World, arrange: Callable[[Callable[[], None]], object]) -> None:
    """They are made while the interpreter exits."""
    arrange(world.make)
    world.wait(GO)


# ---- raw forks ----


def forked(world: World, then: Callable[[], object]) -> None:
    """A child by `os.fork()` makes things, and ends; then its parent must still have what is its own."""
    world.make()
    if (child := os.fork()) == 0:
        world.make()
        world.wait(GO)
        then()
        sys.exit()
    os.waitpid(child, 0)
    world.tell_problems(world.find(world.objects))


def forked_goes_on(world: World) -> None:
    """A child by `os.fork()` goes on with what it has inherited when its parent has ended."""
    world.make()
    if os.fork() == 0:
        world.wait(OVER)
        world.tell_problems(world.use(world.kept))
    else:
        world.wait(GO)


def daemon(world: World) -> None:
    """As daemons are made: fork, setsid, fork, all descriptors closed; the last one makes things and ends in order."""
    err = world.home / "err"
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 1024)
    os.open(os.devnull, os.O_RDWR)
    os.dup2(os.open(err, os.O_WRONLY | os.O_APPEND), 2)
    world.make()
    world.wait(GO)


# ---- multiprocessing ----


def context(method: str) -> Any:
    """What starts processes by that method."""
    return multiprocessing.get_context(method)


def make_and(world: World, how: str) -> None:
    """In a child: make things, and end."""
    world.make()
    if how == "wait":
        time.sleep(60)
    world.wait(GO)
    if how == "_exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def child_makes(world: World, method: str, how: str) -> None:
    """A `Process` makes things and ends; its parent has made none, and ends after it."""
    process: Any = context(method).Process(target=make_and, args=(world, how), daemon=how == "wait")
    process.start()
    if how != "wait":
        process.join()
    world.wait(GO)


def use_then(world: World, given: list[Any], moment: str) -> None:
    """In a child: use what was passed to it, at some moment."""
    world.tell("attached", [])
    world.wait(moment)
    world.tell_problems(world.use(given))


def children_go_on(world: World, method: str, moment: str) -> None:
    """A `Process` that was given them uses them while its parent exits, or when it is gone."""
    world.make()
    given = [each for each in world.kept if not isinstance(each, tuple)]
    process: Any = context(method).Process(target=use_then, args=(world, given, moment))
    process.start()
    world.wait(GO)
    world.leave_word(LEAVING)


def pool(world: World, method: str, closes: bool) -> None:
    """A worker of a pool makes them. The pool's `with` ends its workers by SIGTERM."""
    with context(method).Pool(1) as workers:
        workers.apply(world.make)
        world.wait(GO)
        if closes:
            workers.close()
            workers.join()


def executor(world: World, method: str) -> None:
    """A worker of a ProcessPoolExecutor makes them."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context(method)) as workers:
        workers.submit(world.make).result()
        world.wait(GO)


ACTS: dict[str, Callable[[World], object]] = {
    "end": end,
    "cycle": in_a_cycle,
    "closed": closed,
    "exception": partial(end, then=fail),
    "with": fail_in_with,
    "locked": fail_in_blocks,
    "sys.exit": partial(end, then=partial(sys.exit, 3)),
    "signal": partial(on_signal, handled=False),
    "handled": partial(on_signal, handled=True),
    "_exit": partial(end, then=partial(os._exit, 5)),
    "abort": partial(end, then=os.abort),
    "segfault": partial(end, then=segfault),
    "fatal": partial(end, then=fatal),
    "exec": partial(end, then=become_another),
    "thread": partial(thread_goes_on, daemon=False),
    "daemon-thread": partial(thread_goes_on, daemon=True),
    "atexit": partial(at_exit, arrange=atexit.register),
    "finalize": partial(at_exit, arrange=lambda make: util.Finalize(None, make, exitpriority=10)),
    "late-finalize": partial(at_exit, arrange=lambda make: util.Finalize(None, make, exitpriority=-200)),
    "fork-exit": partial(forked, then=sys.exit),
    "fork-_exit": partial(forked, then=partial(os._exit, 0)),
    "fork-kill": partial(forked, then=lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "fork-on": forked_goes_on,
    "daemon": daemon,
}
for _method in "fork", "spawn", "forkserver":
    for _how in "end", "_exit", "kill", "wait":
        ACTS[f"child-{_how}-{_method}"] = partial(child_makes, method=_method, how=_how)
    for _moment in LEAVING, OVER:
        ACTS[f"on-{_moment}-{_method}"] = partial(children_go_on, method=_method, moment=_moment)
    ACTS[f"pool-{_method}"] = partial(pool, method=_method, closes=False)
    ACTS[f"pool-closed-{_method}"] = partial(pool, method=_method, closes=True)
    ACTS[f"executor-{_method}"] = partial(executor, method=_method)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what nohup starts ignores this
    ACTS[sys.argv[1]](prepared(sys.argv[2], sys.argv[3]))
