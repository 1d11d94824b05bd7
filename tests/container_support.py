"""What the tests of containers ask of a container and of the built-in type beside it.

The same function is called with both: what it returned or raised, and what they hold afterwards, must agree.
"""

from __future__ import annotations

import copy
import struct
import threading
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

from procshare import LockTimeout, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEYS: list[Any] = [
    "",
    "1",
    "key",
    "x" * 5000,
    "é€😀",
    "nul\0inside",
    "\ud800 alone \udfff",
    b"",
    b"1",
    bytes(range(256)),
    b"y" * 70_000,
    0,
    1,
    -1,
    2**31,
    -(2**47) - 1,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    10**300,
    -(10**300),
    None,
    (),
    ((),),
    (1,),
    ("1",),
    (b"1",),
    (None,),
    (1, 2),
    ((1,), 2),
    (1, (2,)),
    ("a", ("b", (b"c", (1, (None, ()))))),
    tuple(range(200)),
]
"""Keys that are all different, of every sort that a key can be."""

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    *(sign * 2**bits + d for sign in (1, -1) for bits in (31, 47, 53, 60, 62, 63, 64, 200) for d in (-1, 0, 1)),
    0.0,
    -0.0,
    1.5,
    float("inf"),
    -float("inf"),
    float("nan"),
    5e-324,
    1.7976931348623157e308,
    "",
    "text",
    "é€😀\0\ud800",
    "z" * 100_000,
    b"",
    b"bytes",
    bytes(range(256)) * 300,
    [],
    [1, [2, {"three": (4, 5.0)}]],
    {"a": {1, 2}, (1, 2): frozenset("xy")},
    (None, True, 1, 1.0, "1", b"1"),
    1 + 2j,
    range(5),
    bytearray(b"ba"),
    ValueError("an error", 5),
    int,
    len,
]
"""Values of every sort that is stored in a way of its own, and at the edges of each."""


class Word(str):
    """A str of a user's class, which is no key."""

    __slots__ = ()


class Number(int):
    """An int of a user's class, which is no key."""


class Pair(tuple[int, int]):
    """A tuple of a user's class, which is no key."""

    __slots__ = ()


REFUSED: list[Any] = [
    True,
    False,
    1.0,
    float("nan"),
    1j,
    [],
    {},
    set[int](),
    frozenset({1}),
    bytearray(b"a"),
    memoryview(b"a"),
    object(),
    int,
    Word("w"),
    Number(1),
    Pair((1, 2)),
    (1, True),
    (1, (2.0,)),
    ("a", ["b"]),
]
"""What is no key."""


def same(one: Any, other: Any) -> bool:
    """Whether two objects are equal in type, in order, and in every bit of every float."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, dict | list | tuple):
        inner, outer = parts(one), parts(other)
        return len(inner) == len(outer) and all(same(*pair) for pair in zip(inner, outer, strict=True))
    if isinstance(one, BaseException):
        return same(one.args, other.args)
    return bool(one == other)


def parts(container: Any) -> list[Any]:
    """What a dict, list or tuple holds, in order."""
    items: Any = container.items() if hasattr(container, "items") else container
    return list(items)


def plain(result: Any) -> Any:
    """What a call returned, without what differs between a container and the built-in type."""
    if isinstance(result, Shared):
        return plain(result.value)  # pyright: ignore[reportUnknownMemberType]
    if isinstance(result, KeysView | ValuesView | ItemsView | Iterator):
        return list(result)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return copy.copy(result)  # since it may be the model itself, which goes on changing


def outcome(call: Callable[..., Any], container: Any, *args: Any) -> tuple[str, Any]:
    """What `call(container, *args)` came to: ("returned", result), or ("raised", the exception's type and key)."""
    try:
        return "returned", plain(call(container, *args))
    except KeyError as error:
        return "raised", (KeyError, error.args if "empty" not in str(error) else "empty")
    except Exception as error:  # noqa: BLE001 - compared with the other's
        return "raised", type(error)


def agrees(call: Callable[..., Any], shared: Any, model: Any, *args: Any) -> None:
    """Assert that a call does the same to both, and comes to the same."""
    wanted = outcome(call, model, *args)
    told = outcome(call, shared, *args)
    assert same(told, wanted), f"it {told}, and {type(model).__name__} {wanted}"
    assert same(plain(shared), model), f"it is {shared!r} now, and {model!r} is right"


def fn(given: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A lambda, for a type checker that does not know its argument where anything may be called."""
    return given


def unpicklable() -> list[Any]:
    """What no container can hold."""
    return [lambda: None, threading.Lock(), [1, threading.Lock()], iter(lambda: None, None)]


def from_a_thread(call: Callable[[], Any]) -> Any:
    """What another thread of this process gets: the result, or the exception."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert results, "it waits for ever"
    return results[0]


def in_threads(target: Callable[[int], None], numbers: Iterable[int]) -> None:
    """Call *target* with each number at the same time, and wait until all have ended."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            target(number)
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "it waits for ever"
    if failures:
        raise failures[0]


def is_held(container: Any) -> bool:
    """Whether another thread finds the lock taken."""

    def attempt() -> bool:
        try:
            with container.locked(timeout=0):
                return False
        except LockTimeout:
            return True

    held: bool = from_a_thread(attempt)
    return held
