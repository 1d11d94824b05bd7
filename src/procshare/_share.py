"""`share()`, `wrap()` and `attach()`: the right class for an object that exists already; and `unlink()`, by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, overload

from procshare._array import SharedArray
from procshare._dict import SharedDict
from procshare._list import SharedList
from procshare._set import SharedSet
from procshare._shared import Handle, Shared
from procshare._value import SharedValue
from procshare.backends import serve

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence
    from multiprocessing import synchronize
    from multiprocessing.managers import DictProxy, ListProxy, Namespace, ValueProxy
    from multiprocessing.queues import Queue
    from multiprocessing.shared_memory import SharedMemory
    from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
    from typing import Unpack

    import numpy as np
    import numpy.typing as npt

    from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedSemaphore
    from procshare._namespace import SharedNamespace
    from procshare._queue import SharedQueue
    from procshare._shared import Options
    from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
    from procshare.backends import Backend

    ScalarT = TypeVar("ScalarT", bound=np.generic)

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
HandleT = TypeVar("HandleT", bound=Shared[Any])


@overload
def share(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    obj: HandleT, **options: Unpack[Options]
) -> HandleT: ...
@overload
def share(  # type: ignore[overload-overlap]
    obj: npt.NDArray[ScalarT], **options: Unpack[Options]
) -> SharedArray[ScalarT]: ...
@overload
def share(  # type: ignore[overload-overlap]
    obj: dict[K, V], **options: Unpack[Options]
) -> SharedDict[K, V]: ...
@overload
def share(  # type: ignore[overload-overlap]
    obj: list[T], **options: Unpack[Options]
) -> SharedList[T]: ...
@overload
def share(  # type: ignore[overload-overlap]
    obj: set[T], **options: Unpack[Options]
) -> SharedSet[T]: ...
@overload
def share(obj: T, **options: Unpack[Options]) -> SharedValue[T]: ...
def share(
    obj: Any,
    *,
    name: str | None = None,
    mode: int = 0o600,
    group: str | int | None = None,
    backend: str | Backend | None = None,
) -> Shared[Any]:
    """Share a copy of *obj*, by the class that fits it.

    A dict becomes a `SharedDict`, a list a `SharedList`, a set a `SharedSet`, an ndarray a `SharedArray`, any other
    object that pickles a `SharedValue`; subclasses too. A handle is returned as it is. (To count, make a
    `SharedCounter`: an int becomes a value.)

    Args:
        obj: What to copy.
        name, mode, group, backend: As for the class.

    Raises:
        TypeError: *obj* cannot be shared: it does not pickle, or a dict's key or a set's element is of a type that
            `SharedDict` and `SharedSet` refuse.
        OutOfSharedMemory: No room; nothing was created.

    >>> type(share([1, 2])).__mro__[0] is type(SharedList())
    True
    >>> share({"a": 1})["a"]
    1
    >>> share("text").value
    'text'
    """
    given: object = obj
    if isinstance(given, Shared):
        handle: Shared[Any] = obj
        return handle
    if isinstance(given, dict):
        return SharedDict(obj, name=name, mode=mode, group=group, backend=backend)
    if isinstance(given, list):
        return SharedList(obj, name=name, mode=mode, group=group, backend=backend)
    if isinstance(given, set):
        return SharedSet(obj, name=name, mode=mode, group=group, backend=backend)
    numpy = sys.modules.get("numpy")  # an ndarray exists only where NumPy was imported
    if numpy is not None and isinstance(obj, numpy.ndarray):
        return SharedArray(obj, name=name, mode=mode, group=group, backend=backend)
    return SharedValue(obj, name=name, mode=mode, group=group, backend=backend)


@overload
def wrap(obj: Synchronized[T]) -> SharedValue[T]: ...
@overload
def wrap(obj: ValueProxy[T]) -> SharedValue[T]: ...
@overload
def wrap(obj: DictProxy[K, V]) -> SharedDict[K, V]: ...
@overload
def wrap(obj: ListProxy[T]) -> SharedList[T]: ...
@overload
def wrap(obj: Namespace) -> SharedNamespace: ...
@overload
def wrap(obj: SynchronizedArray[Any]) -> SharedArray[Any]: ...
@overload
def wrap(obj: ctypes.Array[Any]) -> SharedArray[Any]: ...
@overload
def wrap(
    obj: SharedMemory, *, dtype: type[ScalarT] | np.dtype[ScalarT], shape: int | Sequence[int]
) -> SharedArray[ScalarT]: ...
@overload
def wrap(obj: SharedMemory, *, dtype: npt.DTypeLike, shape: int | Sequence[int]) -> SharedArray[Any]: ...
@overload
def wrap(obj: Queue[T]) -> SharedQueue[T]: ...
@overload
def wrap(obj: synchronize.Lock) -> SharedLock: ...
@overload
def wrap(obj: synchronize.RLock) -> SharedRLock: ...
@overload
def wrap(obj: synchronize.BoundedSemaphore) -> SharedBoundedSemaphore: ...
@overload
def wrap(obj: synchronize.Semaphore) -> SharedSemaphore: ...
@overload
def wrap(obj: synchronize.Event) -> SharedEvent: ...
@overload
def wrap(obj: synchronize.Condition) -> SharedCondition: ...
@overload
def wrap(obj: synchronize.Barrier) -> SharedBarrier: ...
def wrap(obj: Any, *, dtype: Any = None, shape: Any = None) -> Handle:
    """Adopt a live object of `multiprocessing`: the same memory and the same lock behind procshare's interface.

    A dict, list or Namespace of a `Manager` becomes a `SharedDict`, `SharedList` or `SharedNamespace`; a Queue or
    JoinableQueue a `SharedQueue`; a Lock, RLock, Semaphore, BoundedSemaphore, Event, Condition or Barrier what is
    called so here. (A plain Queue does not count what is done: `task_done`, `join` and `lease` raise
    UnsupportedByBackend.)

    Code that holds the original and code that holds the result exclude each other. The result is of the `stdlib`
    backend, and travels between processes as the original does.

    Args:
        obj: A `multiprocessing` Value, Array, queue or lock of any kind, a `SharedMemory`, or a proxy from a `Manager`:
            its Value, dict, list or Namespace.
        dtype: Element type, for a `SharedMemory` only.
        shape: Length or lengths, for a `SharedMemory` only.

    Raises:
        TypeError: *obj* is none of these, or *dtype* and *shape* are missing or not wanted.
        ValueError: The array does not fit in the `SharedMemory`.

    >>> import multiprocessing
    >>> count = multiprocessing.Value("i", 5)
    >>> with wrap(count).locked() as cell:  # takes the lock of *count*
    ...     cell.value += 1
    >>> count.value
    6
    """
    wrapped: Handle = serve("wrap", "stdlib")(obj, dtype, shape)
    return wrapped


def attach(name: str) -> Handle:
    """Attach to the object called *name*, whatever its kind, which is read from its segment.

    Raises:
        NotFound: Nothing alive has this name.
        NotOwned: Others can write into it, and this process does not trust them: see `trust`.
        CorruptSegment, VersionMismatch: It was refused.

    >>> with SharedCounter(5, name="hits"):
    ...     attach("hits").value
    5
    """
    handle: Handle = serve("attach")(name)
    return handle


def unlink(name: str) -> None:
    """Destroy the object called *name* for everyone, whatever its kind; processes that are attached keep their mapping.

    As `attach(name).unlink()`, but also for what cannot be attached: a damaged segment, one of another layout version.
    It does not ask whether anybody is attached: `segments()` tells.

    Raises:
        NotFound: Nothing has this name.
        NotOwned: It is another user's; it was not touched.
        CorruptSegment, VersionMismatch: It is a small object in a segment that it shares with others, which is damaged:
            give the segment's own name, what comes before the "#".

    >>> from procshare import SharedCounter
    >>> SharedCounter.open("left-behind", persist=True).close()
    >>> unlink("left-behind")
    """
    remove: Callable[[str], None] = serve("unlink", "shm")
    remove(name)
