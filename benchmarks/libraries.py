"""The other libraries: what each shares, how it is set up here, and whether it is installed (extra `bench`)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from procshare.bench.measure import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager, ExitStack

    Maker = Callable[[], AbstractContextManager[Any]]

T = TypeVar("T")


class Library(NamedTuple):
    """One that is measured."""

    module: str
    shares: str
    setting: str


LIBRARIES = {
    "atomicshm": Library(
        "atomicshm", "64-bit numbers in a SharedMemory; no locks, does not pickle", "a cell, whose address is known"
    ),
    "UltraDict": Library("UltraDict", "a dict of which each process keeps a whole copy", "a stream of 16 MiB"),
    "UltraDict2": Library("UltraDict2", "the same, carried on by others", "a stream of 16 MiB"),
    "sharedbox": Library(
        "sharedbox", "records and streams of a type said beforehand; one sender to a stream", "a stream of 1,024 items"
    ),
    "subetha-ipc": Library(
        "subetha", "bytes of a size said beforehand; rings, which are polled; read-write locks", "files in /dev/shm"
    ),
    "faster-fifo": Library("faster_fifo", "a queue, pickled", "its own size; 8 MiB for arrays of 1 MiB"),
    "lmdb": Library(
        "lmdb", "a B+ tree of bytes in a memory-mapped file", "a file in /dev/shm, sync=False, writemap=True"
    ),
    "diskcache": Library("diskcache", "SQLite files: dicts, deques, locks", "in /dev/shm; else its own choices"),
    "redis": Library("redis", "a server's strings, lists, numbers", "a server of its own on a Unix socket, no saving"),
    "posix-ipc": Library("posix_ipc", "the system's semaphores and message queues", "messages of 8 KiB, 10 of them"),
    "portalocker": Library("portalocker", "file locks", "a file in /dev/shm, which stays open"),
    "filelock": Library("filelock", "file locks", "a file in /dev/shm"),
    "iceoryx2": Library(
        "iceoryx2", "messages of bytes, read where they lie; polled", "8 messages held, none overwritten"
    ),
}


def missing(name: str) -> str | None:
    """Why one cannot be measured here; None if it can."""
    try:
        import_module(LIBRARIES[name].module)
    except ImportError as error:
        return str(error)
    if name == "redis" and shutil.which("redis-server") is None:
        return "there is no redis-server (Debian: apt install redis-server)"
    return None


def enter_all(stack: ExitStack, makers: Mapping[str, Callable[[], AbstractContextManager[T]]]) -> dict[str, T]:
    """Open each for as long as the stack lasts, except those of libraries that are not installed."""
    present = {name: make for name, make in makers.items() if name not in LIBRARIES or missing(name) is None}
    return {name: stack.enter_context(make()) for name, make in present.items()}


def markdown() -> str:
    """What they are, in which versions, and why some are not measured."""
    lines = ["| library | version | shares | set up here |", "| --- | --- | --- | --- |"]
    for name, library in LIBRARIES.items():
        reason = missing(name)
        version = metadata.version(name) if reason is None else f"not measured: {reason}"
        lines.append(f"| {name} | {version} | {library.shares} | {library.setting} |")
    return "\n".join(lines) + "\n"


@contextmanager
def folder() -> Generator[Path]:
    """A directory in memory."""
    made = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def redis_socket() -> Generator[str]:
    """The path of the socket of a Redis server that nobody else uses."""
    with tempfile.TemporaryDirectory() as made:
        path = f"{made}/redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", made]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await(server, path)
            yield path
        finally:
            server.kill()
            server.wait()


def _await(server: subprocess.Popen[bytes], path: str) -> None:
    deadline = time.monotonic() + 20
    while not Path(path).exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkFailed("redis-server did not start")
        time.sleep(0.01)


def connected(path: str) -> Any:
    """A client of its own."""
    return import_module("redis").Redis(unix_socket_path=path)
