"""How handles show themselves, as text, in a notebook and to rich: short, at once, and never by raising."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.pretty import pretty_repr

from conformance.conftest import KINDS, LOCKS, STATES
from container_support import fn, from_a_thread
from procshare import SharedArray, SharedDict, SharedList, SharedNamespace, SharedSet, SharedValue

if TYPE_CHECKING:
    from collections.abc import Generator

OPEN = {
    "counter": "<SharedCounter value=5>",
    "number": "<SharedValue value=5>",
    "object": "<SharedValue value={'n': 5}>",
    "array": "<SharedArray shape=(2,) dtype=int32 [5, 6]>",
    "dict": "<SharedDict {'n': 5}>",
    "list": "<SharedList [5, 'six']>",
    "set": "<SharedSet {5}>",
    "namespace": "<SharedNamespace n=5>",
    "lock": "<SharedLock unlocked>",
    "rlock": "<SharedRLock unlocked>",
    "semaphore": "<SharedSemaphore value=2>",
    "bounded_semaphore": "<SharedBoundedSemaphore value=2>",
    "condition": "<SharedCondition unlocked>",
    "queue": "<SharedQueue qsize=0>",
    "event": "<SharedEvent unset>",
    "barrier": "<SharedBarrier waiting=0 parties=2>",
    "rwlock": "<SharedRWLock open>",
}
SHOWN: dict[str, Any] = {**KINDS, "set": (SharedSet, ([5],))}
TABLES = "array", "dict", "list", "set", "namespace", "queue"
NASTY = "<script>alert('\"&')</script>"


@contextmanager
def opened(kind: str, backend: str, *args: Any, **options: Any) -> Generator[Any]:
    """A handle that ends with the block, of whatever kind."""
    made, default = SHOWN[kind]
    handle: Any = made(*(args or default), backend=backend, **options)
    try:
        yield handle
    finally:
        handle.unlink()
        handle.close()


class Cells(HTMLParser):
    """The text of each cell of a table, and every tag that there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert attrs == []
        self.tags.append(tag)
        self.cells += [""] * (tag == "td")

    def handle_data(self, data: str) -> None:
        if self.tags[-1] == "td":
            self.cells[-1] += data


def html(handle: Any) -> str:
    """What a notebook asks for."""
    text: str = handle._repr_html_()
    return text


def shown(handle: Any) -> list[str]:
    """The cells of its table, which is made of nothing else."""
    parsed = Cells(html(handle))
    assert set(parsed.tags) <= {"div", "strong", "table", "tr", "th", "td"}
    return parsed.cells


# ---- the repr ----


@pytest.mark.parametrize("kind", OPEN)
def test_a_repr_tells_class_and_contents(kind: str, backend: str) -> None:
    """And that the handle is closed, once it is."""
    with opened(kind, backend) as x:
        assert repr(x) == OPEN[kind]
    assert repr(x) == f"{OPEN[kind].partition(' ')[0]} closed>"


@pytest.mark.parametrize("kind", OPEN)
def test_a_repr_tells_the_name_that_others_know(kind: str, backend: str, can: frozenset[str]) -> None:
    """One that was given, or that was read; to look at a handle exports nothing."""
    if "names" not in can:
        pytest.skip("the backend has no names")
    with opened(kind, backend) as x:
        assert " '" not in repr(x).partition("{")[0].partition("[")[0]
        name = x.name
        assert f" {name!r} " in repr(x)
    with opened(kind, backend, name="shown") as x:
        head, _, rest = OPEN[kind].partition(" ")
        assert repr(x) == f"{head} 'shown' {rest}"


@pytest.mark.parametrize("kind", [*(kind for kind in STATES if kind != "large"), "lock", "rlock", "condition"])
def test_a_repr_tells_who_has_the_lock(kind: str, backend: str) -> None:
    """Without waiting for it."""
    with opened(kind, backend) as x, x if kind in LOCKS else x.locked():
        told = OPEN[kind].removesuffix("unlocked>").removesuffix(">").rstrip()
        assert from_a_thread(lambda: repr(x)) == f"{told} locked by pid {os.getpid()}>"


def test_a_repr_tells_states(backend: str) -> None:
    """Set, shut down, broken, and what waits."""
    with opened("event", backend) as event, opened("queue", backend) as queue, opened("barrier", backend) as barrier:
        event.set()
        queue.put("item")
        queue.shutdown()
        barrier.abort()

        assert repr(event) == "<SharedEvent set>"
        assert re.fullmatch(r"<SharedQueue qsize=\d shut down>", repr(queue))
        assert repr(barrier) == "<SharedBarrier waiting=0 parties=2 broken>"
        queue.get()


class Loud:
    """What says when it is unpickled."""

    unpickled = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return loud, (bytes(self.size),)


def loud(data: bytes) -> Loud:
    """Unpickle it."""
    Loud.unpickled += 1
    return Loud(len(data))


