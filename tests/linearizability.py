"""A checker of recorded histories: could the calls have taken effect one at a time?

After Wing and Gong (1993), with Lowe's memory of what was tried: a history is linearizable if its calls can be put in
an order in which each returns what it did return, and in which no call comes before one that had ended when it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    Place = tuple[int, frozenset[int], Hashable]
    Step = Callable[[Any, str, Any], tuple[Hashable, Any]]

MISSING = "missing"


class Call(NamedTuple):
    """One call: when it began and ended, what was called, and what came of it."""

    start: int
    end: int
    op: str
    arg: Any
    result: Any


def linearizable(history: Iterable[Call], state: Hashable, step: Step) -> bool:
    """Whether some order of the calls explains their results.

    Args:
        history: The calls on one thing (by Herlihy and Wing, a history of several is fine if each thing's is).
        state: What it holds at first.
        step: From a state, an op and its argument to the next state and the result.
    """
    calls = sorted(history)
    # A place in the search: how many of the first calls are all in the order, which later ones are, and the state.
    places: list[Place] = [(0, frozenset(), state)]
    seen: set[Place] = set(places)
    while places:
        first, later, now = places.pop()
        if first == len(calls):
            return True
        for each in candidates(calls, first, later):
            after, result = step(now, calls[each].op, calls[each].arg)
            if result == calls[each].result:
                place = (*advanced(first, later | {each}), after)
                if place not in seen:
                    seen.add(place)
                    places.append(place)
    return False


def candidates(calls: list[Call], first: int, later: frozenset[int]) -> list[int]:
    """Which calls can be next: those that began before any that is left had ended."""
    found: list[int] = []
    earliest = calls[first].end
    for each in range(first, len(calls)):
        if calls[each].start > earliest:
            break
        if each not in later:
            found.append(each)
            earliest = min(earliest, calls[each].end)
    return found


def advanced(first: int, done: frozenset[int]) -> tuple[int, frozenset[int]]:
    """The same set of calls, with its gapless beginning counted."""
    while first in done:
        done -= {first}
        first += 1
    return first, done


def item(state: Any, op: str, arg: Any) -> tuple[Hashable, Any]:
    """One key of a dict, or one element of a list, as a sequential object; MISSING is a result and a state too."""
    match op:
        case "get":
            return state, state
        case "set":
            return arg, None
        case "delete":
            return MISSING, MISSING if state == MISSING else None
        case "pop":
            return MISSING, state
        case "setdefault":
            new = arg if state == MISSING else state
            return new, new
        case "increment":
            new = arg if state == MISSING else state + arg
            return new, new
        case _:
            raise ValueError(op)
