"""Where a container lives: in a table or row of our own manager, or in the dict, list or Namespace of another's.

Ours hold pickles and take the writes of a block in one request. Another's hold plain objects, seen by whoever has the
original proxy, and take a dict's or namespace's writes one request after the other.
"""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

from procshare._containers import MISSING
from procshare.backends.stdlib.drafts import Changes, Whole
from procshare.backends.stdlib.manager import Managed, pickled

EVERYTHING = slice(None)


class OwnStore(Managed):
    """In the manager that this backend starts."""

    __slots__ = ()

    def encode(self, value: Any) -> bytes:
        return pickled(value)

    def decode(self, stored: bytes) -> Any:
        return pickle.loads(stored)


class TableStore(OwnStore):
    """A dict, set or namespace of ours."""

    __slots__ = ()

    def find(self, key: Any) -> Any:
        found = self.ask("find", key)
        return MISSING if found is None else found

    def has(self, key: Any) -> bool:
        there: bool = self.ask("has", key)
        return there

    def size(self) -> int:
        size: int = self.ask("size")
        return size

    def keys(self) -> list[Any]:
        keys: list[Any] = self.ask("keys")
        return keys

    def items(self) -> list[tuple[Any, Any]]:
        items: list[tuple[Any, Any]] = self.ask("items")
        return items

    def end(self, last: bool) -> tuple[Any, Any] | None:
        pair: tuple[Any, Any] | None = self.ask("end", last)
        return pair

    def draft(self) -> Changes:
        return Changes(self)

    def change(self, draft: Changes) -> tuple[Any, ...]:
        """A block's writes as `Table.apply` takes them."""
        return draft.cleared, list(draft.dropped), draft.put

    def save(self, stored: Changes) -> None:
        self.ask("apply", *self.change(stored))


class RowStore(OwnStore):
    """A list of ours."""

    __slots__ = ()

    def run(self, method: str, *args: Any) -> Any:
        return self.ask(method, *args)

    def draft(self) -> Whole:
        return Whole(self.ask("__getitem__", EVERYTHING))

    def change(self, draft: Whole) -> tuple[Any, ...]:
        """A block's writes as `Row.apply` takes them."""
        return (list(draft),)

    def save(self, stored: Whole) -> None:
        self.ask("apply", *self.change(stored))


# ---- adopted by wrap() ----


class _Packed(bytes):
    """A pickle on its way to a manager that holds plain objects: what a block wrote, safe from later changes to it."""

    __slots__ = ()


def _unpacked(stored: Any) -> Any:
    if type(stored) is _Packed:
        return pickle.loads(stored)
    return stored


class ForeignStore(Managed):
    """In a manager of somebody else."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        """Raises TypeError for what does not pickle, here and not when half of a block is written."""
        try:
            return _Packed(ForkingPickler.dumps(value))  # as the proxy will: it takes more than pickle alone
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(f"a shared value must pickle, and this {type(value).__name__} does not: {error}") from error

    def decode(self, stored: Any) -> Any:
        return _unpacked(stored)


class ForeignTable(ForeignStore):
    """What a dict and a Namespace have in common: whole reads."""

    __slots__ = ()

    def contents(self) -> dict[Any, Any]:
        """A copy of all."""
        raise NotImplementedError

    def keys(self) -> list[Any]:
        return list(self.contents())

    def items(self) -> list[tuple[Any, Any]]:
        return list(self.contents().items())

    def find(self, key: Any) -> Any:
        return self.contents().get(key, MISSING)

    def has(self, key: Any) -> bool:
        return key in self.contents()

    def size(self) -> int:
        return len(self.contents())

    def end(self, last: bool) -> tuple[Any, Any] | None:
        items = self.items()
        return items[-1 if last else 0] if items else None

    def draft(self) -> Changes:
        return Changes(self)


class DictStore(ForeignTable):
    """Behind a `DictProxy`."""

    __slots__ = ()

    def contents(self) -> dict[Any, Any]:
        copied: dict[Any, Any] = self.ask("copy")
        return copied

    def keys(self) -> list[Any]:
        keys: list[Any] = self.ask("keys")
        return keys

    def find(self, key: Any) -> Any:
        try:
            return self.ask("__getitem__", key)
        except KeyError:
            return MISSING

    def has(self, key: Any) -> bool:
        there: bool = self.ask("__contains__", key)
        return there

    def size(self) -> int:
        size: int = self.ask("__len__")
        return size

    def save(self, stored: Changes) -> None:
        if stored.cleared:
            self.ask("clear")
        for key in stored.dropped:
            self.ask("pop", key, None)
        if stored.put:
            self.ask("update", {key: _unpacked(value) for key, value in stored.put.items()})


class NamespaceStore(ForeignTable):
    """Behind a `NamespaceProxy`. Its attributes are read all at once: one that was asked for might be a method."""

    __slots__ = ()

    def contents(self) -> dict[Any, Any]:
        attributes: dict[Any, Any] = self.ask("__getattribute__", "__dict__")
        return attributes

    def save(self, stored: Changes) -> None:
        for name in self.keys() if stored.cleared or stored.dropped else ():
            if stored.cleared or name in stored.dropped:
                self.ask("__delattr__", name)
        for name, value in stored.put.items():
            self.ask("__setattr__", name, _unpacked(value))


class ListStore(ForeignStore):
    """Behind a `ListProxy`."""

    __slots__ = ()

    def run(self, method: str, *args: Any) -> Any:
        return self.ask(method, *(_argument(arg) for arg in args))

    def draft(self) -> Whole:
        return Whole(self.ask("__getitem__", EVERYTHING))

    def save(self, stored: Whole) -> None:
        self.run("__setitem__", EVERYTHING, list(stored))


def _argument(given: Any) -> Any:
    elements: Any = given
    return [_unpacked(each) for each in elements] if type(given) is list else _unpacked(given)
