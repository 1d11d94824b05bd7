"""One death: an act whose doer is stopped at a point, survivors who are blocked there, a SIGKILL, and what is then so.

The doomed process stops at its point, so that survivors can come and be blocked by it. Then it is killed.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._doomed import Ledger, Order, acts, serve
from procshare.testing._kinds import kept
from procshare.testing._processes import PATIENCE, Hung, entries, pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Self

    from procshare.testing._acts import Act
    from procshare.testing._kinds import Step

PROMPT = 0.1  # seconds within which others go on


class Late(Exception):
    """Somebody took longer than that."""


class Wrong(Exception):
    """Something is not as it should be."""


@dataclass(frozen=True)
class Death:
    """What to do, and where to die.

    Attributes:
        kind, role: Which act.
        method: How the doomed process is started.
        point: A fault point, "name:n" for its n-th visit; "-": none.
        stop: Instead: after so many steps; -1: not between steps.
        then: Where whoever comes next dies too; "-": it lives, and its visits are counted; "": nobody comes.
    """

    kind: str
    role: str
    method: str = "fork"
    point: str = "-"
    stop: int = -1
    then: str = ""

    def __str__(self) -> str:
        where = f"after step {self.stop}" if self.stop >= 0 else f"at {self.point}"
        then = f", then at {self.then}" if self.then not in ("", "-") else ""
        return f"{self.kind}, {self.role}, {self.method}: death {where}{then}"


@dataclass
class Outcome:
    """What became of it.

    Attributes:
        died: How many died as they were meant to.
        done: How many steps the first one had done.
        seen: What a survivor saw.
        visits: Of fault points, by the last one, if it lived.
        slowest: How long somebody had to wait after a death, in seconds.
    """

    died: int = 0
    done: int = 0
    seen: Any = None
    visits: dict[str, int] = field(default_factory=dict[str, int])
    slowest: float = 0.0

    def took(self, what: str, seconds: float) -> None:
        """Note a wait; too long a one is an error."""
        self.slowest = max(self.slowest, seconds)
        if seconds > PROMPT:
            raise Late(f"{what} took {seconds * 1000:.0f} ms")


class Task(threading.Thread):
    """A survivor's call, once or over and over."""

    def __init__(self, call: Step, x: Any, again: bool = False) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.ended = 0.0
        self._call, self._x, self._again = call, x, again
        self.start()

    def run(self) -> None:
        """Make it."""
        try:
            self._call(self._x)
            while self._again:
                self._call(self._x)
        except BaseException as error:  # noqa: BLE001 - told by finish()
            self.error = error
        self.ended = time.monotonic()

    def settled(self) -> bool:
        """Whether it is over, or asleep."""
        return not self.is_alive() or (self.native_id is not None and _state(f"self/task/{self.native_id}") == "S")

    def finish(self, outcome: Outcome, moment: float | None, what: str) -> None:
        """Wait for its end, which has to come soon after *moment*."""
        self._again = False
        self.join(PATIENCE)
        if self.is_alive():
            raise Wrong(f"{what} waits for ever")
        if self.error is not None:
            raise Wrong(f"{what} raised {self.error!r}") from self.error
        if moment is not None:
            outcome.took(what, self.ended - moment)


