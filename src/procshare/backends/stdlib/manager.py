"""Values that no type code holds: pickles in a `multiprocessing.Manager`, one for all values of a process.

The manager starts with the first value. Each value's proxy keeps it, so it stops with the last one, or at exit.
The manager sees only bytes: it needs none of the user's modules, and what does not pickle is refused before it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import weakref
from multiprocessing import util
from multiprocessing.managers import SyncManager
from typing import TYPE_CHECKING, Any

from procshare._errors import NotFound
from procshare.backends.stdlib.handle import unsupported
from procshare.backends.stdlib.locking import Hold, new_hold

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.managers import ValueProxy

_started: tuple[int, weakref.ref[SyncManager]] | None = None
_alive: weakref.WeakSet[PickleStore] = weakref.WeakSet()
_forked: list[PickleStore] = []


class ProxyStore:
    """A value in a manager, as its proxy gives it."""

    __slots__ = ("__weakref__", "_pid", "anchor")
    anchor: ValueProxy[Any]

    def __init__(self, anchor: ValueProxy[Any]) -> None:
        self.anchor = anchor
        self._here()

    def _here(self) -> None:
        self._pid = os.getpid()
        util.register_after_fork(self, ProxyStore._here)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.anchor,)

    def _ask(self, method: Callable[..., Any], *args: Any) -> Any:
        if self._pid != os.getpid():  # it would read the answers to its parent's questions
            unsupported("use a managed value in a process forked without multiprocessing")
        try:
            return method(*args)
        except (EOFError, OSError):
            pass
        # Not raised in the `except` block: the error's frames hold buffers that Python 3.12 cannot collect in a cycle.
        raise NotFound("a managed value", "the manager process that held it has ended")

    def load(self) -> Any:
        return self._ask(self.anchor.get)

    def save(self, stored: Any) -> None:
        self._ask(self.anchor.set, stored)

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
    start = pickled(initial)
    if all(child.name.startswith("SyncManager-") for child in multiprocessing.active_children()):
        _forked.clear()
    try:
        proxy = _manager().Value("O", start)
    except (EOFError, OSError):  # it was killed, and its values with it
        proxy = _manager(anew=True).Value("O", start)
    store = PickleStore(proxy)
    _alive.add(store)
    return store, new_hold()


def _keep_for_forked() -> None:
    """Keep what a forked child inherits: the child counts itself as a user only when it runs.

    Until then the parent may have let go of the last handle, and the manager of the value. What is kept goes when a
    value is made and no child is left, or at exit.
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


def _manager(*, anew: bool = False) -> SyncManager:
    global _started
    pid, reference = _started or (0, None)
    manager = reference() if reference is not None and pid == os.getpid() else None
    if manager is None or anew:
        if multiprocessing.current_process().daemon:
            unsupported("hold an object without a type code in a daemonic process, which may start no manager")
        manager = SyncManager(ctx=multiprocessing.get_context())
        manager.start(_end_with_parent)
        _started = os.getpid(), weakref.ref(manager)
    return manager
