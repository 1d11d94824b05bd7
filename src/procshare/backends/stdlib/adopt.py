"""`wrap()`: a live object of `multiprocessing` behind procshare's interface, on the same memory and lock."""

from __future__ import annotations

import ctypes
from multiprocessing import managers, queues, synchronize
from multiprocessing.managers import DictProxy, ListProxy, ValueProxy
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.sharedctypes import SynchronizedBase
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import finalize

from procshare._codes import normal_code
from procshare._dict import SharedDict
from procshare._list import SharedList
from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedSemaphore
from procshare._namespace import SharedNamespace
from procshare._queue import SharedQueue
from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
from procshare.backends.stdlib.channel import LARGEST, new_state
from procshare.backends.stdlib.handle import rebuilt, unsupported
from procshare.backends.stdlib.locking import Hold, new_hold
from procshare.backends.stdlib.manager import ProxyStore
from procshare.backends.stdlib.sharedctypes import NumberStore, StdlibValue
from procshare.backends.stdlib.signals import new_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procshare._shared import Handle, Shared

NamespaceProxy: Any = getattr(managers, "NamespaceProxy")  # typeshed has no name for it
CAPACITY = 64 << 20
_beside_of: dict[int, Any] = {}  # by id, and gone with the object: ctypes arrays have no hash

# What is adopted as it is. A BoundedSemaphore is a Semaphore too, so it comes first.
_LOCKS: tuple[tuple[type, type[Handle]], ...] = (
    (synchronize.Lock, SharedLock),
    (synchronize.RLock, SharedRLock),
    (synchronize.BoundedSemaphore, SharedBoundedSemaphore),
    (synchronize.Semaphore, SharedSemaphore),
    (synchronize.Condition, SharedCondition),
    (synchronize.Barrier, SharedBarrier),
)


def attach(name: str) -> NoReturn:
    """Not with this backend.

    Raises:
        UnsupportedByBackend: Always.
    """
    unsupported(f"attach to {name!r}: its objects have no names")


def wrap(obj: Any, dtype: object, shape: int | Sequence[int] | None) -> Handle:
    """Adopt *obj*; see `procshare.wrap`."""
    if isinstance(obj, SharedMemory):
        return _wrap_segment(obj, dtype, shape)
    if dtype is not None or shape is not None:
        raise TypeError(f"dtype and shape are for a SharedMemory; a {type(obj).__name__} has its own")
    if isinstance(obj, SynchronizedBase):
        return _wrap_synchronized(obj)
    if isinstance(obj, ctypes.Array):
        return _wrap_array(obj, _lock_beside(obj))
    if isinstance(obj, ValueProxy):
        return _wrap_proxy(obj)
    if isinstance(obj, (DictProxy, ListProxy, NamespaceProxy)):
        return _wrap_container(obj)
    if isinstance(obj, queues.Queue):
        return _wrap_queue(obj)
    if isinstance(obj, synchronize.Event):
        event: Handle = rebuilt(SharedEvent, (obj, _beside(obj, new_count)))
        return event
    for adopted, interface in _LOCKS:
        if isinstance(obj, adopted):
            lock: Handle = rebuilt(interface, (obj,))
            return lock
    raise TypeError(
        f"wrap() adopts a multiprocessing Value, Array, Queue or lock of any kind, a SharedMemory, or a Manager's "
        f"Value, dict, list or Namespace, not a {type(obj).__name__}; share() copies other objects"
    )


def _wrap_synchronized(obj: Any) -> Shared[Any]:
    raw, lock = obj.get_obj(), obj.get_lock()
    if isinstance(raw, ctypes.Array):
        return _wrap_array(raw, lock)
    return _wrap_number(raw, lock)


def _wrap_number(raw: Any, lock: Any) -> Shared[Any]:
    _require_shared(raw)
    number: Shared[Any] = rebuilt(StdlibValue, (NumberStore(raw, normal_code(raw.__class__)), lock))
    return number


def _wrap_proxy(obj: Any) -> Shared[Any]:
    managed: Shared[Any] = rebuilt(StdlibValue, (ProxyStore(obj), _lock_beside(obj)))
    return managed


def _wrap_container(obj: Any) -> Shared[Any]:
    from procshare.backends.stdlib import stores

    interface: Any = SharedNamespace
    store: type[stores.ForeignStore] = stores.NamespaceStore
    if isinstance(obj, DictProxy):
        interface, store = SharedDict, stores.DictStore
    elif isinstance(obj, ListProxy):
        interface, store = SharedList, stores.ListStore
    container: Shared[Any] = rebuilt(interface, (store(obj), _lock_beside(obj)))
    return container


def _wrap_queue(obj: Any) -> Handle:
    bound = obj._maxsize if obj._maxsize < LARGEST else 0
    queue: Handle = rebuilt(SharedQueue, (obj, _beside(obj, new_state), False, bound, CAPACITY))
    return queue


def _wrap_array(raw: Any, lock: Any) -> Shared[Any]:
    from procshare._arrays import to_dtype
    from procshare.backends.stdlib.memory import HeapMemory

    _require_shared(raw)
    element: Any = raw._type_
    shape: tuple[int, ...] = (len(raw),)
    while _is_array_type(element):
        element, shape = element._type_, (*shape, element._length_)
    return _array(HeapMemory(raw), lock, to_dtype(element), shape)


def _is_array_type(element: type) -> bool:
    return issubclass(element, ctypes.Array)


def _wrap_segment(segment: SharedMemory, dtype: object, shape: int | Sequence[int] | None) -> Shared[Any]:
    from procshare._arrays import to_dtype
    from procshare.backends.stdlib.memory import MappedMemory
    from procshare.backends.stdlib.shared_memory import lengths

    if dtype is None or shape is None:
        raise TypeError("a SharedMemory holds plain bytes: say dtype= and shape= to wrap it")
    element, sizes = to_dtype(dtype), lengths(shape)
    needed = element.itemsize
    for length in sizes:
        needed *= length
    if needed > segment.size:
        raise ValueError(f"{needed} bytes do not fit in SharedMemory {segment.name!r} of {segment.size}")
    return _array(MappedMemory.adopt(segment), _lock_beside(segment), element, sizes)


def _array(memory: Any, lock: Any, dtype: Any, shape: tuple[int, ...]) -> Shared[Any]:
    from procshare.backends.stdlib.shared_memory import StdlibArray

    array: Shared[Any] = rebuilt(StdlibArray, (memory, lock, dtype, shape))
    return array


def _require_shared(raw: Any) -> None:
    if not hasattr(raw, "_wrapper"):  # set by multiprocessing on what it placed in shared memory
        raise TypeError(f"this {type(raw).__name__} is private to the process; make it with multiprocessing.RawArray")


def _lock_beside(obj: Any) -> Any:
    """A lock for what has none: one per object, so wrapping it twice in a process gives handles that exclude."""
    hold: Hold = _beside(obj, new_hold)
    return hold.lock


def _beside(obj: Any, make: Callable[[], Any]) -> Any:
    """What goes with an object: made once for it, and gone with it."""
    beside = _beside_of.get(id(obj))
    if beside is None:
        beside = _beside_of[id(obj)] = make()
        finalize(obj, _beside_of.pop, id(obj), None).atexit = False
    return beside
