"""Every row of `procshare bench`, and how a run of them is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from procshare.bench import channels, locks, states
from procshare.bench.machine import Machine, this_machine
from procshare.bench.measure import Effort

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from multiprocessing.context import BaseContext

    from procshare.bench.measure import Row

TITLE = "Sharing state between processes: the standard library beside procshare"
SECONDS, ROUNDS = 3.0, 11
QUICK_SECONDS, QUICK_ROUNDS = 0.3, 3

ROWS: dict[str, Callable[[Effort], Row]] = {
    "counter": states.counter,
    "contended": locks.contended,
    "guarded": states.guarded,
    "value": states.value,
    "lock": locks.lock,
    "rlock": locks.rlock,
    "lock-contended": locks.lock_contended,
    "dict-read": states.dict_read,
    "dict-write": states.dict_write,
    "dict-object": states.dict_object,
    "dict-update": states.dict_update,
    "list-append": states.list_append,
    "list-read": states.list_read,
    "array-item": states.array_item,
    "array-add": states.array_add,
    "array-life": states.array_life,
    "queue": channels.small_items,
    "queue-arrays": channels.arrays,
    "round-trip": channels.round_trip,
    "pipe": channels.pipe,
    "waiting": channels.waiting,
    "counter-life": locks.counter_life,
    "lock-life": locks.lock_life,
    "dict-life": locks.dict_life,
    "queue-life": channels.queue_life,
}


@dataclass(frozen=True)
class Results:
    """A run: what was measured, on what, how."""

    machine: Machine
    start_method: str
    seconds: float
    """How long each row took, about."""
    rounds: int
    rows: list[Row]


def effort(quick: bool, context: BaseContext) -> Effort:
    """What is done for each row, unless somebody wishes otherwise."""
    return Effort(QUICK_SECONDS, QUICK_ROUNDS, context) if quick else Effort(SECONDS, ROUNDS, context)


def run(
    keys: Iterable[str],
    effort: Effort,
    rows: Mapping[str, Callable[[Effort], Row]],
) -> Generator[Row]:
    """Measure these rows, one after the other."""
    for key in keys:
        yield replace(rows[key](effort), key=key)


def results(effort: Effort, rows: list[Row], machine: Machine | None = None) -> Results:
    """A run that has ended, or is about to."""
    method = effort.context.get_start_method() or ""
    return Results(machine or this_machine(), method, effort.seconds, effort.rounds, rows)
