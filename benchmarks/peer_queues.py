"""Channels of other libraries, each with `put` and `get`, which a process makes for itself when it first needs them.

Those that know bytes alone are given what `pickle` makes of an item, as users would. Where `get` has to be polled, it
looks again and again, and lets another process have its CPU after each 100 looks in vain.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import pickle
import secrets
import time
from contextlib import closing, contextmanager
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from libraries import connected, folder, redis_socket

from procshare import SharedQueue
from procshare.bench.channels import PipeChannel
from procshare.bench.measure import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from libraries import Maker

    Convert = Callable[[Any], Any]

fork = multiprocessing.get_context("fork")
RING = 8 << 20
HELD = 1024
LOOKS = 100


def polled(look: Callable[[], Any]) -> Any:
    """What comes, when it comes."""
    while True:
        for _ in range(LOOKS):
            found = look()
            if found is not None:
                return found
        time.sleep(0)


def pushed(push: Callable[[], Any]) -> None:
    """Push until there was room."""
    while not push():
        time.sleep(0)


def _same(item: Any) -> Any:
    return item


@contextmanager
def _ours(**options: int) -> Generator[Any]:
    with SharedQueue[Any](**options) as queue:  # type: ignore[arg-type]  # capacity alone
        yield queue


@contextmanager
def _mp_queue() -> Generator[Any]:
    with closing(fork.Queue()) as queue:
        yield queue


@contextmanager
def _mp_pipe() -> Generator[Any]:
    reader, writer = fork.Pipe(duplex=False)
    with reader, writer:
        yield PipeChannel(writer.send, reader.recv)


@contextmanager
def _faster_fifo(**options: int) -> Generator[Any]:
    with closing(import_module("faster_fifo").Queue(**options)) as queue:
        yield queue


class Spsc:
    """subetha-ipc's ring of slots of 64 bytes, for one producer and one consumer."""

    def __init__(self, path: str, pickled: bool) -> None:
        self._ring = import_module("subetha").SpscRing(path, HELD)
        self._pickled = pickled

    def put(self, item: Any) -> None:
        """When there is room."""
        pushed(partial(self._ring.push, pickle.dumps(item) if self._pickled else item))

    def get(self) -> Any:
        """When there is something."""
        found = polled(self._ring.pop)
        return pickle.loads(found) if self._pickled else found


class Frames:
    """subetha-ipc's ring for what is larger than a slot."""

    def __init__(self, path: str) -> None:
        self._ring = import_module("subetha").Ring(path, HELD)
        self._producer, self._consumer = self._ring.register_producer(), self._ring.register_consumer()

    def put(self, item: bytes) -> None:
        """When there is room."""
        pushed(partial(self._ring.send_frame, self._producer, item))

    def get(self) -> Any:
        """When there is something."""
        return polled(partial(self._ring.recv_frame, self._consumer))


@contextmanager
def _subetha(frames: bool = False) -> Generator[Any]:
    with folder() as made:
        yield Frames(f"{made}/ring") if frames else Spsc(f"{made}/ring", pickled=True)


