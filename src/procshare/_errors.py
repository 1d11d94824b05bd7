"""Every error that procshare raises, each with its facts as attributes and safe to pickle.

A worker's error must reach its parent whole, so each class rebuilds itself from its own facts. Each
also derives from the built-in error that a caller without procshare in mind would catch.
"""

from __future__ import annotations

from typing import Any


class ProcshareError(Exception):
    """Base of every error that procshare raises on purpose.

    >>> try:
    ...     attach("nobody")
    ... except ProcshareError as error:
    ...     print(type(error).__name__, error.name)
    NotFound nobody
    """

    def _facts(self) -> tuple[Any, ...]:
        return self.args

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._facts()


class LockTimeout(ProcshareError, TimeoutError):
    """A lock was still held by someone else when the time to wait ran out; nothing was changed.

    Attributes:
        name: The object whose lock it is.
        waited: Seconds spent waiting.
        holder: Process id of the holder, or None where it is not known.
        held: Seconds the holder has had it, or None where it is not known.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import os
    >>> counter = SharedCounter()
    >>> with counter.locked(), ThreadPoolExecutor() as pool:
    ...     error = pool.submit(lambda: counter.locked(timeout=0).__enter__()).exception()
    >>> type(error).__name__, error.holder == os.getpid()
    ('LockTimeout', True)
    """

    name: str
    waited: float
    holder: int | None
    held: float | None

    def __init__(self, name: str, waited: float, holder: int | None = None, held: float | None = None) -> None:
        super().__init__()
        self.name, self.waited, self.holder, self.held = name, waited, holder, held

    def _facts(self) -> tuple[Any, ...]:
        return self.name, self.waited, self.holder, self.held

    def __str__(self) -> str:
        who = "an unknown process" if self.holder is None else f"pid {self.holder}"
        since = "" if self.held is None else f" for {self.held:.3g} s"
        return (
            f"{self.name!r} is still held by {who}{since} after waiting {self.waited:.3g} s; "
            "wait longer, or look at procshare.segments() for the holder"
        )


class WaitTimeout(ProcshareError, TimeoutError):
    """No change made the predicate true in time; you do not get it without a timeout.

    Attributes:
        name: The object that was watched.
        waited: Seconds spent waiting.

    >>> try:
    ...     SharedCounter().wait_until(lambda n: n > 0, timeout=0)
    ... except WaitTimeout as error:
    ...     print("not within", round(error.waited), "s")
    not within 0 s
    """

    name: str
    waited: float

    def __init__(self, name: str, waited: float) -> None:
        super().__init__()
        self.name, self.waited = name, waited

    def _facts(self) -> tuple[Any, ...]:
        return self.name, self.waited

    def __str__(self) -> str:
        what = f"the awaited state of {self.name!r} did not come within {self.waited:.3g} s"
        return f"{what}; wait longer, or look at what it is now"


class _Named(ProcshareError):
    """An error about one named object, with a sentence of detail."""

    name: str
    detail: str
    _default = "{name!r} failed"

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__()
        self.name, self.detail = name, detail

    def _facts(self) -> tuple[Any, ...]:
        return self.name, self.detail

    def __str__(self) -> str:
        text = self._default.format(name=self.name)
        return f"{text}: {self.detail}" if self.detail else text


class OwnerDied(_Named):
    """A process died that others relied on: inside the block of an array, or owing a queue a `task_done`.

    An array whose holder died in a `locked()` block may be half written: look at `.array`, repair what is wrong, and
    call `recover()`. A queue's `join` raises it for the item that a dead process took. (Counters, values and containers
    show their last commit and never raise it; a lock tells by `owner_died`.)

    >>> array = SharedArray([1, 2])
    >>> try:
    ...     array.set([3, 4])
    ... except OwnerDied:
    ...     array.recover()
    ...     array.set([3, 4])
    """

    _default = (
        "the process that held {name!r} died inside its locked block and may have left it half "
        "written; check .array, then call recover()"
    )

    def __str__(self) -> str:
        return f"{self.name!r}: {self.detail}" if self.detail else super().__str__()


class Closed(ProcshareError, ValueError):
    """The handle, or the guard of a `locked()` block that ended, is no longer usable.

    >>> counter = SharedCounter()
    >>> counter.close()
    >>> counter.increment()
    Traceback (most recent call last):
        ...
    procshare.Closed: this handle is closed; attach again by name
    """

    def __init__(self, detail: str = "this handle is closed; attach again by name") -> None:
        super().__init__(detail)


class NotFound(_Named, FileNotFoundError):
    """No live object has this name: never made, unlinked, or its owner is gone.

    >>> try:
    ...     SharedDict.attach("prices")
    ... except NotFound as error:
    ...     print(error)
    no live shared object is called 'prices'; procshare.segments() lists what exists
    """

    _default = "no live shared object is called {name!r}; procshare.segments() lists what exists"


