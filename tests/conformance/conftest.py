"""Which backends the suite runs on, and what each can do beyond what all must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from procshare import (
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedNamespace,
    SharedQueue,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
)
from procshare.backends import native_built

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPABILITIES: dict[str, frozenset[str]] = {
    "shm": frozenset({"names", "pickle", "hand_over", "segment", "owners", "front"}),
    "stdlib": frozenset(),
}
"""For each backend: what it can do that another may refuse with UnsupportedByBackend.

names: `name`, `name=`, `attach`, `open`. pickle: through any channel. hand_over: outliving the creator.
segment: every object's memory has a POSIX name. owners: a lock belongs to the thread that took it, and a death is seen.
front: what comes back to a queue is first again.
"""

AnyArray: Any = SharedArray
"""For calls with a dtype that is known only when they run: NumPy's `DTypeLike` is not typed in full."""

STATES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "counter": (SharedCounter, (5,)),
    "number": (SharedValue, (5, "i")),
    "object": (SharedValue, ({"n": 5},)),
    "array": (SharedArray, ([5, 6], "i")),
    "large": (AnyArray.zeros, ((50, 500),)),
    "dict": (SharedDict, ({"n": 5},)),
    "list": (SharedList, ([5, "six"],)),
    "set": (SharedSet, ({5, "six"},)),
    "namespace": (SharedNamespace, ({"n": 5},)),
}
"""How to make one object of each kind that has a value."""

LOCKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "lock": (SharedLock, ()),
    "rlock": (SharedRLock, ()),
    "semaphore": (SharedSemaphore, (2,)),
    "bounded_semaphore": (SharedBoundedSemaphore, (2,)),
    "condition": (SharedCondition, ()),
}
"""One of each kind whose `with` block takes it, as in the standard library, and does not end its life."""

KINDS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    **STATES,
    **LOCKS,
    "queue": (SharedQueue, ()),
    "event": (SharedEvent, ()),
    "barrier": (SharedBarrier, (2,)),
    "rwlock": (SharedRWLock, ()),
}
"""How to make one object of each kind."""


@pytest.fixture(params=sorted(CAPABILITIES), scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend; every test that takes it runs on each."""
    name: str = request.param
    if name == "shm" and not native_built():
        pytest.skip("the compiled core is not installed")
    return name


@pytest.fixture(scope="session")
def can(backend: str) -> frozenset[str]:
    """What the backend can do beyond what all must do."""
    return CAPABILITIES[backend]


@pytest.fixture(scope="session", autouse=True)
def manager() -> Iterator[None]:
    """Keep one manager process for all containers of the stdlib backend, and all values that no type code holds."""
    with SharedValue(None, backend="stdlib"):
        yield


def maker(kind: str, backend: str) -> Callable[..., Any]:
    """What makes an object of a kind with a backend, and takes further arguments."""
    made, args = KINDS[kind]

    def make(**kwargs: Any) -> Any:
        return made(*args, backend=backend, **kwargs)

    return make


@pytest.fixture(params=sorted(STATES))
def make(request: pytest.FixtureRequest, backend: str) -> Callable[..., Any]:
    """Makes one object that has a value, of each kind in turn."""
    return maker(request.param, backend)


@pytest.fixture(params=sorted(KINDS))
def make_any(request: pytest.FixtureRequest, backend: str) -> Callable[..., Any]:
    """Makes one object, of each kind in turn."""
    return maker(request.param, backend)


@pytest.fixture(params=sorted(KINDS.keys() - LOCKS.keys()))
def make_owned(request: pytest.FixtureRequest, backend: str) -> Callable[..., Any]:
    """Makes one object whose `with` block ends its life, of each kind in turn."""
    return maker(request.param, backend)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, in type and, for arrays, in shape and every byte."""
    if type(one) is not type(other):
        return False
    if type(one) is np.ndarray:
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    return bool(one == other)


def alike(one: Any, other: Any) -> bool:
    """Whether two handles may be on one object: of one class, with one value if they have any."""
    return type(one) is type(other) and same(getattr(one, "value", None), getattr(other, "value", None))
