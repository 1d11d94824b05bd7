"""What the manager process serves for containers: bytes under plain keys, and bytes in a row.

A block's writes arrive in one request, and each request is one step for the others. So a client that is killed
leaves all of them or none: the manager has the whole request, or it has nothing.
"""

from __future__ import annotations

import threading
from multiprocessing import current_process
from multiprocessing.managers import BaseProxy, SyncManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Table:
    """The contents of a dict, set or namespace."""

    __slots__ = ("_held", "_lock")

    def __init__(self, pairs: Iterable[tuple[Any, bytes]]) -> None:
        self._held = dict(pairs)
        self._lock = threading.Lock()  # the manager has a thread for each of its clients'

    def find(self, key: Any) -> bytes | None:
        """What is under *key*."""
        with self._lock:
            return self._held.get(key)

    def has(self, key: Any) -> bool:
        """Whether there is something under *key*."""
        with self._lock:
            return key in self._held

    def size(self) -> int:
        """How many keys there are."""
        with self._lock:
            return len(self._held)

    def keys(self) -> list[Any]:
        """All of them, in order."""
        with self._lock:
            return list(self._held)

    def items(self) -> list[tuple[Any, bytes]]:
        """All keys, and what is under them."""
        with self._lock:
            return list(self._held.items())

    def end(self, last: bool) -> tuple[Any, bytes] | None:
        """The last pair or the first."""
        with self._lock:
            for key in reversed(self._held) if last else self._held:
                return key, self._held[key]
        return None

    def apply(self, cleared: bool, dropped: list[Any], put: dict[Any, bytes]) -> None:
        """Publish the writes of a block; a key that was dropped and put goes to the end."""
        with self._lock:
            if cleared:
                self._held.clear()
            for key in dropped:
                self._held.pop(key, None)
            self._held.update(put)

    def commit(self, changes: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Publish the writes of a block to several containers."""
        commit(changes)


class Row(list[bytes]):
    """The contents of a list."""

    def apply(self, contents: list[bytes]) -> None:
        """Publish what a block made of it."""
        self[:] = contents

    def commit(self, changes: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Publish the writes of a block to several containers."""
        commit(changes)


def commit(changes: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Publish changes to containers of this manager, each given by the id that its proxies have."""
    server: Any = getattr(current_process(), "_manager_server")
    found = [(server.id_to_obj[ident][0], change) for ident, change in changes]
    for container, change in found:
        container.apply(*change)


class TableProxy(BaseProxy):
    """Another process's end of a `Table`."""

    _exposed_ = ("apply", "commit", "end", "find", "has", "items", "keys", "size")


class RowProxy(BaseProxy):
    """Another process's end of a `Row`."""

    _exposed_ = (
        "__delitem__", "__getitem__", "__len__", "__setitem__", "append", "apply", "commit", "extend", "insert", "pop",
        "reverse",
    )  # fmt: skip


class Manager(SyncManager):
    """The manager of the `stdlib` backend."""


Manager.register("Table", Table, TableProxy)
Manager.register("Row", Row, RowProxy)