class Stream:
    """sharedbox's stream of items of one type: the first process that puts is its sender."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @cached_property
    def put(self) -> Callable[[Any], Any]:
        """When there is room."""
        return partial(self._stream.sender().send, timeout=None)

    @cached_property
    def get(self) -> Callable[[], Any]:
        """When there is something."""
        receive: Callable[[], Any] = self._stream.reader(mode="lossless", start="oldest").receive
        return receive


@contextmanager
def _sharedbox(kind: Callable[[], object], held: int = HELD) -> Generator[Any]:
    streams = import_module("sharedbox").SharedStream
    name = f"bench-{secrets.token_hex(4)}"
    stream = streams.create(kind(), name, capacity=held)
    try:
        yield Stream(stream)
    finally:
        stream.close()
        streams.unlink(name)


def _tuple() -> object:
    capacity = import_module("sharedbox").Capacity
    return tuple[int, Annotated[str, capacity(8)], float]


def _bytes() -> object:
    return Annotated[bytes, import_module("sharedbox").Capacity(100)]


def _array() -> object:
    box = import_module("sharedbox")
    return Annotated[np.ndarray, box.Shape(1 << 17), box.DType("float64")]


class RedisList:
    """A list of a Redis server; RPUSH and a BLPOP that blocks."""

    def __init__(self, path: str, name: str, pickled: bool) -> None:
        self._path, self._name = path, name
        self._dump: Convert = pickle.dumps if pickled else _same
        self._load: Convert = pickle.loads if pickled else _same

    @cached_property
    def _client(self) -> Any:
        return connected(self._path)

    def put(self, item: Any) -> None:
        """At once: there is no bound."""
        self._client.rpush(self._name, self._dump(item))

    def get(self) -> Any:
        """When there is something."""
        return self._load(self._client.blpop([self._name])[1])


@contextmanager
def _redis(pickled: bool = True) -> Generator[Any]:
    with redis_socket() as path:
        yield RedisList(path, "queue", pickled)


class Messages:
    """A message queue of the system."""

    def __init__(self, queue: Any, pickled: bool) -> None:
        self._queue = queue
        self._dump: Convert = pickle.dumps if pickled else _same
        self._load: Convert = pickle.loads if pickled else _same

    def put(self, item: Any) -> None:
        """When there is room."""
        self._queue.send(self._dump(item))

    def get(self) -> Any:
        """When there is something."""
        return self._load(self._queue.receive()[0])


@contextmanager
def _posix(pickled: bool = True) -> Generator[Any]:
    posix_ipc = import_module("posix_ipc")
    queue = posix_ipc.MessageQueue(None, posix_ipc.O_CREX)
    try:
        yield Messages(queue, pickled)
    finally:
        queue.unlink()
        queue.close()


class Samples:
    """iceoryx2's publisher and subscriber of bytes: arrays are written into what was lent, and read where they lie."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _service(self) -> Any:
        iox2 = import_module("iceoryx2")
        iox2.set_log_level(iox2.LogLevel.Error)
        node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        service = node.service_builder(iox2.ServiceName.new(self._name))
        service = service.publish_subscribe(iox2.Slice[ctypes.c_uint8]).enable_safe_overflow(False)
        return service.subscriber_max_buffer_size(8).history_size(0).open_or_create()

    @cached_property
    def put(self) -> Callable[[Any], None]:
        """When there is room: it blocks."""
        iox2 = import_module("iceoryx2")
        publishers = self._service.publisher_builder().initial_max_slice_len(1 << 20)
        publisher = publishers.backpressure_strategy(iox2.BackpressureStrategy.RetryUntilDelivered).create()

        def put(item: Any) -> None:
            data = memoryview(item).cast("B")
            sample = publisher.loan_slice_uninit(len(data))
            sample.payload().as_memory_view().cast("B")[:] = data
            sample.assume_init().send()

        return put

    @cached_property
    def get(self) -> Callable[[], Any]:
        """When there is something."""
        receive = self._service.subscriber_builder().create().receive

        def get() -> Any:
            self._sample = polled(receive)  # whose memory may be written again when it is let go
            return np.frombuffer(self._sample.payload().as_memory_view().cast("B"))

        return get


@contextmanager
def _iceoryx() -> Generator[Any]:
    yield Samples(f"bench-{secrets.token_hex(4)}")


TUPLES: dict[str, Maker] = {
    OURS: _ours,
    "mp.Queue": _mp_queue,
    "mp.Pipe": _mp_pipe,
    "faster-fifo": _faster_fifo,
    "subetha-ipc": _subetha,
    "sharedbox": partial(_sharedbox, _tuple),
    "redis": _redis,
    "posix-ipc": _posix,
}
BYTES: dict[str, Maker] = {
    **TUPLES,
    "subetha-ipc": partial(_subetha, frames=True),
    "sharedbox": partial(_sharedbox, _bytes),
    "redis": partial(_redis, pickled=False),
    "posix-ipc": partial(_posix, pickled=False),
}
ARRAYS: dict[str, Maker] = {
    OURS: partial(_ours, capacity=RING),
    "mp.Queue": _mp_queue,
    "faster-fifo": partial(_faster_fifo, max_size_bytes=RING),
    "sharedbox": partial(_sharedbox, _array, 8),
    "redis": _redis,
    "iceoryx2": _iceoryx,
}
INTS: dict[str, Maker] = {**TUPLES, "sharedbox": partial(_sharedbox, lambda: int)}
BLOCKING: dict[str, Maker] = {
    name: TUPLES[name] for name in (OURS, "mp.Queue", "mp.Pipe", "faster-fifo", "redis", "posix-ipc")
}
BLOCKING["sharedbox"] = partial(_sharedbox, lambda: Annotated[str, import_module("sharedbox").Capacity(8)])
