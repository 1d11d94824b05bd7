"""`procshare rm` and `procshare prune`: what goes, what is spared, and who is asked."""

from __future__ import annotations

import os

import pytest

import procshare
from cli_support import Terminal, needs_shm, run, seen, spoil
from scripts import Script

pytestmark = pytest.mark.timeout(60)

OWNING = "c = SharedCounter(name=sys.argv[1]); say(os.getpid()); sys.stdin.readline()"


def there(name: str) -> bool:
    """Whether an object of this name can be attached."""
    try:
        procshare.attach(name).close()
    except procshare.NotFound:
        return False
    return True


@needs_shm
def test_rm_removes_what_nobody_uses() -> None:
    """An object that persists, without asking; a second time it is not found."""
    name = f"test rm {os.getpid()}"
    procshare.SharedCounter.open(name, persist=True).close()
    assert run("rm", name) == (0, f"removed {name}\n", "")
    assert not there(name)
    again = run("rm", name)
    assert (again.code, again.out) == (1, "")
    assert "no live shared object is called" in again.err


@needs_shm
def test_rm_spares_what_is_in_use_unless_forced() -> None:
    """Nobody can be asked in a pipe: it says who uses it, and what to do."""
    name = f"test-rm-{os.getpid()}"
    with Script(OWNING, name) as program:
        pid = program.hear()
        refused = run("rm", name)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith(f"procshare: '{name}' is in use by pid {pid} (")
        assert refused.err.endswith("; --force removes it all the same\n")
        assert there(name)
        forced = run("rm", "--force", name, "--json")
        assert forced.code == 0
        assert forced.data == [{"name": name, "removed": True, "attached": [int(pid)], "error": None}]
        assert not there(name)
        program.tell()
        assert program.ended() == (0, "", "")  # its owner does not mind


@needs_shm
def test_rm_asks_on_a_terminal() -> None:
    """What is answered counts."""
    name = f"test-rm-{os.getpid()}"
    with procshare.SharedCounter(name=name):
        for answer, code in (("n", 1), ("y", 0)):
            with Terminal("rm", name, columns=200) as terminal:
                terminal.read_until("Remove it all the same?")
                terminal.write(f"{answer}\n")
                terminal.read_all()
                assert terminal.process.wait() == code
            assert there(name) is (answer == "n")


@needs_shm
def test_rm_removes_what_cannot_be_attached() -> None:
    """A damaged segment goes like any other, and is spared like any other while somebody has it open."""
    name = f"test-rm-{os.getpid()}"
    with Script(OWNING, name) as program:
        pid = program.hear()
        spoil(name)
        refused = run("rm", name)
        assert (refused.code, refused.out) == (1, "")
        assert f"in use by pid {pid}" in refused.err
        assert run("rm", "--force", name) == (0, f"removed {name}\n", "")
        assert f"procshare.{os.geteuid()}.{name}" not in os.listdir("/dev/shm")
        program.kill()


@needs_shm
def test_rm_goes_on_after_what_it_did_not_find() -> None:
    """Each name is dealt with; the exit code tells that one was wrong."""
    name = f"test-rm-{os.getpid()}"
    procshare.SharedCounter.open(name, persist=True).close()
    ran = run("rm", "no-such-object", name, "--json")
    assert ran.code == 1
    assert [each["removed"] for each in ran.data] == [False, True]
    assert "no live shared object" in ran.data[0]["error"]
    assert run("rm", "not/a name").code == 2


@needs_shm
def test_unlink_refuses_a_small_object_whose_segment_is_damaged() -> None:
    """It is not the whole segment; that has a name of its own."""
    with procshare.SharedCounter() as counter:
        name, segment = counter.name, counter.segment
        with open(f"/dev/shm/{segment}", "r+b") as file:
            header = file.read(64)
            file.seek(0)
            file.write(b"\xff" * 64)
        with pytest.raises(procshare.CorruptSegment):
            procshare.unlink(name)
        with open(f"/dev/shm/{segment}", "r+b") as file:
            file.write(header)
        procshare.unlink(name)
        with pytest.raises(procshare.NotFound):
            procshare.unlink(name)


@needs_shm
def test_unlink_leaves_others_segments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to another user raises NotOwned, and stays."""
    name = f"test-rm-{os.getpid()}"
    with procshare.SharedCounter(name=name):
        spoil(name)
        path = f"/dev/shm/procshare.{os.geteuid()}.{name}"
        real = os.lstat(path)

        def of_another(_path: str) -> os.stat_result:
            return os.stat_result([*real[:4], real.st_uid + 1, *real[5:]])

        monkeypatch.setattr(os, "lstat", of_another)
        with pytest.raises(procshare.NotOwned, match="it belongs to user"):
            procshare.unlink(name)
        monkeypatch.undo()
        assert os.path.exists(path)
        procshare.unlink(name)


@needs_shm
def test_prune_dry_run_spares_the_living() -> None:
    """What a living process has open is not among what `prune` would remove."""
    name = f"test-prune-{os.getpid()}"
    with procshare.SharedCounter(name=name):
        assert name not in [info["name"] for info in run("prune", "--dry-run", "--json").data]


def test_prune_tells_what_it_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prune` removes unless told otherwise, and lists it; what it removes is `procshare.prune()`'s own test."""
    asked: list[bool] = []

    def removing(dry_run: bool = False) -> list[procshare.SegmentInfo]:
        asked.append(dry_run)
        return [
            procshare.SegmentInfo("old", "/procshare-old", "counter", 8192, None, (), None, False, "", 0, None, None)
        ]

    monkeypatch.setattr(procshare, "prune", removing)
    assert run("prune").rows[0]["NAME"] == "old"
    assert seen(monkeypatch, 80, "prune")[-1] == "Removed 1 segment, 8 KiB."
    assert seen(monkeypatch, 80, "prune", "-n")[-1] == "1 segment, 8 KiB, would be removed."
    assert asked == [False, False, True]
