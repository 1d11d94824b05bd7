"""A `JoinableQueue` of `multiprocessing`, and what it has not: an end, and items that come back.

What is put are pickles made in `put`, which the queue's own pickler only wraps: they come out as the objects, also
where the standard library gets them. What the queue counts it counts in semaphores, before an item is in its pipe and
after it has left it. So whoever finds the count at 0 after the queue was shut down knows that nothing is to come.

If a process is killed while it has items for the pipe, they are lost but counted. So who waits for what is counted
gives up when none of it has come for the time that is called PATIENCE.
"""

from __future__ import annotations

import ctypes
import io
import math
import multiprocessing
import os
import pickle
import select
import time
import weakref
from contextlib import nullcontext, suppress
from multiprocessing import synchronize, util
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from procshare._errors import Closed
from procshare._queue import ShutDown
from procshare.backends.stdlib.interrupts import Undisturbed
from procshare.backends.stdlib.primitive import Kept, made, spawning

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

SLICE = 0.05
"""Seconds for which a waiter does not look whether the queue was shut down or closed."""
PATIENCE = 0.5
LARGEST: int = getattr(synchronize, "SEM_VALUE_MAX")  # typeshed has no name for it
SHUT, DROPPED, EXTRA = range(3)
NOT_ONE = b""

_own: weakref.WeakSet[Any] = weakref.WeakSet()


def encoded(obj: object) -> bytes:
    """*obj* as a pickle, which may hold what multiprocessing can send: connections, ends of pipes."""
    buffer = io.BytesIO()
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(obj)
    return buffer.getvalue()


class Encoded:
    """A pickle that unpickles as the object in it."""

    __slots__ = ("data",)
    data: bytes

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self.data,)


def new_state() -> Any:
    """What is beside a queue: whether it was shut down, whether what is queued is dropped, how many are too many."""
    state: Any = multiprocessing.RawArray(ctypes.c_longlong, 3)
    return state


class CloseOnce:
    """A reader's `close`, for the queue's thread and for the exit: at the same time they would close another's file."""

    __slots__ = ("_reader", "_turn")
    _reader: weakref.ref[Any]
    _turn: list[bool]

    def __init__(self, reader: Any) -> None:
        self._reader, self._turn = weakref.ref(reader), [True]

    def __call__(self) -> None:
        reader = self._reader()
        with suppress(IndexError):
            self._turn.pop()
            if reader is not None:
                kind: Any = type(reader)  # pyright: ignore[reportUnknownVariableType]
                kind.close(reader)


