"""What every backend's `SharedList` does: all that a list does, and what only a shared one needs."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from container_support import agrees, fn, from_a_thread, in_threads, is_held, same, unpicklable
from procshare import Closed, SharedList, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnyList: Any = SharedList
op: Any = operator  # of whose functions some have no types
START = [3, 1, 2, 1]


@pytest.fixture
def items(backend: str) -> Iterator[SharedList[Any]]:
    """A list of four."""
    with SharedList[Any](START, backend=backend) as made:
        yield made


def broken() -> Iterator[int]:
    """An iterable that raises when some of it was taken."""
    yield 10
    raise ZeroDivisionError


def matched(x: Any) -> Any:
    """What a sequence pattern makes of it."""
    match x:
        case [first, *rest]:
            return first, rest
        case _:
            return None


def assign(key: Any, value: Any) -> Callable[[Any], Any]:
    """`x[key] = value`."""
    return lambda x: x.__setitem__(key, value)


CALLS: dict[str, Callable[[Any], Any]] = {
    "x[i]": lambda x: [x[i] for i in range(-4, 4)],
    "x[too large]": lambda x: x[4],
    "x[too small]": lambda x: x[-5],
    "x[huge]": lambda x: x[2**70],
    "x[index]": lambda x: x[True],
    "x[float]": lambda x: x[1.0],
    "x[str]": lambda x: x["1"],
    "x[i] =": lambda x: [assign(i, i * 10)(x) for i in range(-4, 4)],
    "x[too large] =": assign(4, 0),
    "x[too small] =": assign(-5, 0),
    "x[str] =": assign("1", 0),
    "del": lambda x: [x.__delitem__(1), x.__delitem__(-1), list(x)],
    "del too large": lambda x: x.__delitem__(4),
    "del str": lambda x: x.__delitem__("0"),
    "x[:]": lambda x: (x[:], x[1:3], x[::-1], x[::2], x[-100:100], x[3:1], x[5:]),
    "x[::0]": lambda x: x[::0],
    "x['a':]": lambda x: x["a":],
    "x[:] = longer": assign(slice(None), range(10)),
    "x[:] = generator": assign(slice(None), "abc"),
    "x[1:2] = empty": assign(slice(1, 2), []),
    "x[1:2] = more": assign(slice(1, 2), (7, 8, 9)),
    "x[1:1] = insert": assign(slice(1, 1), [7]),
    "x[3:1] = insert": assign(slice(3, 1), [7]),
    "x[9:] = append": assign(slice(9, None), [7, 8]),
    "x[::2] = as many": assign(slice(None, None, 2), "ab"),
    "x[::-1] = as many": assign(slice(None, None, -1), "abcd"),
    "x[::2] = too many": assign(slice(None, None, 2), "abc"),
    "x[::2] = too few": assign(slice(None, None, 2), []),
    "x[:] = number": assign(slice(None), 5),
    "x[::2] = number": assign(slice(None, None, 2), 5),
    "x[::0] =": assign(slice(None, None, 0), []),
    "x[:] = raises": lambda x: x.__setitem__(slice(None), broken()),
    "x[:] = itself": lambda x: x.__setitem__(slice(1, 2), x),
    "del x[1:3]": lambda x: x.__delitem__(slice(1, 3)),
    "del x[::2]": lambda x: x.__delitem__(slice(None, None, 2)),
    "del x[::-3]": lambda x: x.__delitem__(slice(None, None, -3)),
    "del x[:]": lambda x: x.__delitem__(slice(None)),
    "del x[::0]": lambda x: x.__delitem__(slice(None, None, 0)),
    "len": lambda x: (len(x), bool(x)),
    "in": lambda x: (1 in x, 9 in x, "1" in x, None not in x),
    "iter": list,
    "reversed": lambda x: list(reversed(x)),
    "append": lambda x: [x.append(5), x.append([6]), len(x)],
    "extend": lambda x: x.extend([5, 6]),
    "extend generator": lambda x: x.extend(c for c in "ab"),
    "extend itself": lambda x: x.extend(x),
    "extend number": lambda x: x.extend(5),
    "extend raises": lambda x: x.extend([*broken()]),
    "insert": lambda x: [x.insert(0, "first"), x.insert(2, "mid"), x.insert(100, "last"), x.insert(-1, "but one")],
    "insert far left": lambda x: x.insert(-100, "first"),
    "insert at str": lambda x: x.insert("0", 0),
    "pop": lambda x: [x.pop(), x.pop(0), x.pop(-2), list(x), x.pop()],
    "pop too large": lambda x: x.pop(4),
    "pop too small": lambda x: x.pop(-5),
    "pop empty": lambda x: (x.clear(), x.pop()),
    "pop str": lambda x: x.pop("0"),
    "remove": lambda x: [x.remove(1), list(x), x.remove(1)],
    "remove missing": lambda x: x.remove(9),
    "clear": lambda x: [x.clear(), x.clear(), x.append(1), list(x)],
    "index": lambda x: (x.index(1), x.index(1, 2), x.index(3, -4), x.index(2, 0, 3), x.index(1, -1)),
    "index missing": lambda x: x.index(9),
    "index out of range": lambda x: x.index(3, 1),
    "index stopped": lambda x: x.index(2, 0, 2),
    "count": lambda x: (x.count(1), x.count(3), x.count("1")),
    "reverse": lambda x: x.reverse(),
    "sort": lambda x: x.sort(),
    "sort reverse": lambda x: x.sort(reverse=True),
    "sort key": lambda x: x.sort(key=operator.neg),
    "sort key reverse": lambda x: x.sort(key=fn(lambda n: n % 2), reverse=True),
    "sort positional": lambda x: x.sort(str),
    "sort raises": lambda x: x.sort(key=fn(lambda n: n // 0)),
    "copy": lambda x: x.copy(),
    "list()": list,
    "unpacked": lambda x: [*x],
    "+": lambda x: x + [5],  # noqa: RUF005
    "radd": lambda x: [5] + x,  # noqa: RUF005
    "+ tuple": lambda x: x + (5,),  # noqa: RUF005
    "+ number": lambda x: x + 5,
    "*": lambda x: (x * 2, 2 * x, x * 0, x * -1, x * True),
    "* float": lambda x: x * 1.5,
    "* list": lambda x: x * [],
    "+=": lambda x: op.iadd(x, (5, 6)),
    "+= itself": lambda x: op.iadd(x, x),
    "+= number": lambda x: op.iadd(x, 5),
    "*=": lambda x: op.imul(x, 3),
    "*= 1": lambda x: op.imul(x, 1),
    "*= 0": lambda x: op.imul(x, 0),
    "*= -1": lambda x: op.imul(x, -1),
    "*= float": lambda x: op.imul(x, 1.5),
    "==": lambda x: [x == y for y in ([3, 1, 2, 1], [3, 1, 2], [3.0, 1, 2, True], [], (3, 1, 2, 1), "3121", 5, None)],
    "!=": lambda x: [x != y for y in ([3, 1, 2, 1], [3, 1, 2], (3, 1, 2, 1), 5)],
    "reflected ==": lambda x: [[3, 1, 2, 1] == x, [] == x, (3, 1, 2, 1) == x, [3] != x],  # noqa: SIM300
    "<": lambda x: [(x < y, x <= y, x > y, x >= y) for y in ([3, 1, 2, 1], [3, 1, 2], [4], [], [3, 1, 2, 1, 0])],
    "reflected <": lambda x: [[3, 1, 2, 1] < x, [2] < x, [4] <= x, [3] > x, [] >= x],  # noqa: SIM300
    "< tuple": lambda x: x < (4,),
    "< other types": lambda x: x < ["a"],
    "sorted": sorted,
    "sum": sum,
    "zip": lambda x: list(zip(x, x, strict=True)),
    "map": lambda x: list(map(str, x)),
    "match": matched,
    "hash": hash,
}


@pytest.mark.parametrize("inside", [False, True], ids=["handle", "block"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_it_does_what_a_list_does(items: SharedList[Any], call: Callable[[Any], Any], inside: bool) -> None:
    """The same result or exception, and the same contents; also inside a block, and after it."""
    model: list[Any] = list(START)
    if inside:
        with items.locked() as t:
            agrees(call, t, model)
            assert same(items.value, model)
    else:
        agrees(call, items, model)

    assert same(items.value, model)


EDGES = (None, -5, -2, -1, 0, 1, 3, 5)
SLICES = [slice(start, stop, step) for start in EDGES for stop in EDGES for step in (None, 1, 2, 3, -1, -2)]


def test_every_slice_is_a_lists(items: SharedList[Any]) -> None:
    """Read, assigned with as many items and with others, and deleted."""
    with items.locked() as t:
        for cut in SLICES:
            whole = list("abcd")
            t.set(whole)
            agrees(operator.getitem, t, whole, cut)
            agrees(operator.setitem, t, whole, cut, list(range(len(whole[cut]))))
            agrees(operator.setitem, t, whole, cut, "xyz")
            agrees(operator.delitem, t, whole, cut)
    for cut in SLICES[::17]:
        whole = list("abcd")
        items.set(whole)
        agrees(operator.setitem, items, whole, cut, "xyz")
        agrees(operator.delitem, items, whole, cut)


@pytest.mark.parametrize("kind", [list, tuple, "".join, dict.fromkeys, iter, reversed], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("items", ["", "abc"])
def test_it_is_made_of_whatever_a_list_is_made_of(backend: str, kind: Callable[[str], Any], items: str) -> None:
    """Any iterable, another shared list too."""
    kept = list(kind(items))
    with AnyList(kind(items), backend=backend) as made, AnyList(made, backend=backend) as other:
        assert same(made.value, kept)
        assert same(other.value, kept)
        assert made == other
        assert not made < other
    with AnyList(backend=backend) as empty:
        assert (empty.value, len(empty), bool(empty)) == ([], 0, False)
        assert empty == []
    for wrong, error in ((5, TypeError), (broken(), ZeroDivisionError)):
        with pytest.raises(error):
            AnyList(wrong, backend=backend)


def test_it_is_a_mutable_sequence(items: SharedList[Any]) -> None:
    """To isinstance."""
    assert isinstance(items, MutableSequence)
    assert isinstance(items, Sequence)


def test_sorting_is_stable(backend: str) -> None:
    """Items whose keys are equal stay in their order, in reverse as well."""
    pairs = [(n * 7 % 3, n) for n in range(50)]
    with AnyList(pairs, backend=backend) as made:
        for reverse in (False, True):
            made.set(pairs)
            made.sort(key=operator.itemgetter(0), reverse=reverse)
            assert same(made.value, sorted(pairs, key=operator.itemgetter(0), reverse=reverse))


def test_a_sort_that_raises_changes_nothing(items: SharedList[Any]) -> None:
    """Where a list may be left half sorted, a shared one is as before, and its lock is free."""
    items.set([3, "x", 1])
    with pytest.raises(TypeError):
        items.sort()

    assert same(items.value, [3, "x", 1])
    assert not is_held(items)


def test_iteration_goes_over_one_snapshot(items: SharedList[Any]) -> None:
    """Changes on the way do not show."""
    seen: list[Any] = []
    for item in items:
        seen.append(item)
        items.append(item)
        del items[0]
    backwards: list[Any] = []
    for item in reversed(items):
        backwards.append(item)
        items.clear()

    assert seen == START
    assert backwards == START[::-1]


def test_operators_in_place_keep_the_handle(items: SharedList[Any]) -> None:
    """`+=` and `*=` change the shared object, each in one commit."""
    same_list = items
    same_list += (5,)
    same_list *= 2

    assert same_list is items
    assert items.value == [3, 1, 2, 1, 5] * 2


def test_two_shared_lists_combine(items: SharedList[Any], backend: str) -> None:
    """+ gives a plain list; extend and slices take a shared one."""
    with SharedList[Any]([7, 8], backend=backend) as other:
        assert same(items + other, [*START, 7, 8])
        items.extend(other)
        items[:1] = other
        items += other
        assert same(items.value, [7, 8, 1, 2, 1, 7, 8, 7, 8])
        assert items > other
        assert other <= items[:]


def test_it_is_unhashable(items: SharedList[Any]) -> None:
    """As a list is."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(items)


