"""How much memory a container takes: at most three times what lives in it and 64 KiB; what was deleted comes back."""

from __future__ import annotations

import fcntl
import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

from procshare import SharedDict, SharedList, SharedNamespace, SharedSet
from procshare.backends import native_built
from scripts import SHM, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

SPARE = 64 << 10
MANY = 100_000
SEATS = 1 << 60  # the byte of the first seat; src/procshare/_native/layout.h


def taken(container: Any) -> int:
    """The memory that its segment takes."""
    segment: str = container.segment
    return (SHM / segment).stat().st_blocks * 512


def record(text: Any) -> int:
    """What a string takes where it does not fit in a word: with its head, in eights."""
    return 8 + (len(text) + 7) // 8 * 8 if isinstance(text, str) else 0


def key_record(key: Any) -> int:
    """What a key takes beside its entry."""
    return record(key) if isinstance(key, str) and len(key) > 22 else 0


def living(model: dict[Any, Any] | list[Any]) -> int:
    """What lives: an entry and a slot of the index for each key, a word for each item, and the records."""
    if isinstance(model, dict):
        return sum(40 + key_record(key) + record(model[key]) for key in model)
    return sum(8 + record(item) for item in model)


def within(container: Any, model: dict[Any, Any] | list[Any]) -> None:
    """That it takes no more than it may."""
    bound = 3 * living(model) + SPARE
    assert taken(container) <= bound, f"{taken(container):,} bytes for {living(model):,} that live ({len(model)} items)"


SIZES: dict[str, Callable[[random.Random], int]] = {
    "short": lambda rng: rng.randrange(30),
    "medium": lambda rng: rng.randrange(3000),
    "of all sizes": lambda rng: int(2 ** (rng.random() * 17)),
}
LOADS: dict[str, tuple[int, float]] = {
    "overwriting": (300, 0.02),
    "growing": (3000, 0.05),
    "coming and going": (600, 0.5),
    "a queue": (400, 0.499),
}
"""How many keys there are, and how often one is deleted."""


def step_dict(rng: random.Random, load: str, d: Any, model: Any, size: int) -> None:
    """Write or delete one key of a dict and its model."""
    keys, deletes = LOADS[load]
    key: Any = rng.randrange(keys) if rng.random() < 0.8 else f"a longer key, which is a record {rng.randrange(keys)}"
    if model and rng.random() < deletes:
        key = next(iter(model)) if load == "a queue" else key
        d.pop(key, None)
        model.pop(key, None)
    else:
        d[key] = model[key] = "v" * size


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("load", LOADS)
def test_a_dict_stays_within_its_bound(load: str, sizes: str) -> None:
    """Whatever is overwritten and deleted, after each step that is looked at."""
    rng = random.Random(f"{load}{sizes}")
    model: dict[Any, str] = {}
    with SharedDict[Any, str]() as d:
        for n in range(4000):
            step_dict(rng, load, d, model, SIZES[sizes](rng))
            if n % 40 == 0:
                within(d, model)
        assert d.value == model
        for key in list(model):
            del d[key]
        within(d, {})


