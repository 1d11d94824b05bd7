"""A process whose children are shown damaged segments, one child each, with a deadline.

A test gives it a program that defines `judge(announce, *damage)`: it makes something, damages it, uses it, and says
what went wrong. When the child dies or hangs instead, that is what went wrong. It announces files and processes, which
are removed in that case.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import strategies as st

from scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN = """
import collections, ctypes, json, resource, struct, traceback
import procshare.backends.shm.segment

libc = ctypes.CDLL(None)
libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what a child leaves behind comes to this process

hooks = procshare.backends.shm.segment
hooks.register = hooks.unregister = lambda name: None  # what is left of a death is removed below, in silence
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
if "ASAN_OPTIONS" not in os.environ:  # the sanitizer maps terabytes
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

def token(data, of=None):
    "The lock word of a process, this one if none is given, which is seated."
    for seat in range(768 if len(data) >= 8192 else 0):
        generation, pid = struct.unpack_from("=II", data, 2048 + seat * 8)
        if pid == (of or os.getpid()):
            return (seat + 1) << 21 | (generation & 0x1FFFFF)
    return 0

FINE = (ProcshareError, OverflowError, TypeError, MemoryError, OSError, UnicodeDecodeError)
PICKLE = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, ValueError)  # of a damaged one

def fine(error):
    "Whether a damaged segment may lead to it."
    if isinstance(error, OSError) and not isinstance(error, ProcshareError):
        return error.errno in (27, 12, 28, 22)
    return isinstance(error, (*FINE, *PICKLE))

counts = collections.Counter()  # of answers, and of errors by class

def attempt(step, tells):
    "What it answers; what it raises is told if it should not be."
    try:
        answer = step()
    except Exception as error:
        counts[type(error).__name__] += 1
        if not fine(error):
            tells.append(traceback.format_exc())
        return None
    counts["answer"] += 1
    return answer

def change(fd, data, where, how, number):
    "Do one sort of damage to a file whose contents were *data*."
    if how == "flip":
        byte = data[where] if where < len(data) else 0
        os.pwrite(fd, bytes([byte ^ (1 << number % 8)]), where)
    elif how == "byte":
        os.pwrite(fd, bytes([number % 256]), where)
    elif how == "word":
        os.pwrite(fd, struct.pack("=Q", number % (1 << 64)), where & ~7)
    elif how == "half":
        os.pwrite(fd, struct.pack("=I", number % (1 << 32)), where & ~3)

def spoiled(path, whole, hurts):
    "A copy that nobody is attached to, cut off if one of the hurts says so."
    cut = [number for _, _, how, number in hurts if how == "cut"]
    whole = bytearray(whole)
    struct.pack_into("=I", whole, FLAGS, 1 | 2 | 4)  # persistent, or attaching would remove it
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(whole[: cut[0] % len(whole)] if cut else whole)

def remove_all_of(pid):
    "What a process made, and did not remove."
    for name in os.listdir("/dev/shm"):
        try:
            with open(f"/dev/shm/{name}", "rb") as file:
                head = file.read(FLAGS)
            if len(head) == FLAGS and struct.unpack_from("=I", head, FLAGS - 4) == (pid,):
                os.unlink(f"/dev/shm/{name}")
        except OSError:
            pass

def eaten(before):
    "KiB of memory that were taken since; what is mapped of files counts too."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

def reap(pid):
    "End a process that the dead one started and left behind."
    try:
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # it was not left behind

def apart(*case):
    "Judge it in a forked process: what it told, what it counted, and how it ended."
    there, back = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        write = lambda **what: os.write(back, json.dumps(what).encode() + b"\\n")
        before, tells = eaten(0), []
        try:
            tells += judge(lambda made: write(made=made), *case)  # a path, or a process of its own
        except BaseException:
            tells.append(traceback.format_exc())
        if eaten(before) > 500_000 and "ASAN_OPTIONS" not in os.environ:
            tells.append(f"it took {eaten(before)} KiB of memory")
        write(tells=tells, counts=counts)
        os._exit(0)
    os.close(back)
    with open(there) as pipe:
        said = [json.loads(line) for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for made in (each["made"] for each in said if "made" in each):
        if isinstance(made, int):
            reap(made)
        elif os.path.lexists(made):
            os.unlink(made)
    remove_all_of(child)
    if status != 0:
        said.append({"tells": [f"its process ended with {status} ({-signal.SIGALRM}: it hung)"], "counts": {}})
    return {**said[-1], "ended": status}

# Where the header's fields are, found by what a segment is known to hold.
probe = SharedCounter(0x1234567890, name=f"bad-probe-{os.getpid()}")
with open("/dev/shm/" + probe.segment, "rb") as file:
    probed = file.read()
ROOT = probed.index(struct.pack("=Q", 0x1234567890))
FLAGS = probed.index(struct.pack("=I", os.getpid()), 0, 1024) + 4
HEAP_LOCK = FLAGS + 4 + 8 + 8 + 8 + 8 + 4  # after tracker, handed_at, id, claim and seat_hint
probe.unlink()
probe.close()
"""
END = """
for line in sys.stdin:
    say(json.dumps(apart(*json.loads(line))))
"""


def buffer(offset: int, order: int) -> int:
    """What a slot says of where one of its records lies."""
    return offset << 6 | order


def tagged(tag: int, rest: int) -> int:
    """A value's word."""
    return ~(tag << 48 | rest) & ((1 << 64) - 1)


NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 63, 64, 4095, 4096, 8191, 8192, *(1 << n for n in (16, 20, 31, 40, 62, 63))]),
    st.sampled_from([(1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
    st.builds(buffer, st.integers(0, 1 << 20), st.integers(0, 63)),
    st.builds(tagged, st.integers(0xFFF8, 0xFFFF), st.integers(0, 7)),
)


class Verdict(NamedTuple):
    """What became of a child that was shown some damage.

    Attributes:
        tells: What went wrong.
        counts: Its calls, by "answer" or the name of what they raised.
        ended: Its exit status; negative: the signal that killed it.
    """

    tells: list[str]
    counts: dict[str, int]
    ended: int


class Asked:
    """A program that is told of damage, and answers with a verdict, line by line; started anew when it did not answer.

    Args:
        program, environ: As for `Script`.
        patience: Seconds that it may take to answer.
    """

    def __init__(self, program: str, environ: dict[str, str] | None = None, patience: float = 15) -> None:
        self._program, self._environ, self._patience = program, environ, patience
        self._script: Script | None = None

    def show(self, *damage: Any) -> list[str]:
        """What went wrong with it: tracebacks of what should not have been raised."""
        return self.verdict(*damage).tells

    def verdict(self, *damage: Any) -> Verdict:
        """All that is to be said about it."""
        if self._script is None:
            self._script = Script(self._program, environ=self._environ)
        self._script.tell(json.dumps(damage))
        try:
            told = json.loads(self._script.hear(timeout=self._patience))
        except AssertionError:
            self.close()
            raise
        return Verdict(told["tells"], told["counts"], told["ended"])

    def close(self) -> None:
        """End it."""
        if self._script is not None:
            self._script.__exit__()
        self._script = None


class Victims(Asked):
    """A process whose children are shown the damage, one each.

    Args:
        program: Defines `judge`.
    """

    def __init__(self, program: str) -> None:
        super().__init__(BEGIN + program + END)


@pytest.fixture(scope="module")
def victims(request: pytest.FixtureRequest) -> Iterator[Victims]:
    """Of the test module's own VICTIM, kept for all the tests there."""
    kept = Victims(getattr(sys.modules[request.path.stem], "VICTIM"))
    yield kept
    kept.close()
