"""Type-checked, never run: what the errors know, and by which built-in ones they are caught."""

from typing import assert_type

from procshare import (
    AlreadyExists,
    Closed,
    CorruptSegment,
    KindMismatch,
    LockTimeout,
    NotFound,
    NotOwned,
    OutOfSharedMemory,
    OwnerDied,
    ProcshareError,
    SharedCounter,
    ShutDown,
    UnsupportedByBackend,
    VersionMismatch,
    WaitTimeout,
)

hits = SharedCounter()
try:
    hits.increment()
except LockTimeout as late:
    assert_type(late.name, str)
    assert_type(late.waited, float)
    assert_type(late.holder, int | None)
    assert_type(late.held, float | None)
    late.pid  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
except WaitTimeout as late:
    assert_type(late.name, str)
    assert_type(late.waited, float)
except OutOfSharedMemory as full:
    assert_type(full.name, str)
    assert_type(full.needed, int)
    assert_type(full.free, int | None)
    assert_type(full.limit, str)
except (OwnerDied, NotFound, AlreadyExists, KindMismatch, VersionMismatch, CorruptSegment, NotOwned) as error:
    assert_type(error.name, str)
    assert_type(error.detail, str)
except Closed as closed:
    closed.name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
except (UnsupportedByBackend, ShutDown):
    pass

# ---- each is one of Python's own, but for OwnerDied ----

timeouts: list[type[TimeoutError]] = [LockTimeout, WaitTimeout]
files: list[type[OSError]] = [NotFound, AlreadyExists, NotOwned]
values: list[type[ValueError]] = [Closed, VersionMismatch, CorruptSegment]
types: list[type[TypeError]] = [KindMismatch, UnsupportedByBackend]
memory: type[MemoryError] = OutOfSharedMemory
ours: type[ProcshareError] = OwnerDied
ours = TimeoutError  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# ---- as a worker makes them, to be pickled ----

LockTimeout("hits", 1.5, 4242, held=3.5)
WaitTimeout("hits", 1.5)
OwnerDied("hits")
NotFound("hits", "never made")
Closed("this block is over")
OutOfSharedMemory("hits", 1 << 30, None, "files")
LockTimeout("hits")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
NotFound()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
OutOfSharedMemory("hits", "large")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
