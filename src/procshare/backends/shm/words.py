"""The counter and the value of the `shm` backend: the C types, completed."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from procshare._counter import SharedCounter
from procshare._value import SharedValue
from procshare.backends.shm.base import ShmShared
from procshare.backends.shm.core import documented, native

T = TypeVar("T")


@documented
@native.specialize
class ShmCounter(native.Counter, ShmShared[int], SharedCounter):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedCounter


@documented
@native.specialize
class ShmValue(native.Value, ShmShared[T], SharedValue[T]):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedValue
