"""Share state between Python processes: typed, crash-safe, gone when you are."""

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
