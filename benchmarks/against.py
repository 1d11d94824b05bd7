"""The same work by procshare and by other libraries that share state between processes: `python benchmarks/against.py`.

Those that are not installed are left out, and the page says why. What each row does, and how each library is set up, is
said in the tables; where a library offers less than procshare (bytes alone, a fixed size, polling, no way back from a
killed holder), it is measured at what it offers.
"""

from __future__ import annotations

import argparse
import multiprocessing
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import peer_queues
from containers import random_keys
from libraries import enter_all
from libraries import markdown as libraries_markdown
from peer_numbers import LOCKS, NUMBERS, Statement
from peer_stores import LISTS, STORES, TEXT_STORES, Items, Store
from writer import writing

from procshare.bench.catalogue import run
from procshare.bench.channels import (
    ARRAYS,
    all_numbers,
    cores_waiting,
    exchange,
    get_firsts,
    numbers_in_turn,
    put_in_turn,
    put_tuples,
    through,
)
from procshare.bench.locks import PROCESSES, contending
from procshare.bench.machine import this_machine
from procshare.bench.measure import Effort, Row, Way, called, figures, in_turn, statement
from procshare.bench.report import short_markdown, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libraries import Maker

LOADED = 100_000
SOME = 1_000
STRINGS = [bytes([number]) * 100 for number in range(256)]


def _counter(effort: Effort) -> Row:
    with ExitStack() as stack:
        numbers: dict[str, Statement] = enter_all(stack, NUMBERS)
        ways = {name: number.way() for name, number in numbers.items()}
        return effort.compare("counter: add 1, none lost", "", ways)


def _contended(effort: Effort) -> Row:
    with ExitStack() as stack:
        numbers: dict[str, Statement] = enter_all(stack, NUMBERS)
        ways = {
            name: contending(stack, effort.context, number, number.total, PROCESSES) for name, number in numbers.items()
        }
        return effort.compare(f"counter: add 1, {PROCESSES} processes at once", "", ways)


def _lock(effort: Effort) -> Row:
    with ExitStack() as stack:
        return effort.compare("lock: take it, let go", "nobody else wants it", enter_all(stack, LOCKS))


def _dicts(effort: Effort, what: str, makers: Mapping[str, Maker], value: object, way: Callable[..., Way]) -> Row:
    keys = random_keys(SOME)
    with ExitStack() as stack:
        stores: dict[str, Store] = enter_all(stack, makers)
        for store in stores.values():
            store.load(keys, value)
        ways = {name: way(store, keys) for name, store in stores.items()}
        return effort.compare(what, "1,000 keys of 6 to 8 letters", ways)


def _dict_reads(effort: Effort) -> Row:
    return _dicts(effort, "dict: read a key, an int", STORES, 1, Store.reads)


def _dict_writes(effort: Effort) -> Row:
    return _dicts(effort, "dict: write a key, an int", STORES, 1, lambda store, keys: store.writes(keys, 2))


def _text_reads(effort: Effort) -> Row:
    return _dicts(effort, "dict: read a key, a str", TEXT_STORES, "a string", Store.reads)


def _text_writes(effort: Effort) -> Row:
    return _dicts(
        effort, "dict: write a key, a str", TEXT_STORES, "a string", lambda store, keys: store.writes(keys, "another")
    )


def _ten(store: Store, keys: Sequence[str]) -> Way:
    return statement(store.ten, d=store.store, ks=[store.key(key) for key in keys[:10]], v=store.value(2))


def _transactions(effort: Effort) -> Row:
    makers = {name: make for name, make in STORES.items() if name not in ("Manager", "subetha-ipc")}
    return _dicts(effort, "dict: write 10 keys together", makers, 1, _ten)


def _beside_a_writer(effort: Effort) -> Row:
    keys = random_keys(SOME)
    with ExitStack() as stack:
        stores: dict[str, Store] = enter_all(stack, STORES)
        ways: dict[str, Way] = {}
        for name, store in stores.items():
            if store.forks:
                store.load(keys, 1)
                write, read = partial(store.writes(keys[:100], 2).run, 1), store.reads(keys)
                ways[name] = stack.enter_context(writing(write)).beside_way(read)
        return effort.compare("dict: read a key while another process writes", "", ways)


def _loads(effort: Effort) -> Row:
    keys = random_keys(LOADED)

    def load(make: Maker) -> Callable[[], float]:
        def once() -> float:
            with make() as store:
                seconds: float = store.load(keys[: store.loads], 1)
                return seconds

        return once

    actions = {name: load(make) for name, make in _installed(STORES).items()}
    seen = in_turn(actions, min(effort.rounds, 3), lambda done: effort.told(done / min(effort.rounds, 3)))
    return Row(
        f"dict: load {LOADED:,} keys, for each",
        figures(seen),
        how="one at a time, into a new one; 5,000 where it is slow: Manager, diskcache, redis",
    )