class Channel(Kept):
    """The queue, and what is beside it."""

    __slots__ = ("joinable", "own", "state")
    state: Any
    own: bool
    """Whether it was made for procshare, and is not the user's."""
    joinable: bool
    """Whether it counts what is done."""

    def __init__(self, queue: Any, state: Any, own: bool) -> None:
        super().__init__(queue)
        self.state, self.own = state, own
        self.joinable = hasattr(queue, "task_done")
        if own:
            _own.add(queue)
            queue._reader.close = CloseOnce(queue._reader)
            if multiprocessing.parent_process() is None:
                self._hang_up_at_exit()

    @classmethod
    def make(cls, maxsize: int) -> Channel:
        """A new one, for *maxsize* items or, if that is not positive, for as many as fit."""
        queue = made(spawning().JoinableQueue, min(max(0, maxsize), LARGEST))
        # Where no process is left to read, the thread that feeds the pipe ends, instead of waiting for room for ever.
        queue._ignore_epipe = True
        return cls(queue, new_state(), True)

    def _hang_up_at_exit(self) -> None:
        """Close the pipe's end to read from at exit, before threads or children are waited for that write to it.

        (In a child, threads may go on to read after that. So there it is done only if the queue was written to: then
        multiprocessing does it too.)
        """
        queue = self.thing
        util.Finalize(queue, queue._reader.close, exitpriority=9)

    # ---- putting ----

    def refuse_if_closed(self) -> None:
        """Raise Closed if the user closed the queue itself, whose thread then ends."""
        if self.thing._closed:
            raise Closed("the multiprocessing queue that this handle wraps was closed")

    def refuse_if_shut(self) -> None:
        """Raise ShutDown if the queue was shut down."""
        if self.state[SHUT]:
            raise ShutDown("the queue was shut down, and takes nothing more")

    def offer(self, data: bytes, wait: float) -> bool:
        """Put a pickle; False if there was no room within *wait* seconds.

        Raises:
            ShutDown: The queue was shut down.
        """
        self.refuse_if_closed()
        self.refuse_if_shut()
        room = self.thing._sem
        with Undisturbed():
            if not room.acquire(True, wait):
                return False
            try:  # once more: a getter that then finds nothing counted tells its caller that nothing is to come
                self.refuse_if_shut()
            except ShutDown:
                room.release()
                raise
            self._feed(data, new=True)
        return True

    def _feed(self, data: bytes, *, new: bool) -> None:
        """What is left of the queue's own put once there is room; *new*: it is to be counted as to be done."""
        queue = self.thing
        with queue._notempty, self._counting():
            if queue._thread is None:
                queue._start_thread()
                if self.own:
                    self._hang_up_at_exit()
            queue._buffer.append(Encoded(data))
            if new and self.joinable:
                queue._unfinished_tasks.release()
            queue._notempty.notify()

    def _counting(self) -> AbstractContextManager[Any]:
        """The lock of what is counted; what does not come back is not."""
        lock: AbstractContextManager[Any] = self.thing._cond if self.joinable else nullcontext()
        return lock

    def give_back(self, data: bytes) -> None:
        """Put what was taken, and is not done, at the end, whether there is room or not."""
        with Undisturbed():
            if self.state[DROPPED]:
                self.count_done()
                return
            if not self.thing._sem.acquire(False):
                with self._counting():
                    self.state[EXTRA] += 1
            self._feed(data, new=False)

    # ---- getting ----

    def take(self, wait: float) -> bytes | None:
        """The pickle of the first item; NOT_ONE if none came within *wait* seconds, None if others took turns.

        Raises:
            ShutDown: The queue was shut down, and is empty.
        """
        self.refuse_if_closed()
        if self.state[DROPPED]:
            self.drop()
        if self.state[SHUT] and (self.state[DROPPED] or not self.size()):
            raise ShutDown("the queue was shut down, and is empty")
        return self._receive(wait)

    def _receive(self, wait: float) -> bytes | None:
        queue, end, data = self.thing, time.monotonic() + wait, NOT_ONE
        turn = queue._rlock
        before = turn._semlock._is_mine()  # in a signal's handler, say
        try:
            if not turn.acquire(True, wait):
                return None
            if self._arrived(max(0.0, end - time.monotonic())):
                with Undisturbed():  # in half a message it would leave the rest to be taken for another one
                    data = queue._recv_bytes()
                    self._make_room()
        except BaseException:
            if data:
                self.give_back(data)
            raise
        finally:
            if not before and turn._semlock._is_mine():
                turn.release()
        return data

    def _arrived(self, wait: float) -> bool:
        """Whether there is something in the pipe, which is waited for; only the one whose turn it is asks."""
        if not hasattr(select, "poll"):  # on Windows
            return bool(self.thing._poll(wait))
        poll = select.poll()  # ten times as fast as the queue's own, which makes a selector
        poll.register(self.thing._reader.fileno(), select.POLLIN)
        return bool(poll.poll(math.ceil(wait * 1000)))

    def _make_room(self) -> None:
        if self.state[EXTRA]:
            with self._counting():
                if self.state[EXTRA]:
                    self.state[EXTRA] -= 1
                    return
        self.thing._sem.release()

    # ---- the end ----

    def shut_down(self, immediate: bool) -> None:
        """Take nothing more; *immediate*: and drop what is queued."""
        if immediate:
            self.state[DROPPED] = 1
        self.state[SHUT] = 1
        if immediate:
            self.drop()

    def drop(self) -> None:
        """Drop what is queued, and count it as done."""
        seen = time.monotonic()
        while self.size() and time.monotonic() < seen + PATIENCE:
            if self._receive(SLICE):
                self.count_done()
                seen = time.monotonic()

    # ---- counts ----

    def size(self) -> int:
        """How many are counted; where semaphores do not tell their value, 1 if any has arrived."""
        try:
            return self.exact_size()
        except NotImplementedError:
            return int(self.thing._poll())

    def exact_size(self) -> int:
        """How many are counted.

        Raises:
            NotImplementedError: By the standard library, on macOS.
        """
        queue = self.thing
        size: int = queue._maxsize - queue._sem._semlock._get_value() + self.state[EXTRA]
        return size

    def full(self) -> bool:
        """Whether there is no room."""
        return bool(self.thing._sem._semlock._is_zero())

    def count_done(self) -> None:
        """Count one that was taken as done, if there is one that is not."""
        if self.joinable:
            with suppress(ValueError), Undisturbed():
                self.thing.task_done()

    def all_done(self) -> bool:
        """Whether as many were done as were put."""
        if self.state[DROPPED] and self.size():
            self.drop()
        return bool(self.thing._unfinished_tasks._semlock._is_zero())


def _forget_the_parents() -> None:
    """In a forked child: neither threads nor turns are this process's; multiprocessing says so in its own children."""
    for queue in list(_own):
        queue._reset(after_fork=True)
        for lock in (queue._rlock, queue._cond._lock):
            lock._semlock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)
