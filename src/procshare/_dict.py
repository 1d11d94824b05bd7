"""`SharedDict`: a dict that several processes see as one."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from procshare._containers import MISSING, to_dict, to_pairs
from procshare._display import short_items
from procshare._shared import Shared
from procshare._views import DictItems, DictKeys, DictValues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Self, Unpack

    from _typeshed import SupportsKeysAndGetItem

    from procshare._shared import Options
    from procshare.backends import Backend

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")


class SharedDict(Shared[dict[K, V]], MutableMapping[K, V]):
    """A dict that several processes see as one: in insertion order, each call atomic, reads without a lock.

    Iteration, views, `==`, `copy()` and `value` show one state that really was, and a concurrent change never makes
    them raise. Values come back as fresh objects: changing one changes nothing shared, unless it is a handle itself.
    Two calls are two steps: `d[k] += 1` is a race; write `d.increment(k)`, `d.modify_item(k, fn)`, or
    `with d.locked() as inside: inside[k] += 1`.

    `dict(d)` and `{**d}` ask for one key after another; `d.copy()` and `d.value` are one snapshot.

    Args:
        data: What it holds at first: a mapping, or pairs of key and value, copied. Keys are str, bytes, int, None, or
            tuples of these; values whatever pickles.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.
        items: Other keyword arguments are keys and values too, as with a dict.

    Raises:
        TypeError: A key is of another type (bool and float are), or a value cannot be pickled; nothing was created.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Every call that takes a key raises TypeError for what cannot be one, as a dict does for an unhashable one. A call
    that raises has changed nothing.

    Memory: at most three times what it holds, and 64 KiB; what is deleted is given back.

    >>> stock = SharedDict({"apples": 5}, pears=3)
    >>> stock["plums"] = 8
    >>> stock.increment("apples")
    6
    >>> stock.value
    {'apples': 6, 'pears': 3, 'plums': 8}
    """

    __slots__ = ()
    kind: ClassVar[str] = "dict"

    @overload
    def __init__(self, /, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, data: SupportsKeysAndGetItem[K, V], /, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, data: Iterable[tuple[K, V]], /, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(
        self: SharedDict[str, V2],
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        **items: V2,
    ) -> None: ...
    @overload
    def __init__(
        self: SharedDict[str, V2],
        data: SupportsKeysAndGetItem[str, V2] | Iterable[tuple[str, V2]],
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        **items: V2,
    ) -> None: ...
    def __init__(self, data: Any = (), /, **items: Any) -> None:
        raise NotImplementedError

    @overload
    @classmethod
    def fromkeys(
        cls, iterable: Iterable[K2], value: None = None, /, **options: Unpack[Options]
    ) -> SharedDict[K2, Any | None]: ...
    @overload
    @classmethod
    def fromkeys(cls, iterable: Iterable[K2], value: V2, /, **options: Unpack[Options]) -> SharedDict[K2, V2]: ...
    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None, /, **options: Any) -> SharedDict[Any, Any]:
        """Make a shared dict with these keys, all with the same value; *options* as for the class.

        >>> SharedDict.fromkeys(["a", "b"], 0).value
        {'a': 0, 'b': 0}
        """
        made: Any = cls
        fresh: SharedDict[Any, Any] = made([(key, value) for key in iterable], **options)
        return fresh

    # ---- one key ----

    def __getitem__(self, key: K, /) -> V:
        raise NotImplementedError

    def __setitem__(self, key: K, value: V, /) -> None:
        raise NotImplementedError

    def __delitem__(self, key: K, /) -> None:
        raise NotImplementedError

    def __contains__(self, key: object, /) -> bool:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: V2, /) -> V | V2: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """The value of *key*, or *default* if there is none.

        >>> SharedDict(a=1).get("b", 0)
        0
        """
        raise NotImplementedError

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V, /) -> V: ...
    @overload
    def pop(self, key: K, default: V2, /) -> V | V2: ...
    def pop(self, key: K, default: Any = MISSING, /) -> Any:
        """Remove *key* and return its value; of several processes that try, one gets it.

        Raises:
            KeyError: It is missing, and no default was given.

        >>> d = SharedDict(a=1)
        >>> d.pop("a"), d.pop("a", None)
        (1, None)
        """
        raise NotImplementedError

    def popitem(self, last: bool = True) -> tuple[K, V]:
        """Remove and return the pair that was inserted last, or with *last* False first.

        Raises:
            KeyError: The dict is empty.

        >>> d = SharedDict(a=1, b=2, c=3)
        >>> d.popitem(), d.popitem(last=False)
        (('c', 3), ('a', 1))
        """
        raise NotImplementedError

    @overload
    def setdefault(self: SharedDict[K, V2 | None], key: K, default: None = None, /) -> V2 | None: ...
    @overload
    def setdefault(self, key: K, default: V, /) -> V: ...
    def setdefault(self, key: K, default: Any = None, /) -> Any:
        """The value of *key*, which becomes *default* if it is missing; all processes that ask at once get the same.

        >>> d = SharedDict()
        >>> d.setdefault("winner", 4711), d.setdefault("winner", 4712)
        (4711, 4711)
        """
        raise NotImplementedError

    def increment(self, key: K, n: int = 1) -> int:
        """Add *n* to the int value of *key* atomically and return the new value; a missing key counts as 0.

        Raises:
            TypeError: The value is no int (a bool is none); nothing was changed.

        >>> words = SharedDict()
        >>> words.increment("the"), words.increment("the", 5)
        (1, 6)
        """
        raise NotImplementedError

    def modify_item(self, key: K, fn: Callable[[V], V], default: V = MISSING) -> V:
        """Replace the value of *key* by `fn(value)` while nobody else can change it; returns the new value.

        If *fn* raises, nothing is changed. *fn* should be short: others wait for it.

        Args:
            key: Of the one value to replace.
            fn: Gets the value, as a fresh object, and returns what takes its place.
            default: What *fn* gets if *key* is missing.

        Raises:
            KeyError: *key* is missing, and no default was given.

        >>> d = SharedDict(a=[1])
        >>> d.modify_item("a", lambda items: [*items, 2])
        [1, 2]
        >>> d.modify_item("b", lambda items: [*items, 3], default=[])
        [3]
        """
        raise NotImplementedError

    # ---- the whole ----

    def clear(self) -> None:
        """Remove everything at once.

        >>> d = SharedDict(a=1)
        >>> d.clear()
        >>> len(d)
        0
        """
        raise NotImplementedError

    def set(self, value: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]]) -> None:
        """Replace all that it holds by a copy of *value*, a mapping or pairs, as one change.

        >>> d = SharedDict(a=1)
        >>> d.set({"b": 2})
        >>> d.value
        {'b': 2}
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Self]:
        """A transaction: exclude all other writers for a `with` block; yields the dict as the block sees it.

        Others go on reading the last commit. What the block writes appears to them all at once when it ends, and not at
        all if it raises or the process dies. Calls on the handle itself join the block of their thread. A block inside
        a block that raises undoes only its own writes. What the block was given is dead after it (`Closed`).

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> money = SharedDict(ann=10, bob=0)
        >>> with money.locked() as inside:
        ...     inside["ann"] -= 5
        ...     inside["bob"] += 5
        >>> money.value
        {'ann': 5, 'bob': 5}
        """
        raise NotImplementedError

    def _keys(self) -> list[K]:
        raise NotImplementedError

    def _values(self) -> list[V]:
        raise NotImplementedError

    def _items(self) -> list[tuple[K, V]]:
        raise NotImplementedError

    def _update(self, pairs: list[tuple[K, V]], /) -> None:
        raise NotImplementedError

    # ---- what follows from these ----

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys())

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._keys())

    def keys(self) -> DictKeys[K]:
        """The keys, a view: each use of it works on one snapshot.

        >>> SharedDict(a=1, b=2).keys() & {"b", "c"}
        {'b'}
        """
        return DictKeys(self)

    def values(self) -> DictValues[V]:
        """The values, a view: each use of it works on one snapshot.

        >>> sum(SharedDict(a=1, b=2).values())
        3
        """
        return DictValues(self)

    def items(self) -> DictItems[K, V]:
        """Pairs of key and value, a view: each use of it works on one snapshot.

        >>> [f"{key}={value}" for key, value in SharedDict(a=1, b=2).items()]
        ['a=1', 'b=2']
        """
        return DictItems(self)

    def copy(self) -> dict[K, V]:
        """One snapshot, as a plain dict. (`copy.copy(d)` is the shared dict itself.)

        >>> SharedDict(a=1).copy()
        {'a': 1}
        """
        return self.value

    @overload
    def update(self, data: SupportsKeysAndGetItem[K, V], /, **more: V) -> None: ...
    @overload
    def update(self, data: Iterable[tuple[K, V]], /, **more: V) -> None: ...
    @overload
    def update(self, /, **more: V) -> None: ...
    def update(self, data: Any = (), /, **more: Any) -> None:
        """Set many keys as one change: from a mapping, or from pairs, then from keyword arguments.

        >>> d = SharedDict(a=1)
        >>> d.update({"a": 2}, b=3)
        >>> d.value
        {'a': 2, 'b': 3}
        """
        pairs = to_pairs(data)
        pairs += more.items()
        self._update(pairs)

    @overload
    def __or__(self, other: Mapping[K, V], /) -> dict[K, V]: ...
    @overload
    def __or__(self, other: Mapping[K2, V2], /) -> dict[K | K2, V | V2]: ...
    def __or__(self, other: Any, /) -> dict[Any, Any]:
        return self.value | to_dict(other) if isinstance(other, Mapping) else NotImplemented

    @overload
    def __ror__(self, other: Mapping[K, V], /) -> dict[K, V]: ...
    @overload
    def __ror__(self, other: Mapping[K2, V2], /) -> dict[K | K2, V | V2]: ...
    def __ror__(self, other: Any, /) -> dict[Any, Any]:
        return to_dict(other) | self.value if isinstance(other, Mapping) else NotImplemented

    def __ior__(  # type: ignore[misc]
        self, other: SupportsKeysAndGetItem[K, V] | Iterable[tuple[K, V]], /
    ) -> Self:
        self._update(to_pairs(other))
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        mine = self.value
        return mine == (mine if other is self else to_dict(other))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def _seen(self, most: int) -> dict[K, V]:
        """The first of what it holds, or an error rather than a wait for it."""
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return short_items(self)

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)
