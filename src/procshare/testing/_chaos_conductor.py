"""The conductor of `chaos`: starts the workers, deals the blows, starts them again, and sees whether they get on."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from procshare import prune, segments
from procshare.testing._chaos_fate import Blow, Fate, fate
from procshare.testing._chaos_ledger import BLOWS, CALM, ENDING, HOLDS, TOPICS
from procshare.testing._chaos_program import FAILED, work
from procshare.testing._processes import SHM, Child

if TYPE_CHECKING:
    from collections.abc import Generator

    from procshare.testing._chaos_ledger import Ledger

STUCK = 20.0  # seconds, with nobody stopped, after which a worker that has not ended its deed counts as hung
POLL = 0.002
EXPECTED = 0, -signal.SIGKILL, -signal.SIGALRM
ROOM = 32 << 20  # bytes that no object may come to take
LAST = 10  # deeds that each worker must still do when nobody is killed or stopped any more
MASSACRE, TRACKER = 15_000, 10_000  # deeds, on average, until all are killed at once, or the resource tracker is
PRUNE = 5.0  # seconds between attempts to clear away what is in use


class Trouble(Exception):
    """The campaign has failed."""


@dataclass
class Options:
    """What a campaign was asked to do."""

    seed: int
    seconds: float
    workers: int
    pace: float
    topics: list[str]
    tracker: bool


@dataclass
class Slot:
    """A worker's place: who is in it, and what it waits for."""

    number: int
    life: int = 0
    child: Child | None = None
    fate: Fate = field(default_factory=lambda: Fate("fork", ()))
    blow: Blow | None = None  # that the conductor is to deal
    dealt: int = 0  # the last one, as it was asked for
    due: float = 0.0
    stopped: bool = False


