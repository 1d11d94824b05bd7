"""The queue of the `shm` backend: the C type, completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._queue import SharedQueue
from procshare.backends.shm.base import ShmHandle
from procshare.backends.shm.core import documented, native

if TYPE_CHECKING:
    from procshare.backends import Backend

T = TypeVar("T")


@documented
class ShmQueue(native.Queue, ShmHandle, SharedQueue[T]):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedQueue

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
        self._permit(mode, group)
        self._create(maxsize, capacity, name)

    async def get_async(self, timeout: float | None = None) -> T:
        from procshare.backends.shm.waiting import get

        item: T = await get(self, timeout)
        return item

    async def put_async(self, obj: T, timeout: float | None = None) -> None:
        from procshare.backends.shm.waiting import put

        await put(self, obj, timeout)
