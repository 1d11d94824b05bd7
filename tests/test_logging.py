"""What the library logs: locks taken over from the dead, and segments that it cleared away."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from death_support import die_with, take_over
from procshare import (
    SharedArray,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedLock,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedValue,
)
from procshare.backends import native_built
from scripts import Script, run, until
from support import Child, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Line

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")


def killed_with(x: Any, how: str) -> int:
    """The pid of a process that was killed with it."""
    with Child("spawn", die_with, x, how) as child:
        pid: int = child.hear()
        child.kill()
    return pid


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library's logger said."""
    return [record.getMessage() for record in caplog.records if record.name == "procshare"]


TAKEN: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "counter": (SharedCounter, "locked", "locked", "with the lock; this process took it back: the last commit stands"),
    "value": (lambda: SharedValue("x"), "locked", "locked", "the last commit stands"),
    "dict": (lambda: SharedDict({"a": 1}), "locked", "locked", "the last commit stands"),
    "array": (lambda: SharedArray([1], on_owner_death="proceed"), "locked", "locked", "half written, and are used"),
    "lock": (SharedLock, "acquire", "acquire", "`owner_died` tells its holder"),
    "condition": (SharedCondition, "acquire", "acquire", "what it protects may be half done"),
    "semaphore": (
        lambda: SharedSemaphore(1, robust=True),
        "acquire",
        "acquire",
        "with permits; this process took it back: they are free again",
    ),
    "writing": (SharedRWLock, "writing", "writing", "with the lock; this process took it back: what it protects"),
    "reading": (SharedRWLock, "reading", "writing", "while reading"),
}


