"""`SharedQueue`: what some processes put, others get, once and in order."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from procshare._shared import Handle

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """Raised when put or get is called on a queue that was shut down.

        >>> jobs = SharedQueue()
        >>> jobs.shutdown()
        >>> try:
        ...     jobs.get()
        ... except ShutDown:
        ...     print("no more")
        no more
        """


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from procshare.backends import Backend

__all__ = ["SharedQueue", "ShutDown"]

T = TypeVar("T")


class SharedQueue(Handle, Generic[T]):
    """A first-in first-out queue between processes; all the methods of `queue.Queue` and of `JoinableQueue`.

    `put` pickles and copies at once, in the calling thread: what was put is there even if the process is killed the
    next moment, and an item that cannot be pickled raises in `put`. Of all that get, one gets each item. A loop over
    the queue takes items until `shutdown()` was called and it is empty.

    Args:
        maxsize: Items at most; 0 or less: as many as fit.
        capacity: Bytes at most, as they are stored. An item larger than this goes alone, with memory of its own.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        ValueError: *capacity* is less than 1.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    After `close()` every call raises `Closed`, a ValueError.

    Memory: 24 KiB, and space for the longest backlog, by powers of two, *capacity* at most, besides an item larger than
    that. It is given back once the queue was empty for half a second with somebody waiting in `get`.

    >>> jobs = SharedQueue()
    >>> jobs.put_many(["a", "b", "c"])
    >>> jobs.shutdown()  # nothing more will be put: the iteration ends
    >>> [job.upper() for job in jobs]
    ['A', 'B', 'C']
    """

    __slots__ = ()
    kind: ClassVar[str] = "queue"

    def __init__(
        self,
        maxsize: int = 0,
        *,
        capacity: int = 64 << 20,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    # ---- putting ----

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put a copy of *obj* at the end, and wait for room if need be.

        Args:
            obj: Whatever pickles. NumPy arrays and other large buffers are copied once.
            block: Whether to wait at all.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            queue.Full: There was no room in time; nothing was put.
            ShutDown: `shutdown` was called.
            TypeError, pickle.PicklingError, ...: *obj* does not pickle; nothing was put.

        >>> import queue
        >>> jobs = SharedQueue(maxsize=1)
        >>> jobs.put("a")
        >>> try:
        ...     jobs.put("b", timeout=0)
        ... except queue.Full:
        ...     print("full")
        full
        """
        raise NotImplementedError

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`.

        >>> jobs = SharedQueue()
        >>> jobs.put_nowait("a")
        >>> jobs.qsize()
        1
        """
        self.put(obj, False)

    def put_many(self, items: Iterable[T], timeout: float | None = None) -> None:
        """Put copies of many items in order; much faster than one at a time.

        All are pickled first: if one cannot be, that raises and none is put.

        Args:
            items: What to put.
            timeout: Seconds to wait for room at most; None waits for ever; negative is as 0.

        Raises:
            queue.Full: There was no room for all in time. Those that were put stay; the message says how many.
            ShutDown: `shutdown` was called.

        >>> jobs = SharedQueue()
        >>> jobs.put_many(range(1000))
        >>> jobs.qsize()
        1000
        """
        raise NotImplementedError

    async def put_async(self, obj: T, timeout: float | None = None) -> None:
        """As `put`, and other tasks of asyncio run while there is no room.

        A task that is cancelled while it waits has put nothing.

        Args:
            obj: Whatever pickles.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            queue.Full: There was no room in time; nothing was put.
            ShutDown: `shutdown` was called.

        >>> import asyncio
        >>> jobs = SharedQueue()
        >>> asyncio.run(jobs.put_async("a"))
        >>> jobs.get()
        'a'
        """
        raise NotImplementedError

    # ---- getting ----

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the first item, and wait for one if need be.

        Args:
            block: Whether to wait at all.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            queue.Empty: There was none in time.
            ShutDown: `shutdown` was called, and the queue is empty.

        >>> import queue
        >>> jobs = SharedQueue()
        >>> jobs.put({"id": 1})
        >>> jobs.get()
        {'id': 1}
        >>> try:
        ...     jobs.get(timeout=0)
        ... except queue.Empty:
        ...     print("empty")
        empty
        """
        raise NotImplementedError

    def get_nowait(self) -> T:
        """`get(block=False)`.

        >>> jobs = SharedQueue()
        >>> jobs.put("a")
        >>> jobs.get_nowait()
        'a'
        """
        return self.get(False)

    def get_many(self, max_items: int = 1000, timeout: float | None = None) -> list[T]:
        """Wait for an item, then take what is there; much faster than one at a time.

        Args:
            max_items: How many to take at most; never more than 1,024, or about 1 MiB, in one call.
            timeout: Seconds to wait for the first; None waits for ever; negative is as 0, which tries once.

        Returns:
            At least one item.

        Raises:
            queue.Empty: There was none in time.
            ShutDown: `shutdown` was called, and the queue is empty.

        >>> jobs = SharedQueue()
        >>> jobs.put_many("abc")
        >>> jobs.get_many(2), jobs.get_many()
        (['a', 'b'], ['c'])
        """
        raise NotImplementedError

    async def get_async(self, timeout: float | None = None) -> T:
        """As `get`, and other tasks of asyncio run while there is none.

        A task that is cancelled while it waits has taken nothing.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            queue.Empty: There was none in time.
            ShutDown: `shutdown` was called, and the queue is empty.

        >>> import asyncio
        >>> jobs = SharedQueue()
        >>> jobs.put("a")
        >>> asyncio.run(jobs.get_async())
        'a'
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    def lease(self, timeout: float | None = None) -> AbstractContextManager[T]:
        """Take the first item for the length of a `with` block, which yields it.

        If the block ends, the item is done, which counts as a `task_done`. If it raises, or its process dies, the item
        goes back to the front of the queue, and another gets it.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            queue.Empty: There was none in time.
            ShutDown: `shutdown` was called, the queue is empty, and no other process has an item that may come back.
            RuntimeError: 1,024 items of the queue are leased already.

        >>> jobs = SharedQueue()
        >>> jobs.put("fragile")
        >>> try:
        ...     with jobs.lease() as job:
        ...         raise ValueError(job)
        ... except ValueError:
        ...     pass
        >>> jobs.get()  # it came back
        'fragile'
        """
        raise NotImplementedError

    # ---- what it holds ----

    def qsize(self) -> int:
        """How many items are queued: the exact number at that moment.

        >>> jobs = SharedQueue()
        >>> jobs.put_many("abc")
        >>> jobs.qsize()
        3
        """
        raise NotImplementedError

    def empty(self) -> bool:
        """Whether no item is queued.

        >>> SharedQueue().empty()
        True
        """
        raise NotImplementedError

    def full(self) -> bool:
        """Whether *maxsize* items are queued; never, if there is no such bound.

        >>> jobs = SharedQueue(maxsize=1)
        >>> jobs.put("a")
        >>> jobs.full()
        True
        """
        raise NotImplementedError

    @property
    def maxsize(self) -> int:
        """How many items it takes at most; if it is 0 or less, as many as fit.

        >>> SharedQueue(maxsize=5).maxsize
        5
        """
        raise NotImplementedError

    @property
    def capacity(self) -> int:
        """How many bytes it takes at most.

        >>> SharedQueue(capacity=1 << 20).capacity
        1048576
        """
        raise NotImplementedError

    # ---- until all is done ----

    def task_done(self) -> None:
        """Say that the work on one item that was taken is done; see `join`.

        Raises:
            ValueError: All that were put are done already.

        >>> jobs = SharedQueue()
        >>> jobs.put("a")
        >>> job = jobs.get()
        >>> jobs.task_done()
        >>> jobs.join(timeout=0)
        """
        raise NotImplementedError

    def join(self, timeout: float | None = None) -> None:
        """Wait until there was a `task_done` for each item that was put.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which only looks.

        Raises:
            WaitTimeout: A `TimeoutError`; there was not, in time.
            OwnerDied: A process that took an item died without a `task_done` for it; again at each call, until someone
                calls `task_done` in its place.

        >>> jobs = SharedQueue()
        >>> jobs.put("a")
        >>> try:
        ...     jobs.join(timeout=0)
        ... except WaitTimeout:
        ...     print("not yet")
        not yet
        """
        raise NotImplementedError

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more be put. What is queued can still be taken; then `get` raises `ShutDown`, iteration ends.

        Args:
            immediate: Drop what is queued; it counts as done.

        >>> jobs = SharedQueue()
        >>> jobs.put("a")
        >>> jobs.shutdown()
        >>> list(jobs)
        ['a']
        """
        raise NotImplementedError

    def join_thread(self) -> None:
        """Nothing, for those who come from `multiprocessing.Queue`: there is no thread, what was put is there.

        >>> SharedQueue().join_thread()
        """

    def cancel_join_thread(self) -> None:
        """Nothing, for those who come from `multiprocessing.Queue`: what was put is never lost.

        >>> SharedQueue().cancel_join_thread()
        """

    def _is_shut(self) -> bool:
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return f"qsize={self.qsize()}"

    def _repr_state(self) -> str:
        return "shut down" if self._is_shut() else ""

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)
