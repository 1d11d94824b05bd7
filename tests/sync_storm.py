"""Workers that use all locks and signals until they are killed, and keep account of it in a `Ledger`."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from ledger import HITS, PAIRS, WAIT, WRONG, Ledger

if TYPE_CHECKING:
    from pathlib import Path

ROWS = {"lock": 0, "rlock": 1, "condition": 2, "writing": 3}


class Storm:
    """What one worker does, over and over.

    Args:
        path: The ledger's file.
        me: Which worker it is.
        live: Pairs of equal numbers, one pair for each sort of lock, which only that protects.
        things: The locks and signals, by name.
    """

    def __init__(self, path: Path, me: int, live: Any, things: dict[str, Any]) -> None:
        self.ledger, self.me, self.live, self.things = Ledger(path), me, live.array, things
        self.handle = live
        self.random = random.Random(me)

    def blow(self) -> None:
        """Go on until killed, or until something cannot be."""
        deeds = [self.count_under_lock, self.count_nested, self.count_notified, self.count_written, self.read]
        deeds += [self.take_permit, self.signal, self.wait_a_little]
        try:
            while True:
                self.random.choice(deeds)()
        except BaseException:
            self.ledger[self.me, WRONG] = 1
            raise

    def count(self, row: int, begun: int) -> None:
        """Count on; who died in the midst of it left numbers that differ by one at most."""
        pair = self.live[row]
        waited = time.monotonic_ns() - begun
        self.ledger[self.me, WAIT] = max(waited, self.ledger[self.me, WAIT])
        assert 0 <= pair[0] - pair[1] <= 1
        pair[1] = pair[0]
        pair[0] += 1
        pair[1] += 1
        self.ledger[self.me, HITS] += 1

    def count_under_lock(self) -> None:
        """Told whether the one before died."""
        lock, row = self.things["lock"], ROWS["lock"]
        begun = time.monotonic_ns()
        with lock:
            assert self.live[row][0] == self.live[row][1] or lock.owner_died
            self.count(row, begun)

    def count_nested(self) -> None:
        """Taken twice."""
        lock, row = self.things["rlock"], ROWS["rlock"]
        begun = time.monotonic_ns()
        with lock:
            assert self.live[row][0] == self.live[row][1] or lock.owner_died
            with lock:
                self.count(row, begun)

    def count_notified(self) -> None:
        """With a notification."""
        condition = self.things["condition"]
        begun = time.monotonic_ns()
        with condition:
            self.count(ROWS["condition"], begun)
            condition.notify(self.random.randrange(3))

    def count_written(self) -> None:
        """As a writer."""
        begun = time.monotonic_ns()
        with self.things["rwlock"].writing(timeout=20):
            self.count(ROWS["writing"], begun)

    def read(self) -> None:
        """As a reader: nobody writes meanwhile."""
        with self.things["rwlock"].reading(timeout=20):
            before = self.live[ROWS["writing"]].tolist()
            sum(range(self.random.randrange(2000)))
            assert self.live[ROWS["writing"]].tolist() == before

    def take_permit(self) -> None:
        """No more than two at once have one; what the dead had comes back."""
        permits, inside = self.things["permits"], self.things["inside"]
        with permits:
            assert inside.acquire(timeout=0.2)  # it is robust too, and its permits may come back a moment later
            inside.release()
        self.ledger[self.me, PAIRS] += 1

    def signal(self) -> None:
        """Set an event, and clear it."""
        event = self.things["event"]
        event.set()
        if self.random.random() < 0.5:
            event.clear()

    def wait_a_little(self) -> None:
        """For a notification or an event."""
        if self.random.random() < 0.5:
            with self.things["condition"]:
                self.things["condition"].wait(0.002)
        else:
            self.things["event"].wait(0.002)


def blow(*args: Any) -> None:
    """Be a worker."""
    Storm(*args).blow()
