"""Containers, and values that no type code holds: in a `multiprocessing.Manager`, one for all of a process.

The manager starts with the first of them. Each one's proxy keeps it, so it stops with the last one, or at exit.
The manager sees only bytes: it needs none of the user's modules, and what does not pickle is refused before it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import weakref
from multiprocessing import active_children, managers, util
from typing import TYPE_CHECKING, Any

from procshare._errors import NotFound
from procshare.backends.stdlib.handle import unsupported
from procshare.backends.stdlib.locking import Hold, new_hold
from procshare.backends.stdlib.tables import Manager

if TYPE_CHECKING:
    from typing import TypeVar

    StoreT = TypeVar("StoreT", bound="Managed")

_to_error: Any = getattr(managers, "convert_to_error")  # typeshed has no name for it
_started: tuple[int, weakref.ref[Manager]] | None = None
_alive: weakref.WeakSet[Managed] = weakref.WeakSet()
_forked: list[Managed] = []


class Managed:
    """Something in a manager, asked through its proxy."""

    __slots__ = ("__weakref__", "_pid", "anchor")
    anchor: Any

    def __init__(self, anchor: Any) -> None:
        self.anchor = anchor
        self._here()

    def _here(self) -> None:
        self._pid = os.getpid()
        util.register_after_fork(self, Managed._here)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.anchor,)

    def ask(self, method: str, *args: Any) -> Any:
        """Have the manager call a method of what the proxy stands for.

        Raises:
            NotFound: The manager has ended.
            UnsupportedByBackend: The connection is a parent's.
        """
        if self._pid != os.getpid():  # it would read the answers to its parent's questions
            unsupported("use a managed object in a process forked without multiprocessing")
        proxy = self.anchor
        try:
            if not hasattr(proxy._tls, "connection"):
                proxy._connect()
            proxy._tls.connection.send((proxy._id, method, args, {}))  # as the proxy's own _callmethod does
            kind, result = proxy._tls.connection.recv()
        except BaseException as error:
            # Ctrl-C, or what another signal's handler raises: the next question must not get the answer to this one.
            self._hang_up()
            if isinstance(error, TimeoutError) or not isinstance(error, EOFError | OSError):
                raise
        else:
            if kind == "#RETURN":
                return result
            raise _to_error(kind, result)
        # Not raised in the `except` block: the error's frames hold buffers that Python 3.12 cannot collect in a cycle.
        raise NotFound("a managed object", "the manager process that held it has ended")

    def _hang_up(self) -> None:
        connection = self.anchor._tls.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()


class ProxyStore(Managed):
    """A value in a manager, as its proxy gives it."""

    __slots__ = ()

    def load(self) -> Any:
        return self.ask("get")

    def save(self, stored: Any) -> None:
        self.ask("set", stored)

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, stored: Any) -> Any:
        return stored


class PickleStore(ProxyStore):
    """A value in the manager that this module starts."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        return pickled(value)

    def decode(self, stored: Any) -> Any:
        return pickle.loads(stored)


def pickled(value: object) -> bytes:
    """*value* as a pickle.

    Raises:
        TypeError: It cannot be pickled.
    """
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError) as error:
        raise TypeError(f"a shared value must pickle, and this {type(value).__name__} does not: {error}") from error


def new_managed(initial: object) -> tuple[PickleStore, Hold]:
    """A managed value that holds *initial*, and a lock for it."""
    return place(PickleStore, "Value", "O", pickled(initial)), new_hold()


def place(store: type[StoreT], kind: str, *args: Any) -> StoreT:
    """Something new of a kind that the manager serves, and the store that asks it."""
    if all(child.name.startswith((f"{Manager.__name__}-", "SyncManager-")) for child in active_children()):
        _forked.clear()
    try:
        proxy = getattr(_manager(), kind)(*args)
    except (EOFError, OSError):  # it was killed, and what it held with it
        proxy = getattr(_manager(anew=True), kind)(*args)
    made = store(proxy)
    _alive.add(made)
    return made


def _keep_for_forked() -> None:
    """Keep what a forked child inherits: the child counts itself as a user only when it runs.

    Until then the parent may have let go of the last handle, and the manager of the object. What is kept goes when
    another is made and no child is left, or at exit.
    """
    _forked[:] = _alive


def _drop_inherited() -> None:
    _forked.clear()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_keep_for_forked, after_in_child=_drop_inherited)


def _end_with_parent() -> None:
    """In the manager's process: stop it when its owner is gone, who may have had no time to say so."""
    threading.Thread(target=_stop_after_parent, daemon=True).start()


def _stop_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    server: Any = getattr(multiprocessing.current_process(), "_manager_server", None)
    if server is None:
        os._exit(1)
    server.stop_event.set()


def _manager(*, anew: bool = False) -> Manager:
    global _started
    pid, reference = _started or (0, None)
    manager = reference() if reference is not None and pid == os.getpid() else None
    if manager is None or anew:
        if multiprocessing.current_process().daemon:
            unsupported(
                "hold containers, or values without a type code, in a daemonic process: it may start no manager"
            )
        manager = Manager(ctx=multiprocessing.get_context())
        manager.start(_end_with_parent)
        _started = os.getpid(), weakref.ref(manager)
    return manager