def test_repr_is_short_and_waits_for_nobody(items: SharedList[Any]) -> None:
    """Also while somebody else holds the lock, and of a closed list."""
    assert repr(items) == "<SharedList [3, 1, 2, 1]>"
    with items.locked() as t:
        t[0] = "uncommitted"
        assert from_a_thread(lambda: repr(items)) == f"<SharedList [3, 1, 2, 1] locked by pid {os.getpid()}>"
        assert "uncommitted" in repr(t)
    assert repr(t) == "<SharedList closed>"
    items.extend("x" * 1000 for _ in range(1000))
    assert len(repr(items)) < 3000
    items.close()
    assert repr(items) == "<SharedList closed>"


def test_a_write_that_fails_changes_nothing(items: SharedList[Any]) -> None:
    """However many items came before the one that cannot be written."""
    for wrong in unpicklable():
        writes: list[Callable[[], Any]] = [
            lambda: items.append(wrong),  # noqa: B023 - called at once
            lambda: items.extend([1, wrong]),  # noqa: B023
            lambda: items.insert(0, wrong),  # noqa: B023
            lambda: items.__setitem__(0, wrong),  # noqa: B023
            lambda: items.__setitem__(slice(1, 2), [1, wrong]),  # noqa: B023
            lambda: items.__setitem__(slice(None, None, 2), [1, wrong]),  # noqa: B023
            lambda: items.set([1, wrong]),  # noqa: B023
            lambda: op.iadd(items, [1, wrong]),  # noqa: B023
        ]
        for write in writes:
            with pytest.raises(TypeError):
                write()
            assert same(items.value, START)
            assert not is_held(items)
    with pytest.raises(ZeroDivisionError):
        items.extend(broken())

    assert same(items.value, START)


