"""`SharedNamespace`: an object whose attributes several processes see as one."""

from __future__ import annotations

from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar

from procshare._containers import MISSING, to_pairs
from procshare._display import short_attributes
from procshare._shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Self

    from procshare.backends import Backend


class SharedNamespace(Shared[dict[str, Any]]):
    """An object whose attributes several processes see as one: `ns.x = 1`, `ns.x`, `del ns.x`, `ns["x"]`.

    A name that the class uses itself, like `value` or `set`, is refused as an attribute; any name works as an item,
    `ns["value"]`. Values come back as fresh objects: changing one changes nothing shared, unless it is a handle itself,
    so `ns.items = SharedList()` and `ns.items.append(5)` do what they say. Two uses are two steps: `ns.x += 1` is a
    race; write `ns.increment("x")`, `ns.modify_item("x", fn)`, or
    `with ns.locked() as inside: inside.x += 1`.

    Args:
        data: What it holds at first: a mapping from names to whatever pickles, copied.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.
        attributes: Other keyword arguments are attributes too.

    Raises:
        TypeError: A name is no str, or a value cannot be pickled; nothing was created.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    A call that raises has changed nothing.

    Memory: at most three times what it holds, and 64 KiB; what is deleted is given back.

    >>> job = SharedNamespace(state="new", done=0)
    >>> job.state = "running"
    >>> job.increment("done")
    1
    >>> job.value
    {'state': 'running', 'done': 1}
    """

    __slots__ = ()
    kind: ClassVar[str] = "namespace"

    def __init__(
        self,
        data: Mapping[str, Any] = {},
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        **attributes: Any,
    ) -> None:
        raise NotImplementedError

    # ---- one attribute ----

    def __contains__(self, name: object, /) -> bool:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def increment(self, name: str, n: int = 1) -> int:
        """Add *n* to the int attribute *name* atomically and return the new value; a missing one counts as 0.

        Raises:
            TypeError: The value is no int (a bool is none); nothing was changed.

        >>> job = SharedNamespace()
        >>> job.increment("done", 2), job.done
        (2, 2)
        """
        raise NotImplementedError

    def modify_item(self, name: str, fn: Callable[[Any], Any], default: Any = MISSING) -> Any:
        """Replace the attribute *name* by `fn(value)` while nobody else can change it; returns the new value.

        If *fn* raises, nothing is changed. *fn* should be short: others wait for it.

        Args:
            name: Of the one attribute to replace.
            fn: Gets the value, as a fresh object, and returns what takes its place.
            default: What *fn* gets if there is no such attribute.

        Raises:
            KeyError: There is none, and no default was given.

        >>> job = SharedNamespace(state="new")
        >>> job.modify_item("state", str.upper)
        'NEW'
        """
        raise NotImplementedError

    def _find(self, name: str, default: Any, /) -> Any:
        raise NotImplementedError

    def _put(self, name: str, value: Any, /) -> object:
        raise NotImplementedError

    def _drop(self, name: str, /) -> None:
        raise NotImplementedError

    # ---- the whole ----

    def clear(self) -> None:
        """Remove all attributes at once.

        >>> job = SharedNamespace(state="new")
        >>> job.clear()
        >>> job.value
        {}
        """
        raise NotImplementedError

    def set(self, value: Mapping[str, Any]) -> None:
        """Replace all attributes by those of *value*, as one change.

        >>> job = SharedNamespace(state="new")
        >>> job.set({"done": 3})
        >>> job.value
        {'done': 3}
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Self]:
        """A transaction: exclude all other writers for a `with` block; yields the namespace as the block sees it.

        Others go on reading the last commit. What the block writes appears to them all at once when it ends, and not at
        all if it raises or the process dies. Uses of the handle itself join the block of their thread. A block inside a
        block that raises undoes only its own writes. What the block was given is dead after it (`Closed`).

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> job = SharedNamespace(done=1, left=2)
        >>> with job.locked() as inside:
        ...     inside.done, inside.left = inside.done + 1, inside.left - 1
        >>> job.value
        {'done': 2, 'left': 1}
        """
        raise NotImplementedError

    def _keys(self) -> list[str]:
        raise NotImplementedError

    def _update(self, pairs: list[tuple[str, Any]], /) -> None:
        raise NotImplementedError

    # ---- what follows from these ----

    def __getattr__(self, name: str) -> Any:
        # A name of the class comes here when it is a slot that is not set: never look for it in the store, which may
        # need that very slot.
        found = MISSING if _belongs_to(type(self), name) else self._find(name, MISSING)
        if found is MISSING:
            raise AttributeError(_unknown(name), name=name, obj=self)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if not _belongs_to(type(self), name):
            self._put(name, value)
        elif _is_slot(type(self), name):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(_refusal(name), name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        if not _belongs_to(type(self), name):
            try:
                self._drop(name)
            except KeyError:
                raise AttributeError(_unknown(name), name=name, obj=self) from None
        elif _is_slot(type(self), name):
            object.__delattr__(self, name)
        else:
            raise AttributeError(_refusal(name), name=name, obj=self)

    def __getitem__(self, name: str, /) -> Any:
        found = self._find(check_name(name), MISSING)
        if found is MISSING:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, value: Any, /) -> None:
        self._put(check_name(name), value)

    def __delitem__(self, name: str, /) -> None:
        self._drop(check_name(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *([] if self.closed else self._keys())})

    def update(self, data: Mapping[str, Any] = {}, /, **more: Any) -> None:
        """Set many attributes as one change: from a mapping, then from keyword arguments.

        >>> job = SharedNamespace(state="new")
        >>> job.update({"state": "running"}, done=0)
        >>> job.value
        {'state': 'running', 'done': 0}
        """
        self._update([*to_attributes(data), *more.items()])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedNamespace):
            return NotImplemented
        mine = self.value
        return mine == (mine if other is self else other.value)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def _seen(self, most: int) -> dict[str, Any]:
        """The first of what it holds, or an error rather than a wait for it."""
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return short_attributes(self)

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)


def check_name(name: object) -> str:
    """Refuse what cannot be the name of an attribute.

    Raises:
        TypeError: It is no str, or of a subclass of str.
    """
    if type(name) is not str:
        raise TypeError(f"{name!r} cannot be the name of an attribute: that is a str, not {type(name).__name__}")
    return name


def to_attributes(data: Any, attributes: Mapping[str, Any] = {}) -> list[tuple[str, Any]]:
    """Names and values of a mapping, and then of another; of a shared container, one snapshot of it.

    Raises:
        TypeError: A name is no str.
    """
    return [(check_name(name), value) for name, value in [*to_pairs(data), *attributes.items()]]


def _belongs_to(cls: type, name: str) -> bool:
    # Names like __deepcopy__ are the interpreter's. `hasattr` is quick, but finds what only the metaclass has, too.
    if name.startswith("__") and name.endswith("__"):
        return True
    return hasattr(cls, name) and any(name in vars(each) for each in cls.__mro__)


def _is_slot(cls: type, name: str) -> bool:
    # of a backend's class or of a user's subclass: a slot, or a property that can be set
    found: Any = next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)
    if isinstance(found, property):
        return found.fset is not None
    return hasattr(found.__class__, "__set__") and not isinstance(found, GetSetDescriptorType)


def _unknown(name: str) -> str:
    return f"this namespace has no attribute {name!r}"


def _refusal(name: str) -> str:
    user = "Python" if name.startswith("__") else "the class"
    return f"{name!r} cannot be a shared attribute: {user} uses it itself; as an item it can be: ns[{name!r}]"
