"""Whose segments are used: what other users, other names for a file, and processes that change their user can do.

What is refused under a name is in `test_names.py`; the threat model is docs/security.md.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from death_support import forked
from procshare import AlreadyExists, Closed, NotFound, NotOwned, ProcshareError, SharedCounter, SharedDict, SharedList
from procshare.backends import native_built
from scripts import SHM, run
from support import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")
UID = os.geteuid()
STRANGER = 54321
root = pytest.mark.skipif(UID != 0, reason="only root can be another user")


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a segment called `OWN` is; removed afterwards."""
    where = SHM / f"procshare.{UID}.{OWN}"
    yield where
    where.unlink(missing_ok=True)


OWN = f"owners-{os.getpid()}"  # a name that parallel runs have not


def as_stranger(act: Callable[[], object]) -> int:
    """The exit code of a fork that becomes another user for good, and acts."""

    def stranger() -> None:
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
        act()

    return forked(stranger)


# ---- modes and names ----


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_no_umask_changes_the_mode(umask: int) -> None:
    """Every segment is 0600: readable by its user, and by nobody else."""
    before = os.umask(umask)
    try:
        made: list[Any] = [SharedCounter(), SharedCounter(name=OWN), SharedDict({"a": 1}), SharedList([1])]
        modes = [stat.S_IMODE((SHM / x.segment).stat().st_mode) for x in made]
    finally:
        os.umask(before)
    for x in made:
        x.unlink()
        x.close()
    assert modes == [0o600] * 4


def test_names_are_80_random_bits() -> None:
    """16 characters of 32, from the kernel; a forked child's continue nothing."""
    made = [SharedDict[str, int]() for _ in range(200)]
    names = [x.name.removeprefix("procshare-") for x in made]
    for x in made:
        x.unlink()
        x.close()
    assert {len(name) for name in names} == {16}
    assert len(set(names)) == 200
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz234567")
    assert call("fork", a_name) != call("fork", a_name)


def a_name() -> str:
    """In a child: a random name."""
    with SharedDict[str, int]() as x:
        return x.name


def test_no_descriptor_passes_to_another_program() -> None:
    """All are closed by exec, those of a forked child too."""
    code, out, _ = run("""
things = [SharedCounter(), SharedDict({"a": 1}), SharedQueue(), SharedArray([1]), SharedValue("x" * 9000)]
for x in things:
    x.name
if os.fork():
    os.wait()
else:
    things[0].increment()
    os.execv("/bin/sh", ["sh", "-c", "ls -l /proc/self/fd | grep -c dev/shm"])
""")
    assert (code, out) == (0, "0\n")


def test_a_second_link_to_a_file_is_that_file(path: Path) -> None:
    """What a hard link leads to is looked at as anything else is: a segment is itself, another file is refused."""
    with SharedDict({"a": 1}) as x:
        os.link(SHM / x.segment, path)
        with SharedDict[str, int].attach(OWN) as again:
            assert again.value == {"a": 1}
        path.unlink()
    alien = SHM / f"{OWN}-alien"
    alien.write_bytes(b"secret" * 2000)
    alien.chmod(0o600)
    try:
        os.link(alien, path)
        with pytest.raises(ProcshareError):
            procshare.attach(OWN)
        assert alien.read_bytes() == b"secret" * 2000
    finally:
        alien.unlink()


# ---- other users ----


@root
def test_a_foreign_file_is_not_touched(path: Path) -> None:
    """Not used, not replaced, not listed, not swept, not pruned; whoever meets the name is told at once."""
    path.write_bytes(b"squat")
    path.chmod(0o600)
    os.chown(path, STRANGER, STRANGER)
    before = path.stat()
    with pytest.raises(NotOwned, match="belongs to another user"):
        SharedCounter.open(OWN, 1)
    with pytest.raises(NotOwned):
        procshare.attach(OWN)
    with pytest.raises(AlreadyExists):
        SharedCounter(name=OWN)
    assert OWN not in {info.name for info in procshare.segments()}
    procshare.prune()
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


@root
def test_a_stranger_gets_nothing() -> None:
    """By no name, no link in /proc, and no pickle."""
    with SharedDict({"secret": 1}) as x, SharedCounter(name=OWN):
        name, segment = x.name, x.segment

        def try_all() -> None:
            for refused in (name, segment):
                with pytest.raises(NotOwned, match="Permission denied"):
                    procshare.attach(refused)
            with pytest.raises(NotFound):
                procshare.attach(OWN)  # names are each user's own
            for way in (SHM / segment, SHM / f"procshare.{UID}.{OWN}"):
                with pytest.raises(PermissionError):
                    way.open("rb")
            for kind in ("fd", "map_files"):
                with pytest.raises(PermissionError):
                    os.listdir(f"/proc/{os.getppid()}/{kind}")
            assert procshare.segments() == []
            assert procshare.prune() == []

        assert as_stranger(try_all) == 0
        assert x.value == {"secret": 1}


@root
def test_root_refuses_a_users_pickle() -> None:
    """A segment that another user made is opened by nobody else, by root least of all."""

    def make() -> None:
        x = SharedDict({"pickle": [1]}, name=OWN)
        os.rename(SHM / x.segment, SHM / f"{OWN}-planted")
        os._exit(0)

    assert as_stranger(make) == 0
    planted = SHM / f"{OWN}-planted"
    target = SHM / f"procshare.{UID}.{OWN}"
    try:
        os.rename(planted, target)
        with pytest.raises(NotOwned, match="belongs to another user"):
            procshare.attach(OWN)
    finally:
        target.unlink(missing_ok=True)


# ---- a process that becomes another user ----


@root
def test_a_worker_that_drops_privileges_goes_on_with_what_it_inherited() -> None:
    """As web servers do: the fork first, then another user. Its seat and its locks are its own."""
    with SharedCounter(5) as hits, SharedDict[str, Any]({"a": 1}) as d:

        def work() -> None:
            with hits.locked(timeout=5) as cell, d.locked(timeout=5) as inside:
                cell.value += 1
                inside["b"] = "x" * 100_000

        assert as_stranger(work) == 0
        assert hits.value == 6
        assert set(d) == {"a", "b"}


@root
def test_a_fork_after_privileges_were_dropped_is_told_so() -> None:
    """The child cannot open its parent's files, so it has no seat and takes no lock; its parent's hold stands."""
    with SharedCounter(5) as hits:

        def master() -> None:
            with hits.locked(timeout=5):
                assert forked(child) == 0

        def child() -> None:
            with pytest.raises(NotOwned, match="fork first"), hits.locked(timeout=1):
                pass

        assert as_stranger(master) == 0
        hits.increment()
    with pytest.raises(Closed):
        hits.increment()