def test_what_is_large_is_not_unpickled(backend: str) -> None:
    """Nor shown in full: a repr is one of a few lines whatever there is."""
    if backend == "stdlib":
        pytest.skip("its manager sends whole values")
    kinds: tuple[Any, ...] = (
        SharedValue[Any],
        fn(lambda x: SharedDict[str, Any](a=x)),
        fn(lambda x: SharedList[Any]([x])),
        fn(lambda x: SharedNamespace(a=x)),
    )
    for make in kinds:
        with make(Loud(1 << 20)) as x:
            Loud.unpickled = 0
            text = repr(x), pretty_repr(x)
            assert Loud.unpickled == 0
            assert all("..." in each for each in text)
    with SharedList([Loud(1)] * 1000) as items:
        Loud.unpickled = 0
        assert len(repr(items)) < 3000
        assert 0 < Loud.unpickled < 25


@pytest.mark.parametrize("many", [25, 5000])
def test_many_items_are_counted_and_not_shown(many: int, backend: str) -> None:
    """Only the first of them are."""
    numbers = [str(each) for each in range(many)]
    kinds: tuple[Any, ...] = SharedDict.fromkeys, SharedList, SharedSet
    for make in kinds:
        with make(numbers, backend=backend) as x:
            text = repr(x)
            assert re.search(rf"\.\.\.[]}}]? len={many}>$", text)
            assert len(text) < 500
            assert len(pretty_repr(x)) < 1000
            assert f"{many:,}" in html(x)
            assert len(shown(x)) <= 40


# ---- in a notebook ----


def test_everything_in_a_table_is_escaped(backend: str) -> None:
    """Keys, values, attributes, elements, names of fields: none of it is markup."""
    with (
        SharedDict({NASTY: NASTY}, backend=backend) as pairs,
        SharedList([NASTY], backend=backend) as items,
        SharedSet([NASTY], backend=backend) as elements,
        SharedNamespace({NASTY: NASTY}, backend=backend) as attributes,
        SharedArray([NASTY], backend=backend) as strings,
    ):
        assert shown(pairs) == [repr(NASTY)] * 2
        assert shown(items) == ["0", repr(NASTY)]
        assert shown(elements) == [repr(NASTY)]
        assert shown(attributes) == [NASTY, repr(NASTY)]
        assert shown(strings) == [repr(NASTY)]
    record = np.dtype([(NASTY, "i4")])
    made: Any = SharedArray
    with made.zeros(2, record, backend=backend) as records:
        assert shown(records) == ["(0,)", "(0,)"]


def test_a_name_and_a_class_are_escaped(can: frozenset[str], backend: str) -> None:
    """They are the user's too."""
    if "names" not in can:
        pytest.skip("the backend has no names")
    with SharedDict({"a": 1}, name="<b>&", backend=backend) as d:
        text = html(d)
        assert "&lt;b&gt;&amp;" in text
        assert "<b>" not in text


def test_a_table_of_an_array_shows_its_corner(backend: str) -> None:
    """And shape, type and size of the whole."""
    with SharedArray(np.arange(10_000).reshape(100, 100), "i", backend=backend) as grid:
        cells = shown(grid)
        assert cells[:9] == ["0", "1", "2", "3", "4", "5", "6", "7", "…"]
        assert len(cells) == 73
        assert "shape (100, 100) · dtype int32 · 40,000 bytes" in html(grid)
    with SharedArray(5.5, backend=backend) as number:
        assert shown(number) == ["5.5"]
    with SharedArray([], backend=backend) as nothing:
        assert shown(nothing) == []


def test_a_table_of_a_queue_tells_how_full_it_is(backend: str) -> None:
    """The items stay where they are."""
    with opened("queue", backend, 5, capacity=4096) as queue:
        assert shown(queue) == ["waiting items", "0", "most items", "5", "most bytes", "4,096"]


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_waits_for_nobody_and_never_raises(kind: str, backend: str) -> None:
    """While the lock is held elsewhere it says so; of a closed handle it says that."""
    with opened(kind, backend) as x:
        if kind != "queue":
            with x.locked():
                assert f"locked by pid {os.getpid()}" in from_a_thread(lambda: html(x))
        assert shown(x)
    assert "closed" in html(x)
    assert shown(x) == []


# ---- to rich ----


@pytest.mark.parametrize("kind", OPEN)
def test_rich_shows_what_the_repr_shows(kind: str, backend: str) -> None:
    """With contents that it can lay out."""
    with opened(kind, backend) as x:
        assert pretty_repr(x) == OPEN[kind]
        if kind in ("dict", "list"):
            assert pretty_repr(x, max_width=1).count("\n") >= 3
    assert pretty_repr(x) == repr(x)


def test_a_handle_in_itself_is_shown_to_an_end(can: frozenset[str], backend: str) -> None:
    """A dict that holds its own handle."""
    if "pickle" not in can:
        pytest.skip("the backend's handles do not go into containers")
    with SharedDict[str, Any](backend=backend) as d:
        d["self"] = d
        d["list"] = [d]
        for text in (repr(d), pretty_repr(d), html(d)):
            assert 0 < text.count("SharedDict") < 30