def step_list(rng: random.Random, x: Any, model: Any, size: int) -> None:
    """Change a list and its model in one of its ways."""
    text = "v" * size
    way = rng.randrange(8 if len(model) < 500 else 10)
    for each in (x, model):
        if way < 3 or not model:
            each.append(text)
        elif way < 6:
            each[len(model) // 2] = text
        elif way == 6:
            each.insert(len(model) // 3, text)
        elif way == 7:
            each.pop(0)
        else:
            each.pop()


@pytest.mark.parametrize("sizes", SIZES)
def test_a_list_stays_within_its_bound(sizes: str) -> None:
    """Whatever is appended, inserted, replaced and taken off."""
    rng = random.Random(sizes)
    model: list[str] = []
    with SharedList[str]() as x:
        for n in range(3000):
            step_list(rng, x, model, SIZES[sizes](rng))
            if n % 40 == 0:
                within(x, model)
        assert x.value == model
        while model:
            model.pop()
            x.pop()
            if len(model) % 40 == 0:
                within(x, model)


def test_blocks_stay_within_the_bound() -> None:
    """Their redo records are garbage when they are applied."""
    rng = random.Random(5)
    model: dict[Any, str] = {}
    with SharedDict[Any, str]() as d:
        for n in range(1000):
            with d.locked() as t:
                for _ in range(rng.randrange(20)):
                    step_dict(rng, "coming and going", t, model, rng.randrange(50))
            if n % 20 == 0:
                within(d, model)
        assert d.value == model


IDLE = """
x = procshare.attach(sys.argv[1])
say(len(x.value))
sys.stdin.readline()
say(len(x.value), len(x))
"""


@pytest.fixture(params=["alone", "with an idle reader"])
def idle(request: pytest.FixtureRequest) -> bool:
    """Whether another process stays attached that has read everything."""
    return bool(request.param == "with an idle reader")


def emptied(container: Any, empty: Callable[[Any], object], idle: bool) -> None:
    """Empty it, while somebody is attached or not, and see that the memory is given back."""
    full = taken(container)
    assert full > 1 << 20
    if not idle:
        empty(container)
        assert taken(container) <= SPARE
        return
    with Script(IDLE, container.name) as reader:
        assert reader.hear() == str(len(container))
        empty(container)
        assert taken(container) <= SPARE
        reader.tell()
        assert reader.hear() == "0 0"
        assert reader.ended() == (0, "", "")


def one_by_one(container: Any) -> None:
    """In the order they came."""
    for each in list(container):
        del container[each]


def at_random(container: Any) -> None:
    """In any order."""
    keys = list(container)
    random.Random(1).shuffle(keys)
    for each in keys:
        del container[each]


def pop_all(container: Any, *args: Any) -> None:
    """Until there is nothing."""
    while container:
        container.pop(*args)


def popitem_all(container: Any) -> None:
    """From the end."""
    while container:
        container.popitem()


def in_a_block(container: Any) -> None:
    """All in one commit."""
    with container.locked() as t:
        t.clear()


EMPTYING_DICTS: list[Callable[[Any], object]] = [one_by_one, at_random, popitem_all, lambda d: d.clear(), in_a_block]
EMPTYING_LISTS: list[Callable[[Any], object]] = [
    pop_all,
    lambda x: x.clear(),
    lambda x: x.__delitem__(slice(None)),
    in_a_block,
]


def contents(value: str) -> Iterator[tuple[str, Any]]:
    """A hundred thousand pairs."""
    return ((f"key {n}", n if value == "ints" else f"value {n}") for n in range(MANY))


@pytest.mark.parametrize("value", ["ints", "strings"])
@pytest.mark.parametrize("empty", EMPTYING_DICTS)
def test_a_hundred_thousand_keys_give_their_memory_back(empty: Callable[[Any], object], value: str, idle: bool) -> None:
    """However they are deleted, while an idle reader stays attached too."""
    with SharedDict[str, Any]() as d:
        for key, each in contents(value):
            d[key] = each
        within(d, dict(contents(value)))
        emptied(d, empty, idle)
        d["again"] = 1
        assert d.value == {"again": 1}


@pytest.mark.parametrize("value", ["ints", "strings"])
@pytest.mark.parametrize("empty", EMPTYING_LISTS)
def test_a_long_list_gives_its_memory_back(empty: Callable[[Any], object], value: str, idle: bool) -> None:
    """From either end, by slices, and at once."""
    with SharedList[Any]() as x:
        for _, each in contents(value):
            x.append(each)
        x.extend([0] * MANY)
        within(x, [each for _, each in contents(value)] + [0] * MANY)
        emptied(x, empty, idle)
        x.append("again")
        assert x.value == ["again"]


def test_a_list_that_is_emptied_from_the_front_gives_its_memory_back(idle: bool) -> None:
    """Like a queue."""
    with SharedList[str](f"item {n}" for n in range(MANY)) as x:
        emptied(x, lambda x: pop_all(x, 0), idle)


def test_a_set_and_a_namespace_give_their_memory_back(idle: bool) -> None:
    """By difference, and name by name."""
    with SharedSet[str](f"element {n}" for n in range(MANY)) as s:
        emptied(s, lambda s: s.difference_update(s.value), idle)
    with SharedNamespace({f"name_{n}": n for n in range(MANY)}) as ns:
        emptied(ns, one_by_one, idle)


def test_a_few_small_ints_take_little() -> None:
    """A small container is four pages and its header; 10⁵ ints take at most 160 bytes each, keys and all."""
    for small in (SharedDict({1: 1}), SharedList([1]), SharedSet({1}), SharedNamespace({"x": 1})):
        with small:
            assert taken(small) <= 32 << 10
    with SharedDict((f"key {n}", n) for n in range(MANY)) as d:
        assert taken(d) <= 160 * MANY
    with SharedDict[str, int]() as d:
        for n in range(MANY):
            d[f"key {n}"] = n
        assert taken(d) <= 160 * MANY


def test_no_memory_is_given_back_under_a_reader_that_cannot_say_what_it_reads() -> None:
    """The 65th process needs a page for its word; before it has one, nothing may be taken from under it."""
    with SharedDict({str(i): "x" * 1000 for i in range(500)}) as d, (SHM / d.segment).open("r+b") as file:
        before = taken(d)
        seat = struct.pack("hhqqi", fcntl.F_WRLCK, 0, SEATS + 100, 1, 0)  # somebody sits there, as the kernel sees it
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, seat)
        d.clear()
        assert taken(d) >= before
        free = struct.pack("hhqqi", fcntl.F_UNLCK, 0, SEATS + 100, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, free)
        d["a"] = "x" * 1000
        d.clear()
        assert taken(d) < before / 2
