"""A checker of recorded histories: could the calls have taken effect one at a time?

After Wing and Gong (1993), with Lowe's memory of what was tried: a history is linearizable if its calls can be put in
an order in which each returns what it did return, and in which no call comes before one that had ended when it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    Place = tuple[tuple[int, ...], Hashable]
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
    chains = split(sorted(history))
    end = tuple(map(len, chains))
    # A place in the search: how many calls of each chain are in the order, and the state after them.
    places: list[Place] = [((0,) * len(chains), state)]
    seen: set[Place] = set(places)
    while places:
        done, now = places.pop()
        if done == end:
            return True
        ahead = {which: chains[which][count] for which, count in enumerate(done) if count < end[which]}
        earliest = min(call.end for call in ahead.values())
        for which, call in ahead.items():
            if call.start > earliest:
                continue  # another had ended when it began
            after, result = step(now, call.op, call.arg)
            if result == call.result:
                place: Place = ((*done[:which], done[which] + 1, *done[which + 1 :]), after)
                if place not in seen:
                    seen.add(place)
                    places.append(place)
    return False


def split(calls: list[Call]) -> list[list[Call]]:
    """The calls in chains, in each of which one had ended when the next began: as many as there were at a time."""
    chains: list[list[Call]] = []
    for call in calls:
        free = next((chain for chain in chains if chain[-1].end < call.start), None)
        if free is None:
            chains.append([call])
        else:
            free.append(call)
    return chains


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
