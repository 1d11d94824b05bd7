"""What is tried of values, queues and pipes, and of making one or many of each type, when something runs out."""

from __future__ import annotations

from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np

import procshare
from procshare import (
    SharedArray,
    SharedBarrier,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedPipe,
    SharedQueue,
    SharedRWLock,
    SharedSet,
    SharedValue,
)
from procshare.testing._attempts import (
    SIZES,
    Attempt,
    blank,
    drain_pipe,
    drain_queue,
    frugal_array,
    frugal_counter,
    frugal_list,
    frugal_mapping,
    frugal_pipe,
    frugal_queue,
    frugal_set,
    frugal_state,
    hold_cell,
    plain,
)
from procshare.testing._attempts_containers import (
    make_dict,
    make_namespace,
    of_dict,
    of_list,
    of_mapping,
    of_namespace,
    of_set,
    of_transactions,
)
from procshare.testing._kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[Any], object]


def replaced(x: SharedValue[Any], size: int) -> None:
    """By `modify`."""

    def change(_now: object) -> bytes:
        return blank(size)

    x.modify(change)


def of_value() -> list[Attempt]:
    """Ways to replace a value by a larger one."""
    attempts = list[Attempt]()
    for before in (7, b"x" * 5000):
        whole: dict[str, Step] = {}
        for size in SIZES:
            whole[f"set {size}"] = methodcaller("set", blank(size))
            whole[f"block {size}"] = hold_cell(blank(size))
            whole[f"modify {size}"] = partial(replaced, size=size)
        make = partial(SharedValue[Any], before)
        attempts += [
            Attempt(what, make, act, plain, frugal_state, methodcaller("set", None)) for what, act in whole.items()
        ]
    return attempts


def put_until(count: int, item: Any) -> Step:
    """Put items until there are so many."""

    def act(x: SharedQueue[Any]) -> None:
        while x.qsize() < count:
            x.put_nowait(item)

    return act


def lease(x: SharedQueue[Any]) -> None:
    """Take one out in a block."""
    with x.lease(0):
        pass


def give_up(x: SharedQueue[Any]) -> None:
    """Take one out in a block that raises, so that it comes back; then for good."""
    try:
        with x.lease(0):
            raise KeyError
    except KeyError:
        x.get_nowait()


def of_queue() -> list[Attempt]:
    """Ways to put, and to take on lease."""
    attempts = list[Attempt]()

    def add(what: str, make: Callable[[], Any], act: Step, whole: bool = True) -> None:
        attempts.append(Attempt(what, make, act, methodcaller("qsize"), frugal_queue, drain_queue, whole))

    for capacity in (64 << 20, 8192):
        make = partial(filled_queue, capacity)
        for size in SIZES:
            if size > capacity:
                add(
                    f"put {size} with a capacity of {capacity}",
                    partial(SharedQueue[Any], capacity=capacity),
                    put_until(1, blank(size)),
                )
            else:
                add(f"put {size}", make, methodcaller("put_nowait", blank(size)))
        add(f"lease, capacity {capacity}", make, lease)
        add(f"lease that fails, capacity {capacity}", make, give_up)
        for size in SIZES[2:]:
            add(f"lease {size}, capacity {capacity}", partial(filled_queue, capacity, [blank(size)]), lease)
    add("put an array", filled_queue, methodcaller("put_nowait", np.zeros(50_000)))
    add("put a handle", filled_queue, lambda x: x.put_nowait(SharedCounter(5)))
    add("put a container", filled_queue, lambda x: x.put_nowait(SharedDict({1: blank(9000)})))
    add("put many small", filled_queue, lambda x: x.put_many(range(3000 - x.qsize()), timeout=0), False)
    add("put many", filled_queue, lambda x: x.put_many([blank(3000)] * (300 - x.qsize()), timeout=0), False)
    add("put one by one", filled_queue, put_until(300, blank(3000)), False)
    add("put one by one small", filled_queue, put_until(5000, 7), False)
    return attempts


def filled_queue(capacity: int = 64 << 20, items: list[Any] | None = None) -> SharedQueue[Any]:
    """What there is before."""
    queue = SharedQueue[Any](capacity=capacity)
    for item in [1, "text", [1, 2]] if items is None else items:
        queue.put_nowait(item)
    return queue


def send(x: Any, size: int) -> None:
    """One record."""
    x[0].send(blank(size))


def is_there(x: Any) -> Any:
    """Whether one was sent."""
    return x[1].poll(0)


def of_pipe() -> list[Attempt]:
    """Ways to send what a socket takes at once; it is no part of /dev/shm."""
    return [
        Attempt(f"send {size}", SharedPipe, partial(send, size=size), is_there, frugal_pipe, drain_pipe)
        for size in SIZES[:2]
    ]


