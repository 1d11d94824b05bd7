"""Dicts and lists of other libraries, each with what makes it fast.

Those that know bytes alone (lmdb, subetha-ipc, redis) get bytes for keys and values, which a user would have to encode
and decode. subetha-ipc's are of a fixed size: 8 bytes for keys and ints, 16 for strings.
"""

from __future__ import annotations

import multiprocessing
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libraries import connected, folder, redis_socket

from procshare import SharedDict, SharedList
from procshare.bench.measure import OURS, Way, after, for_each, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from libraries import Maker
fork = multiprocessing.get_context("fork")
ULTRA_STREAM = 16 << 20
LMDB_SIZE = 1 << 30
ROOM = 1 << 18
FEW = 5_000


def same(what: Any) -> Any:
    """For libraries that take any object."""
    return what


def text(what: object) -> bytes:
    """For those that take bytes of any length."""
    return str(what).encode()


def padded(size: int, what: object) -> bytes:
    """For those that take bytes of one size."""
    return str(what).encode().ljust(size, b"\0")


@dataclass(frozen=True)
class Store:
    """How one library does what a dict does."""

    store: Any
    """What the statements call `d`."""
    get: str = "d[k]"
    put: str = "d[k] = v"
    ten: str = ""
    """Statements that write the keys of `ks` together; empty: it cannot."""
    key: Callable[[Any], Any] = same
    value: Callable[[Any], Any] = same
    size: Callable[[], int] | None = None
    """How many bytes it takes, all told."""
    forks: bool = True
    """Whether a forked process can use it."""
    loads: int = 100_000
    """How many keys it is given where that is what is measured; fewer where each takes a message or a file's lock."""

    def reads(self, keys: Sequence[str]) -> Way:
        """One key after the other."""
        return for_each(self.get, [self.key(key) for key in keys], d=self.store)

    def writes(self, keys: Sequence[str], value: object) -> Way:
        """One key after the other."""
        return for_each(self.put, [self.key(key) for key in keys], d=self.store, v=self.value(value))

    def load(self, keys: Sequence[str], value: object) -> float:
        """Put them in once, one at a time; seconds for one key."""
        return self.writes(keys, value).run(1) / len(keys)

    def fill(self, keys: Sequence[str], value: object) -> None:
        """Put them in once, as fast as it can."""
        if self.loads >= len(keys):
            self.load(keys, value)
        else:
            statement(self.ten, d=self.store, ks=[self.key(key) for key in keys], v=self.value(value)).run(1)


def segment_bytes(segment: str) -> int:
    """What a file in /dev/shm takes."""
    return Path("/dev/shm", segment.lstrip("/")).stat().st_blocks * 512


def folder_bytes(made: Path) -> int:
    """What the files in a directory take."""
    return sum(path.stat().st_blocks * 512 for path in made.rglob("*"))


@contextmanager
def _ours() -> Generator[Store]:
    with SharedDict[str, Any]() as store:
        ten = "with d.locked() as t:\n    for k in ks: t[k] = v"
        yield Store(store, ten=ten, size=lambda: segment_bytes(store.segment))


@contextmanager
def _manager() -> Generator[Store]:
    with fork.Manager() as manager:
        yield Store(manager.dict(), loads=FEW)


@contextmanager
def _ultra(package: str) -> Generator[Store]:
    store = import_module(package).UltraDict(buffer_size=ULTRA_STREAM)
    try:
        yield Store(store, ten="with d.lock:\n    for k in ks: d[k] = v")
    finally:
        store.unlink()


@contextmanager
def _lmdb() -> Generator[Store]:
    lmdb = import_module("lmdb")
    with folder() as made, lmdb.open(str(made), map_size=LMDB_SIZE, sync=False, metasync=False, writemap=True) as store:
        yield Store(
            store,
            get="with d.begin() as t: t.get(k)",
            put="with d.begin(write=True) as t: t.put(k, v)",
            ten="with d.begin(write=True) as t:\n    for k in ks: t.put(k, v)",
            key=text,
            value=text,
            size=lambda: folder_bytes(made),
            forks=False,
        )


@contextmanager
def _subetha(value_size: int) -> Generator[Store]:
    with folder() as made:
        store = import_module("subetha").HashMap(f"{made}/map", ROOM, 8, value_size)
        key, value = partial(padded, 8), partial(padded, value_size)
        yield Store(store, "d.get(k)", "d.insert(k, v)", key=key, value=value, size=lambda: folder_bytes(made))


@contextmanager
def _diskcache() -> Generator[Store]:
    with folder() as made, closing(import_module("diskcache").Cache(str(made))) as store:
        ten = "with d.transact():\n    for k in ks: d[k] = v"
        yield Store(store, ten=ten, size=lambda: folder_bytes(made), forks=False, loads=FEW)


@contextmanager
def _redis() -> Generator[Store]:
    with redis_socket() as path, closing(connected(path)) as store:
        ten = "with d.pipeline() as t:\n    for k in ks: t.set(k, v)\n    t.execute()"
        before: int = store.info("memory")["used_memory"]

        def size() -> int:
            used: int = store.info("memory")["used_memory"]
            return used - before

        yield Store(store, "d.get(k)", "d.set(k, v)", ten, text, text, size, forks=False, loads=FEW)


STORES: dict[str, Maker] = {
    OURS: _ours,
    "Manager": _manager,
    "UltraDict": partial(_ultra, "UltraDict"),
    "UltraDict2": partial(_ultra, "UltraDict2"),
    "lmdb": _lmdb,
    "subetha-ipc": partial(_subetha, 8),
    "diskcache": _diskcache,
    "redis": _redis,
}
TEXT_STORES: dict[str, Maker] = {**STORES, "subetha-ipc": partial(_subetha, 16)}


@dataclass(frozen=True)
class Items:
    """How one library does what a list does, with ints."""

    store: Any
    """What the statements call `s`."""
    append: str = "s.append(v)"
    read: str = "s[k]"
    clear: str = "s[:] = []"
    item: Any = 1

    def appends(self) -> Way:
        """To an empty one."""
        return Way(after(self.clear, self.append, s=self.store, v=self.item).run, most=500_000)

    def reads(self, places: Sequence[int]) -> Way:
        """Of as many items as there are places."""
        after(self.clear, self.append, s=self.store, v=self.item).run(len(places))
        return for_each(self.read, places, s=self.store)


@contextmanager
def _our_list() -> Generator[Items]:
    with SharedList[int]() as store:
        yield Items(store)


@contextmanager
def _managed_list() -> Generator[Items]:
    with fork.Manager() as manager:
        yield Items(manager.list())


@contextmanager
def _subetha_list() -> Generator[Items]:
    with folder() as made:
        store = import_module("subetha").Vec(f"{made}/items", 1 << 20, 8)
        yield Items(store, "s.push(v)", "s.get(k)", "s.clear()", padded(8, 1))


@contextmanager
def _diskcache_list() -> Generator[Items]:
    with folder() as made:
        yield Items(import_module("diskcache").Deque(directory=str(made)), clear="s.clear()")


@contextmanager
def _redis_list() -> Generator[Items]:
    with redis_socket() as path, closing(connected(path)) as client:
        yield Items(client, "s.rpush('l', v)", "s.lindex('l', k)", "s.delete('l')")


LISTS: dict[str, Maker] = {
    OURS: _our_list,
    "Manager": _managed_list,
    "subetha-ipc": _subetha_list,
    "diskcache": _diskcache_list,
    "redis": _redis_list,
}
