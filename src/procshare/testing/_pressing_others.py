"""What other processes meet when something runs out: attaching, forking, taking over from a holder that was killed."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from procshare import OwnerDied
from procshare.testing._attempts import (
    frugal_array,
    frugal_counter,
    frugal_list,
    frugal_mapping,
    frugal_pipe,
    frugal_queue,
    frugal_set,
    frugal_state,
)
from procshare.testing._attempts_others import destroy
from procshare.testing._kinds import KINDS, prompt
from procshare.testing._pressing import Lost, check, give_slab_back, judge
from procshare.testing._processes import PATIENCE, Child, pickled
from procshare.testing._room import SHORTAGES, free_bytes, missing_shm, read_only_shm, strange_shm

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from procshare.testing._pressing import Tally
    from procshare.testing._processes import Line

    Step = Callable[[Any], object]

FRUGAL: dict[str, Step] = {
    "SharedCounter": frugal_counter,
    "SharedValue": frugal_state,
    "SharedArray": frugal_array,
    "SharedDict": frugal_mapping,
    "SharedList": frugal_list,
    "SharedSet": frugal_set,
    "SharedNamespace": frugal_mapping,
    "SharedQueue": frugal_queue,
    "SharedPipe": frugal_pipe,
    **{
        kind: KINDS[kind].use
        for kind in KINDS
        if kind[6:] in {"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event"}
    },
    "SharedCondition": KINDS["SharedCondition"].use,
    "SharedRWLock": KINDS["SharedRWLock"].use,
    "SharedBarrier": lambda x: x.reset(),  # not with a thread: Python's start() never returns if that has no memory
}
LEVELS = {"pages": (0, 1), "files": (0,), "descriptors": (0, 1, 2), "address space": (0, 64, 4096), "file size": (0,)}


@contextmanager
def holding(kind: str, x: Any) -> Generator[None]:
    """Inside whatever a process can be inside of, of this type."""
    with ExitStack() as stack:
        if hasattr(x, "acquire"):
            check(x.acquire(timeout=PATIENCE), "it is not to be had")
            stack.callback(x.release)
        elif hasattr(x, "locked"):
            stack.enter_context(prompt(x))
        elif kind == "SharedRWLock":
            stack.enter_context(prompt(x, "writing"))
        elif kind == "SharedQueue":
            stack.enter_context(x.lease(PATIENCE))
        yield


def take_over(kind: str, x: Any) -> None:
    """After a holder's death: go on."""
    if kind == "SharedArray":
        with suppress(OwnerDied), prompt(x):
            pass
        x.recover()
    if kind == "SharedQueue":
        with x.lease(PATIENCE):
            pass
        x.put_nowait(1)
    FRUGAL[kind](x)


def made(kind: str) -> Any:
    """One with something in it."""
    x = KINDS[kind].make()
    if kind == "SharedQueue":
        x.put_many([1, 1])
        with x.lease(0):  # leases have their memory from the first one on
            pass
    return x


def shared_when_short(kind: str, tally: Tally) -> None:
    """Each of the shortages: attach, fork, kill whoever holds."""
    for shortage, levels in LEVELS.items():
        for level in levels:
            for scenario in attaching, forking:
                if kind == "SharedPipe" and scenario is attaching:
                    continue
                here = free_bytes()
                tally.counts["tried"] += 1
                try:
                    tally.counts[scenario(kind, shortage, level)] += 1
                    give_slab_back()
                    check(free_bytes() == here, f"{here - free_bytes()} bytes are not free again")
                    tally.counts["regained"] += 1
                    tally.counts["intact"] += 1
                except Exception:  # noqa: BLE001  # whatever it is: the others are to be tried as well
                    tally.failures.append((scenario.__name__, shortage, level, traceback.format_exc()))


# ---- attaching ----


def attaching(kind: str, shortage: str, level: int) -> str:
    """Another process attaches with so little left, and is killed while it holds the object. Which of the counts."""
    with Child("fork", attacher, kind, shortage, level) as child:
        child.hear()
        x = made(kind)
        outside = SHORTAGES[shortage](level) if shortage in ("pages", "files") else nullcontext()
        message = pickled(x)
        with outside:
            child.say(message)
            error = child.hear()
            child.kill()
            take_over(kind, x)
        count = "done" if error is None else judge(error, shortage, level)
        KINDS[kind].use(x)
        destroy(x)
    return count


def attacher(line: Line, kind: str, shortage: str, level: int) -> None:
    """The other one: says what was raised."""
    line.say("here")
    message = line.hear()
    x, error = None, None
    inside = nullcontext() if shortage in ("pages", "files") else SHORTAGES[shortage](level)
    with ExitStack() as stack:
        with inside:
            try:
                x = pickle.loads(message)
            except Exception as raised:  # noqa: BLE001  # it is judged by who asked
                error = raised.with_traceback(None)
            else:
                if shortage != "address space":
                    FRUGAL[kind](x)
        if error is None:
            FRUGAL[kind](x)
            stack.enter_context(holding(kind, x))
        line.say(error)
        line.hear()


# ---- forking ----


def forking(kind: str, shortage: str, level: int) -> str:
    """A child is forked with so little left, uses the object, and is killed while it holds it."""
    x = made(kind)
    ours, theirs = os.pipe()
    try:
        with SHORTAGES[shortage](level):
            pid = os.fork()
            if pid == 0:
                forked(kind, x, theirs)
            try:
                answer = (
                    os.read(ours, 4096).decode() if select.select([ours], [], [], PATIENCE)[0] else "nothing was said"
                )
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            check(answer == "held", answer)
            if shortage != "address space":
                take_over(kind, x)
        take_over(kind, x)
        KINDS[kind].use(x)
        destroy(x)
    finally:
        os.close(ours)
        os.close(theirs)
    return "done"


def forked(kind: str, x: Any, answer: int) -> None:
    """The child: it ends here."""
    try:
        FRUGAL[kind](x)
        with holding(kind, x):
            os.write(answer, b"held")
            signal.pause()
    except BaseException:  # noqa: BLE001  # nothing may return into the copy of its parent
        os.write(answer, traceback.format_exc()[-3000:].encode())
    finally:
        os._exit(1)


# ---- no /dev/shm ----


def without_shm(line: Line, which: str) -> None:
    """Each type where nothing can be made in /dev/shm: an error that says what is needed there."""
    places = {"read-only": read_only_shm, "missing": missing_shm, "no tmpfs": strange_shm}
    places[which]()
    counts = dict.fromkeys(("tried", "other"), 0)
    for kind, what in KINDS.items():
        if kind == "SharedPipe":
            continue
        counts["tried"] += 1
        try:
            what.make(name=f"odd-{kind}")
        except OSError as error:
            hint = "PROCSHARE_BACKEND=stdlib" if which == "no tmpfs" else "mount a tmpfs"
            check(hint in str(error), f"no hint: {error}")
            counts["other"] += 1
        else:
            raise Lost(f"a {kind} was made")
    line.say(counts)
