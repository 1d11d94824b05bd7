"""What is specific to the stdlib backend: what it leaves behind, its manager, its memory, its clean-up."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from procshare import (
    LockTimeout,
    NotFound,
    OutOfSharedMemory,
    SharedArray,
    SharedCounter,
    SharedValue,
    UnsupportedByBackend,
)
from procshare.backends import default_backend, set_default_backend
from support import START_METHODS, Child, Line, WorkerDied, Workers

AnyArray: Any = SharedArray  # NumPy's DTypeLike, in the signature of zeros, is not typed in full
SCRIPT = """
import multiprocessing, os, sys
from procshare import *

set_default_backend("stdlib")

def use(*handles):
    for handle in handles:
        handle.modify(lambda now: now + now)
    own = [SharedCounter(), SharedArray.zeros(20_000)]
    print(own[1].segment, flush=True)

if __name__ == "__main__":
    before = set(os.listdir("/dev/shm"))
    handles = [SharedCounter(1), SharedValue(1, "i"), SharedValue("x"), SharedArray([1]), SharedArray.zeros(20_000)]
    cycle = [SharedCounter(1), SharedArray.zeros(20_000)]
    cycle.append(cycle)
    del cycle
    print(handles[4].segment, flush=True)
    view = handles[4].array
    context = multiprocessing.get_context(sys.argv[1])
    child = context.Process(target=use, args=handles)
    child.start()
    child.join()
    assert child.exitcode == 0
    handles[0].close()
    with handles[1], handles[3]:
        pass
    how = sys.argv[2]
    if how == "exit":
        sys.exit(0)
    if how == "raise":
        raise KeyError("on purpose")
"""


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("how", ["end", "exit", "raise"])
def test_an_orderly_exit_is_silent_and_leaves_nothing(method: str, how: str, tmp_path: Any) -> None:
    """Parent and child print nothing on stderr, and no segment of theirs is left."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(script), method, how],
        capture_output=True, text=True, timeout=30, env=environment, check=False,
    )  # fmt: skip
    names = done.stdout.split()

    assert len(names) == 2
    assert [name for name in names if os.path.exists(f"/dev/shm/{name}")] == []
    if how == "raise":
        assert done.stderr.count("Traceback") == 1
        assert done.stderr.endswith("KeyError: 'on purpose'\n")
    else:
        assert (done.returncode, done.stderr) == (0, "")


def hold_for_ever(line: Line, handle: Any) -> None:
    """Enter the handle's block and stay."""
    with handle.locked():
        line.tell("inside")
        line.hear(60)


def test_a_killed_holder_keeps_its_lock() -> None:
    """The documented limit: others time out, and nothing half works; reads go on."""
    with SharedCounter(7, backend="stdlib") as hits, Child("fork", hold_for_ever, hits) as child:
        assert child.hear() == "inside"
        child.kill()
        with pytest.raises(LockTimeout), hits.locked(timeout=0.05):
            pass
        assert hits.value == 7


def test_a_collected_large_array_takes_its_segment_along() -> None:
    """Unless its name was read: then it stays until unlink() or exit."""
    quiet: Any = AnyArray.zeros(20_000, backend="stdlib")
    memory = quiet._memory
    path = f"/dev/shm/{memory.name}"
    assert os.path.exists(path)
    del quiet, memory
    gc.collect()
    assert not os.path.exists(path)

    exported = AnyArray.zeros(20_000, backend="stdlib")
    path = f"/dev/shm/{exported.segment}"
    exported.close()
    del exported
    gc.collect()
    assert os.path.exists(path)
    os.unlink(path)


def test_unlinking_takes_the_name_away_at_once() -> None:
    """The array works on, a second unlink() is silent, and so is one after somebody else's."""
    with AnyArray.zeros(20_000, backend="stdlib") as array:
        path = f"/dev/shm/{array.segment}"
        array.unlink()
        array.unlink()
        assert not os.path.exists(path)
        array.array[0] = 1
        assert array.value[0] == 1
    with AnyArray.zeros(20_000, backend="stdlib") as array:
        os.unlink(f"/dev/shm/{array.segment}")


