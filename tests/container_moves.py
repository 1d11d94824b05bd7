"""What a state machine does to a container and to the built-in type beside it, in this process or in another.

A move is a name and arguments, so that it can be sent to a worker: of a method, or of a function that is called with
the container and with the model alike.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from container_support import outcome, plain

if TYPE_CHECKING:
    from collections.abc import Callable

Move = tuple[str, tuple[Any, ...]]
op: Any = operator  # of whose functions some have no types

few = st.integers(0, 8) | st.sampled_from(["a", "b", "1", b"1", None, (), (1, "a"), "k" * 300, -1, 2**70])
keys = few | st.integers() | st.text() | st.binary() | st.tuples(few, few)
small = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary()
sized = st.builds(operator.mul, st.sampled_from(["x", b"y"]), st.sampled_from([10, 100, 1000, 5000, 40_000]))
values = small | sized | st.lists(small, max_size=3) | st.dictionaries(few, small, max_size=2)
pairs = st.lists(st.tuples(keys, values), max_size=6)
positions = st.integers(-12, 12)
slices = st.builds(slice, *[st.none() | positions] * 2, st.none() | st.sampled_from([1, 2, 3, -1, -2]))
counts = st.integers(50, 400)


def grow(d: Any, count: int, start: int, size: int) -> None:
    """Put many keys in, one at a time."""
    for n in range(start, start + count):
        d[n] = "v" * (n * 31 % (size + 1))


def shrink(d: Any, keep: int) -> None:
    """Delete all but every so many keys, one at a time."""
    for n, key in enumerate(list(d)):
        if n % keep:
            del d[key]


def churn(d: Any, key: Any, count: int, size: int) -> None:
    """Replace one value by others of the same size, over and over."""
    for n in range(count):
        d[key] = bytes([n % 251]) * size


def rebuild(d: Any) -> None:
    """Delete each key and put it back, which turns the order over."""
    for key in reversed(list(d)):
        d[key] = d.pop(key)


def append_many(x: Any, count: int, size: int) -> None:
    """Append, one at a time."""
    for n in range(count):
        x.append(n if n % 3 else "v" * (n % (size + 1)))


def multiply(x: Any, n: int) -> Any:
    """`*=`, if not too much comes of it."""
    return op.imul(x, n) if len(x) < 500 else None


def pop_many(x: Any, keep: int, end: int) -> None:
    """Pop until few are left."""
    while len(x) > keep:
        x.pop(end)


def add_many(s: Any, count: int, start: int) -> None:
    """Add, one at a time."""
    for n in range(start, start + count):
        s.add((n, "e" * (n % 40)))


def remove_many(s: Any, keep: int) -> None:
    """Remove all but every so many, one at a time."""
    for n, each in enumerate(sorted(s, key=repr)):
        if n % keep:
            s.remove(each)


def replace(d: Any, new: Any) -> None:
    """`set`, which a dict does in two steps."""
    if hasattr(d, "set"):
        d.set(new)
    else:
        d.clear()
        d.update(new)


def sort(x: Any, reverse: bool) -> None:
    """Sort items of any types."""
    x.sort(key=repr, reverse=reverse)


def algebra(s: Any, other: Any) -> list[Any]:
    """All that does not change it."""
    return [s | other, s & other, s - other, s ^ other, other - s, s <= other, s > other, s.isdisjoint(other)]


FUNCTIONS: dict[str, Any] = {
    "set item": op.setitem,
    "get item": op.getitem,
    "delete": op.delitem,
    "in": op.contains,
    "len": len,
    "|=": op.ior,
    "&=": op.iand,
    "-=": op.isub,
    "^=": op.ixor,
    "set": replace,
    **{each.__name__: each for each in (grow, shrink, churn, rebuild, append_many, pop_many, multiply, sort)},
    **{each.__name__: each for each in (add_many, remove_many, algebra)},
}


def called(name: str, container: Any, *args: Any) -> Any:
    """Make one move: a function above, or a method of the container's."""
    if name in FUNCTIONS:
        return FUNCTIONS[name](container, *args)
    return getattr(container, name)(*args)


