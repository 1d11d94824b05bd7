"""On what something was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import procshare


@dataclass(frozen=True)
class Machine:
    """What a figure depends on besides the code."""

    cpu: str
    cpus: int
    """How many this process may run on."""
    system: str
    python: str
    procshare: str
    backend: str
    load: float
    """Processes that wanted a CPU, the mean of the minute before: more than there are CPUs is a busy machine."""
    date: str

    def __str__(self) -> str:
        cores = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return (
            f"{self.cpu}, {cores}, {self.system}, {self.python}, procshare {self.procshare} on its {self.backend} "
            f"backend, {self.date}, load {self.load:.1f} at the start"
        )


def this_machine() -> Machine:
    """The one that this process runs on, as it is now."""
    return Machine(
        cpu=_cpu(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=f"{platform.python_implementation()} {platform.python_version()}{_threading()}",
        procshare=_version(),
        backend=procshare.default_backend(),
        load=os.getloadavg()[0],
        date=time.strftime("%Y-%m-%d"),
    )


def _version() -> str:
    try:
        return metadata.version("procshare")
    except metadata.PackageNotFoundError:
        return "as it lies in its sources"


def _threading() -> str:
    enabled = getattr(sys, "_is_gil_enabled", None)
    return "" if enabled is None or enabled() else " free-threaded"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
