"""Type-checked, never run: lifetimes, users' subclasses, and what every handle can do."""

from typing import Any, assert_type

import numpy as np

from procshare import (
    Backend,
    Handle,
    SegmentInfo,
    SegmentStats,
    Shared,
    SharedArray,
    SharedCounter,
    SharedValue,
    attach,
    default_backend,
    prune,
    segments,
    set_default_backend,
    stats,
    trust,
)


class Hits(SharedCounter):
    """A user's subclass with a signature of its own."""

    def __init__(self, page: str) -> None:
        """Count from 0."""
        super().__init__()
        self.page = page


class Score(SharedValue[float]):
    """A user's subclass that fixes T."""


class Image(SharedArray[np.uint8]):
    """A user's subclass that fixes the elements."""


hits = Hits("home")
assert_type(hits, Hits)
assert_type(hits.page, str)
hits += 1
assert_type(hits, Hits)
assert_type(hits.hand_over(), Hits)
with hits as entered:
    assert_type(entered, Hits)
with SharedValue("x") as word:
    assert_type(word, SharedValue[str])
assert_type(hits.name, str)
assert_type(hits.segment, str)
assert_type(hits.closed, bool)
hits.close()
hits.unlink()

assert_type(Score(5).value, float)
assert_type(Score(0.5, "d").modify(lambda x: x / 2), float)
assert_type(Image(np.zeros((2, 2), np.uint8)), Image)

# ---- attach and open ----

assert_type(attach("x"), Handle)
assert_type(Handle.attach("x"), Handle)
assert_type(SharedCounter.attach("x"), SharedCounter)
assert_type(SharedValue[str].attach("x"), SharedValue[str])
assert_type(SharedArray[np.int32].attach("x"), SharedArray[np.int32])
assert_type(Hits.attach("x"), Hits)
assert_type(Score.attach("x").value, float)
assert_type(Image.attach("x"), Image)
assert_type(SharedCounter.open("x"), SharedCounter)
assert_type(SharedCounter.open("x", 5, persist=True), SharedCounter)
assert_type(SharedValue[str].open("x", "initial"), SharedValue[str])
assert_type(Hits.open("x", "home"), Hits)
assert_type(Image.open("x", [[0]]), Image)


def generic(state: Shared[int]) -> int:
    """Any state of one T."""
    return state.modify(lambda n: n + 1)


assert_type(generic(hits), int)
generic(SharedValue(5))
generic(SharedValue("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- what exists, and backends ----

assert_type(segments(), list[SegmentInfo])
assert_type(segments(all_users=True)[0].type, str)
assert_type(segments()[0].user, int)
assert_type(segments()[0].age, float | None)
assert_type(segments()[0].holder_for, float | None)
assert_type(stats(), list[SegmentStats])
assert_type(stats("hits"), SegmentStats)
assert_type(stats("hits").changes, int | None)
assert_type(stats("hits").length, int | None)
assert_type(stats("hits").waits + stats("hits").timeouts + stats("hits").owner_deaths, int)
assert_type(stats("hits").waiting, bool)
assert_type(prune(dry_run=True), list[SegmentInfo])
assert_type(segments()[0].holder, int | None)
assert_type(segments()[0].owner, int | None)
assert_type(segments()[0].attached, tuple[int, ...])
assert_type(segments()[0].persist, bool)
assert_type(segments()[0].size, int)
assert_type(segments()[0].kind + stats("hits").kind + hits.kind, str)
assert_type(default_backend(), str)
set_default_backend("shm")
mine = Backend("mine", {"counter": "mine:Counter"})
set_default_backend(mine)
assert_type(mine.classes, dict[str, str])
assert_type(mine.name, str)
assert_type(mine.serve("counter"), Any)

# ---- mistakes ----

stats(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
segments(all_users="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Hits(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Hits()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hits.page = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
hits.name = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
hits.closed = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
SharedCounter.attach(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedCounter.open()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
set_default_backend(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedCounter(backend=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- other users ----

assert_type(SharedCounter(mode=0o660, group="www-data"), SharedCounter)
assert_type(SharedValue(0.5, "d", mode=0o660, group=33), SharedValue[float])
assert_type(SharedArray.zeros(3, "f", mode=0o660), SharedArray[np.float32])
assert_type(SharedCounter.open("hits", mode=0o660, group="www-data"), SharedCounter)
trust(user="root", group=33)
trust(others=True)
SharedCounter(mode="0o660")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedCounter(group=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
trust("root")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
