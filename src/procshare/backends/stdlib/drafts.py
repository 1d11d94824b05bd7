"""Uncommitted writes to a container: they answer the calls that its store answers, as the block is to see it."""

from __future__ import annotations

from typing import Any

from procshare._containers import MISSING


class Changes:
    """Writes to a table, over what its store has. They are few, and the table may be large: it is not copied."""

    __slots__ = ("_store", "cleared", "dropped", "put")
    cleared: bool
    dropped: dict[Any, None]
    put: dict[Any, Any]

    def __init__(self, store: Any) -> None:
        self._store = store
        self.cleared, self.dropped, self.put = False, {}, {}

    def copy(self) -> Changes:
        """For an inner block, which may have to go back."""
        twin = Changes(self._store)
        twin.cleared, twin.dropped, twin.put = self.cleared, self.dropped.copy(), self.put.copy()
        return twin

    # ---- writing ----

    def replace(self, pairs: dict[Any, Any]) -> None:
        """Nothing is left but *pairs*."""
        self.cleared, self.dropped, self.put = True, {}, pairs.copy()

    def drop(self, key: Any) -> None:
        """Take *key* out; the store need not have it."""
        if not self.cleared:
            self.dropped[key] = None  # kept when the key is put again: then it goes to the end
        self.put.pop(key, None)

    # ---- reading ----

    def find(self, key: Any) -> Any:
        """What is under *key*, or MISSING."""
        if key in self.put:
            return self.put[key]
        return MISSING if self.cleared or key in self.dropped else self._store.find(key)

    def has(self, key: Any) -> bool:
        """Whether there is something under *key*."""
        return key in self.put or not (self.cleared or key in self.dropped or not self._store.has(key))

    def size(self) -> int:
        """How many keys there are."""
        return len(self.put) if self.cleared else len(self.keys())

    def keys(self) -> list[Any]:
        """All of them, in order."""
        if self.cleared:
            return list(self.put)
        committed: list[Any] = self._store.keys()
        kept = dict.fromkeys(key for key in committed if key not in self.dropped)
        return list(kept | dict.fromkeys(self.put))

    def items(self) -> list[tuple[Any, Any]]:
        """All keys, and what is under them."""
        if self.cleared:
            return list(self.put.items())
        kept = {key: stored for key, stored in self._store.items() if key not in self.dropped}
        return list((kept | self.put).items())

    def end(self, last: bool) -> tuple[Any, Any] | None:
        """The last pair or the first."""
        keys = self.keys()
        if not keys:
            return None
        key = keys[-1 if last else 0]
        return key, self.find(key)


class Whole(list[Any]):
    """A list as a block has changed it so far: unlike a table's, its places move, so it is copied."""

    def copy(self) -> Whole:
        """For an inner block, which may have to go back."""
        return Whole(self)

    def run(self, method: str, *args: Any) -> Any:
        """Call a method of list."""
        return getattr(self, method)(*args)
