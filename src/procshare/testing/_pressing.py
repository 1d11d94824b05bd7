"""One attempt after the other, with less and less of something: what is done, what is refused, what is lost."""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from procshare import OutOfSharedMemory, SharedCounter
from procshare.testing._attempts_others import destroy
from procshare.testing._room import PAGE, SHORTAGES, free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procshare.testing._attempts import Attempt


@dataclass
class Tally:
    """What came of it.

    Attributes:
        counts: "tried", "done", "refused" (by OutOfSharedMemory), "other" (by another error that says why), "intact"
            (after a refusal), "regained" (all of it, when all was taken out and destroyed).
        failures: (what failed, its shortage, the level, why).
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    failures: list[tuple[str, str, int, str]] = field(default_factory=list[tuple[str, str, int, str]])


class Lost(Exception):
    """Something was not as it should be."""


def check(true: object, what: str) -> None:
    """Raise `Lost` unless it is true."""
    if not true:
        raise Lost(what)


def judge(error: BaseException, shortage: str, level: int) -> str:
    """Which of the counts an error belongs to.

    Raises:
        Lost: It is none that a shortage may be told by, or it does not say what is needed and what to do.
    """
    text = str(error)
    if isinstance(error, OutOfSharedMemory):
        check(error.needed > 0 and f"{error.needed:,}" in text, f"no figure: {text}")
        hints = {"pages": "--shm-size", "files": "inodes", "address space": "ulimit -v", "file size": "ulimit -f"}
        check(hints[shortage] in text, f"no hint: {text}")
        if shortage == "pages":
            check(error.free is not None and f"{error.free:,}" in text, f"no figure: {text}")
            check(error.free is None or error.free < error.needed, f"no reason: {text}")
            check(error.free is None or error.free <= (level + 2) * PAGE, f"not so much is free: {text}")
        return "refused"
    if shortage == "address space" and type(error) is MemoryError:
        return "other"  # of Python itself
    if shortage == "descriptors" and isinstance(error, OSError) and error.errno == errno.EMFILE:
        check("ulimit -n" in text or "procshare" not in text, f"no hint: {text}")
        return "other"
    raise Lost("".join(traceback.format_exception(error))) from error


def part_of(now: Any, before: Any, after: Any) -> bool:
    """Whether it is what there was before, what there is to be, or a part of that from the beginning on."""
    if hasattr(now, "append"):
        return bool(now[: len(before)] == before and after[: len(now)] == now)
    return bool(before <= now <= after)


def give_slab_back() -> None:
    """A process keeps an empty slab for its next small object, unless the last one in it had a name."""
    counter = SharedCounter()
    _ = counter.name
    destroy(counter)


class Press:
    """Tries one attempt with more and more of what is short, until it is done.

    Args:
        attempt: What to try.
        shortage: Of what; a name in `SHORTAGES`.
        tally: Where to count.
    """

    def __init__(self, attempt: Attempt, shortage: str, tally: Tally) -> None:
        self._attempt, self._shortage, self._tally = attempt, shortage, tally
        self._here = free_bytes()
        self._empty = self._drained(self._made())
        x = self._made()
        self._before = attempt.look(x)
        attempt.act(x)
        self._after = attempt.look(x)
        self._full = self._drained(x)

    def _made(self) -> Any:
        x = self._attempt.make()
        several: Any = x if type(x) in (list, tuple) else (x,)
        for each in several:
            _ = getattr(each, "name", None)  # exported, so that nothing of it is kept for the next one
        return x

    def _drained(self, x: Any) -> Any:
        contents = self._attempt.drain(x)
        destroy(x)
        return contents

    def run(self, levels: Iterable[int], enough: int) -> None:
        """Try it at each of the levels, until it was done *enough* times in a row."""
        done = 0
        for level in levels:
            self._tally.counts["tried"] += 1
            try:
                done = done + 1 if self._at(level) else 0
                give_slab_back()
                check(free_bytes() == self._here, f"{self._here - free_bytes()} bytes are not free again")
                self._tally.counts["regained"] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is: the others are to be tried as well
                why = str(error) if type(error) is Lost else traceback.format_exc()
                self._tally.failures.append((self._attempt.what, self._shortage, level, why))
                self._here = free_bytes()
                done = 0
            if done == enough:
                break

    def _at(self, level: int) -> bool:
        attempt, shortage = self._attempt, SHORTAGES[self._shortage]
        own = self._shortage == "address space"  # Python needs some of it itself for whatever it is to look at
        x = self._made()
        error = None
        with shortage(level):
            try:
                attempt.act(x)
            except Exception as raised:  # noqa: BLE001  # it is judged later
                error = raised.with_traceback(None)
            if not own:
                self._look(x, error)
            if level % 2 and not own:
                return self._ended(x, error, level)
        self._look(x, error)
        if error is not None:
            attempt.act(x)
            check(attempt.look(x) == self._after, "with room again it was done, but not right")
        return self._ended(x, error, level)

    def _look(self, x: Any, error: BaseException | None) -> None:
        attempt = self._attempt
        attempt.frugal(x)
        now = attempt.look(x)
        if error is None:
            check(now == self._after, f"it was done, but not right: {now!r:.200}")
        elif attempt.whole:
            check(now == self._before, f"it was refused, but not without a change: {now!r:.200}")
        else:
            check(
                part_of(now, self._before, self._after),
                f"it was refused in the middle, and something is lost: {now!r:.200}",
            )

    def _ended(self, x: Any, error: BaseException | None, level: int) -> bool:
        count = "done" if error is None else judge(error, self._shortage, level)
        there = self._attempt.look(x)
        contents = self._drained(x)
        if contents is not None:
            expected = self._full if error is None or there == self._after else self._empty
            check(
                contents == expected or (not self._attempt.whole and part_of(contents, self._empty, self._full)),
                "items are lost",
            )
        self._tally.counts[count] += 1
        self._tally.counts["intact"] += error is not None
        return error is None
