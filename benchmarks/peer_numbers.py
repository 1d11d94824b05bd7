"""Numbers and locks of other libraries: how each adds 1 so that none is lost, and how a lock is taken there."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

from libraries import connected, folder, redis_socket

from procshare import SharedCounter, SharedLock
from procshare.bench.measure import OURS, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from libraries import Maker

    from procshare.bench.measure import Way

fork = multiprocessing.get_context("fork")


@dataclass
class Statement:
    """A piece of Python, with names that each process makes for itself: connections do not survive a fork."""

    body: str
    names: Callable[[], dict[str, Any]]
    total: Callable[[], int] = int
    """What all have counted, if they count."""

    def __post_init__(self) -> None:
        self._ways: dict[int, Way] = {}

    def way(self) -> Way:
        """It, in this process."""
        if os.getpid() not in self._ways:
            self._ways = {os.getpid(): statement(self.body, **self.names())}
        return self._ways[os.getpid()]

    def __call__(self, times: int) -> None:
        """Run it so often."""
        self.way().run(times)


@contextmanager
def _ours() -> Generator[Statement]:
    with SharedCounter() as counter:
        yield Statement("c.increment()", lambda: {"c": counter}, lambda: counter.value)


@contextmanager
def _value() -> Generator[Statement]:
    value = fork.Value("q", 0)
    yield Statement("with v.get_lock():\n    v.value += 1", lambda: {"v": value}, lambda: value.value)


@contextmanager
def _atomicshm() -> Generator[Statement]:
    memory = SharedMemory(create=True, size=64)
    view = import_module("atomicshm").AtomicView(memory.buf)
    cell = view.cell_u64(0)
    try:
        yield Statement("add(1)", lambda: {"add": cell.fetch_add}, cell.load)
    finally:
        view.close()
        memory.close()
        memory.unlink()


@contextmanager
def _subetha() -> Generator[Statement]:
    with folder() as made:
        number = import_module("subetha").Atomic(f"{made}/number")
        yield Statement("add()", lambda: {"add": number.fetch_add}, number.load)


@contextmanager
def _lmdb() -> Generator[Statement]:
    lmdb = import_module("lmdb")
    body = "with e.begin(write=True) as t: t.put(b'n', b'%d' % (int(t.get(b'n')) + 1))"
    with folder() as made:

        def names() -> dict[str, Any]:
            return {"e": lmdb.open(str(made), sync=False, metasync=False, writemap=True)}

        def total() -> int:
            with lmdb.open(str(made)) as opened, opened.begin() as transaction:
                return int(transaction.get(b"n"))

        with lmdb.open(str(made)) as opened, opened.begin(write=True) as transaction:
            transaction.put(b"n", b"0")
        yield Statement(body, names, total)


@contextmanager
def _diskcache() -> Generator[Statement]:
    with folder() as made, closing(import_module("diskcache").Cache(str(made))) as cache:
        cache.set("n", 0)
        yield Statement("c.incr('n')", lambda: {"c": cache}, lambda: cache["n"])


@contextmanager
def _redis() -> Generator[Statement]:
    with redis_socket() as path, closing(connected(path)) as client:
        yield Statement("r.incr('n')", lambda: {"r": connected(path)}, lambda: int(client.get("n") or 0))


@contextmanager
def _ultra(package: str) -> Generator[Statement]:
    store = import_module(package).UltraDict(buffer_size=16 << 20)
    store["n"] = 0
    try:
        yield Statement("with d.lock: d['n'] += 1", lambda: {"d": store}, lambda: store["n"])
    finally:
        store.unlink()


NUMBERS: dict[str, Maker] = {
    OURS: _ours,
    "mp.Value": _value,
    "atomicshm": _atomicshm,
    "subetha-ipc": _subetha,
    "lmdb": _lmdb,
    "diskcache": _diskcache,
    "redis": _redis,
    "UltraDict": partial(_ultra, "UltraDict"),
    "UltraDict2": partial(_ultra, "UltraDict2"),
}

PAIR = "x.acquire()\nx.release()"


@contextmanager
def _our_lock() -> Generator[Way]:
    with closing(SharedLock()) as lock:
        yield statement(PAIR, x=lock)


@contextmanager
def _mp_lock() -> Generator[Way]:
    yield statement(PAIR, x=fork.Lock())


@contextmanager
def _semaphore() -> Generator[Way]:
    posix_ipc = import_module("posix_ipc")
    semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX, initial_value=1)
    try:
        yield statement(PAIR, x=semaphore)
    finally:
        semaphore.unlink()
        semaphore.close()


@contextmanager
def _flock() -> Generator[Way]:
    with folder() as made, (made / "lock").open("w") as file:
        body = "lock(f, take)\nlock(f, free)"
        yield statement(body, lock=fcntl.flock, f=file.fileno(), take=fcntl.LOCK_EX, free=fcntl.LOCK_UN)


@contextmanager
def _portalocker() -> Generator[Way]:
    portalocker = import_module("portalocker")
    with folder() as made, (made / "lock").open("w") as file:
        yield statement("p.lock(f, take)\np.unlock(f)", p=portalocker, f=file, take=portalocker.LOCK_EX)


@contextmanager
def _in_folder(make: Callable[[Path], Any], body: str) -> Generator[Way]:
    with folder() as made:
        yield statement(body, x=make(made))


@contextmanager
def _diskcache_lock() -> Generator[Way]:
    diskcache = import_module("diskcache")
    with folder() as made, closing(diskcache.Cache(str(made))) as cache:
        yield statement(PAIR, x=diskcache.Lock(cache, "lock"))


@contextmanager
def _redis_lock() -> Generator[Way]:
    with redis_socket() as path, closing(connected(path)) as client:
        yield statement(PAIR, x=client.lock("lock"))


@contextmanager
def _ultra_lock(package: str) -> Generator[Way]:
    store = import_module(package).UltraDict(buffer_size=16 << 20)
    try:
        yield statement(PAIR, x=store.lock)
    finally:
        store.unlink()


@contextmanager
def _lmdb_lock() -> Generator[Way]:
    lmdb = import_module("lmdb")
    with folder() as made, lmdb.open(str(made), sync=False, metasync=False, writemap=True) as store:
        yield statement("with e.begin(write=True): pass", e=store)


LOCKS: dict[str, Maker] = {
    OURS: _our_lock,
    "mp.Lock": _mp_lock,
    "posix-ipc": _semaphore,
    "subetha-ipc": partial(
        _in_folder, lambda made: import_module("subetha").RWLock(f"{made}/l"), "with x.write(): pass"
    ),
    "flock": _flock,
    "portalocker": _portalocker,
    "filelock": partial(_in_folder, lambda made: import_module("filelock").FileLock(made / "lock"), PAIR),
    "lmdb": _lmdb_lock,
    "diskcache": _diskcache_lock,
    "redis": _redis_lock,
    "UltraDict": partial(_ultra_lock, "UltraDict"),
    "UltraDict2": partial(_ultra_lock, "UltraDict2"),
}
