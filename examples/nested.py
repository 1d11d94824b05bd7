"""Shared objects inside shared objects: a list in a namespace, to which five processes append.

A list that is put into a `Manager`'s namespace or dict is a copy: what is appended to it afterwards is lost without a
word. A `SharedList` stays itself wherever it is stored, and goes when the outermost container goes.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import TYPE_CHECKING, Any, NamedTuple

from procshare import SharedDict, SharedList, SharedNamespace

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 5
TIMES = 20


class Found(NamedTuple):
    """What the parent finds after all have appended."""

    managed: int
    appended: int
    per_worker: list[int]
    """How many of each worker's items are in the list."""
    deep: list[str]


def append(ns: Any, worker: int) -> None:
    """Append to the list in the namespace; works with either, and is lost with one."""
    for _ in range(TIMES):
        ns.items.append(worker)


def run(target: Callable[..., None], shared: object) -> None:
    """Let all workers do the same, and wait for them."""
    workers = [Process(target=target, args=(shared, worker)) for worker in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> Found:
    """Append in both ways; then go three levels deep."""
    with multiprocessing.Manager() as manager:
        theirs: Any = manager.Namespace()
        theirs.items = []
        run(append, theirs)
        left: list[int] = theirs.items
    print(f"a list in a Manager().Namespace(): {len(left)} items, {WORKERS * TIMES} were appended")

    with SharedNamespace() as ns:
        ns.items = SharedList[int]()
        run(append, ns)
        items = ns.items.value
        print(f"a SharedList in a SharedNamespace: {len(items)} items")

        ns.users = SharedDict[str, SharedList[str]]()
        ns.users["ann"] = SharedList(["read"])
        ns.users["ann"].append("write")
        deep = ns.users["ann"].value
        print(f"and a list in a dict in it: {deep}")
    return Found(len(left), len(items), [items.count(worker) for worker in range(WORKERS)], deep)


if __name__ == "__main__":
    main()
