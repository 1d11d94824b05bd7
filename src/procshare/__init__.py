"""Share state between Python processes: typed, crash-safe, gone when you are."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procshare._array import SharedArray
    from procshare._counter import SharedCounter
    from procshare._dict import SharedDict
    from procshare._errors import (
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
        UnsupportedByBackend,
        VersionMismatch,
        WaitTimeout,
    )
    from procshare._list import SharedList
    from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedRWLock, SharedSemaphore
    from procshare._namespace import SharedNamespace
    from procshare._pipe import PipeEnd, SharedPipe
    from procshare._queue import SharedQueue, ShutDown
    from procshare._segments import SegmentInfo, SegmentStats, prune, segments, stats
    from procshare._set import SharedSet
    from procshare._share import attach, share, unlink, wrap
    from procshare._shared import Cell, Handle, Shared
    from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
    from procshare._transaction import transaction
    from procshare._trust import trust
    from procshare._value import SharedValue
    from procshare.backends import Backend, default_backend, set_default_backend

__all__ = [
    "AlreadyExists",
    "Backend",
    "Cell",
    "Closed",
    "CorruptSegment",
    "Handle",
    "KindMismatch",
    "LockTimeout",
    "NotFound",
    "NotOwned",
    "OutOfSharedMemory",
    "OwnerDied",
    "PipeEnd",
    "ProcshareError",
    "SegmentInfo",
    "SegmentStats",
    "Shared",
    "SharedArray",
    "SharedBarrier",
    "SharedBoundedSemaphore",
    "SharedCondition",
    "SharedCounter",
    "SharedDict",
    "SharedEvent",
    "SharedList",
    "SharedLock",
    "SharedNamespace",
    "SharedPipe",
    "SharedQueue",
    "SharedRLock",
    "SharedRWLock",
    "SharedSemaphore",
    "SharedSet",
    "SharedValue",
    "ShutDown",
    "UnsupportedByBackend",
    "VersionMismatch",
    "WaitTimeout",
    "attach",
    "default_backend",
    "prune",
    "segments",
    "set_default_backend",
    "share",
    "stats",
    "transaction",
    "trust",
    "unlink",
    "wrap",
]

_HOMES = {
    "_array": "SharedArray",
    "_counter": "SharedCounter",
    "_dict": "SharedDict",
    "_errors": "AlreadyExists Closed CorruptSegment KindMismatch LockTimeout NotFound NotOwned OutOfSharedMemory "
    "OwnerDied ProcshareError UnsupportedByBackend VersionMismatch WaitTimeout",
    "_list": "SharedList",
    "_locks": "SharedBoundedSemaphore SharedLock SharedRLock SharedRWLock SharedSemaphore",
    "_namespace": "SharedNamespace",
    "_pipe": "PipeEnd SharedPipe",
    "_queue": "SharedQueue ShutDown",
    "_segments": "SegmentInfo SegmentStats prune segments stats",
    "_set": "SharedSet",
    "_share": "attach share unlink wrap",
    "_shared": "Cell Handle Shared",
    "_signals": "SharedBarrier SharedCondition SharedEvent",
    "_transaction": "transaction",
    "_trust": "trust",
    "_value": "SharedValue",
    "backends": "Backend default_backend set_default_backend",
}
"""Which module has which names; it is loaded when one of them is asked for, since most programs use few."""


if not TYPE_CHECKING:  # checkers that saw it would take every name for one of ours

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names.split():
                module = import_module(f"procshare.{home}")
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module 'procshare' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
