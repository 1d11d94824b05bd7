"""Which backend makes an object, and which of its classes serves which interface: decided here alone."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Backend:
    """A way to share state: for each kind of object, the class that serves it.

    Args:
        name: What `backend=` calls it.
        classes: From a kind (the `kind` of a public class: "counter", "dict", "queue", "lock", ...) to "module:Class",
            loaded on first use; and from "attach", "unlink", "wrap", "segments", "stats", "prune", "transaction" to
            "module:function", as far as the backend has them.

    >>> from procshare.backends import Backend
    >>> only_counters = Backend("mine", {"counter": "procshare.backends.stdlib.sharedctypes:StdlibCounter"})
    >>> SharedCounter(5, backend=only_counters).increment()
    6
    """

    __slots__ = ("classes", "name")
    name: str
    classes: dict[str, str]

    def __init__(self, name: str, classes: Mapping[str, str]) -> None:
        self.name = name
        self.classes = dict(classes)

    def __repr__(self) -> str:
        return f"<Backend {self.name!r}>"

    def serve(self, kind: str) -> Any:
        """The class or function that serves *kind*.

        Raises:
            TypeError: This backend has none.

        >>> Backend("mine", {"counter": "collections:Counter"}).serve("counter")
        <class 'collections.Counter'>
        """
        if kind not in self.classes:
            raise TypeError(f"backend {self.name!r} serves no {kind!r}; it serves {sorted(self.classes)}")
        module, _, name = self.classes[kind].partition(":")
        return getattr(import_module(module), name)


_BACKENDS = {
    "shm": Backend(
        "shm",
        {
            "counter": "procshare.backends.shm.words:ShmCounter",
            "value": "procshare.backends.shm.words:ShmValue",
            "array": "procshare.backends.shm.array:ShmArray",
            "dict": "procshare.backends.shm.containers:ShmDict",
            "list": "procshare.backends.shm.containers:ShmList",
            "set": "procshare.backends.shm.containers:ShmSet",
            "namespace": "procshare.backends.shm.containers:ShmNamespace",
            "queue": "procshare.backends.shm.channels:ShmQueue",
            "lock": "procshare.backends.shm.sync:ShmLock",
            "rlock": "procshare.backends.shm.sync:ShmRLock",
            "semaphore": "procshare.backends.shm.sync:ShmSemaphore",
            "bounded_semaphore": "procshare.backends.shm.sync:ShmBoundedSemaphore",
            "event": "procshare.backends.shm.sync:ShmEvent",
            "condition": "procshare.backends.shm.sync:ShmCondition",
            "barrier": "procshare.backends.shm.sync:ShmBarrier",
            "rwlock": "procshare.backends.shm.sync:ShmRWLock",
            "transaction": "procshare.backends.shm.containers:transaction",
            "attach": "procshare.backends.shm.segment:attach",
            "unlink": "procshare.backends.shm.removal:unlink",
            "segments": "procshare.backends.shm.segment:segments",
            "stats": "procshare.backends.shm.segment:stats",
            "prune": "procshare.backends.shm.segment:prune",
            "trust": "procshare.backends.shm.permissions:trust",
        },
    ),
    "stdlib": Backend(
        "stdlib",
        {
            "counter": "procshare.backends.stdlib.sharedctypes:StdlibCounter",
            "value": "procshare.backends.stdlib.sharedctypes:StdlibValue",
            "array": "procshare.backends.stdlib.shared_memory:StdlibArray",
            "dict": "procshare.backends.stdlib.containers:StdlibDict",
            "list": "procshare.backends.stdlib.containers:StdlibList",
            "set": "procshare.backends.stdlib.containers:StdlibSet",
            "namespace": "procshare.backends.stdlib.containers:StdlibNamespace",
            "queue": "procshare.backends.stdlib.channels:StdlibQueue",
            "lock": "procshare.backends.stdlib.sync:StdlibLock",
            "rlock": "procshare.backends.stdlib.sync:StdlibRLock",
            "semaphore": "procshare.backends.stdlib.sync:StdlibSemaphore",
            "bounded_semaphore": "procshare.backends.stdlib.sync:StdlibBoundedSemaphore",
            "event": "procshare.backends.stdlib.signals:StdlibEvent",
            "condition": "procshare.backends.stdlib.signals:StdlibCondition",
            "barrier": "procshare.backends.stdlib.signals:StdlibBarrier",
            "rwlock": "procshare.backends.stdlib.rwlock:StdlibRWLock",
            "transaction": "procshare.backends.stdlib.containers:transaction",
            "attach": "procshare.backends.stdlib.adopt:attach",
            "wrap": "procshare.backends.stdlib.adopt:wrap",
        },
    ),
}
_chosen: Backend | None = None
_resolved: dict[tuple[type, Backend], Any] = {}
_makers: dict[type, Backend] = {}


def native_built() -> bool:
    """Whether the compiled core was installed; it is not imported to find out."""
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import find_spec

    spec = find_spec("procshare._native")
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def default_backend() -> str:
    """The name of the backend that objects are made with unless `backend=` says otherwise.

    In order: what `set_default_backend()` was given; the environment variable PROCSHARE_BACKEND; "shm" on Linux if
    its compiled core was installed; else "stdlib". Where no C compiler was found, installing procshare
    still succeeds and leaves the core out, so the default is "stdlib" there. A core that was built but
    fails to import is an error, never a silent change of backend.

    >>> default_backend()
    'shm'
    """
    return _default().name


def set_default_backend(backend: str | Backend) -> None:
    """Choose the backend for objects made from now on in this process and those it starts by fork.

    Args:
        backend: "shm", "stdlib" or a `Backend`.

    Raises:
        ValueError: No backend is called that.

    >>> set_default_backend("stdlib")
    >>> default_backend()
    'stdlib'
    >>> set_default_backend("shm")
    """
    global _chosen
    _chosen = _named(backend)


def _default() -> Backend:
    global _chosen
    if _chosen is None:
        named = os.environ.get("PROCSHARE_BACKEND")
        _chosen = _named(named or ("shm" if sys.platform == "linux" and native_built() else "stdlib"))
    return _chosen


def _named(backend: str | Backend) -> Backend:
    if isinstance(backend, Backend):
        return backend
    try:
        return _BACKENDS[backend]
    except KeyError:
        raise ValueError(f"no backend is called {backend!r}; there are {sorted(_BACKENDS)}") from None


def implementation(cls: Any, backend: str | Backend | None) -> Any:
    """The class that makes objects for *cls*: a backend's, or *cls* itself if it is one already.

    A user's subclass of an interface is completed by the backend's class behind it, so that what the user
    overrides goes first. Both stay importable, and instances pickle as the class that the user wrote.
    """
    chosen = _default() if backend is None else _named(backend)
    found = _resolved.get((cls, chosen))
    if found is None:
        if cls._implements is not None:
            found = cls
        else:
            served = chosen.serve(cls.kind)
            found = served if cls in served.__bases__ else _complete(cls, served)
            found.__name__ = cls.__name__  # what messages call an object's class is what its user calls it
            _makers.setdefault(found, chosen)
        _resolved[cls, chosen] = found
    return found


def _complete(cls: type, served: type) -> Any:
    body = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__, "_implements": cls}
    return type(cls)(cls.__name__, (cls, served), body)


def serve(kind: str, backend: str | Backend | None = None) -> Any:
    """The class or function of a backend (default: `default_backend()`) that serves *kind*."""
    return (_default() if backend is None else _named(backend)).serve(kind)


def maker(cls: type) -> Backend:
    """The backend whose class *cls* is, as `implementation` found it."""
    return _makers[cls]