class Conductor:
    """A campaign under way.

    Args:
        options: What to do.
        ledger: The books.
        folder: Where they are.
        world: The objects.
    """

    def __init__(self, options: Options, ledger: Ledger, folder: Path, world: dict[str, Any]) -> None:
        self.options, self.ledger, self.folder, self.world = options, ledger, folder, world
        self.slots = [Slot(number) for number in range(options.workers)]
        self.started = 0
        self.failed_in = ""
        self.ended, self.stops = Counter[str](), Counter[str]()
        self.massacres = self.trackers = 0
        self._rng = Random(f"{options.seed}/conductor")
        self._next_massacre = self._rng.expovariate(1 / MASSACRE)
        self._next_tracker = self._rng.expovariate(1 / TRACKER)
        self._ticked = time.monotonic_ns()
        self._pruned = self._measured = time.monotonic()
        self._names = {x.name: name for name, x in world.items() if hasattr(x, "name")}
        self._segments = {name: x.segment for name, x in world.items() if hasattr(x, "segment")}

    # ---- the campaign ----

    def run(self) -> None:
        """All of it, until every worker has left.

        Raises:
            Trouble: Something was not survived.
        """
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            self._turn()
            self._events()
        self.ledger["phase"] = CALM
        goal = [n + LAST for n in self.ledger.column("deeds")]
        while any(n < least for n, least in zip(self.ledger.column("deeds"), goal, strict=True)):
            self._turn()
        self.ledger["phase"] = ENDING
        while any(slot.child for slot in self.slots):
            self._turn()

    def _turn(self) -> None:
        for slot in self.slots:
            if slot.child is None:
                if self.ledger["phase"] < ENDING:
                    self._start(slot)
            elif not self._reap(slot):
                self._deal(slot)
                self._look(slot)
        if self.ledger["wrong"]:
            raise self._trouble("something is wrong", TOPICS[self.ledger["wrong"] - 1])
        self._tick()
        time.sleep(POLL)

    def _tick(self) -> None:
        """The clock that stands still while anybody is stopped."""
        now = time.monotonic_ns()
        if not any(slot.stopped for slot in self.slots):
            self.ledger["calm"] += min(now - self._ticked, 200_000_000)  # it may have been stopped itself
        self._ticked = now

    # ---- one worker ----

    def _start(self, slot: Slot) -> None:
        slot.life += 1
        slot.fate = fate(self.options.seed, slot.number, slot.life, self.options.pace)
        slot.blow, slot.dealt = None, 0
        for name in "pid", "awaited blow", *(f"now {hold}" for hold in HOLDS):
            self.ledger.put(slot.number, name, 0)
        self.ledger.put(slot.number, "life", slot.life)
        self.ledger.put(slot.number, "since", self.ledger["calm"])
        o = self.options
        args = self.folder, slot.number, slot.life, o.seed, o.pace, o.topics, self.world
        with without_faults(slot.fate.method == "spawn"):
            slot.child = Child(slot.fate.method, work, *args, daemon=False)
        self.started += 1

    def _reap(self, slot: Slot) -> bool:
        """Whether it has ended; in a way that it may."""
        assert slot.child is not None
        code: int | None = slot.child.process.exitcode
        if code is None:
            return False
        slot.child.__exit__()
        slot.child, slot.stopped = None, False
        if code < 0:
            self.ended[self._topic(slot)] += 1
        if code == FAILED:
            raise self._trouble("something is wrong", self._topic(slot))
        if code not in EXPECTED:
            raise self._trouble(f"slot {slot.number}, life {slot.life}, ended with {code}", self._topic(slot))
        return True

    def _trouble(self, what: str, topic: str) -> Trouble:
        self.failed_in = topic
        return Trouble(f"{what} in {topic}")

    def _topic(self, slot: Slot) -> str:
        return TOPICS[self.ledger.get(slot.number, "topic")]

    def _deal(self, slot: Slot) -> None:
        """The blows that are the conductor's to deal, and what comes after a stop."""
        now = time.monotonic()
        number = self.ledger.get(slot.number, "awaited blow")
        if slot.blow is None and number > slot.dealt:
            slot.blow, slot.dealt = slot.fate.blows[number % BLOWS - 1], number
            slot.due = now + slot.blow.microseconds / 1e6
        blow = slot.blow
        if blow is None or now < slot.due:
            return
        if blow.how == "kill" or (slot.stopped and blow.killed):
            self._signal(slot, signal.SIGKILL)
            slot.blow = None
        elif slot.stopped:
            slot.blow, slot.stopped = None, False
            self._signal(slot, signal.SIGCONT)
        elif blow.how == "stop" or self._state(slot) == "T":
            self.stops[self._topic(slot)] += 1
            self.ledger.add(slot.number, "stops", 1)
            slot.stopped, slot.due = True, now + blow.seconds
            if blow.how == "stop":
                self._signal(slot, signal.SIGSTOP)
        elif number > slot.dealt:
            slot.blow = None  # it was let go together with the blow before, and has come to the next

    def _signal(self, slot: Slot, number: int) -> None:
        assert slot.child is not None
        assert slot.child.pid > 1
        slot.child.signal(number)

    def _state(self, slot: Slot) -> str:
        assert slot.child is not None
        with suppress(OSError):
            return Path(f"/proc/{slot.child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "X"

    def _look(self, slot: Slot) -> None:
        """Whether it gets on."""
        waited = (self.ledger["calm"] - self.ledger.get(slot.number, "since")) / 1e9
        if waited > STUCK and not slot.stopped:
            what = f"slot {slot.number}, life {slot.life}, hangs for {waited:.0f} s"
            raise self._trouble(what, self._topic(slot))

    # ---- what befalls all ----

    def _events(self) -> None:
        now = time.monotonic()
        deeds = sum(self.ledger.column("deeds"))
        if deeds > self._next_massacre:
            self._next_massacre = deeds + self._rng.expovariate(1 / MASSACRE)
            self.massacres += 1
            for slot in self.slots:
                if slot.child is not None:
                    self._signal(slot, signal.SIGKILL)
        if deeds > self._next_tracker and self.options.tracker:
            self._next_tracker = deeds + self._rng.expovariate(1 / TRACKER)
            tracker: int | None = getattr(getattr(resource_tracker, "_resource_tracker"), "_pid")
            if tracker is not None and tracker > 1:
                self.trackers += 1
                os.kill(tracker, signal.SIGKILL)
        if now > self._pruned + PRUNE:
            self._pruned = now
            prune()
            for name, segment in self._segments.items():
                size = os.stat(SHM / segment).st_blocks * 512
                if size > ROOM:
                    raise Trouble(f"{name} takes {size:,} bytes")

    # ---- after a failure ----

    def black_box(self, last: int = 80) -> str:
        """The last deeds of all workers by time, and where each of them is now; ends them."""
        events = sorted(event for slot in self.slots for event in self.ledger.events(slot.number))[-last:]
        lines = ["the last deeds (ms before the end, slot, topic, deed, argument):"]
        for event in events:
            ago = (events[-1].when - event.when) / 1e6
            lines.append(f"  {ago:10.3f}  {event.slot:2} {event.topic:24} {event.what:24} {event.argument}")
        pids = {slot.child.pid: slot.number for slot in self.slots if slot.child is not None}
        lines.append("held (object, by slot or process):")
        for info in segments():
            if info.holder is not None and info.name in self._names:
                lines.append(f"  {self._names[info.name]}: {pids.get(info.holder, info.holder)}")
        for slot in self.slots:
            if slot.child is not None:
                lines.append(f"slot {slot.number}, process {slot.child.pid}: {self._state(slot)}, {self._topic(slot)}")
                self._signal(slot, signal.SIGABRT)  # faulthandler writes down the stacks
                self._signal(slot, signal.SIGCONT)
        time.sleep(0.5)
        for slot in self.slots:
            if slot.child is not None:
                slot.child.__exit__()
                slot.child = None
            for kind in "wrong", "err":
                path = self.folder / f"{slot.number}.{kind}"
                if path.exists() and (text := path.read_text()):
                    lines += [f"---- slot {slot.number}, {path.name}:", text[-3000:]]
        return "\n".join(lines)


@contextmanager
def without_faults(wanted: bool) -> Generator[None]:
    """Who is started in this block runs the core as it is installed, beside the others with its test build."""
    was = os.environ.pop("PROCSHARE_FAULT", None) if wanted else None
    yield
    if was is not None:
        os.environ["PROCSHARE_FAULT"] = was