def test_what_is_read_is_a_fresh_object(items: SharedList[Any]) -> None:
    """Changing it changes nothing shared; neither does a change to what was stored."""
    stored = {"n": 1}
    items[0] = stored
    stored["n"] = 2
    items[0]["n"] = 3
    items.value[0]["n"] = 4
    items[:1][0]["n"] = 5
    next(iter(items))["n"] = 6

    assert items[0] == {"n": 1}


def test_set_value_and_modify_exchange_plain_lists(items: SharedList[Any]) -> None:
    """`set` takes any iterable; a `modify` that raises changes nothing."""
    snapshot = items.value
    snapshot.append(100)
    assert items.value == START
    anything: Any = items
    anything.set(range(3))
    assert same(items.value, [0, 1, 2])
    assert items.modify(lambda now: [*now, 3]) == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        items.modify(lambda now: [now[0] // 0])
    with pytest.raises(TypeError):
        anything.set(5)

    assert same(items.value, [0, 1, 2, 3])


def test_wait_until_wakes_for_a_change(items: SharedList[Any]) -> None:
    """It returns the contents that made it true, or raises WaitTimeout in time."""
    with pytest.raises(WaitTimeout):
        items.wait_until(lambda now: 9 in now, timeout=0.02)
    assert items.wait_until(lambda now: 1 in now) == START
    waiting = threading.Event()
    waited: list[Any] = []

    def has_nine(now: list[Any]) -> bool:
        waiting.set()
        return 9 in now

    waiter = threading.Thread(target=lambda: waited.append(items.wait_until(has_nine, timeout=10)))
    waiter.start()
    assert waiting.wait(10)
    items.append(9)
    waiter.join(10)

    assert waited == [[*START, 9]]


def test_threads_lose_no_append_and_pop_each_item_once(backend: str) -> None:
    """Each thread's appends are all there, in its order, and what is popped is popped by one."""
    with SharedList[tuple[int, int]](backend=backend) as made:
        popped: list[tuple[int, int]] = []

        def append(me: int) -> None:
            for n in range(50):
                made.append((me, n))

        def pop(me: int) -> None:
            for _ in range(50):
                popped.append(made.pop(-(me % 2)))

        in_threads(append, range(3))
        every = made.value
        assert [[n for who, n in every if who == me] for me in range(3)] == [list(range(50))] * 3
        in_threads(pop, range(3))

        assert sorted(popped) == sorted(every)
        assert len(made) == 0


def test_it_grows_and_shrinks(backend: str) -> None:
    """To thousands of items, with large ones among them, and back, time and again."""
    with SharedList[Any](backend=backend) as made:
        for size in (10, 3000, 0, 5000, 1):
            wanted: list[Any] = [n if n % 500 else "x" * 20_000 for n in range(size)]
            made.set(wanted)
            assert len(made) == size
            assert made.value == wanted
        with made.locked() as t:
            for n in range(2000):
                t.append(n)
            for _ in range(1990):
                t.pop()
        assert made.value == ["x" * 20_000, *range(10)]


USES: dict[str, Callable[[Any], Any]] = {
    **{name: CALLS[name] for name in ("x[i]", "x[i] =", "del", "x[:]", "x[1:2] = more", "del x[1:3]", "len", "in")},
    **{name: CALLS[name] for name in ("iter", "append", "extend", "insert", "pop", "remove", "clear", "index")},
    **{name: CALLS[name] for name in ("count", "reverse", "sort", "copy", "+", "*", "+=", "*=", "reversed")},
    "==": lambda x: x == [],
    "<": lambda x: x < [],
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_list_and_a_dead_guard_raise_closed(items: SharedList[Any], use: Callable[[Any], Any]) -> None:
    """Each of its methods."""
    with items.locked() as t:
        pass
    with pytest.raises(Closed):
        use(t)
    items.close()
    with pytest.raises(Closed):
        use(items)


class Log(SharedList[str]):
    """A list with a method and an override of its own."""

    def say(self, *words: str) -> int:
        """Append a line."""
        self.append(" ".join(words))
        return len(self)

    def append(self, value: str) -> None:
        super().append(value.upper())


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """Methods and overrides, in a block too, and its name in the repr."""
    with Log(["first"], backend=backend) as log:
        assert log.say("well", "said") == 2
        with log.locked() as t:
            assert isinstance(t, Log)
            t.say("more")
        assert repr(log) == "<Log ['first', 'WELL SAID', 'MORE']>"
