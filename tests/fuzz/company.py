"""Segments that several processes use, each with threads, while another one damages them as fast as it can.

`trial(number, seed, cuts)`: which kind, what is done, and whether the file is also made shorter and longer meanwhile.
What is done is chosen by the seed; how the processes' steps fall together is not, so a trial that went wrong may have
to be repeated. Before the users attach, the bytes may also be exchanged for those of another kind, another layout, or
none.

A call may wait for a lock that the damage says a living process has, since that is what it would do if it were so. So
the damage ends by setting all locks free; whatever waits after that hangs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import select
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import segment_inputs as inputs

import procshare
from procshare.cli import main as procshare_command

if TYPE_CHECKING:
    from collections.abc import Callable

USERS, THREADS, SECONDS = 2, 2, 0.25
DEADLINE = 6.0  # seconds after which a user hangs, or the machine is very busy
BEFORE = ["nothing"] * 12 + ["swapped", "older", "newer", "kind", "size", "payload", "slots", "empty", "noise"]
MEMORY = 300_000  # KiB that a user may come to take


def spoil(world: inputs.World, how: str, chance: random.Random) -> None:
    """Do to the file what happens before anybody attaches."""
    path = f"{inputs.SHM}/{world.segment}"
    whole = bytearray(world.files[world.segment])
    if how == "swapped":
        other = inputs.world(chance.randrange(len(inputs.KINDS)))
        whole = bytearray(other.files[other.segment])
    elif how in ("older", "newer"):
        struct.pack_into("=I", whole, 8, 1 if how == "older" else 3)
    elif how == "kind":
        struct.pack_into("=I", whole, 12, chance.randrange(20))
        whole[inputs.STATE["ROOT"] + 28] = whole[12]
    elif how == "size":
        struct.pack_into("=Q", whole, 16, chance.choice([0, 4096, 8192, 12288, 65536, len(whole), 1 << 40]))
    elif how == "payload":
        struct.pack_into("=QQ", whole, 24, chance.choice([0, 8192, len(whole)]), chance.choice([0, 8, 4096, 1 << 63]))
    elif how == "slots":
        struct.pack_into("=I", whole, 52, chance.choice([0, 1, 332, 1 << 31]))
    elif how == "empty":
        whole = bytearray(chance.choice([0, 100, 8192, 20_000]))
    elif how == "noise":
        whole[896:] = chance.randbytes(len(whole) - 896)
    if how != "nothing":
        with open(path, "wb") as file:
            file.write(whole)


# ---- the processes ----


def locks_of(world: inputs.World) -> list[int]:
    """Where a segment has its locks."""
    root = inputs.STATE["ROOT"] + 16
    slots = [12288 + 128 * i + 16 for i in range(332)] if "#" in world.name else []
    queues = (
        [at for at, size in inputs.CHANNEL["of_queue"](world.files[world.segment])["locks"] if size]
        if queue(world)
        else []
    )
    return [root, inputs.STATE["HEAP_LOCK"], *slots, *queues]


def queue(world: inputs.World) -> bool:
    """Whether it is one."""
    return "queue" in world.kind or "items" in world.kind


def do_damage(world: inputs.World, chance: random.Random, cuts: bool) -> tuple[Counter[str], list[str]]:
    """Until the time is over: a change here, a change there, some of them taken back."""
    path, whole = f"{inputs.SHM}/{world.segment}", world.files[world.segment]
    end, locks = time.monotonic() + SECONDS, locks_of(world)
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):  # somebody unlinked it
            world.damage(chance.randbytes(inputs.ROOM * chance.randrange(1, 4)))
            if chance.random() < 0.1:
                overwrite(path, 0, whole[: 1 << 16])
            if cuts and chance.random() < 0.05:
                cut(path, chance)
        if chance.random() < 0.2:
            time.sleep(chance.random() * 0.003)
    for _ in range(20):  # who is in the middle of a call may write its own
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_size < len(whole):
                os.truncate(path, len(whole))
            for at in locks:
                overwrite(path, at, bytes(4))
        time.sleep(0.02)
    return Counter(), []


def overwrite(path: str, at: int, new: bytes) -> None:
    """Change a file."""
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, new, at)
    os.close(fd)


def cut(path: str, chance: random.Random) -> None:
    """Make a file shorter; most times it gets its length again, and is empty there."""
    size = os.stat(path).st_size
    os.truncate(path, chance.choice([0, 4096, 8192, 12288, size // 2, max(size - 1, 0)]))
    if chance.random() < 0.7:
        os.truncate(path, size)


class Busy:
    """A thread of a user's: calls at random until the time is over."""

    def __init__(self, world: inputs.World, seed: int, counts: Counter[str], tells: list[str]) -> None:
        self._world, self._chance = world, random.Random(seed)
        self._counts, self._tells = counts, tells

    def attempt(self, step: Callable[[], Any]) -> Any:
        """What it answers; what it should not raise is told."""
        try:
            answer = step()
        except Exception as error:  # noqa: BLE001  # each is judged
            self._counts[type(error).__name__] += 1
            if not inputs.fine(error):
                self._tells.append(traceback.format_exc())
            return None
        self._counts["answer"] += 1
        return answer

    def look(self) -> None:
        """As `procshare ls` does."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            procshare_command(["ls", "--json"])

    def run(self) -> None:
        """Attach, use, close, again and again."""
        end = time.monotonic() + SECONDS
        self.attempt(procshare.segments)
        while time.monotonic() < end:
            handle = self.attempt(lambda: procshare.attach(self._world.name))
            if handle is None:
                if not os.path.exists(f"{inputs.SHM}/{self._world.segment}"):
                    self._world.lay_out()  # somebody unlinked it
                time.sleep(0.001)
                continue
            steps = inputs.calls(handle, self._world.partner)
            if self._chance.random() < 0.9:
                steps = [step for step in steps if step != handle.unlink]
            for _ in range(self._chance.choice([0, 3, 30, 300])):
                if time.monotonic() < end:
                    self.attempt(self._chance.choice(steps))
            if self._chance.random() < 0.1:
                self.attempt(lambda: procshare.prune(dry_run=True))
            with contextlib.suppress(Exception):  # or the others would wait for this thread, and be right
                while not hasattr(handle, "get_value"):
                    handle.release()
            self.attempt(handle.close)


def use(world: inputs.World, seed: int) -> tuple[Counter[str], list[str]]:
    """In a process of its own: what its threads counted, and what went wrong."""
    counts, tells = Counter[str](), list[str]()
    busy = [Busy(world, seed + i, counts, tells) for i in range(THREADS)]
    threads = [threading.Thread(target=each.run, daemon=True) for each in busy[1:]]
    for thread in threads:
        thread.start()
    busy[0].run()
    busy[0].attempt(busy[0].look)
    for thread in threads:
        thread.join()
    if (taken := inputs.STATE["eaten"](0)) > MEMORY:
        tells.append(f"it took {taken} KiB of memory")
    return counts, tells


class Child:
    """A forked process that does something and says what came of it."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # for as long as the child lives
        self.pipe, back = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self.pipe)
                os.dup2(self._errors.fileno(), 2)
                faulthandler.dump_traceback_later(DEADLINE)
                with open(back, "w") as file:
                    json.dump(do(), file)
                os._exit(0)
            except BaseException:  # noqa: BLE001  # it is printed, and the process ends
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(back)

    def result(self, deadline: float) -> tuple[int, Any]:
        """Its exit status (negative: a signal, SIGALRM if it hung) and what it said."""
        said, hung = b"", False
        while not hung:
            ready, _, _ = select.select([self.pipe], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(self.pipe, 1 << 16) if ready else b""
            said += part
            hung = not ready
            if ready and not part:
                break
        os.close(self.pipe)
        if hung:
            os.kill(self._pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        inputs.STATE["remove_all_of"](self._pid)
        if status == 0:
            return 0, json.loads(said)
        self._errors.seek(0)
        text = self._errors.read()
        return (-signal.SIGALRM if hung else status), [
            {},
            [f"it ended with {status}{' (hung)' if hung else ''}\n{text}"],
        ]


def trial(number: int, seed: int, cuts: bool) -> dict[str, Any]:
    """What came of it, as a `Verdict` has it."""
    world, chance = inputs.world(number), random.Random(seed)
    world.lay_out()
    spoil(world, chance.choice(BEFORE), chance)
    mischief = Child(partial(do_damage, world, random.Random(seed), cuts))
    users = [Child(partial(use, world, seed + 100 * i)) for i in range(USERS)]
    deadline = time.monotonic() + DEADLINE + 1
    counts, tells, ended = Counter[str](), list[str](), 0
    for child in (*users, mischief):
        status, (counted, told) = child.result(deadline)
        counts.update(counted)
        tells += told
        ended = ended or status
    world.clear_away()
    return {"tells": tells, "counts": counts, "ended": ended}


def main() -> None:
    """Answer questions: a line in, a line out."""
    for line in sys.stdin:
        print(json.dumps(trial(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