def move(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Move]:
    """Moves of one name."""
    return st.tuples(st.just(name), st.tuples(*args))


def one_of(*moves: st.SearchStrategy[Move]) -> st.SearchStrategy[Move]:
    """Moves of several names, each as likely as any other."""
    return st.sampled_from(moves).flatmap(lambda chosen: chosen)


DICT_MOVES = one_of(
    move("set item", keys, values),
    move("set item", few, values),
    move("get item", few),
    move("delete", few),
    move("get", few, values),
    move("in", keys),
    move("pop", few),
    move("pop", few, values),
    move("popitem"),
    move("setdefault", few, values),
    move("update", pairs),
    move("|=", pairs.map(dict)),
    move("len"),
)
DICT_BULK = one_of(
    move("grow", counts, st.integers(0, 300), st.sampled_from([0, 50, 1000])),
    move("shrink", st.integers(1, 50)),
    move("churn", few, st.integers(20, 60), st.sampled_from([8, 1000, 9000])),
    move("rebuild"),
    move("set", pairs),
    move("clear"),
    move("copy"),
)
LIST_MOVES = one_of(
    move("append", values),
    move("extend", st.lists(values, max_size=5)),
    move("insert", positions, values),
    move("pop", positions),
    move("get item", positions | slices),
    move("set item", positions, values),
    move("set item", slices, st.lists(values, max_size=5)),
    move("delete", positions | slices),
    move("in", small),
    move("remove", st.booleans() | st.none()),
    move("len"),
)
LIST_BULK = one_of(
    move("append_many", counts, st.sampled_from([0, 50, 1000])),
    move("pop_many", st.integers(0, 5), st.sampled_from([0, -1])),
    move("churn", positions, st.integers(20, 60), st.sampled_from([8, 1000, 9000])),
    move("multiply", st.integers(0, 2)),
    move("reverse"),
    move("sort", st.booleans()),
    move("set item", st.just(slice(None)), st.lists(values, max_size=9)),
    move("clear"),
    move("copy"),
)
elements = st.sets(keys, max_size=6)
SET_MOVES = one_of(
    move("add", keys),
    move("add", few),
    move("discard", few),
    move("remove", few),
    move("in", keys),
    move("update", st.lists(keys, max_size=6)),
    move("|=", elements),
    move("-=", elements),
    move("^=", elements),
    move("algebra", elements),
    move("len"),
)
SET_BULK = one_of(
    move("add_many", counts, st.integers(0, 300)),
    move("remove_many", st.integers(1, 50)),
    move("&=", elements),
    move("clear"),
    move("copy"),
)


def make(container: Any, moves: list[Move]) -> list[Any]:
    """Make moves one after the other; what each came to."""
    return [outcome(partial(called, name), container, *args) for name, args in moves]


class Undo(Exception):
    """Raised to roll a block back."""


def make_in_block(container: Any, moves: list[Move], inner: list[Move], keep: bool) -> list[Any]:
    """Make moves in a block, of which an inner block is undone, and the whole unless it is to be kept.

    Returns what each move came to, and what the block held before its end.
    """
    told: list[Any] = []
    try:
        with container.locked() as t:
            told += make(t, moves)
            try:
                with t.locked() as inside:
                    told += make(inside, inner)
                    raise Undo
            except Undo:
                pass
            told.append(plain(container))
            if not keep:
                raise Undo
    except Undo:
        pass
    return told


# ---- in a worker that has the container open all the time ----

_open: dict[str, Any] = {}


def hold(container: Any) -> None:
    """Open a container and keep it."""
    _open["container"] = container


def let_go() -> None:
    """Close it."""
    _open.pop("container").close()


def with_held(fn: Callable[..., Any], *args: Any) -> Any:
    """Call a function with the container that is kept open."""
    return fn(_open["container"], *args)


def contents(container: Any) -> tuple[Any, int, list[Any]]:
    """All that a reader sees of it."""
    return container.value, len(container), list(container)
