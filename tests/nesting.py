"""What the tests of nested handles have in common."""

from __future__ import annotations

import gc
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import procshare
from procshare import NotFound, Shared
from scripts import until

if TYPE_CHECKING:
    from collections.abc import Callable

ANY: Any = procshare  # whose classes infer nothing
KINDS: dict[str, Callable[..., Any]] = {
    "counter": partial(ANY.SharedCounter, 7),
    "number": partial(ANY.SharedValue, 7, "i"),
    "object": partial(ANY.SharedValue, b"7" * 9000),
    "array": partial(ANY.SharedArray, [7, 8]),
    "dict": partial(ANY.SharedDict, {"seven": 7}),
    "list": partial(ANY.SharedList, [7, "seven"]),
    "set": partial(ANY.SharedSet, {7}),
    "namespace": partial(ANY.SharedNamespace, {"seven": 7}),
}


def own(name: str) -> str:
    """*name*, made this process's own, so that parallel runs do not meet."""
    return f"nests-{os.getpid()}-{name}"


def exists(name: str) -> bool:
    """Whether another process would find it."""
    try:
        procshare.attach(name).close()
    except NotFound:
        return False
    return True


def shared(value: Any) -> Shared[Any]:
    """A value that is a handle."""
    assert isinstance(value, Shared)
    return value  # pyright: ignore[reportUnknownVariableType]


def let_go(*names: str) -> bool:
    """Whether all of these went with what kept them."""
    gc.collect()
    return until(lambda: not any(map(exists, names)), timeout=2)
