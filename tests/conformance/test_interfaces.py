"""Each backend supplies the whole of each interface."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from procshare import (
    Handle,
    Shared,
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
from procshare.backends import implementation
from support import kept

CONTAINERS: list[type[Handle]] = [SharedDict, SharedList, SharedSet, SharedNamespace]
STATES: list[type[Handle]] = [SharedCounter, SharedValue, SharedArray, *CONTAINERS]
CHANNELS: dict[type[Handle], set[str]] = {
    SharedQueue: {"put", "get", "put_many", "get_many", "qsize", "task_done", "join", "shutdown", "lease"},
    SharedLock: {"acquire", "release", "locked", "owner_died"},
    SharedRLock: {"acquire", "release", "locked", "owner_died"},
    SharedSemaphore: {"acquire", "release", "get_value", "locked"},
    SharedBoundedSemaphore: {"acquire", "release", "get_value", "locked"},
    SharedEvent: {"is_set", "set", "clear", "wait"},
    SharedCondition: {"acquire", "release", "wait", "notify", "notify_all"},
    SharedBarrier: {"wait", "reset", "abort", "parties", "n_waiting", "broken"},
    SharedRWLock: {"reading", "writing"},
}
"""What each of those that have no value leaves to the backend, beside its lifetime."""
INTERFACES: list[type[Handle]] = [*STATES, *CHANNELS]


def left_open(interface: type) -> list[str]:
    """The attributes of *interface* and its bases whose body only raises NotImplementedError."""
    names: list[str] = []
    for base in interface.__mro__:
        for name, attribute in vars(base).items() if issubclass(base, Handle) else ():
            function: Any = getattr(attribute, "fget", None) or getattr(attribute, "__func__", attribute)
            code = getattr(function, "__code__", None)
            if code is not None and code.co_names == ("NotImplementedError",):
                names.append(name)
    return names


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_backend_overrides_all_that_an_interface_leaves_open(backend: str, interface: type[Handle]) -> None:
    """No method of a served class ends in NotImplementedError."""
    served = implementation(interface, backend)
    open_names = left_open(interface)
    assert {"close", "unlink", "__init__"} | CHANNELS.get(interface, {"value", "locked"}) <= set(open_names)

    provided = {name: inspect.getattr_static(served, name) for name in open_names}
    inherited = [
        name
        for name, attribute in provided.items()
        for base in interface.__mro__
        if vars(base).get(name) is attribute and name in left_open(base)
    ]

    assert inherited == []


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_served_class_is_the_interface(backend: str, interface: type[Handle]) -> None:
    """isinstance and issubclass hold whatever the backend, and instances have no __dict__."""
    served = implementation(interface, backend)

    assert issubclass(served, interface)
    assert issubclass(served, Shared) is (interface in STATES)
    assert served.kind == interface.kind
    assert not hasattr(implementation(SharedCounter, backend)(), "__dict__")


@pytest.mark.parametrize("interface", CHANNELS)
def test_a_channel_has_no_dict_of_its_own(backend: str, interface: type[Handle]) -> None:
    """A misspelt attribute is an error; its class is the backend's."""
    anything: Any = interface
    with kept(anything(2, backend=backend) if interface is SharedBarrier else anything(backend=backend)) as made:
        assert type(made).__module__.startswith(f"procshare.backends.{backend}.")
        with pytest.raises(AttributeError):
            made.anything = 1


@pytest.mark.parametrize("interface", CONTAINERS)
def test_a_container_has_no_dict_of_its_own(backend: str, interface: type[Handle]) -> None:
    """An attribute is an error, or goes to the store of a namespace; its class is the interface's."""
    anything: Any = interface
    with anything(backend=backend) as made:
        assert not hasattr(made, "__dict__")
        assert issubclass(type(made), interface)
        assert type(made).__module__.startswith(f"procshare.backends.{backend}.")
        if interface is not SharedNamespace:
            with pytest.raises(AttributeError):
                made.anything = 1


def test_an_unknown_backend_is_named_in_the_error() -> None:
    """A typo in backend= is a ValueError that lists the backends."""
    with pytest.raises(ValueError, match="stdlib"):
        SharedCounter(backend="stdlob")