def _memory(effort: Effort) -> Row:
    del effort
    keys = random_keys(LOADED)
    found: list[dict[str, float]] = [{}]
    with ExitStack() as stack:
        stores: dict[str, Store] = enter_all(stack, STORES)
        for name, store in stores.items():
            if store.size is not None:
                store.fill(keys, 1)
                found[0][name] = store.size() / LOADED
    return Row(f"dict: memory a key, of {LOADED:,} ints", figures(found), "B", "all told")


def _installed(makers: Mapping[str, Maker]) -> dict[str, Maker]:
    with ExitStack() as stack:
        return {name: makers[name] for name in enter_all(stack, makers)}


def _lists(effort: Effort, what: str, way: Callable[[Items], Way]) -> Row:
    with ExitStack() as stack:
        lists: dict[str, Items] = enter_all(stack, LISTS)
        return effort.compare(what, "", {name: way(items) for name, items in lists.items()})


def _appends(effort: Effort) -> Row:
    return _lists(effort, "list: append an int", Items.appends)


def _indexes(effort: Effort) -> Row:
    places = [number * 7919 % SOME for number in range(SOME)]
    return _lists(effort, "list: read an item, of 1,000 ints", lambda items: items.reads(places))


def _traffic(effort: Effort, what: str, makers: Mapping[str, Maker], put: Any, get: Any, right: Any) -> Row:
    with ExitStack() as stack:
        queues: dict[str, Any] = enter_all(stack, makers)
        ways = {name: through(stack, effort.context, queue, put, get, right) for name, queue in queues.items()}
        return effort.compare(what, "as fast as both can", ways)


def _tuples(effort: Effort) -> Row:
    what = "queue: a small tuple, 1 to 1"
    return _traffic(effort, what, peer_queues.TUPLES, put_tuples, get_firsts, all_numbers)


def _bytes(effort: Effort) -> Row:
    put, right = partial(put_in_turn, STRINGS), partial(numbers_in_turn, len(STRINGS))
    return _traffic(effort, "queue: 100 bytes, 1 to 1", peer_queues.BYTES, put, get_firsts, right)


def _arrays(effort: Effort) -> Row:
    put, right = partial(put_in_turn, ARRAYS), partial(numbers_in_turn, len(ARRAYS))
    return _traffic(effort, "queue: an array of 1 MiB, 1 to 1", peer_queues.ARRAYS, put, get_firsts, right)


def _round_trip(effort: Effort) -> Row:
    with ExitStack() as stack:
        there: dict[str, Any] = enter_all(stack, peer_queues.INTS)
        back: dict[str, Any] = enter_all(stack, peer_queues.INTS)
        pairs = {name: (there[name], back[name]) for name in there}
        ways = {name: exchange(stack, effort.context, pair, pair) for name, pair in pairs.items()}
        return effort.compare("queue: a question and its answer", "ints, each way through one of its own", ways)


def _waiting(effort: Effort) -> Row:
    with ExitStack() as stack:
        queues: dict[str, Any] = enter_all(stack, peer_queues.BLOCKING)
        return cores_waiting(effort, "queue: part of a core while get() waits", queues)


def _lives(effort: Effort, what: str, makers: Mapping[str, Maker]) -> Row:
    def life(make: Maker) -> Way:
        def once() -> None:
            with make():
                pass

        return called(once)

    return effort.compare(what, "", {name: life(make) for name, make in _installed(makers).items()})


def _dict_life(effort: Effort) -> Row:
    return _lives(
        effort, "dict: make and close", {name: STORES[name] for name in STORES if name not in ("Manager", "redis")}
    )


def _queue_life(effort: Effort) -> Row:
    makers = {name: make for name, make in peer_queues.TUPLES.items() if name != "redis"}
    return _lives(effort, "queue: make and close", makers)


ROWS: dict[str, Callable[[Effort], Row]] = {
    "counter": _counter,
    "contended": _contended,
    "lock": _lock,
    "dict-read": _dict_reads,
    "dict-write": _dict_writes,
    "text-read": _text_reads,
    "text-write": _text_writes,
    "dict-writer": _beside_a_writer,
    "dict-ten": _transactions,
    "dict-load": _loads,
    "dict-memory": _memory,
    "dict-life": _dict_life,
    "list-append": _appends,
    "list-read": _indexes,
    "queue": _tuples,
    "queue-bytes": _bytes,
    "queue-arrays": _arrays,
    "round-trip": _round_trip,
    "waiting": _waiting,
    "queue-life": _queue_life,
}


def effort(quick: bool) -> Effort:
    """How much is done for each row."""
    fork = multiprocessing.get_context("fork")
    return Effort(1.0, 3, fork) if quick else Effort(6.0, 9, fork)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that all works")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    print(f"{this_machine()}\n", flush=True)
    rows: list[Row] = []
    for row in run(options.rows or ROWS, effort(options.quick), ROWS):
        rows.append(row)
        print(short_markdown([row], places=True).splitlines()[-1], flush=True)
    print("", *summary(rows), "", libraries_markdown(), sep="\n")


if __name__ == "__main__":
    main()
