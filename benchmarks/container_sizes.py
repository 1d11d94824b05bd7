"""Dicts from 100 to 1,000,000 keys: loading, the growth of an operation's cost, and memory."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from containers import equal_keys, random_keys
from measure import Row, compare

from procshare import SharedDict, SharedList
from procshare.bench.measure import each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
LOADED = 100_000
MANAGED = 1_000
TRIED = 100_000
"""How many keys of a large dict are tried in each round, of a small one as often as it takes."""


def _load(make: Callable[[], Any], keys: Sequence[Any]) -> Callable[[], float]:
    """Fill a new dict one key at a time; seconds for one key."""

    def run() -> float:
        made = make()
        start = time.perf_counter()
        for key in keys:
            made[key] = 1
        seconds = time.perf_counter() - start
        if isinstance(made, SharedDict):
            made.close()
        return seconds / len(keys)

    return run


def _loading() -> list[Row]:
    keys = random_keys(LOADED)
    with multiprocessing.Manager() as manager:
        return [
            compare(
                f"load {LOADED:,} keys one at a time, for each",
                _load(SharedDict[str, int], keys),
                _load(manager.dict, keys[:MANAGED]),
                _load(dict, keys),
                rounds=5,
                target="<= 3x floor",
            ),
            compare(
                f"SharedDict(d), {LOADED:,} keys, for each",
                lambda: _whole(SharedDict, dict.fromkeys(keys, 1)),
                None,
                lambda: _whole(dict, dict.fromkeys(keys, 1)),
                rounds=5,
            ),
        ]


def _whole(make: Callable[[Any], Any], contents: dict[str, int]) -> float:
    start = time.perf_counter()
    made = make(contents)
    seconds = time.perf_counter() - start
    if isinstance(made, SharedDict):
        made.close()
    return seconds / len(contents)


def _growing(body: str, same: bool) -> list[Row]:
    """One statement on dicts of each size, and how much its cost grows, beside a plain dict's."""
    found: list[Row] = []
    which = "same key objects" if same else "equal keys"
    for size in SIZES:
        keys = random_keys(size)
        plain = dict.fromkeys(keys, 1)
        random.Random(1).shuffle(keys)
        tried = (keys if same else equal_keys(keys))[:TRIED]
        passes = TRIED // len(tried)
        with SharedDict(plain) as shared:
            ours, floor = each(body, tried, passes, d=shared), each(body, tried, passes, d=plain)
            found.append(compare(f"{body}, {size:,} keys, {which}", ours, None, floor, rounds=7))
    first, last = found[0], found[-1]
    if first.floor and last.floor and first.over_floor and last.over_floor:
        # The ratio from the rounds' own ratios: the two sizes were not measured at the same time.
        grown, plainly, ratio = last.ours / first.ours, last.floor / first.floor, last.over_floor / first.over_floor
        what = f"growth of {body} from the first to the last of these"
        found.append(Row(what, grown, None, plainly, None, ratio, "<= 1.5x floor", unit="x"))
    return found


def segment_bytes(shared: SharedDict[Any, Any] | SharedList[Any]) -> int:
    """All of /dev/shm that its segment takes."""
    return os.stat(f"/dev/shm/{shared.segment.lstrip('/')}").st_blocks * 512


def _memory() -> list[Row]:
    """The floor is the table of a plain dict and its keys; small ints take nothing more there."""
    keys = random_keys(SIZES[-1])
    plain = dict.fromkeys(keys, 1)
    least = sys.getsizeof(plain) + sum(map(sys.getsizeof, keys))
    with SharedDict[str, int]() as shared:
        for number, key in enumerate(keys):
            shared[key] = number
        full = segment_bytes(shared)
        for key in keys:
            del shared[key]
        empty = segment_bytes(shared)
    with SharedDict(plain) as made:
        at_once = segment_bytes(made)
        made.clear()
        cleared = segment_bytes(made)
    with SharedList(range(SIZES[-1])) as items:
        listed = segment_bytes(items)
        items.clear()
        list_cleared = segment_bytes(items)
    a_list = sys.getsizeof([0] * SIZES[-1])
    return [
        _bytes("bytes a key, 1,000,000 small ints loaded one at a time", full, least, len(keys), "<= 160 B"),
        _bytes("bytes a key, SharedDict(d) of as many", at_once, least, len(keys), "<= 160 B"),
        _bytes("bytes all told, after deleting each", empty, None, 1, "< 1,000,000 B"),
        _bytes("bytes all told, after clear()", cleared, None, 1, "< 1,000,000 B"),
        _bytes("bytes an item, SharedList of 1,000,000 small ints", listed, a_list, len(keys), ""),
        _bytes("bytes all told, after clear()", list_cleared, None, 1, ""),
    ]


def _bytes(what: str, ours: int, floor: int | None, count: int, target: str) -> Row:
    least = None if floor is None else floor / count
    return Row(what, ours / count, None, least, None, ours / floor if floor else None, target, unit="B")


def rows() -> list[Row]:
    """Loading, growth, memory."""
    growths = [_growing("d[k]", same=True), _growing("d[k]", same=False), _growing("d[k] = 1", same=False)]
    return [*_loading(), *(row for rows_of_one in growths for row in rows_of_one), *_memory()]
