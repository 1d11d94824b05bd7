"""Where this runs: Python and its packages, the C library, CPUs, a container, and what systemd does to /dev/shm."""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from procshare.cli.doctor.finding import Finding
from procshare.cli.text import size
from procshare.cli.version import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "machine"
_SYSTEM_USERS = 1000  # ids below are of services, which systemd-logind spares


def look_at_machine(root: Path = Path("/")) -> Iterator[Finding]:
    """Python, NumPy, the C library, CPUs, containers, systemd.

    Args:
        root: Where the file system begins.
    """
    method = multiprocessing.get_start_method()
    gil = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else " without a GIL"
    told = f"{platform.python_implementation()} {platform.python_version()}{gil}, starts processes by {method}"
    yield Finding(TOPIC, "Python", "ok", told, data={"version": platform.python_version(), "start_method": method})
    packages = {name: installed(name) for name in ("numpy", "typing-extensions", "typer", "rich")}
    missing = packages["numpy"] is None
    told = ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
    hint = "pip install numpy: arrays need it" if missing else ""
    yield Finding(TOPIC, "packages", "warn" if missing else "ok", told, hint, packages)
    library = " ".join(platform.libc_ver()).strip() or "not glibc"
    yield Finding(TOPIC, "C library", "ok", library, data=library)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(TOPIC, "CPUs", "ok", f"{cpus} on {platform.machine()}", data=cpus)
    yield from _container(root)
    yield from _logind(root)


def container(root: Path) -> str | None:
    """The kind of container that this process runs in, as far as it shows."""
    if (root / ".dockerenv").exists():
        return "Docker"
    if (root / "run/.containerenv").exists():
        return "Podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "Kubernetes"
    return None


def memory_limit(root: Path) -> int | None:
    """Bytes that the control group of this process may use, or None: as many as there are."""
    for file in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = (root / file).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < 1 << 60:
            return int(text)
    return None


def _container(root: Path) -> Iterator[Finding]:
    kind, limit = container(root), memory_limit(root)
    if kind is None and limit is None:
        return
    memory = "no limit of memory" if limit is None else f"{size(limit)} of memory at most"
    hint = "" if limit is None else "what lies in /dev/shm counts as memory of the container"
    yield Finding(
        TOPIC, "container", "note", f"{kind or 'a control group'}, {memory}", hint, {"kind": kind, "memory": limit}
    )


def _logind(root: Path) -> Iterator[Finding]:
    if os.geteuid() < _SYSTEM_USERS or not (root / "run/systemd/seats").exists():
        return
    said = ""
    for file in [root / "etc/systemd/logind.conf", *sorted(root.glob("etc/systemd/logind.conf.d/*.conf"))]:
        try:
            lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
        except OSError:
            continue
        said = next((line.partition("=")[2].strip().lower() for line in lines if line.startswith("RemoveIPC=")), said)
    if said not in ("no", "false", "0", "off"):
        hint = "run services as a system user, or set RemoveIPC=no in /etc/systemd/logind.conf"
        told = "systemd removes this user's files in /dev/shm when the last session ends"
        yield Finding(TOPIC, "RemoveIPC", "note", told, hint, data=True)
