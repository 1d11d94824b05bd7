"""Which backends the suite runs on, and what each can do beyond what all must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from procshare import SharedArray, SharedCounter, SharedDict, SharedList, SharedNamespace, SharedSet, SharedValue
from procshare.backends import native_built

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPABILITIES: dict[str, frozenset[str]] = {
    "shm": frozenset({"names", "pickle", "hand_over", "segment"}),
    "stdlib": frozenset(),
}
"""For each backend: what it can do that another may refuse with UnsupportedByBackend.

names: `name`, `name=`, `attach`, `open`. pickle: through any channel. hand_over: outliving the creator.
segment: every object's memory has a POSIX name.
"""

AnyArray: Any = SharedArray
"""For calls with a dtype that is known only when they run: NumPy's `DTypeLike` is not typed in full."""

KINDS: dict[str, tuple[Any, tuple[Any, ...]]] = {
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


@pytest.fixture(params=sorted(KINDS))
def make(request: pytest.FixtureRequest, backend: str) -> Callable[..., Any]:
    """Makes one object, of each kind in turn."""

    made, args = KINDS[request.param]

    def maker(**kwargs: Any) -> Any:
        return made(*args, backend=backend, **kwargs)

    return maker


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, in type and, for arrays, in shape and every byte."""
    if type(one) is not type(other):
        return False
    if type(one) is np.ndarray:
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    return bool(one == other)
