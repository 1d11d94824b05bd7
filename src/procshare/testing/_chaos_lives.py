"""What `chaos`'s workers do with lifetimes: handles in containers, objects given away or opened, children, pools."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

from procshare import (
    NotFound,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedLock,
    SharedPipe,
    SharedQueue,
    attach,
    prune,
    segments,
)
from procshare.testing._chaos_state import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare.testing._chaos_worker import Deed, Worker

NAMED = "counter", "record", "array", "dict", "bag", "namespace", "leased", "rlock", "bounded", "event", "rwlock"
GIVEN = 20
PR_SET_PDEATHSIG = 1


def make(name: str, _slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    return {
        "run": name,
        "tree": SharedDict[Any, Any](),
        "gifts": SharedQueue[Any](GIVEN),
        "children": SharedCounter(),
        "child lock": SharedLock(),
    }


# ---- handles in containers ----


def tree(w: Worker) -> None:
    """A dict of dicts with a counter each: what is stored lives until it is replaced."""
    x = w.world["tree"]
    if w.rng.random() < 0.4:
        n = w.next_state("tree")
        x[w.slot] = SharedDict[str, Any]({"n": n, "leaf": SharedCounter(n), "body": pattern(n, n % 900)})
        w.settled("tree")
        return
    slot = w.rng.randrange(w.ledger.slots)
    low, _ = w.state_of(slot, "tree")
    try:
        branch = x[slot]
        n, leaf = branch["n"], branch["leaf"].value
        body = branch["body"]
    except (KeyError, NotFound) as missing:
        _, high = w.state_of(slot, "tree")
        w.check(high > low or not low, f"slot {slot}'s branch {low}, which nobody replaced: {missing!r}")
    else:
        _, high = w.state_of(slot, "tree")
        w.check(low <= n <= high, f"slot {slot}'s branch is {n}, not between {low} and {high}")
        w.check(n == leaf and body == pattern(n, n % 900), f"branch {n} with leaf {leaf} and {len(body)} bytes")


# ---- handed over ----


def gifts(w: Worker) -> None:
    """Make an object and give it away; take one and look."""
    x = w.world["gifts"]
    if w.some(True, False):
        n = w.intend("gifts")
        kind = w.rng.randrange(3)
        made: Any = SharedCounter(n) if kind == 0 else SharedArray([n] * 500, "q") if kind == 1 else family(n)
        made.hand_over()
        with suppress(Full):
            x.put((n, made), timeout=w.some(0.0, 0.1))
        if w.some(True, False):
            made.close()
    else:
        with suppress(Empty):
            n, got = x.get(timeout=w.some(0.0, 0.1))
            received(w, n, got)


def family(n: int) -> Any:
    """A gift that holds another."""
    return SharedDict[str, Any]({"n": n, "child": SharedCounter(n)})


def received(w: Worker, n: int, got: Any) -> None:
    """A gift is what it was when it was given."""
    kind = got.kind
    found = got["child"].value if kind == "dict" else got.value
    w.check((found == n).all() if kind == "array" else found == n, f"a gift of {n} holds {found}")
    got.close()


# ---- by name ----


def named(w: Worker) -> None:
    """Open names that come and go with those who use them, and one that stays; attach once more to what is there."""
    w.some(_open_counter, _open_counter, _open_dict, _lasting, _attach, _attach, _list)(w, w.world["run"])


def _open_counter(w: Worker, run: str) -> None:
    with_it = SharedCounter.open(f"{run}-open-{w.rng.randrange(2)}")
    last = 0
    for _ in range(w.rng.randint(1, 10)):
        now = with_it.increment()
        w.check(now > last, f"an open counter went from {last} to {now}")
        last = now
    w.inside()
    w.check(with_it.value >= last, "an open counter lost increments")
    if w.some(True, False):
        with_it.close()


def _open_dict(w: Worker, run: str) -> None:
    d = SharedDict[Any, Any].open(f"{run}-open-dict")
    d[w.slot] = w.life
    w.inside()
    w.check(d[w.slot] == w.life, "an open dict lost a key")
    d.close()


def _lasting(w: Worker, run: str) -> None:
    x = lasting(run)
    w.intend("lasting counter")
    x.increment()
    w.ack("lasting counter")
    w.between("lasting counter", lambda: x.value)
    x.close()


def lasting(run: str) -> SharedCounter:
    """The counter that stays though nobody has it open."""
    return SharedCounter.open(f"{run}-lasting", persist=True)


def _attach(w: Worker, _run: str) -> None:
    x = w.world[w.rng.choice(NAMED)]
    again = attach(x.name)
    w.check(again.kind == x.kind and repr(again), "another kind under that name")
    again.close()


def _list(w: Worker, run: str) -> None:
    if w.rng.random() < 0.2:
        names = {info.name for info in segments()}
        w.check(f"{run}-counter" in names, "a living object is not listed")
        w.check(all(info.name != f"{run}-counter" for info in prune(dry_run=True)), "a living object would be pruned")


# ---- children ----


def children(w: Worker) -> None:
    """Processes of a worker's own, forked, started or in a pool; some are killed, some lose their parent."""
    w.rng.choices((_forked, _started, _pooled), (30, 1, 1))[0](w, w.world["children"])


