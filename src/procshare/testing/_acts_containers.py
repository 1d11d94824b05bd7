"""Acts, as in `_acts.py`, on containers."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import procshare
from procshare import SharedDict, SharedList
from procshare.testing._acts import BIG, at, block, do, drop, enter, fail, inside, leave, nested_block
from procshare.testing._acts_states import many, plus_one, stateful

if TYPE_CHECKING:
    from procshare.testing._acts import Act
    from procshare.testing._kinds import Step

SOME = {"a": 1, "b": "text", "c": [1, 2]}
MANY = {**SOME, **{f"k{n}": f"value {n}" for n in range(300)}}
KEY = "k" * 300
MAP_HOLDER = [
    enter(),
    inside(at("a", 2)),
    inside(drop("b")),
    leave,
    enter(),
    inside(do("update", {f"n{n}": BIG for n in range(5)})),
    fail,
    enter(),
    inside(do("update", {f"n{n}": n for n in range(200)})),
    inside(drop("a")),
    leave,
    nested_block,
    enter(),
    leave,
]
MAP_WRITER = [
    at("a", 2),
    at("new", BIG),
    at(KEY, 1),
    drop("b"),
    at("b", 2.5),
    drop(KEY),
    at(KEY, BIG),
    do("set", {"z": BIG, "a": 1}),
    do("set", {}),
    do("set", MANY),
    block(at("a", 5), drop("b"), at("d", BIG), at("e", 1)),
]


def read_map(x: Any) -> None:
    """All single reads."""
    assert [key for key in x if key in x]
    assert x["a"] == 1
    assert len(x) > 0


def growing(n: int) -> Step:
    """Many new keys, in one commit."""
    return do("update", {f"g{n}.{i}": "v" * i for i in range(120)})


def churning(n: int) -> Step:
    """A record in place of another."""
    return at("a", f"{n}" * 700)


DICT_MORE = [
    do("pop", "a"),
    do("popitem"),
    do("setdefault", "a", BIG),
    do("increment", "n", 2**70),
    do("increment", "n"),
    do("modify_item", "n", plus_one),
    do("clear"),
    at("a", 1),
    do("update", MANY),
    block(do("clear"), at("a", 1)),
    drop("a"),
    at("a", 2),
    do("clear"),
]
KEYS = [f"k{n}" for n in range(300)]
LARGE = dict.fromkeys(KEYS, "v" * 200)
TURNS = [step for n in range(12) for step in (block(*map(drop, KEYS[n * 9 : n * 9 + 9])), at("a", BIG))]
ROW = [1, "text", [1, 2], BIG, None, 2.5]
LONG_ROW = [*range(200), BIG]


def turn_over(x: Any) -> None:
    """Assign all items in the other order."""
    x[:] = x[::-1]


LIST_WRITER = [
    do("append", BIG),
    do("insert", 1, "in"),
    at(0, 5),
    at(-1, BIG * 2),
    at(slice(1, 2), [7, BIG, 8]),
    drop(2),
    do("pop"),
    do("pop", 0),
    do("extend", range(300)),
    do("reverse"),
    turn_over,
    drop(slice(3, 90)),
    drop(slice(None, None, 3)),
    do("set", LONG_ROW),
    do("sort", key=str),
    block(at(0, "one"), do("append", BIG), drop(3)),
    do("set", []),
    do("clear"),
]


PROBES = "a", "b", "c", "new", "n", "z", "e", "n1", "k9", "child", KEY


def look_at_map(x: Any) -> Any:
    """What single reads find, which take no lock, and then all of it."""
    length, found = len(x), list[Any]()
    for key in PROBES:
        with suppress(LookupError):
            found.append((key, x[key]))
    return length, found, list(x.value.items())


def look_at_list(x: Any) -> Any:
    """Likewise."""
    length, found = len(x), list[Any]()
    for n in (0, -1, 1, 3, 200):
        with suppress(LookupError):
            found.append((n, x[n]))
    return length, found, x.value


def look_at_set(x: Any) -> list[str]:
    """Its elements; in what order a set is written anew is chance."""
    return [repr(each in x) for each in (1, 9, BIG, "text")] + sorted(map(repr, x))


def keep_some(x: Any) -> None:
    """Intersect it with another set."""
    x &= {1, BIG}


def limit_files(x: Any) -> None:
    """From now on this process can make no file larger than the container's is: no extent can be added."""
    size = os.stat(f"/dev/shm/{x.segment}").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def if_there_is_room(write: Step) -> Step:
    """A write that may fail for want of memory."""

    def step(x: Any) -> None:
        with suppress(procshare.OutOfSharedMemory):
            write(x)

    return step


def cramped(*writes: Step) -> list[Step]:
    """Writes by who can have no more memory than there is."""
    return [limit_files, *map(if_there_is_room, writes)]


CONTAINERS: dict[str, dict[str, Act]] = {
    "SharedDict": stateful("SharedDict", MAP_HOLDER, MAP_WRITER, [read_map, len, list], look=look_at_map)
    | many(
        "SharedDict",
        {
            "more writers": DICT_MORE,
            "grower": [*(growing(n) for n in range(6)), *(at(f"big {n}", BIG * 9) for n in range(9))],
            "compactor": [*(churning(n) for n in range(30)), do("clear"), at("a", BIG)],
        },
    )
    | many(
        "SharedDict",
        {
            "shrinker": TURNS,
            "who has no room": cramped(
                *(
                    step
                    for n in range(6)
                    for step in (block(*map(drop, KEYS[n * 48 : n * 48 + 48])), at(f"n{n}", BIG * 2))
                )
            ),
        },
        make=partial(SharedDict[str, Any], LARGE),
        look=look_at_map,
    ),
    "SharedList": stateful(
        "SharedList",
        [
            enter(),
            inside(at(0, BIG)),
            inside(do("append", 5)),
            leave,
            enter(),
            inside(do("extend", range(900))),
            fail,
            enter(),
            inside(do("extend", range(900))),
            inside(drop(1)),
            leave,
            nested_block,
        ],
        LIST_WRITER,
        [len, list],
        look=look_at_list,
    )
    | many("SharedList", {"grower": [do("extend", [BIG] * 9 + [*range(400)]) for _ in range(6)]})
    | many(
        "SharedList",
        {
            "shrinker": [do("pop"), do("pop", 0), *[drop(slice(0, 40))] * 4, *(at(0, f"{n}" * 700) for n in range(25))],
            "who has no room": cramped(*[drop(slice(0, 60)), do("extend", [BIG] * 3)] * 4),
        },
        look=look_at_list,
        make=partial(SharedList[Any], [*LONG_ROW, *["v" * 200] * 100]),
    ),
    "SharedSet": stateful(
        "SharedSet",
        [
            enter(),
            inside(do("add", BIG)),
            inside(do("discard", 1)),
            leave,
            enter(),
            inside(do("clear")),
            fail,
            nested_block,
        ],
        [
            do("add", 9),
            do("add", BIG),
            do("discard", 1),
            do("update", [BIG * 2, 7]),
            do("remove", 9),
            keep_some,
            do("update", range(400)),
            do("clear"),
            do("add", 1),
        ],
        [len, lambda x: 1 in x],
        look=look_at_set,
    ),
    "SharedNamespace": stateful("SharedNamespace", MAP_HOLDER, MAP_WRITER, [lambda x: x.a, len], look=look_at_map)
    | many("SharedNamespace", {"compactor": [churning(n) for n in range(25)]}),
}
