"""Where memory, file size or descriptors run out: a clear error, nothing lost, nothing left, and never a SIGBUS."""

from __future__ import annotations

import pytest

from scarcity import in_16_mib, wrapper
from scripts import run

__all__ = ["wrapper"]  # the fixture


def test_an_array_that_is_too_big(wrapper: tuple[str, ...]) -> None:
    """With data or zeros; another that fits can be made afterwards."""
    in_16_mib(
        """
import numpy as np
kept = SharedArray(np.arange(1000))
kept.name
for make in (lambda: SharedArray.zeros(20_000_000, "u1"), lambda: SharedArray(np.ones(3_000_000)),
             lambda: SharedArray(np.ones(3_000_000), name="big"), lambda: SharedArray.open("big", np.ones(3_000_000))):
    error = refused(make)
    assert error.needed >= 16 << 20 and error.free <= 16 << 20, error
    assert left() == [kept.segment]
error = refused(lambda: SharedArray.zeros((1 << 40, 1 << 10), "u1"))
assert error.needed == 1 << 50
assert (kept.array == np.arange(1000)).all()
fits = SharedArray(np.ones(1_000_000), name="big")
assert fits.array.sum() == 1_000_000
assert pickle.loads(pickle.dumps(fits)).array.sum() == 1_000_000
""",
        wrapper,
    )


def test_what_can_never_fit_takes_nothing_first(wrapper: tuple[str, ...]) -> None:
    """Others find as much free memory as before, also while it is refused."""
    in_16_mib(
        """
import subprocess, threading
subprocess.run(["mount", "-o", "remount,size=512m", "/dev/shm"], check=True)
SharedArray([1]).close()
done, seen = threading.Event(), [free()]
def look():
    while not done.wait(0.0005):
        seen.append(free())
looker = threading.Thread(target=look)
looker.start()
for size in (1 << 40, 1 << 45, 600 << 20):
    refused(lambda: SharedArray.zeros(size, "u1"))
done.set()
looker.join()
assert min(seen) > seen[0] - (64 << 20), (min(seen), seen[0])
SharedArray.zeros(500 << 20, "u1").close()
""",
        wrapper,
    )


@pytest.mark.parametrize("exported", [False, True])
def test_arrays_until_it_is_full(wrapper: tuple[str, ...], exported: bool) -> None:
    """The last one is refused; all others are whole, and can be written everywhere."""
    in_16_mib(
        f"""
import numpy as np
made = []
def more():
    while True:
        made.append(SharedArray(np.full(100_000, len(made))) if len(made) % 2 else SharedArray.zeros(100_000))
        {exported} and made[-1].name
refused(more, fills=True)
assert 15 <= len(made) <= 20, len(made)
for number, array in enumerate(made):
    assert (array.array == (number if number % 2 else 0)).all()
    array.array[:] = -number
    array.set(array.value - 1)
assert [a.array[-1] for a in made] == [-n - 1 for n in range(len(made))]
[a.unlink() for a in made]
made.clear()
del array
SharedArray.zeros(1_500_000).close()
""",
        wrapper,
    )


@pytest.mark.parametrize("make", ["(7)", "(b'x' * 5000)", "(7, name='n')", ".open('n', 7)"])
def test_a_value_that_cannot_grow(wrapper: tuple[str, ...], make: str) -> None:
    """Its old value stays, also in a block, and it can be set to smaller ones; to itself and to other processes."""
    in_16_mib(
        f"""
value = SharedValue{make}
old = value.value
refused(lambda: value.set(b"y" * (20 << 20)))
assert value.value == old
refused(lambda: value.set(list(range(8_000_000))))
assert value.value == old
def in_a_block():
    with value.locked() as cell:
        cell.value = "small"
        cell.value = "z" * (20 << 20)
refused(in_a_block)
assert value.value == old
refused(lambda: value.modify(lambda now: b"y" * (20 << 20)))
assert value.value == old
with value.locked(timeout=1):
    pass
for size in (10, 100_000, 3 << 20, 10, 3 << 20, 2 << 20, 100):
    value.set(b"w" * size)
    assert value.value == b"w" * size
    value.set(value.value + b"!")
grown = 0
def grow():
    global grown
    while True:
        value.set(b"v" * (grown + 300_000))
        grown += 300_000
refused(grow, fills=True)
assert value.value == b"v" * grown
value.set(None)
assert value.value is None
""",
        wrapper,
    )