class AlreadyExists(_Named, FileExistsError):
    """An object with this name exists; you do not get it from `open()`, which attaches instead.

    >>> with SharedDict(name="prices"):
    ...     try:
    ...         SharedDict(name="prices")
    ...     except AlreadyExists as error:
    ...         print(error)
    'prices' exists already; attach() to it, open() it, or choose another name
    """

    _default = "{name!r} exists already; attach() to it, open() it, or choose another name"


class KindMismatch(_Named, TypeError):
    """The object exists but is of another kind, element type or shape than was asked for.

    >>> with SharedDict(name="prices"):
    ...     try:
    ...         SharedList.attach("prices")
    ...     except KindMismatch as error:
    ...         print(error.name)
    prices
    """

    _default = "{name!r} is something else"


class VersionMismatch(_Named, ValueError):
    """The segment was written by a procshare with another memory layout.

    >>> issubclass(VersionMismatch, ValueError)
    True
    """

    _default = "{name!r} has another layout version; use the same procshare on both sides"


class CorruptSegment(_Named, ValueError):
    """What the segment holds is not what procshare writes; nothing in it was trusted.

    >>> import os, pathlib
    >>> path = pathlib.Path(f"/dev/shm/procshare.{os.geteuid()}.broken")
    >>> path.touch(0o600)
    >>> path.write_text("no segment" * 1000)
    10000
    >>> try:
    ...     attach("broken")
    ... except CorruptSegment as error:
    ...     print(error)
    'broken' does not hold a valid procshare object; unlink it and make it anew: it does not begin as a segment does
    >>> path.unlink()
    """

    _default = "{name!r} does not hold a valid procshare object; unlink it and make it anew"


class NotOwned(_Named, PermissionError):
    """The segment belongs to another user, or is not a plain file; it was not touched.

    >>> issubclass(NotOwned, PermissionError)
    True
    """

    _default = "{name!r} was refused"


class UnsupportedByBackend(ProcshareError, TypeError):
    """The chosen backend cannot do this; the message names one that can.

    >>> try:
    ...     SharedCounter(name="hits", backend="stdlib")
    ... except UnsupportedByBackend as error:
    ...     print(error)
    the "stdlib" backend cannot give a counter the name 'hits'; backend="shm" can
    """


_LIMITS = {
    "memory": "",
    "files": "and no file can be made there: all inodes are in use; remove some (procshare.prune()), or mount /dev/shm "
    "with more (nr_inodes)",
    "address space": "and this process may map no more; raise its limit of address space (ulimit -v)",
    "file size": "in one file, and this process may not make one that long; raise its limit of file size (ulimit -f)",
}


class OutOfSharedMemory(ProcshareError, MemoryError):
    """Shared memory has too few free bytes, or this process may have no more; nothing was created and nothing was lost.

    Attributes:
        name: The object to be made or grown.
        needed: Bytes asked for.
        free: Bytes that were free, or None where that is not known, or not the reason.
        limit: What there was too little of: "memory", "files" (inodes), "address space" (RLIMIT_AS) or "file size"
            (RLIMIT_FSIZE).

    >>> try:
    ...     SharedArray.zeros(1 << 47, "B")
    ... except OutOfSharedMemory as error:
    ...     print(f"{error.needed:,} bytes are too many")
    140,737,488,355,328 bytes are too many
    """

    name: str
    needed: int
    free: int | None
    limit: str

    def __init__(self, name: str, needed: int, free: int | None = None, limit: str = "memory") -> None:
        super().__init__()
        self.name, self.needed, self.free, self.limit = name, needed, free, limit

    def _facts(self) -> tuple[Any, ...]:
        return self.name, self.needed, self.free, self.limit

    def __str__(self) -> str:
        needs = f"{self.name!r} needs {self.needed:,} bytes of shared memory"
        if why := _LIMITS[self.limit]:
            return f"{needs} {why}"
        free = "an unknown number of" if self.free is None else f"{self.free:,}"
        hint = "free some (procshare.prune()), or enlarge /dev/shm (docker run --shm-size=1g)"
        return f"{needs} and {free} are free; {hint}"


for _public in (
    ProcshareError,
    LockTimeout,
    WaitTimeout,
    OwnerDied,
    Closed,
    NotFound,
    AlreadyExists,
    KindMismatch,
    VersionMismatch,
    CorruptSegment,
    NotOwned,
    UnsupportedByBackend,
    OutOfSharedMemory,
):
    _public.__module__ = "procshare"  # a traceback shows the name that one imports
