"""Other libraries that share a dict between processes, where they are installed (extra `bench`).

UltraDict, and UltraDict2 which goes on with it: each process holds a dict of its own and applies what the others
write to a stream in shared memory. lmdb: a memory-mapped B+ tree of bytes. Each gets what makes it fast. UltraDict: a
stream of 16 MiB (its own choice is 10 kB, and it writes the whole dict anew whenever that is full). lmdb: bytes for
keys and values, which a user would have to encode and decode; a file in /dev/shm; no sync to disk.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from measure import each

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

ULTRA_STREAM = 16 << 20
LMDB_SIZE = 1 << 30


@dataclass(frozen=True)
class Peer:
    """How one library does it."""

    store: Any
    """What the statements call `d`."""
    get: str = "d[k]"
    put: str = "d[k] = v"
    ten: str = "with d.lock:\n    for k in ks: d[k] = v"
    """Statements that write the keys of `ks` together."""
    encoded: bool = False
    """Whether keys and values are bytes."""

    def each(self, body: str, keys: Sequence[str], passes: int, value: object = 1) -> Callable[[], float]:
        """Seconds for one key."""
        return each(body, self.keys(keys), passes, d=self.store, v=self.value(value))

    def keys(self, keys: Sequence[str]) -> list[Any]:
        """The keys as this library takes them."""
        return [key.encode() for key in keys] if self.encoded else list(keys)

    def value(self, value: object) -> object:
        """A value as this library takes it."""
        return str(value).encode() if self.encoded else value


@contextmanager
def _ultra(package: str) -> Generator[Peer]:
    store = import_module(package).UltraDict(buffer_size=ULTRA_STREAM)
    try:
        yield Peer(store)
    finally:
        store.unlink()


@contextmanager
def _lmdb() -> Generator[Peer]:
    folder = tempfile.mkdtemp(dir="/dev/shm")
    store = import_module("lmdb").open(folder, map_size=LMDB_SIZE, sync=False, metasync=False, writemap=True)
    try:
        yield Peer(
            store,
            get="with d.begin() as t: t.get(k)",
            put="with d.begin(write=True) as t: t.put(k, v)",
            ten="with d.begin(write=True) as t:\n    for k in ks: t.put(k, v)",
            encoded=True,
        )
    finally:
        store.close()
        shutil.rmtree(folder)


_OPEN: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
    "UltraDict": partial(_ultra, "UltraDict"),
    "UltraDict2": partial(_ultra, "UltraDict2"),
    "lmdb": _lmdb,
}


@contextmanager
def peers(*names: str) -> Generator[dict[str, Peer]]:
    """A new, empty store of each library that is installed, or of those named."""
    with ExitStack() as stack:
        chosen = names or [name for name in _OPEN if find_spec(name)]
        yield {name: stack.enter_context(_OPEN[name]()) for name in chosen}
