"""A worker of `chaos`: its books, its luck, and what it checks; the deeds themselves are in the modules by topic."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from procshare import LockTimeout
from procshare.testing._chaos_ledger import BLOWS, TOPICS, mark_of, who

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from procshare.testing._chaos_fate import Blow
    from procshare.testing._chaos_ledger import Ledger

    Deed = Callable[["Worker"], None]

T = TypeVar("T")
READ = 4.0  # seconds that a read without a lock may take, whoever is stopped; the machine may be busy


class Wrong(AssertionError):
    """Something that cannot be."""


class Worker:
    """One life of a slot.

    Args:
        ledger: The books.
        slot: Which worker it is.
        life: How often it was started before.
        seed: The campaign's.
        world: The objects, by name.
        folder: For what it has to say at its end.
    """

    def __init__(self, ledger: Ledger, slot: int, life: int, seed: int, world: dict[str, Any], folder: Path) -> None:
        self.ledger, self.slot, self.life, self.world, self.folder = ledger, slot, life, world, folder
        self.rng = Random(f"{seed}/{slot}/{life}")
        self.mark = mark_of(slot, life)
        self.memory: dict[Any, int] = {}  # what this life has seen
        self.blow: Blow | None = None  # to fall when it is next inside something
        self.blow_number = 0  # among those of this life, from 1 on
        self._topic = 0
        self._holds = 0
        self.timed = False  # whether a limit was set to a wait of this deed

    # ---- deeds ----

    def do(self, topic: str, deed: Deed) -> None:
        """Do one deed of a topic, and put it on record."""
        self._topic = TOPICS.index(topic)
        self.timed = False
        self.put("topic", self._topic)
        self.put("since", self.calm)
        self.add("deeds")
        self.add(f"{topic}:deeds")
        began = self.calm
        try:
            deed(self)
        except LockTimeout as late:
            self.note("timed out")
            if not self.timed:
                raise Wrong("it was told that time had run out, and had set no limit") from late
        else:
            self.longest("wait", self.calm - began)

    def note(self, what: str, argument: int = 0) -> None:
        """For the record of the last deeds."""
        self.ledger.note(self.slot, time.monotonic_ns(), self._topic, what, argument)

    def longest(self, what: str, nanoseconds: int) -> None:
        """Keep the longest."""
        name = f"{TOPICS[self._topic]}:longest {what}"
        if nanoseconds > self.get(name):
            self.put(name, nanoseconds)

    @property
    def calm(self) -> int:
        """Nanoseconds during which no worker was stopped, as the conductor counts them."""
        return self.ledger["calm"]

    def timeout(self) -> float | None:
        """How long to wait for a lock this time; mostly without a limit, so that a lost lock is a hang."""
        limit = self.rng.choice((None, None, None, 0.0, 0.05, 0.5))
        self.timed = self.timed or limit is not None
        return limit

    def some(self, *choices: T) -> T:
        """One of them."""
        return self.rng.choice(choices)

    # ---- the books ----

    def get(self, name: str) -> int:
        """A number of this slot's."""
        return self.ledger.get(self.slot, name)

    def put(self, name: str, n: int) -> None:
        """Write it."""
        self.ledger.put(self.slot, name, n)

    def add(self, name: str, n: int = 1) -> int:
        """Add to it."""
        return self.ledger.add(self.slot, name, n)

    def intend(self, account: str, n: int = 1) -> int:
        """Say that something is about to be done *n* times; returns how often it was said."""
        self.note(f"will {account}", n)
        return self.add(f"{account}:intended", n)

    def ack(self, account: str, n: int = 1) -> None:
        """Say that it was done."""
        self.add(f"{account}:acknowledged", n)
        self.note(f"did {account}", n)

    def undo(self, account: str, n: int = 1) -> None:
        """Say that it was certainly not done."""
        self.add(f"{account}:intended", -n)
        self.note(f"did not {account}", n)

    def next_state(self, account: str, state: int | None = None) -> int:
        """Say that what only this slot writes is about to be written; states count up."""
        n = self.get(f"{account}:intended") + 1 if state is None else state
        self.put(f"{account}:intended", n)
        self.note(f"will {account}", n)
        return n

    def settled(self, account: str) -> None:
        """Say that it was."""
        self.put(f"{account}:acknowledged", self.get(f"{account}:intended"))
        self.note(f"did {account}", self.get(f"{account}:intended"))

    def state_of(self, slot: int, account: str) -> tuple[int, int]:
        """What was acknowledged and what was intended of a slot's own state."""
        low = self.ledger.get(slot, f"{account}:acknowledged")
        return low, self.ledger.get(slot, f"{account}:intended")

    # ---- checks ----

    def check(self, true: object, what: str) -> None:
        """Something that must be so.

        Raises:
            Wrong: It is not.
        """
        self.add(f"{TOPICS[self._topic]}:checked")
        if not true:
            raise Wrong(what)

    def between(self, account: str, read: Callable[[], int | float]) -> None:
        """What is read now is at least what was acknowledged, at most what was intended."""
        low = self.ledger.acknowledged(account)
        found = self.read(read)
        high = self.ledger.intended(account)
        self.check(low <= found <= high, f"{account} is {found}, not between {low} and {high}")

    def read(self, call: Callable[[], T]) -> T:
        """A read that takes no lock, and so waits for nobody, whoever is stopped."""
        stops = self.get("stops")
        began = time.monotonic_ns()
        found = call()
        took = time.monotonic_ns() - began
        if self.get("stops") == stops:
            self.longest("read", took)
            self.check(took < READ * 1e9, f"a read took {took / 1e9:.3f} s")
        return found

    # ---- inside ----

    def await_blow(self, number: int) -> None:
        """Ask the conductor for one of this life's blows; blows may fall in another order than they were drawn."""
        self.put("awaited blow", (self.get("awaited blow") // BLOWS + 1) * BLOWS + number)

    def inside(self) -> None:
        """Called where a death or a stop does most harm; linger there at times."""
        blow, self.blow = self.blow, None
        if blow is None:
            if self.rng.random() < 0.05:
                time.sleep(0.0005)
        elif blow.how == "dive":
            self.note("killed inside")
            os.kill(os.getpid(), signal.SIGKILL)
        elif blow.how == "faint":
            self.note("stopped inside")
            self.await_blow(self.blow_number)
            os.kill(os.getpid(), signal.SIGSTOP)

    def enter(self, lock: str) -> bool:
        """Inside a lock: nobody living is there. Whether someone died there.

        Also counts entries, in two steps: two who are inside at once lose one.
        """
        found = self.ledger[f"in {lock}"]
        alone = not found or not self.ledger.lives(found)
        self.check(alone, f"{lock}: slot {self.slot} is inside while slot and life {who(found)} are")
        self.ledger[f"in {lock}"] = self.mark
        self.intend(lock)
        count = self.ledger[f"under {lock}"]
        self.inside()
        self.ledger[f"under {lock}"] = count + 1
        return found != 0

    def leave(self, lock: str) -> None:
        """About to release it: it was not entered by anyone meanwhile."""
        mark = self.ledger[f"in {lock}"]
        self.check(mark == self.mark, f"{lock}: slot {self.slot} was inside, and finds slot and life {who(mark)}")
        self.ack(lock)
        low, count, high = self.ledger.acknowledged(lock), self.ledger[f"under {lock}"], self.ledger.intended(lock)
        self.check(low <= count <= high, f"{lock}: entered {count} times, not between {low} and {high}")
        self.ledger[f"in {lock}"] = 0

    @contextmanager
    def holding(self, hold: str) -> Generator[None]:
        """A block in which others can see that this worker has something."""
        self._holds += 1
        self.put(f"now {hold}", self.life << 32 | self._holds)
        yield
        self.put(f"now {hold}", 0)