@pytest.mark.parametrize(("make", "die", "after", "said"), TAKEN.values(), ids=TAKEN)
def test_whoever_takes_over_says_so(
    make: Callable[[], Any], die: str, after: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning: which object, of which kind, who died, and what that means."""
    with kept(make()) as x:
        pid = killed_with(x, die)
        take_over(x, after)
        assert until(lambda: messages(caplog))
        (message,) = messages(caplog)
        assert message.startswith(f"{x.name} ({x.kind}): process {pid} died ")
        assert said in message
        assert caplog.records[-1].levelno == logging.WARNING


def test_an_array_that_may_be_half_written_asks_for_recover(caplog: pytest.LogCaptureFixture) -> None:
    """Whether or not the call that found it raised `OwnerDied`."""
    with kept(SharedArray([1, 2])) as x:
        killed_with(x, "locked")
        with pytest.raises(procshare.OwnerDied):
            take_over(x, "locked")
        assert until(lambda: messages(caplog))
        assert "half written; see to them, then call recover()" in messages(caplog)[0]
        x.recover()


def take_item(line: Line, x: SharedQueue[str]) -> None:
    """Until it is killed."""
    with x.lease():
        line.tell("on lease")
        signal.pause()


def test_an_item_that_comes_back_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Its holder died."""
    with kept(SharedQueue[str]()) as x:
        x.put("job")
        with Child("spawn", take_item, x) as child:
            assert child.hear() == "on lease"
            child.kill()
        assert x.get(timeout=5) == "job"
        assert until(lambda: messages(caplog))
        assert "with an item on lease; this process took it back: the item is at the front" in messages(caplog)[0]


def test_a_thread_that_ended_with_a_lock(caplog: pytest.LogCaptureFixture) -> None:
    """It is nobody's process that died."""
    with kept(SharedLock()) as x:
        thread = threading.Thread(target=x.acquire)
        thread.start()
        thread.join()
        take_over(x, "acquire")
        assert until(lambda: messages(caplog))
        assert messages(caplog)[0].startswith(f"{x.name} (lock): its holder died or ended with the lock; ")


def test_a_thread_other_than_the_main_one_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    """Though the main thread sleeps in C, and runs no Python."""
    with kept(SharedCounter()) as x, kept(procshare.SharedEvent()) as told:

        class Tell(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                told.set()

        killed_with(x, "locked")
        handler = Tell()
        logging.getLogger("procshare").addHandler(handler)
        try:
            thread = threading.Thread(target=take_over, args=(x, "locked"))
            thread.start()
            assert told.wait(10)
            thread.join()
        finally:
            logging.getLogger("procshare").removeHandler(handler)
        assert until(lambda: len(messages(caplog)) == 1)


def test_a_handler_may_use_the_object_that_it_is_told_of() -> None:
    """Its lock, its items, its block: the message comes when the call that found the dead is over."""
    source = """
import logging, queue
from multiprocessing import get_context

def die_with_lock(x, ready):
    block = x.locked()
    block.__enter__()
    ready.set()
    signal.pause()

class Handler(logging.Handler):
    def emit(self, record):
        for x in objects:
            if record.getMessage().startswith(x.name):
                x["said"] = record.levelname
                with x.locked() as inside:
                    inside["again"] = 1

logging.getLogger("procshare").addHandler(Handler())
objects = [procshare.SharedDict({"n": 0}), procshare.SharedDict({"n": 0})]
for x in objects:
    ready = procshare.SharedEvent()
    child = get_context("fork").Process(target=die_with_lock, args=(x, ready))
    child.start()
    assert ready.wait(10)
    child.kill()
    child.join()
objects[0]["n"] = 1
with objects[1].locked() as inside:
    inside["n"] = 1
for x in objects:
    print(sorted(x.items()))
"""
    said = "[('again', 1), ('n', 1), ('said', 'WARNING')]"
    assert run(source) == (0, f"{said}\n{said}\n", "")


@pytest.mark.parametrize("configured", [False, True], ids=["nobody listens", "a handler raises"])
def test_logging_never_gets_in_the_way(configured: bool) -> None:
    """Without a handler nothing is printed and `logging` is not imported; what a handler raises goes no further."""
    source = """
import os
def die(x):
    pid = os.fork()
    if pid == 0:
        x.acquire()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
"""
    handler = """
import logging
class Handler(logging.Handler):
    def emit(self, record):
        raise RuntimeError("no")
logging.getLogger("procshare").addHandler(Handler())
"""
    source += f"""
{handler if configured else ""}
x = procshare.SharedLock()
die(x)
with x:
    print(x.owner_died)
x.close()
print("logging" in sys.modules)
"""
    assert run(source) == (0, f"True\n{configured}\n", "")


def test_a_forked_child_does_not_say_it_again() -> None:
    """What the parent noted, and has not said, is the parent's to say; the child says what it finds itself."""
    source = """
import logging, os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, from Python 3.12 on
logging.basicConfig(stream=sys.stdout, format="%(process)d %(args)s")
x, y = procshare.SharedLock(name=sys.argv[1]), procshare.SharedLock(name=sys.argv[2])
for lock in x, y:
    if (pid := os.fork()) == 0:
        lock.acquire()
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
def take():
    x.acquire()
    if (pid := os.fork()) == 0:
        said = []
        logging.getLogger("procshare").addFilter(lambda record: said.append(record) or True)
        y.acquire()
        until = time.monotonic() + 10
        while len(said) < 1 and time.monotonic() < until:  # a thread says it
            time.sleep(0.01)
        logging.shutdown()
        os._exit(0)
    os.waitpid(pid, 0)
    x.release()
    print("child", pid)
sys.setswitchinterval(60)  # so the thread that is to say it does not run before the fork
thread = threading.Thread(target=take)
thread.start()
thread.join()
print("parent", os.getpid())
"""
    ended = run(source, "logging-x", "logging-y")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    pids = dict(line.split() for line in lines if line.startswith(("child", "parent")))
    said = [line for line in lines if "(" in line]
    assert len(said) == 2, lines
    assert [line for line in said if line.startswith(f"{pids['parent']} ('logging-x'")], lines
    assert [line for line in said if line.startswith(f"{pids['child']} ('logging-y'")], lines


# ---- what was cleared away ----

LEAVE = """
x = procshare.SharedCounter.open(sys.argv[1])
say("open")
sys.stdin.readline()
"""


def test_prune_says_what_it_removed(caplog: pytest.LogCaptureFixture) -> None:
    """Name, kind, size and why; a dry run says nothing."""
    caplog.set_level(logging.INFO, "procshare")
    name = f"log-prune-{os.getpid()}"
    with Script(LEAVE, name) as script:
        assert script.hear() == "open"
        script.kill()
    procshare.prune(dry_run=True)
    assert not messages(caplog)
    (gone,) = [each for each in procshare.prune() if each.segment.endswith(name)]
    said = [message for message in messages(caplog) if name in message]
    why = "handed over or opened, and nobody has it; no living process is attached"
    assert said == [f"removed {gone.segment} (counter, {gone.size} bytes): {why}"]
    assert caplog.records[-1].levelno == logging.INFO


def test_the_first_creation_says_what_it_removed() -> None:
    """The sweep that nobody asked for is logged as well."""
    name = f"log-first-{os.getpid()}"
    with Script(LEAVE, name) as script:
        assert script.hear() == "open"
        script.kill()
    source = """
import logging
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
procshare.SharedCounter()
"""
    ended = run(source)
    assert (ended.code, ended.err) == (0, "")
    assert f"procshare INFO removed procshare.{os.geteuid()}.{name} (counter, " in ended.out


def test_importing_procshare_imports_no_logging() -> None:
    """It costs more than all the rest, and most programs have it already."""
    source = "import sys, procshare; procshare.SharedCounter; print('logging' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "False\n"