# ---- making ----


def of_making(kind: str, variants: dict[str, Callable[[], Any]], frugal: Step, many: int) -> list[Attempt]:
    """Make one, or many, of a type."""

    def each(x: list[Any]) -> None:
        for made in x:
            frugal(made)

    def one(x: list[Any], make: Callable[[], Any]) -> None:
        x.append(make())
        _ = getattr(x[-1], "name", None)  # exported, so that its slab goes with it

    def more(x: list[Any], make: Callable[[], Any]) -> None:
        while len(x) < many:
            one(x, make)

    def add(what: str, act: Step, whole: bool) -> Attempt:
        return Attempt(what, list, act, len, each, destroy, whole)

    attempts = [add(f"make {what}", partial(one, make=make), True) for what, make in variants.items()]
    first = next(iter(variants.values()))
    return [*attempts, add(f"make {many} {kind}", partial(more, make=first), False)]


def destroy(x: Any) -> None:
    """Unlink and close whatever there is; of a list all, which is empty then."""
    if not hasattr(x, "close"):
        for each in x:
            destroy(each)
        if hasattr(x, "clear"):
            x.clear()
    else:
        if hasattr(x, "unlink"):
            x.unlink()
        x.close()


def named(make: Any, *args: Any) -> dict[str, Callable[[], Any]]:
    """Ways to make one: without a name, with one, and by `open`."""
    ways = {"one": partial(make, *args), "one with a name": partial(make, *args, name="pressed")}
    return {**ways, "one by open": partial(make.open, "pressed", *args)}


def _making() -> dict[str, list[Attempt]]:
    big, small = np.arange(50_000), np.arange(1_000)
    rows = {"a": blank(70_000), "b": 1}
    plans: dict[str, tuple[dict[str, Callable[[], Any]], Step, int]] = {
        "SharedCounter": (named(SharedCounter, 3), frugal_counter, 1200),
        "SharedValue": ({"one": partial(SharedValue[Any], 7), **_sized(SharedValue)}, frugal_state, 1200),
        "SharedArray": (
            {
                "one": partial(SharedArray[Any], small),
                **{f"large {what}": make for what, make in named(SharedArray[Any], big).items()},
                "zeros": partial(SharedArray[Any].zeros, 50_000),
            },
            frugal_array,
            60,
        ),
        "SharedDict": ({**named(SharedDict[str, Any], rows), "small": make_dict}, frugal_mapping, 25),
        "SharedList": ({**named(SharedList[Any], list(rows.values())), "small": SharedList[Any]}, frugal_list, 25),
        "SharedSet": ({**named(SharedSet[Any], set(rows.values())), "small": SharedSet[Any]}, frugal_set, 25),
        "SharedNamespace": ({**named(SharedNamespace, rows), "small": make_namespace}, frugal_mapping, 25),
        "SharedQueue": (named(SharedQueue[Any]), frugal_queue, 60),
        "SharedPipe": ({"two ends": SharedPipe, "one way": partial(SharedPipe, False)}, frugal_pipe, 40),
    }
    for kind, make, args, many in (
        ("SharedCondition", SharedCondition, (), 60),
        ("SharedBarrier", SharedBarrier, (2,), 60),
        ("SharedRWLock", SharedRWLock, (), 40),
    ):
        plans[kind] = (named(make, *args), KINDS[kind].use, many)
    for kind in ("SharedLock", "SharedRLock", "SharedSemaphore", "SharedBoundedSemaphore", "SharedEvent"):
        made: Any = getattr(procshare, kind)
        ways = named(made)
        if "Semaphore" in kind:
            ways["a robust one"] = partial(made, 2, robust=True)
        plans[kind] = (ways, KINDS[kind].use, 1200)
    return {kind: of_making(kind, *plan) for kind, plan in plans.items()}


def _sized(make: Callable[[Any], Any]) -> dict[str, Callable[[], Any]]:
    return {f"of {size}": partial(make, blank(size)) for size in SIZES}


def attempts() -> dict[str, list[Attempt]]:
    """All of them, by type; those of transactions are a type of their own."""
    found = _making()
    found["SharedValue"] += of_value()
    found["SharedDict"] += [*of_mapping(make_dict), *of_dict()]
    found["SharedList"] += of_list()
    found["SharedSet"] += of_set()
    found["SharedNamespace"] += [*of_mapping(make_namespace), *of_namespace()]
    found["transaction"] = of_transactions()
    found["SharedQueue"] += of_queue()
    found["SharedPipe"] += of_pipe()
    return found