def add(counter: SharedCounter, lock: SharedLock, n: int, killed_at: int = 0) -> int:
    """What a child does: count up, half of it under a lock."""
    for i in range(1, n + 1):
        if i % 2:
            counter.increment()
        else:
            with lock:
                counter.increment()
                if i == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
    return n


def _killed_at(w: Worker, n: int) -> int:
    return w.some(0, 0, w.rng.randint(1, n))


def _forked(w: Worker, counter: SharedCounter) -> None:
    n = w.rng.randint(2, 40)
    at = _killed_at(w, n)
    w.intend("children", 2 * n)
    lock = w.world["child lock"]

    def child() -> None:
        grandchild = forked(lambda: add(counter, lock, n, at))
        add(counter, lock, n)
        if ended(grandchild):
            os._exit(1)

    if ended(forked(child)) == 0:
        w.ack("children", 2 * n)


def forked(call: Callable[[], object]) -> int:
    """A raw fork that makes the call and leaves without any ceremony; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a fork's end: its exit code; negative: the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _started(w: Worker, counter: SharedCounter) -> None:
    n = w.rng.randint(2, 40)
    w.intend("children", n)
    # Who was forked cannot use its parent's fork server.
    context: Any = multiprocessing.get_context(w.some("fork", "spawn"))
    process = context.Process(target=add, args=(counter, w.world["child lock"], n, _killed_at(w, n)))
    process.start()
    process.join()
    if process.exitcode == 0:
        w.ack("children", n)


def _pooled(w: Worker, counter: SharedCounter) -> None:
    tasks = [(n, _killed_at(w, n) if w.rng.random() < 0.2 else 0) for n in w.rng.sample(range(2, 20), 4)]
    w.intend("children", sum(n for n, _ in tasks))
    fork: Any = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, fork, initializer=end_with, initargs=(os.getpid(),)) as pool:
        try:
            results = [pool.submit(add, counter, w.world["child lock"], n, at) for n, at in tasks]
            w.ack("children", sum(result.result() for result in results))
        except BrokenProcessPool:
            w.note("broken pool")


def end_with(parent: int) -> None:
    """Be killed when the parent is: the members of a pool would wait for work for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def pipe(w: Worker) -> None:
    """A child echoes what it is sent, whole and in order, or is killed, which its parent is told."""
    here, there = SharedPipe()
    dies_at = w.some(0, 0, w.rng.randint(1, 12))

    def echo() -> None:
        here.close()
        with suppress(EOFError, ConnectionError):
            while True:
                n, body = there.recv()
                if n == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                there.send((n, body))

    child = forked(echo)
    there.close()
    told = False
    try:
        for n in range(1, w.rng.randint(2, 12)):
            body = pattern(n, w.rng.choice((10, 1_000, 100_000)))
            here.send((n, body))
            w.check(here.recv() == (n, body), f"message {n} came back torn")
            w.check(n != dies_at, "a dead child answered")
    except (EOFError, ConnectionError):
        told = True
    here.close()
    code = ended(child)
    w.check(code == (-signal.SIGKILL if told else 0), f"the pipe's end was{'' if told else ' not'} told; child: {code}")


def settle(w: Worker) -> None:
    """At the end: take all gifts, count all children."""
    with suppress(Empty):
        while True:
            received(w, *w.world["gifts"].get(timeout=0.1))
    with w.world["child lock"]:
        w.between("children", lambda: w.world["children"].value)
    with lasting(w.world["run"]) as last:
        w.between("lasting counter", lambda: last.value)
        last.unlink()


DEEDS: dict[str, Deed] = {
    "SharedPipe": pipe,
    "handles in containers": tree,
    "handed over": gifts,
    "opened by name": named,
    "children and pools": children,
}
