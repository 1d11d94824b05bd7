"""`share()` picks the class for an object, on every backend."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from conformance.conftest import same
from procshare import (
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedSet,
    SharedValue,
    UnsupportedByBackend,
    share,
)


@pytest.mark.parametrize("obj", [1, -(2**70), 2.5, True, None, "text", b"bytes", (1, [2], {"three": 3})], ids=repr)
def test_any_object_becomes_a_value(backend: str, obj: Any) -> None:
    """A copy of it, of the same type."""
    untyped: Any = share
    with untyped(obj, backend=backend) as shared:
        assert issubclass(type(shared), SharedValue)
        assert same(shared.value, obj)


def test_an_ndarray_becomes_an_array(backend: str) -> None:
    """With its dtype and shape."""
    source = np.arange(6, dtype="h").reshape(2, 3)
    with share(source, backend=backend) as shared:
        assert isinstance(shared, SharedArray)
        assert same(shared.value, source)


def test_a_handle_is_returned_as_it_is(backend: str) -> None:
    """Sharing twice shares once."""
    with SharedCounter(backend=backend) as counter:
        shared: object = share(counter, backend=backend)
        assert shared is counter


def test_what_does_not_pickle_is_a_type_error(backend: str) -> None:
    """Nothing is created."""
    with pytest.raises(TypeError):
        share(threading.Lock(), backend=backend)


def test_a_name_is_passed_on(backend: str, can: frozenset[str]) -> None:
    """Or refused, as the class does."""
    if "names" in can:
        with share(1, name="conformance-shared", backend=backend) as shared:
            assert shared.name == "conformance-shared"
    else:
        with pytest.raises(UnsupportedByBackend, match="shm"):
            share(1, name="conformance-shared", backend=backend)


BUILTINS: list[tuple[Any, Any]] = [
    ({"a": 1, "b": [2]}, SharedDict),
    ({}, SharedDict),
    (OrderedDict(z=1), SharedDict),
    ([1, "x"], SharedList),
    ([], SharedList),
    ({1, "x"}, SharedSet),
    (set(), SharedSet),
]


@pytest.mark.parametrize(("obj", "interface"), BUILTINS, ids=lambda one: getattr(one, "__name__", type(one).__name__))
def test_a_builtin_container_becomes_a_shared_one(backend: str, obj: Any, interface: Any) -> None:
    """A copy of it, one level deep: what it holds comes back as fresh objects."""
    with share(obj, backend=backend) as shared:
        assert isinstance(shared, interface)
        assert shared.value == obj
        assert len(shared.value) == len(obj)


def test_what_a_container_cannot_hold_is_a_type_error(backend: str) -> None:
    """A key or a value; nothing is created."""
    for wrong in ({1.5: 1}, {True}, {"a": threading.Lock()}, [threading.Lock()]):
        untyped: Any = wrong
        with pytest.raises(TypeError):
            share(untyped, backend=backend)
