"""Programs in a mount namespace of their own, whose /dev/shm has 16 MiB."""

from __future__ import annotations

import subprocess

import pytest

from scripts import Ended, run

MOUNT = 'mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$@"'
HELPERS = """
def left():
    return [name for name in os.listdir("/dev/shm") if name.startswith("procshare")]

def free():
    fs = os.statvfs("/dev/shm")
    return fs.f_bavail * fs.f_frsize

def refused(make, fills=False):
    "That *make* raises OutOfSharedMemory with both figures and, unless it fills, takes no more than a slab; the error."
    there = free()
    try:
        make()
    except OutOfSharedMemory as error:
        text = str(error)
        assert error.needed > 0 and error.free is not None, text
        assert f"{error.needed:,}" in text and f"{error.free:,}" in text and "--shm-size" in text, text
        assert isinstance(error, MemoryError)
        again = pickle.loads(pickle.dumps(error))
        assert (again.needed, again.free, str(again)) == (error.needed, error.free, text)
        assert fills or abs(error.free - there) <= 1 << 17, (there, error.free)
        assert fills or free() >= there - 65536 - 4096, (there, free())
        return error
    raise AssertionError("OutOfSharedMemory was not raised")

"""
END = """
for x in list(globals().values()):
    if isinstance(x, Handle):
        x.unlink()
        x.close()
assert not left(), left()
"""


def private(wrapper: tuple[str, ...]) -> bool:
    """Whether a private mount namespace can be had by *wrapper*."""
    command = [*wrapper, "sh", "-c", MOUNT, "sh", "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def wrapper() -> tuple[str, ...]:
    """The command that runs another in a mount namespace of its own, with a /dev/shm of 16 MiB."""
    for unshare in (("unshare", "-m"), ("unshare", "-Urm")):
        if private(unshare):
            return (*unshare, "sh", "-c", MOUNT, "sh")
    pytest.skip("unshare(1) may not make a private mount namespace here")


def in_16_mib(source: str, wrapper: tuple[str, ...]) -> Ended:
    """Run a program where /dev/shm has 16 MiB; it must end in order and leave nothing."""
    ended = run(f"{HELPERS}\n{source}\n{END}", wrapper=wrapper)
    assert ended == (0, ended.out, ""), f"it ended with {ended.code}; stderr:\n{ended.err}"
    return ended
