"""The books of `chaos`: a mapped file of numbers in which workers say what they are about to do, and what they did.

It outlives the workers. What a worker *intends* is written before the deed, what it *acknowledges* after it, so a death
in between leaves both possibilities open and no others: a total lies between the sums of the two. A *mark* names the
life that is inside a lock; who finds one there asks the kernel whether that life is over.

    head | marks and guarded numbers | a block for each slot: its life, its accounts, its last deeds | items of queues
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import NamedTuple

TOPICS = (
    "SharedCounter",
    "SharedValue",
    "SharedArray",
    "SharedDict",
    "SharedList",
    "SharedSet",
    "SharedNamespace",
    "transaction",
    "SharedQueue",
    "SharedQueue.lease",
    "SharedPipe",
    "SharedLock",
    "SharedRLock",
    "SharedSemaphore",
    "SharedBoundedSemaphore",
    "SharedEvent",
    "SharedCondition",
    "SharedBarrier",
    "SharedRWLock",
    "handles in containers",
    "handed over",
    "opened by name",
    "children and pools",
)
# Kept once: the conductor's, then marks of who is inside what, then numbers that a lock guards.
WORDS = (
    *("calm", "stopped", "phase", "wrong", "available", "available since", "event", "left", "right"),
    *(f"in {lock}" for lock in ("lock", "rlock", "condition", "rwlock", "event", "repair")),
    *(f"under {lock}" for lock in ("lock", "rlock", "condition", "rwlock", "event", "repair")),
)
# Kept by each slot.
LIFE = "pid", "born", "life", "deeds", "since", "topic", "awaited blow", "stops", "dives"
ACCOUNTS = (
    *("counter", "named counter", "lasting counter", "children", "q", "d", "record", "array", "slice"),
    *("total", "swaps", "own key", "tokens put", "tokens taken", "log", "log put", "log cut", "own element"),
    *("hits", "commits", "put", "taken", "leased put", "leased", "signals given", "signals taken"),
    *("lock", "rlock", "condition", "rwlock", "event", "repair", "latch", "barrier", "child", "tree", "gifts"),
)
HOLDS = "semaphore", "bounded", "reading", "writing", "waiting"  # what a slot is in now: a number, other each time
COUNTS = "deeds", "checked", "longest wait", "longest read"  # of each topic
EVENTS, EVENT, NAME = 48, 6, 24  # deeds remembered; words of one: when, argument, topic, what
BLOWS = 100  # "awaited blow" is how many were asked for, times this, and the number of the last one
ITEMS = 1 << 17  # of each slot's, in each of two queues

_WORD = {name: place for place, name in enumerate(WORDS)}
_PLACE: dict[str, int] = {}
for _names in (
    LIFE,
    [f"{a}:{end}" for a in ACCOUNTS for end in ("intended", "acknowledged")],
    [f"now {hold}" for hold in HOLDS],
    [f"{topic}:{count}" for topic in TOPICS for count in COUNTS],
):
    for _name in _names:
        _PLACE[_name] = len(_PLACE)
_EVENTS = len(_PLACE)
_BLOCK = _EVENTS + EVENT * EVENTS
_HEAD = len(WORDS) + 1  # and the number of slots
RUNNING, CALM, ENDING = range(3)
EXITING = 4  # PF_EXITING of the kernel's


class Event(NamedTuple):
    """One of the last deeds of a worker."""

    when: int
    slot: int
    argument: int
    topic: str
    what: str


class Ledger:
    """The file.

    Args:
        path: Where it is.
        slots: How many workers to make room for; 0: it exists.
    """

    def __init__(self, path: Path, slots: int = 0) -> None:
        self.path = path
        if slots:
            with path.open("wb") as file:
                file.truncate(8 * (_HEAD + slots * (_BLOCK + 2 * ITEMS)))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("q")
        self._cells[_HEAD - 1] = self.slots = slots or self._cells[_HEAD - 1]
        self._items = _HEAD + self.slots * _BLOCK

    def __getitem__(self, word: str) -> int:
        return self._cells[_WORD[word]]

    def __setitem__(self, word: str, n: int) -> None:
        self._cells[_WORD[word]] = n

    # ---- of one slot ----

    def get(self, slot: int, name: str) -> int:
        """A number of a slot's."""
        return self._cells[_HEAD + slot * _BLOCK + _PLACE[name]]

    def put(self, slot: int, name: str, n: int) -> None:
        """Write a number of a slot's; only its worker does, and the conductor while there is none."""
        self._cells[_HEAD + slot * _BLOCK + _PLACE[name]] = n

    def add(self, slot: int, name: str, n: int) -> int:
        """Add to a number of a slot's."""
        place = _HEAD + slot * _BLOCK + _PLACE[name]
        self._cells[place] += n
        return self._cells[place]

    def note(self, slot: int, when: int, topic: int, what: str, argument: int) -> None:
        """Remember a deed among the last ones."""
        at = self.add(slot, "dives", 1) % EVENTS
        place = _HEAD + slot * _BLOCK + _EVENTS + EVENT * at
        self._cells[place : place + 3] = memoryview(_three(when, argument, topic)).cast("q")
        self._map[8 * (place + 3) : 8 * (place + 3) + NAME] = what.encode()[:NAME].ljust(NAME)

    def events(self, slot: int) -> list[Event]:
        """The last deeds of a slot, by time."""
        found = list[Event]()
        for at in range(EVENTS):
            place = _HEAD + slot * _BLOCK + _EVENTS + EVENT * at
            when, argument, topic = self._cells[place : place + 3]
            if when:
                what = self._map[8 * (place + 3) : 8 * (place + 3) + NAME].decode().rstrip()
                found.append(Event(when, slot, argument, TOPICS[topic], what))
        return sorted(found)

    # ---- of all ----

    def column(self, name: str) -> list[int]:
        """A number of each slot's."""
        first = _HEAD + _PLACE[name]
        return self._cells[first : first + self.slots * _BLOCK : _BLOCK].tolist()

    def intended(self, *accounts: str) -> int:
        """All that was intended so far, done or not."""
        return sum(sum(self.column(f"{account}:intended")) for account in accounts)

    def acknowledged(self, *accounts: str) -> int:
        """All that was certainly done so far."""
        return sum(sum(self.column(f"{account}:acknowledged")) for account in accounts)

    def unknown(self, account: str) -> int:
        """All that may have been done by those who died at it."""
        return self.intended(account) - self.acknowledged(account)

    def item(self, leased: bool, slot: int, serial: int) -> int:
        """What is known of an item that a slot put into a queue."""
        return self._cells[self._items + (2 * slot + leased) * ITEMS + serial]

    def set_item(self, leased: bool, slot: int, serial: int, n: int) -> None:
        """Write down what became of it."""
        self._cells[self._items + (2 * slot + leased) * ITEMS + serial] = n

    # ---- of life and death ----

    def lives(self, mark: int) -> bool:
        """Whether the life that a mark names goes on; exact: a process begins to exit before its seats are free."""
        slot, life = who(mark)
        if self.get(slot, "life") != life:
            return False
        return exists(self.get(slot, "pid"), self.get(slot, "born"))

    def holding(self, hold: str) -> list[int]:
        """Slots alive that are in something, all at one moment: what two looks in a row agree on."""
        while True:
            first = self.column(f"now {hold}")
            holders = [slot for slot, n in enumerate(first) if n and self.lives(mark_of(slot, self.get(slot, "life")))]
            if self.column(f"now {hold}") == first:
                return holders

    def close(self) -> None:
        """Unmap it."""
        self._cells.release()
        self._map.close()


def mark_of(slot: int, life: int) -> int:
    """The number that stands for one life of a slot; never 0."""
    return (slot + 1) << 32 | life


def who(mark: int) -> tuple[int, int]:
    """The slot and the life that a mark names."""
    return (mark >> 32) - 1, mark & 0xFFFFFFFF


def born(pid: int) -> int:
    """When a process started, which with its id says which process it is; 0 if it is gone or going."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" or int(fields[6]) & EXITING else int(fields[19])


def exists(pid: int, since: int) -> bool:
    """Whether a process that started then goes on."""
    return pid > 1 and born(pid) == since != 0


def _three(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little", signed=True) for word in words)
