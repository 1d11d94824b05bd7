"""`Handle`, the lifetime of a shared object in this process, and `Shared[T]`, its state.

These classes are the interface. Calling one makes an object of the chosen backend's subclass, so
`isinstance(x, SharedCounter)` holds whatever the backend. They are not abstract in the sense of `abc`
(type checkers would refuse to call them): a method that a backend must supply raises NotImplementedError.
"""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from procshare._display import describe, holder_state, rich_parts, short
from procshare.backends import implementation, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self, TypedDict

    from procshare.backends import Backend

    class Options(TypedDict, total=False):
        """The keyword arguments with which every object is made."""

        name: str | None
        mode: int
        group: str | int | None
        backend: str | Backend | None


T = TypeVar("T")


class Cell(Protocol[T]):
    """What `locked()` yields for a counter or value: one writable `value`.

    What is written appears to others when the block ends, and not at all if the block raises or the
    process dies. A cell is dead after its block (`Closed`).

    >>> count = SharedCounter(5)
    >>> with count.locked() as cell:
    ...     cell.value = cell.value * 2
    >>> count.value
    10
    """

    value: T


class Handle(ABC):
    """One process's hold on a shared object; base of every public type.

    The process that creates an object owns it: leaving its `with` block, `unlink()`, its exit, or the garbage
    collection of a handle that was never exported (pickled, or its `name` or `segment` read) removes the object.
    A handle pickles through any channel, and unpickling attaches. (`with` on a lock, semaphore or condition acquires
    and releases it, and removes nothing.)

    >>> with SharedCounter(5) as hits:  # any other handle too
    ...     hits.kind, hits.closed
    ('counter', False)
    >>> hits.closed
    True
    """

    __slots__ = ()

    kind: ClassVar[str] = ""
    """What the object is, as its segment tells. It is "counter", "value", "array", "dict", "list", "set", "namespace",
    "queue", "lock", "rlock", "semaphore", "bounded_semaphore", "event", "condition", "barrier" or "rwlock"."""
    _implements: ClassVar[Any] = None  # in a backend's class: the public class that users know it by

    __orig_bases__: ClassVar[tuple[Any, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__orig_bases__" not in cls.__dict__:  # then dill would take those of a generic base for this class's own
            cls.__orig_bases__ = cls.__bases__

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = implementation(cls, kwargs.get("backend"))
        if made is cls:
            return super().__new__(cls)
        new: Self = made.__new__(made)
        return new

    @property
    def name(self) -> str:
        """The name to attach by, from any process of this user; reading it exports the object.

        >>> with SharedCounter(5) as hits:
        ...     SharedCounter.attach(hits.name).value
        5
        """
        raise NotImplementedError

    @property
    def segment(self) -> str:
        """The POSIX shared-memory name it lives in, for `SharedMemory(name=...)`; reading it exports.

        >>> from multiprocessing.shared_memory import SharedMemory
        >>> with SharedArray([1, 2, 3], "i") as numbers:
        ...     memory = SharedMemory(numbers.segment)  # for what knows nothing of procshare
        ...     memory.size >= numbers.nbytes
        ...     memory.close()
        True
        """
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether this handle was closed.

        >>> hits = SharedCounter()
        >>> hits.close()
        >>> hits.closed
        True
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go in this process. Idempotent; never fails because views of the memory are alive.

        >>> numbers = SharedArray([1, 2, 3])
        >>> live = numbers.array
        >>> numbers.close()
        >>> int(live.sum())  # a view goes on
        6
        """
        raise NotImplementedError

    def unlink(self) -> None:
        """Destroy the object for everyone: its name is gone, attached processes keep their mapping. Idempotent.

        Raises:
            NotOwned: It belongs to another user, and this process is not root's.

        >>> hits = SharedCounter(name="hits")
        >>> hits.unlink()
        >>> hits.increment()  # whoever has it, has it
        1
        >>> attach("hits")
        Traceback (most recent call last):
            ...
        procshare.NotFound: no live shared object is called 'hits'; procshare.segments() lists what exists
        """
        raise NotImplementedError

    def hand_over(self) -> Self:
        """Give the object away: from now on it belongs to whoever attaches, and the last one out unlinks.

        Returns the handle itself, so that a worker can `return SharedArray(x).hand_over()`.

        Raises:
            Closed: The handle is closed.
            UnsupportedByBackend: The backend's objects cannot outlive their creator.

        >>> def work(x):
        ...     return SharedArray(x).hand_over()  # else it would go with the worker that made it
        >>> result = work([1, 2, 3])
        >>> result.value.tolist()
        [1, 2, 3]
        >>> result.unlink()
        """
        raise NotImplementedError

    @classmethod
    def attach(cls, name: str) -> Self:
        """Attach to an object that exists.

        Args:
            name: The `name` of a handle in any process of this user, or its `segment`, by which another user's
                object is called.

        Raises:
            NotFound: Nothing alive has this name.
            KindMismatch: It is of another kind.
            NotOwned: Others can write into it, and this process does not trust them: see `trust`.
            CorruptSegment, VersionMismatch: It was refused.
            LockTimeout: A process stood still for 10 s in the middle of attaching to it or leaving it.
            OSError: 768 processes are attached, which is the most; or the system has no descriptor or lock left.

        >>> with SharedDict({"a": 1}, name="prices"):
        ...     SharedDict.attach("prices")["a"]  # in any process
        1
        """
        if not cls.kind:  # Handle.attach and Shared.attach take any kind
            anything: Self = serve("attach")(name)
            return anything
        attached: Self = implementation(cls, None)._attach(name)
        return attached

    @classmethod
    def open(cls, name: str, *args: Any, persist: bool = False, **kwargs: Any) -> Self:
        """Attach to *name*, or create it from the other arguments if it does not exist, atomically.

        The object belongs to everyone who has it open: the last process out unlinks it.

        Args:
            name: Letters, digits and most punctuation, up to 180 bytes; shared by all processes of this user.
            persist: Keep it when the last process has left; only `unlink()` removes it.

        Raises:
            KindMismatch: It exists and is of another kind.
            NotOwned: It exists, and others can write into it whom *mode* and *group* do not let in: see `trust`.

        >>> with SharedCounter.open("hits", 5) as mine:
        ...     theirs = SharedCounter.open("hits", 5)  # in another process, say: it exists already
        ...     theirs.increment()
        ...     theirs.close()
        6
        """
        opened: Self = implementation(cls, kwargs.pop("backend", None))._open(name, args, kwargs, persist)
        return opened

    @classmethod
    def _attach(cls, name: str) -> Self:
        raise NotImplementedError

    @classmethod
    def _open(cls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], persist: bool) -> Self:
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    # ---- how it shows itself, see _display.py ----

    def _known_as(self) -> str | None:
        """The name, if others may know it; None where there is none, or none that was exported."""
        return None

    def _holder(self) -> int:
        """The process that has its lock, by its id; 0 if nobody has it; -1 if it is not known who."""
        return 0

    def _repr_contents(self) -> str:
        return ""

    def _repr_state(self) -> str:
        return ""

    def __repr__(self) -> str:
        return describe(self, self._repr_contents)

    def __rich_repr__(self) -> Iterator[Any]:
        return iter(rich_parts(self))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


Handle.__rich_repr__.__dict__["angular"] = True  # how rich knows that it is to be shown in angle brackets


class Shared(Handle, Generic[T]):
    """State of type *T* that several processes see as one.

    >>> state: Shared[list[int]] = share([3, 1, 2])
    >>> state.modify(sorted)
    [1, 2, 3]
    """

    __slots__ = ()

    @property
    def value(self) -> T:
        """One consistent snapshot, as a plain object of this process. Read-only, since a write here would race.

        >>> x = SharedValue([1, 2])
        >>> x.value
        [1, 2]
        >>> x.value = [3]
        Traceback (most recent call last):
            ...
        AttributeError: value is read-only, because reading and writing it in two steps would race; use set(), ...
        """
        raise NotImplementedError

    def set(self, value: T) -> None:
        """Replace the whole value at once.

        Raises:
            OverflowError: It does not fit; nothing was changed.
            TypeError: It is of the wrong type; nothing was changed.

        >>> x = SharedValue("old")
        >>> x.set("new")
        >>> x.value
        'new'
        """
        raise NotImplementedError

    def modify(self, fn: Callable[[T], T]) -> T:
        """Replace the value by `fn(value)` while nobody else can change it; returns the new value.

        If *fn* raises, nothing is changed. *fn* should be short: others wait for it.

        >>> x = SharedValue(5)
        >>> x.modify(lambda n: n * n)
        25
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Any]:
        """Exclude every other thread and process for the length of a `with` block. Re-entrant.

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> x = SharedValue(5)
        >>> with x.locked(timeout=2) as cell:
        ...     if cell.value < 10:
        ...         cell.value += 1
        >>> x.value
        6
        """
        raise NotImplementedError

    def wait_until(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        """Sleep in the kernel until a change makes *predicate* true; returns the value that did.

        Args:
            predicate: Called with a snapshot, outside any lock, now and after changes.
            timeout: Seconds to wait at most; None waits for ever.

        Raises:
            WaitTimeout: A `TimeoutError`; it did not come true in time.

        >>> from threading import Thread
        >>> ready = SharedCounter()
        >>> Thread(target=ready.increment, args=(3,)).start()
        >>> ready.wait_until(lambda n: n >= 3, timeout=10)
        3
        """
        raise NotImplementedError

    async def wait_until_async(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        """As `wait_until`, and other tasks of asyncio run until a change makes *predicate* true.

        Args:
            predicate: Called with a snapshot, in the task, now and after changes.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which only looks.

        Raises:
            WaitTimeout: A `TimeoutError`; it did not come true in time.

        >>> import asyncio
        >>> async def both(ready):
        ...     waiting = asyncio.create_task(ready.wait_until_async(lambda n: n >= 3))
        ...     ready.increment(3)
        ...     return await waiting
        >>> asyncio.run(both(SharedCounter()))
        3
        """
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return f"value={short(self.value)}"

    def _repr_state(self) -> str:
        return holder_state(self)
