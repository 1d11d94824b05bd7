"""The lifetime that stdlib objects have: no name, gone with the last process that was given them at its start."""

from __future__ import annotations

import os
from multiprocessing.context import get_spawning_popen
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from procshare._errors import Closed, UnsupportedByBackend
from procshare._shared import Handle
from procshare.backends import implementation
from procshare.backends.stdlib.locking import hold_of, keep_for_child

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


def unsupported(what: str) -> NoReturn:
    """Refuse, and say which backend can.

    Raises:
        UnsupportedByBackend: Always.
    """
    raise UnsupportedByBackend(f'the "stdlib" backend cannot {what}; backend="shm" can')


class StdlibHandle(Handle):
    """What every class of this backend shares: open or closed, and travelling to a child at its start."""

    __slots__ = ("__weakref__", "_closed", "_creator")
    _implements: ClassVar[Any]
    _closed: bool
    _creator: int | None

    def _start(self, name: str | None, mode: int, group: str | int | None) -> None:
        """Closed until everything that the constructor was given is accepted."""
        refuse_options(name, mode, group, self.kind)
        self._closed, self._creator = True, None

    def _begin(self, creator: int | None) -> None:
        self._closed = False
        self._creator = creator

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("this handle is closed; make a new one, or pass another to the child when it starts")

    @property
    def _label(self) -> str:
        return f"stdlib {self.kind} at {id(self):#x}"

    @property
    def name(self) -> str:
        """Not with this backend: raises UnsupportedByBackend."""
        unsupported(f"name a {self.kind}: pass the handle to a Process as an argument")

    @property
    def segment(self) -> str:
        """Not with this backend, except for large arrays: raises UnsupportedByBackend."""
        unsupported(f"place a {self.kind} in a segment of its own")

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    def close(self) -> None:
        """Let go in this process."""
        self._closed = True

    def unlink(self) -> None:
        """Nothing to do: the memory has no name and goes with the last process that has it."""

    def hand_over(self) -> Self:
        """Not with this backend: raises UnsupportedByBackend."""
        self._require_open()
        unsupported(f"hand a {self.kind} over: it cannot outlive its creator")

    @classmethod
    def _attach(cls, name: str) -> Self:
        unsupported(f"attach to {name!r}: its objects have no names")

    @classmethod
    def _open(cls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], persist: bool) -> Self:
        unsupported(f"open {name!r}: its objects have no names")

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._creator == os.getpid():
            self.unlink()
        self.close()

    def _lock(self) -> Any:
        """The lock of `multiprocessing` that whoever changes it has; None if there is none that can be asked."""
        return None

    def _holder(self) -> int:
        lock = self._lock()
        if lock is None:
            return 0
        owner = hold_of(lock).owner
        if owner is not None and owner[0] == os.getpid():
            return owner[0]
        semaphore = getattr(lock, "_semlock", None)
        return -1 if semaphore is not None and semaphore._is_zero() else 0

    def _parts(self) -> tuple[Any, ...]:
        """What `_restore` makes the same handle from in a child; pickled while a child starts."""
        raise NotImplementedError

    def _kept(self) -> object:
        """What a child that is being started needs to be alive until it has unpickled the parts."""
        raise NotImplementedError

    def _restore(self, *parts: Any) -> None:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        self._require_open()
        popen = get_spawning_popen()
        if popen is None:
            unsupported(f"pickle a {self.kind} except as an argument of a Process that is being started")
        parts = self._parts()
        if any(_is_of_fork(part) for part in parts):  # something of the user's, wrapped
            unsupported(f"send a {self.kind} whose lock is of the fork context to a process that is not forked")
        keep_for_child(popen, self._kept())
        # What the user wrote, or the interface, and not the completed class, which no module has by its name.
        made = rebuilt, (self._implements, parts)
        state = getattr(self, "__dict__", None)  # of a user's subclass
        return (*made, state) if state else made


def _is_of_fork(part: Any) -> bool:
    """Whether it is a semaphore of the fork context, or has one: an event, a barrier, a condition or a queue."""
    for inner in ("_cond", "_lock", "_rlock"):
        part = getattr(part, inner, part)
    return bool(getattr(part, "_is_fork_ctx", False))


def refuse_options(name: str | None, mode: int, group: str | int | None, kind: str) -> None:
    """Refuse the arguments `name=`, `mode=` and `group=`.

    Raises:
        UnsupportedByBackend: One of them is given.
    """
    if name is not None:
        unsupported(f"give a {kind} the name {name!r}")
    if mode != 0o600 or group is not None:
        unsupported(f"give a {kind} a mode or a group: nobody can attach to it")


def rebuilt(interface: type[Handle], parts: tuple[Any, ...]) -> Any:
    """A handle made without `__init__`: of the class that completes *interface*, from what `_parts` gave."""
    cls = implementation(interface, "stdlib")
    handle = cls.__new__(cls)
    handle._restore(*parts)
    return handle