def test_a_failed_growth_gives_back_what_it_had_reserved(wrapper: tuple[str, ...]) -> None:
    """Of an extent that is reserved in several steps, of which the last failed; new, and used before."""
    big = tuple(part.replace("size=16m", "size=100m") for part in wrapper)
    in_16_mib(
        """
value = SharedValue("old")
for size in (70 << 20, 20 << 20, 70 << 20):
    there = free()
    error = refused(lambda: value.set(bytes(70 << 20)))
    assert error.needed in (128 << 20, 64 << 20), error
    assert free() >= there - 65536, (there, free())
    value.set(bytes(20 << 20))
    value.set("old")
    assert value.value == "old"
""",
        big,
    )


def test_a_value_is_not_made_without_room(wrapper: tuple[str, ...]) -> None:
    """Nothing of it is left, and others can be made."""
    in_16_mib(
        """
for make in (lambda: SharedValue(b"x" * (20 << 20)), lambda: SharedValue(b"x" * (20 << 20), name="n"),
             lambda: SharedValue.open("n", b"x" * (20 << 20))):
    refused(make)
    assert not left()
small = SharedValue(b"x", name="n")
counter = SharedCounter(3)
assert (small.value, counter.increment()) == (b"x", 4)
""",
        wrapper,
    )


def test_small_objects_until_it_is_full(wrapper: tuple[str, ...]) -> None:
    """Counters and values fill slab after slab; all count on when there is no room for another."""
    in_16_mib(
        """
made = []
def more():
    while True:
        made.append(SharedCounter(len(made)))
        if len(made) % 1000 == 0:
            made[-1].name
refused(more, fills=True)
assert len(made) > 80_000, len(made)
assert all(c.increment() == n + 1 for n, c in enumerate(made))
refused(lambda: SharedCounter(name="x"))
refused(lambda: SharedValue.open("x", 1))
made[5].close()
again = SharedCounter(-1)
assert again.value == -1
refused(lambda: [SharedCounter(), SharedCounter()])
while made:
    last = made.pop()
    last.unlink()
    last.close()
assert SharedCounter(5).value == 5
""",
        wrapper,
    )


def test_when_others_filled_it(wrapper: tuple[str, ...]) -> None:
    """Existing objects work, attach, lock, hand over and go, with not a byte free."""
    in_16_mib(
        """
import numpy as np
counter, value, array = SharedCounter(1), SharedValue("old"), SharedArray([1.0, 2.0])
named = SharedCounter(5, name="n")
with open("/dev/shm/full", "wb", 0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
assert free() == 0
assert pickle.loads(pickle.dumps(counter)).increment() == 2
assert SharedValue.attach(value.name).value == "old"
value.set("new")
with array.locked() as live:
    live *= 2
assert array.hand_over().value.tolist() == [2.0, 4.0]
assert SharedCounter.open("n", 9).value == 5
error = refused(lambda: SharedArray.zeros(1000))
assert error.free == 0
os.unlink("/dev/shm/full")
assert SharedArray.zeros(1000).array.sum() == 0
""",
        wrapper,
    )


def test_the_file_size_limit() -> None:
    """RLIMIT_FSIZE: an OSError or OutOfSharedMemory, not a death by SIGXFSZ, and what is there stays."""
    source = """
import resource
import numpy as np
value, array = SharedValue("old"), SharedArray([1, 2])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for make in (lambda: SharedArray.zeros(1_000_000), lambda: SharedArray(np.ones(1_000_000)),
             lambda: value.set(b"x" * 1_000_000), lambda: SharedValue(b"x" * 1_000_000, name=f"fsize-{os.getpid()}")):
    try:
        make()
    except (OSError, OutOfSharedMemory) as error:
        assert str(error), error
    else:
        raise AssertionError
assert value.value == "old"
value.set("new")
assert value.value == "new"
assert array.array.sum() == 3
assert SharedArray.zeros(1000).array.sum() == 0
"""
    assert run(source) == (0, "", "")


@pytest.mark.parametrize("exported", [False, True])
def test_no_descriptor_left(exported: bool) -> None:
    """RLIMIT_NOFILE: EMFILE as an OSError; what is there works, and goes in order."""
    source = f"""
import errno, resource
import numpy as np
counter, value = SharedCounter(1), SharedValue("old")
counter.name
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
arrays = []
try:
    while True:
        arrays.append(SharedArray([len(arrays)]))
        {exported} and arrays[-1].name
except OSError as error:
    assert error.errno == errno.EMFILE, error
assert len(arrays) > 10
name = f"nofile-{{os.getpid()}}"
for make in (lambda: SharedCounter(name=name), lambda: SharedValue.open(name, 1)):
    try:
        make()
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    else:
        raise AssertionError
assert counter.increment() == 2
value.set("x" * 10_000)
assert value.value == "x" * 10_000
assert [a.array[0] for a in arrays] == list(range(len(arrays)))
with arrays[0].locked() as live:
    live += 1
arrays.pop().unlink()
arrays.append(SharedArray([5]))
segments()
prune()
"""
    assert run(source) == (0, "", "")
