"""What is in a shared object, in a few lines: its length, its first items, its state; nothing is taken out or locked.

Only what is shown is read: of a dict the first keys, then the values of these, one by one, since a value may be a
pickle of any size, whose class may be missing here.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any

import procshare
from procshare.cli.layout import visible
from procshare.cli.text import count, size, things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FIRST = 10
"""How many items are shown."""
_ALL = 64 << 20  # bytes of an array whose least, largest and mean element are worth reading it all

_brief = Repr()
_brief.maxlevel, _brief.maxother, _brief.maxstring = 3, 100, 80
_brief.maxdict = _brief.maxlist = _brief.maxtuple = _brief.maxset = _brief.maxfrozenset = 6


def short(value: object) -> str:
    """A value as text, cut short and safe to print."""
    return visible(_brief.repr(value))


def attempt(read: Callable[[], object]) -> str:
    """What was read, as text; or why it cannot be."""
    try:
        return short(read())
    except Exception as error:  # noqa: BLE001 - unpickling runs whatever the class of the value does
        return f"cannot be shown: {type(error).__name__}: {visible(str(error))}"


def describe(handle: procshare.Handle) -> Iterator[tuple[str, str]]:
    """Facts about the contents of an object, and its first items."""
    for each, tell in _TELLERS:
        if isinstance(handle, each):
            yield from tell(handle)
            return


def _counter(handle: procshare.SharedCounter) -> Iterator[tuple[str, str]]:
    yield "value", count(handle.value)


def _value(handle: procshare.SharedValue[Any]) -> Iterator[tuple[str, str]]:
    yield "value", attempt(lambda: handle.value)


def _array(handle: procshare.SharedArray[Any]) -> Iterator[tuple[str, str]]:
    live = handle.array
    yield "shape", f"{handle.shape}, {things(live.size, 'element')} of {handle.dtype}, {size(live.nbytes)}"
    first = ", ".join(attempt(each.item) for each in islice(live.flat, FIRST))
    yield "first", first + (", …" if live.size > FIRST else "") or "nothing"
    if live.size and live.nbytes <= _ALL and live.dtype.kind in "iuf":
        yield "range", f"{short(live.min().item())} to {short(live.max().item())}, mean {live.mean():.6g}"


def _some(length: int, items: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield "length", things(length, "item")
    yield from items
    if length > FIRST:
        yield "…", f"{things(length - FIRST, 'more', 'more')}"


def _dict(handle: procshare.SharedDict[Any, Any]) -> Iterator[tuple[str, str]]:
    keys = list(islice(handle, FIRST))
    yield from _some(len(handle), [(short(key), attempt(partial(handle.__getitem__, key))) for key in keys])


def _namespace(handle: procshare.SharedNamespace) -> Iterator[tuple[str, str]]:
    own = set(dir(type(handle)))
    names = [name for name in dir(handle) if name not in own]
    pairs = [(visible(name), attempt(partial(handle.__getitem__, name))) for name in names[:FIRST]]
    yield from _some(len(handle), pairs)


def _list(handle: procshare.SharedList[Any]) -> Iterator[tuple[str, str]]:
    length = len(handle)
    shown = [(f"[{index}]", attempt(partial(handle.__getitem__, index))) for index in range(min(length, FIRST))]
    yield from _some(length, shown)


def _set(handle: procshare.SharedSet[Any]) -> Iterator[tuple[str, str]]:
    yield "length", things(len(handle), "element")
    first = list(islice(handle, FIRST))
    if first:
        yield "first", ", ".join(map(short, first)) + (", …" if len(handle) > FIRST else "")


def _queue(handle: procshare.SharedQueue[Any]) -> Iterator[tuple[str, str]]:
    most = f" of {count(handle.maxsize)}" if handle.maxsize else ""
    yield "length", f"{count(handle.qsize())}{most} items, which cannot be looked at without taking them out"
    yield "capacity", size(handle.capacity)


def _semaphore(handle: procshare.SharedSemaphore) -> Iterator[tuple[str, str]]:
    yield "value", things(handle.get_value(), "permit") + " left"


def _lock(handle: Any) -> Iterator[tuple[str, str]]:
    yield "state", "locked" if handle.locked() else "unlocked"


def _event(handle: procshare.SharedEvent) -> Iterator[tuple[str, str]]:
    yield "state", "set" if handle.is_set() else "unset"


def _barrier(handle: procshare.SharedBarrier) -> Iterator[tuple[str, str]]:
    yield "parties", f"{count(handle.n_waiting)} of {count(handle.parties)} have come"
    yield "state", "broken" if handle.broken else "whole"


def _rwlock(handle: procshare.SharedRWLock) -> Iterator[tuple[str, str]]:
    del handle
    yield "state", "who reads or writes is not told"


_TELLERS: tuple[tuple[type[procshare.Handle], Callable[[Any], Iterator[tuple[str, str]]]], ...] = (
    (procshare.SharedCounter, _counter),
    (procshare.SharedValue, _value),
    (procshare.SharedArray, _array),
    (procshare.SharedDict, _dict),
    (procshare.SharedNamespace, _namespace),
    (procshare.SharedList, _list),
    (procshare.SharedSet, _set),
    (procshare.SharedQueue, _queue),
    (procshare.SharedSemaphore, _semaphore),
    (procshare.SharedLock, _lock),
    (procshare.SharedRLock, _lock),
    (procshare.SharedCondition, _lock),
    (procshare.SharedEvent, _event),
    (procshare.SharedBarrier, _barrier),
    (procshare.SharedRWLock, _rwlock),
)
