"""`procshare doctor`: what it finds on a machine that is well, and on ones that are not."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from cli_support import needs_shm, run, seen, spoil
from demo_support import python
from procshare.cli.commands.doctor import verdict
from procshare.cli.doctor import Finding, kernel, limits, machine, memory, setup

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


def findings(ran: Any) -> dict[str, Any]:
    """What was found, by topic and name."""
    return {f"{each['topic']}: {each['name']}": each for each in ran.data["findings"]}


@needs_shm
def test_a_machine_that_is_well() -> None:
    """Nothing prevents procshare here: exit code 0, and every part was looked at."""
    ran = run("doctor", "--json")
    assert (ran.code, ran.data["ok"]) == (0, True)
    found = findings(ran)
    assert found["procshare: core"]["data"] is found["procshare: trial"]["data"] is True
    assert found["procshare: backend"]["data"] == procshare.default_backend()
    assert found["shared memory: /dev/shm"]["data"]["size"] > 0
    for name in ("O_TMPFILE", "fallocate", "OFD locks", "/proc"):
        assert found[f"kernel: {name}"]["state"] == "ok"
    assert found["limits: open files"]["data"]["soft"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert {"limits: address space", "limits: file size", "limits: locked memory", "machine: C library"} <= found.keys()
    assert found["machine: packages"]["data"]["numpy"]


@needs_shm
@pytest.mark.parametrize("columns", [40, 100])
def test_it_fits_every_screen(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Marks at the left, and hints below what they are about."""
    lines = seen(monkeypatch, columns, "doctor")
    assert any(line.startswith("  ✔ core") for line in lines)
    assert lines[-1] in ("All is well.", "procshare works; 1 thing could be better.")


def test_in_a_pipe_states_are_words() -> None:
    """For grep."""
    lines = run("doctor").out.splitlines()
    assert "procshare" in lines
    assert any(line.startswith("  ok   version") for line in lines)


@pytest.mark.parametrize(("backend", "said"), [("nonsense", "no backend is called 'nonsense'"), ("shm", "not built")])
def test_what_prevents_procshare_exits_with_1(backend: str, said: str) -> None:
    """A backend that there is none of, and one that was asked for and has no core."""
    script = f"import os, sys; os.environ['PROCSHARE_BACKEND'] = {backend!r}; sys.modules['procshare._native'] = None"
    ran = python("-c", f"{script}\nfrom procshare.cli import main\nmain(['doctor'])")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert said in ran.stdout
    assert "prevent" in ran.stdout.splitlines()[-1]


@needs_shm
def test_a_core_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the loader says; the backend that needs it fails as well."""

    def refuse(name: str) -> None:
        raise ImportError(f"{name}: GLIBC_2.99 not found")

    monkeypatch.setattr(setup, "import_module", refuse)
    monkeypatch.delenv("PROCSHARE_BACKEND", raising=False)
    found = {each.name: each for each in setup.look_at_setup()}
    assert (found["core"].state, found["backend"].state) == ("fail", "fail")
    assert "GLIBC_2.99" in found["core"].value
    assert "trial" not in found


def test_the_verdict_counts() -> None:
    """What fails comes before what could be better."""
    fine, better, bad = Finding("", "", "ok", ""), Finding("", "", "warn", ""), Finding("", "", "fail", "")
    assert verdict([fine]).text == "All is well."
    assert verdict([fine, better, better]).text == "procshare works; 2 things could be better."
    assert verdict([bad, better]).text == "1 thing prevents procshare; 1 thing could be better."


@needs_shm
def test_what_lies_in_shared_memory_is_counted() -> None:
    """Ours, what cannot be read of ours, and what is not ours."""
    name, other = f"test-doctor-{os.getpid()}", f"/dev/shm/psm_test{os.getpid()}"
    with procshare.SharedDict({"a": 1}, name=name), open(other, "w") as file:
        try:
            file.write("x" * 5000)
            file.flush()
            before = findings(run("doctor", "--json"))
            assert before["shared memory: procshare's"]["data"]["segments"] >= 1
            assert before["shared memory: of others"]["data"]["files"] >= 1
            assert before["shared memory: of others"]["data"]["bytes"] >= 5000
            spoil(name)
            damaged = findings(run("doctor", "--json"))["shared memory: damaged"]
            assert damaged["data"] == [f"procshare.{os.geteuid()}.{name}"]
            assert "procshare rm" in damaged["hint"]
        finally:
            os.unlink(other)


def room(total: int, free: int) -> os.statvfs_result:
    """A file system of so many bytes."""
    page = 4096
    return os.statvfs_result((page, page, total // page, free // page, free // page, 0, 0, 0, 0, 255))


@pytest.mark.parametrize(
    ("total", "free", "state", "hint"),
    [
        (8 << 30, 8 << 30, "ok", ""),
        (64 << 20, 60 << 20, "warn", "docker run --shm-size=1g"),
        (8 << 30, 1 << 20, "warn", "procshare prune"),
        (8 << 30, 4096, "fail", "procshare prune"),
    ],
)
def test_small_and_full_memory(monkeypatch: pytest.MonkeyPatch, total: int, free: int, state: str, hint: str) -> None:
    """Docker's 64 MiB are named as such; a full /dev/shm prevents procshare."""

    def statvfs(_path: object) -> os.statvfs_result:
        return room(total, free)

    monkeypatch.setattr(os, "statvfs", statvfs)
    found = next(memory.look_at_memory())
    assert (found.state, hint in found.hint) == (state, True)
    assert found.data["free"] == free