def test_a_full_dev_shm_is_an_error_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Space is reserved when a large array is made, so it is no SIGBUS later."""

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = {name for name in os.listdir("/dev/shm") if name.startswith("psm_")}
    with pytest.raises(OutOfSharedMemory) as caught:
        AnyArray.zeros(20_000, backend="stdlib")

    assert caught.value.needed == 160_000
    assert caught.value.free is not None
    assert {name for name in os.listdir("/dev/shm") if name.startswith("psm_")} <= before


def test_small_arrays_with_wide_elements_are_aligned() -> None:
    """A long double wants 16 bytes, which the heap does not give."""
    with SharedArray(np.ones(3, np.longdouble), backend="stdlib") as array:
        assert array.array.flags.aligned


def make_object(initial: object) -> object:
    """A managed value in a worker."""
    with SharedValue(initial, backend="stdlib") as value:
        return value.value


def test_a_daemonic_process_cannot_start_a_manager() -> None:
    """UnsupportedByBackend, where the stdlib would fail an assertion."""
    with Workers("fork") as workers, pytest.raises(UnsupportedByBackend, match="daemonic"):
        workers.run(make_object, [([1],)])
    with Workers("fork", daemon=False) as workers:
        assert workers.run(make_object, [([1],)]) == [[1]]


def test_the_manager_ends_with_the_last_value() -> None:
    """And a later value starts another; a value whose manager was killed is not found."""
    first: Any = SharedValue([1], backend="stdlib")
    second: Any = SharedValue([2], backend="stdlib")
    process = first._core.store.anchor._manager._process
    assert second._core.store.anchor._manager._process is process
    first.close()
    assert process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    with pytest.raises(NotFound, match="manager"):
        _ = second.value
    second.close()


def test_a_process_forked_by_hand_uses_numbers_but_no_managed_values() -> None:
    """os.fork() tells multiprocessing nothing: the connection to the manager would be the parent's."""
    with SharedCounter(1, backend="stdlib") as hits, SharedValue([1], backend="stdlib") as items, hits.locked() as cell:
        cell.value = 5
        pid = os.fork()
        if not pid:
            outcome = 1
            try:
                assert hits.value == 1
                with pytest.raises(LockTimeout), hits.locked(timeout=0):
                    pass
                with pytest.raises(UnsupportedByBackend):
                    _ = items.value
                outcome = 0
            finally:
                os._exit(outcome)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert cell.value == 5
    assert items.closed


def test_the_default_backend_can_be_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By call or environment."""
    monkeypatch.setattr("procshare.backends._chosen", None)
    monkeypatch.setenv("PROCSHARE_BACKEND", "stdlib")
    assert default_backend() == "stdlib"
    monkeypatch.setattr("procshare.backends._chosen", None)
    set_default_backend("stdlib")
    with SharedCounter() as hits, pytest.raises(UnsupportedByBackend):
        pickle.dumps(hits)


def test_no_numpy_is_imported_for_numbers() -> None:
    """Counters and values do without."""
    code = (
        "import sys; from procshare import SharedCounter, SharedValue\n"
        "SharedCounter(1, backend='stdlib').increment(); SharedValue(1, 'i', backend='stdlib').set(2)\n"
        "assert 'numpy' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, env=environment, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


# ---- the helper that every test of processes uses ----


def add(one: int, other: int) -> int:
    """The sum."""
    return one + other


def die(*_args: object) -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    """Raise."""
    raise KeyError("on purpose")


def block(line: Line) -> None:
    """Wait for a message that never comes."""
    line.hear(60)


@pytest.mark.parametrize("method", START_METHODS)
def test_workers_answer_fail_die_and_go_on(method: str) -> None:
    """Results in order, exceptions raised here, the killed reported and replaced, the others kept."""
    with Workers(method) as workers:
        assert workers.run(add, [(1, 2), (3, 4)]) == [3, 7]
        pids = workers.pids
        with pytest.raises(KeyError):
            workers.run(fail, [()])
        assert workers.pids == pids
        with pytest.raises(WorkerDied):
            workers.run(die, [()])
        assert workers.run(add, [(1, 2), (3, 4)]) == [3, 7]
        assert len(workers.pids) == 2
        assert pids[0] not in workers.pids


def test_a_child_that_is_stuck_is_reaped() -> None:
    """A deadline that passes is a TimeoutError, and the child does not outlive its block."""
    with Child("fork", block) as child:
        pid = child.pid
        with pytest.raises(TimeoutError):
            child.hear(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