def _state(process: str) -> str:
    """A process's or thread's, one letter; X: it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class Sweeper:
    """Kills processes, and looks what that does to the others. Everything that it needs ends with its block."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="sweep-")
        self._path = Path(self._home.name) / "ledger"
        self._ledger = Ledger(self._path)
        context = get_context("spawn")
        self._nursery, theirs = context.Pipe()
        with _environment(PROCSHARE_FAULT="-", PYTHONWARNINGS="ignore", OPENBLAS_NUM_THREADS="1"):
            self._server = context.Process(target=serve, args=(theirs,))
            self._server.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._nursery.close()
        self._server.join(PATIENCE)
        if self._server.exitcode is None:
            self._server.kill()
            self._server.join()
        self._ledger.close()
        self._home.cleanup()

    def die(self, death: Death) -> Outcome:
        """Do what is said, and see what a survivor sees, that it can go on, and that nothing is left.

        Raises:
            Late: Somebody did not go on in time.
            Wrong: Something else is not as it should be.
        """
        act = acts()[death.kind][death.role]
        outcome = Outcome()
        with nothing_left():
            x = act.make()
            with kept(x):
                first = Order(
                    death.kind, death.role, _stopping(death.point), death.stop, touch=False, ledger=self._path
                )
                met = self._victim(death.method, first, act, x, outcome, last=not death.then)
                outcome.done = self._ledger.done
                if met and death.then:
                    after = Order(death.kind, death.role, _stopping(death.then), -1, touch=True, ledger=self._path)
                    self._victim(death.method, after, act, x, outcome)
                if met or death.then:
                    began = time.monotonic()
                    outcome.seen = act.look(x)
                    outcome.took("the first look", time.monotonic() - began)
                    began = time.monotonic()
                    act.use(x)
                    outcome.took("the next use", time.monotonic() - began)
        return outcome

    def touched(self, death: Death) -> dict[str, int]:
        """Which points whoever comes first visits if nobody has died."""
        act = acts()[death.kind][death.role]
        outcome = Outcome()
        with nothing_left(), kept(act.make()) as x:
            self._victim(
                death.method, Order(death.kind, death.role, "-", -1, touch=True, ledger=self._path), act, x, outcome
            )
        return outcome.visits

    def _victim(self, method: str, order: Order, act: Act, x: Any, outcome: Outcome, *, last: bool = True) -> bool:
        """Let a process do something; whether it died as it was to. Survivors await the last one's death only."""
        self._ledger.done, self._ledger.last_words = 0, {}
        given = act.give(x)
        mine = given is x
        self._nursery.send((method, order, pickled(x) if mine else given))
        if not self._nursery.poll(PATIENCE):
            raise Hung("the process that starts the others does not answer")
        pid = self._nursery.recv()
        if not mine:
            given.close()
        crowd = [] if act.meanwhile is None or order.touch else [Task(act.meanwhile, x, again=True)]
        moment = None
        try:
            if _stops(pid):
                crowd += [Task(call, x) for call in act.blocked if last]
                deadline = time.monotonic() + 0.02
                while time.monotonic() < deadline and not all(task.settled() for task in crowd):
                    time.sleep(0.0005)
                moment = time.monotonic()
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._nursery.send(None)
            self._nursery.recv()
        for task in crowd:
            task.finish(outcome, moment, "somebody who waited")
        words = self._ledger.last_words
        if "error" in words:
            raise Wrong(f"the doomed process failed:\n{words['error']}")
        outcome.visits = words.get("visits", {})
        outcome.died += moment is not None
        return moment is not None


@contextmanager
def _environment(**variables: str) -> Generator[None]:
    """The environment of what is started meanwhile: the test build; a tracker that does not report what the killed had;
    no threads of NumPy's, which are in the way of forks."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _stopping(point: str) -> str:
    return point if point == "-" else f"{point}!"


def _stops(pid: int) -> bool:
    """Wait until a process has stopped, or ended: whether it has stopped."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while not poll.poll(1):
            if _state(str(pid)) == "T":
                return True
            if time.monotonic() > deadline:
                raise Wrong(f"the doomed process {pid} does not come to its end")
    finally:
        os.close(watched)
    return False


@contextmanager
def nothing_left() -> Generator[None]:
    """See that nothing appears in /dev/shm that whoever comes by does not clear away."""
    before = entries()
    yield
    if not entries() - before:
        return
    deadline = time.monotonic() + 3
    while left := [name for name in entries() - before if _ours(name)]:
        procshare.prune()
        if time.monotonic() > deadline:
            raise Wrong(f"left in /dev/shm: {', '.join(left)}")
        time.sleep(0.01)


def _ours(name: str) -> bool:
    """Whether it is not somebody else's, who is alive and of another session."""
    attached = [pid for info in procshare.segments() if info.segment == name for pid in info.attached]
    return not attached or os.getpid() in attached


def once_more(call: Callable[[], Outcome]) -> tuple[Outcome, bool]:
    """A busy machine may be late once: what came of it, and whether it took two attempts."""
    try:
        return call(), False
    except Late:
        return call(), True
