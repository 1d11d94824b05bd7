"""`StdlibQueue`: `multiprocessing.JoinableQueue`, and procshare's calls."""

from __future__ import annotations

import operator
import os
import pickle
import time
from contextlib import contextmanager
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._queue import SharedQueue, ShutDown
from procshare.backends.stdlib.channel import PATIENCE, SHUT, SLICE, Channel, encoded
from procshare.backends.stdlib.handle import unsupported
from procshare.backends.stdlib.interrupts import Undisturbed
from procshare.backends.stdlib.locking import poll
from procshare.backends.stdlib.primitive import StdlibPrimitive

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from contextlib import AbstractContextManager

    from procshare.backends import Backend

T = TypeVar("T")

Finish = Any  # a multiprocessing.util.Finalize


class StdlibQueue(StdlibPrimitive[Channel], SharedQueue[T]):
    """A `multiprocessing.JoinableQueue`, with its feeder thread and its limits.

    `put` pickles at once, but a thread writes to the queue's pipe later: a killed process loses what was not written,
    and one that is killed in the midst of writing, or of `get`, leaves the queue stuck. An orderly exit waits until all
    is written, unless no process is left that could read it. An item that a block of `lease` does not finish goes to
    the end of the queue, not to the front; one whose holder is killed is lost, and `join` does not learn of it.
    *capacity* bounds nothing.
    """

    __slots__ = ("_capacity", "_flush", "_maxsize")
    _implements: ClassVar[Any] = SharedQueue
    _flush: Finish
    """Waits for the thread, after the handle was closed."""

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
        self._start(name, mode, group)
        self._describe(operator.index(maxsize), operator.index(capacity))
        if self._capacity < 1:
            raise ValueError(f"capacity is at least 1 byte, not {capacity}")
        self._place(Channel.make(self._maxsize), created=True)

    def _describe(self, maxsize: int, capacity: int) -> None:
        self._maxsize, self._capacity, self._flush = maxsize, capacity, None

    def _parts(self) -> tuple[Any, ...]:
        channel = self._core
        return channel.thing, channel.state, channel.own, self._maxsize, self._capacity

    def _restore(self, *parts: Any) -> None:
        queue, state, own, maxsize, capacity = parts
        self._describe(maxsize, capacity)
        self._place(Channel(queue, state, own))

    def close(self) -> None:
        if not self._closed and self._core.own:
            self._flush = self._core.thing._jointhread
        super().close()

    def join_thread(self) -> None:
        """Wait until what was put here is written, once the handle is closed."""
        if self._closed and self._flush is not None:
            self._flush()

    def cancel_join_thread(self) -> None:
        """Do not wait at exit until what was put here is written: it may be lost."""
        if not self._closed:
            self._core.thing.cancel_join_thread()
        elif self._flush is not None:
            self._flush.cancel()

    # ---- putting ----

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        self._require_open()
        self._put(encoded(obj), _deadline(timeout if block else 0.0))

    def _put(self, data: bytes, end: float | None) -> None:
        while not self._opened().offer(data, _slice(end)):
            if end is not None and time.monotonic() >= end:
                raise Full

    def put_many(self, items: Iterable[T], timeout: float | None = None) -> None:
        self._require_open()
        pickles, end = [encoded(item) for item in items], _deadline(timeout)
        for count, data in enumerate(pickles):
            try:
                self._put(data, end)
            except Full:
                raise Full(
                    f"{count} of {len(pickles)} items were put; for the others there was no room in time"
                ) from None

    async def put_async(self, obj: T, timeout: float | None = None) -> None:
        from procshare.backends.stdlib.waiting import until

        self._require_open()
        data = encoded(obj)
        if not await until(lambda: self._opened().offer(data, 0.0), timeout):
            raise Full

    # ---- getting ----

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        item: T = pickle.loads(self._get(timeout if block else 0.0))
        return item

    def _get(self, timeout: float | None) -> bytes:
        end, silence = _deadline(timeout), _Silence()
        while True:
            channel = self._opened()
            late = end is not None and time.monotonic() >= end
            data = channel.take(0.001 if late and channel.size() else _slice(end))
            if data:
                return data
            # What is counted is on its way: it is waited for beyond the time, but not for ever.
            if end is not None and (over := time.monotonic() - end) >= 0 and (over >= PATIENCE or not channel.size()):
                raise Empty
            silence.heard(channel, data)

    def get_many(self, max_items: int = 1000, timeout: float | None = None) -> list[T]:
        most = operator.index(max_items)
        if most < 1:
            raise ValueError(f"max_items is at least 1, not {most}")
        items: list[T] = [pickle.loads(self._get(timeout))]
        while len(items) < most and (data := self._one_more()):
            try:
                items.append(pickle.loads(data))
            except Exception:  # noqa: BLE001 - a later call finds it first, and raises this
                self._opened().give_back(data)
                break
        return items

    def _one_more(self) -> bytes | None:
        try:
            return self._opened().take(0.0)
        except ShutDown:
            return None

    async def get_async(self, timeout: float | None = None) -> T:
        from procshare.backends.stdlib.waiting import until

        silence = _Silence()

        def attempt() -> bytes | None:
            channel = self._opened()
            data = channel.take(0.0)
            silence.heard(channel, data)
            return data

        data = await until(attempt, timeout)
        if not data and self._opened().size():
            data = await until(attempt, PATIENCE)
        if not data:
            raise Empty
        item: T = pickle.loads(data)
        return item

    def lease(self, timeout: float | None = None) -> AbstractContextManager[T]:
        self._counted()
        return self._lease(timeout)

    @contextmanager
    def _lease(self, timeout: float | None) -> Generator[T]:
        channel, pid, data = self._opened(), os.getpid(), self._get(timeout)
        try:
            yield pickle.loads(data)
        except BaseException:
            if os.getpid() == pid:
                channel.give_back(data)
            raise
        if os.getpid() == pid:
            channel.count_done()

    # ---- what it holds ----

    def qsize(self) -> int:
        return self._opened().exact_size()

    def empty(self) -> bool:
        return not self._opened().size()

    def full(self) -> bool:
        channel = self._opened()
        return self._maxsize > 0 and channel.full()

    @property
    def maxsize(self) -> int:
        """How many items it takes at most; 0 or less: as many as fit."""
        self._require_open()
        return self._maxsize

    @property
    def capacity(self) -> int:
        """What it was made with; nothing is bounded by it."""
        self._require_open()
        return self._capacity

    # ---- until all is done ----

    def _counted(self) -> Channel:
        channel = self._opened()
        if not channel.joinable:
            unsupported("count what is done of a multiprocessing.Queue, as it can of a JoinableQueue")
        return channel

    def task_done(self) -> None:
        channel = self._counted()
        with Undisturbed():
            channel.thing.task_done()

    def join(self, timeout: float | None = None) -> None:
        self._counted()
        poll(lambda _left: self._opened().all_done(), bool, timeout, self._label)

    def _is_shut(self) -> bool:
        return bool(self._opened().state[SHUT])

    def shutdown(self, immediate: bool = False) -> None:
        self._opened().shut_down(immediate)


class _Silence:
    """Since when nothing has come of what is counted in a queue that was shut down."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        self.since: float | None = None

    def heard(self, channel: Channel, data: bytes | None) -> None:
        """Take note of an attempt.

        Raises:
            ShutDown: It was too long: whoever had it was killed.
        """
        now = time.monotonic()
        if data is None or not channel.state[SHUT] or self.since is None:
            self.since = now
        elif now - self.since > PATIENCE:
            raise ShutDown("the queue was shut down, and what is left of it is lost with a process that was killed")


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _slice(end: float | None) -> float:
    return SLICE if end is None else min(SLICE, max(0.0, end - time.monotonic()))