def test_the_last_mount_counts(tmp_path: Path) -> None:
    """A disk that is mounted over a tmpfs is what there is."""
    mounts = tmp_path / "mounts"
    mounts.write_text("shm /dev/shm tmpfs rw 0 0\n/dev/sda /dev/shm ext4 rw 0 0\n")
    assert memory.file_system(memory.SHM, mounts) == "ext4"
    assert memory.file_system(memory.SHM, tmp_path / "none") is None


def test_refused_system_calls_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that forbids a lock, and a lock that does not exclude."""

    def refuse(*_args: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def allow(*_args: object) -> int:
        return 0

    for behaviour, told in ((refuse, "Operation not permitted"), (allow, "two have the same lock")):
        monkeypatch.setattr(fcntl, "fcntl", behaviour)
        [found] = [each for each in kernel.look_at_kernel() if each.name == "OFD locks"]
        assert found.state == "fail"
        assert told in found.value


def test_tight_limits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few descriptors, little address space, short files."""

    def tight(which: int) -> tuple[int, int]:
        return {resource.RLIMIT_NOFILE: (256, 4096)}.get(which, (1 << 20, 1 << 20))

    monkeypatch.setattr(resource, "getrlimit", tight)
    found = {each.name: each for each in limits.look_at_limits()}
    assert [each.state for each in found.values()] == ["warn", "warn", "warn", "ok"]
    assert "ulimit -n" in found["open files"].hint


def test_why_the_core_was_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No compiler, no headers, or neither the reason."""

    def nowhere(_name: str) -> None:
        return None

    def somewhere(name: str) -> str:
        return f"/usr/bin/{name}"

    def paths() -> dict[str, str]:
        return {"include": str(tmp_path)}

    monkeypatch.setattr(shutil, "which", nowhere)
    assert setup.why_not_built()[0] == "there is no C compiler"
    monkeypatch.setattr(shutil, "which", somewhere)
    monkeypatch.setattr(sysconfig, "get_paths", paths)
    assert setup.why_not_built()[0] == "Python.h is missing"
    (tmp_path / "Python.h").touch()
    assert "installed without it" in setup.why_not_built()[0]


def test_containers_and_systemd_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whose memory it is, and who removes files behind one's back."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert machine.container(tmp_path) is None
    (tmp_path / ".dockerenv").touch()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("536870912\n")
    (tmp_path / "run/systemd/seats").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = {each.name: each for each in machine.look_at_machine(tmp_path)}
    assert found["container"].value == "Docker, 512 MiB of memory at most"
    assert found["RemoveIPC"].state == "note"
    (tmp_path / "etc/systemd").mkdir(parents=True)
    (tmp_path / "etc/systemd/logind.conf").write_text("[Login]\nRemoveIPC=no\n")
    assert "RemoveIPC" not in {each.name for each in machine.look_at_machine(tmp_path)}
