"""For tests of crash-safety: the named points at which a process can be made to die by SIGKILL.

A process that is started with PROCSHARE_FAULT=<point> in its environment loads the core's test build and kills itself
at that point; PROCSHARE_FAULT=<point>:<n> at its n-th visit. With PROCSHARE_FAULT=- it loads the test build and
lives, until `arm()` names a point. Without the variable the core has no fault points at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def fault_points() -> tuple[str, ...]:
    """The names of all fault points, "structure.step", in the order of `_native/faults.h`.

    Raises:
        ImportError: The core was not built (no C compiler was found at installation).
    """
    points: tuple[str, ...] = _build().fault_points()
    return points


def arm(point: str) -> None:
    """From now on die at this point, in a process that was started with PROCSHARE_FAULT set.

    Args:
        point: "structure.step", or "structure.step:n" for its n-th visit from now; "-" for none. With "!" behind it the
            process does not die but stops there (SIGSTOP) for ever, so that somebody else can see to its death;
            with "~" it stops there once, until it is told to go on (SIGCONT).

    Raises:
        ValueError: No point is called that.
        RuntimeError: The process does not run the test build.
    """
    from procshare.backends.shm.core import native

    if native is not _build():
        raise RuntimeError("this process runs the core without fault points; start it with PROCSHARE_FAULT=-")
    _build().arm(point)


def visits() -> dict[str, int]:
    """How often each point was visited since the last `arm()`, in this process; without those that were not."""
    found: dict[str, int] = _build().visits()
    return found


def _build() -> Any:
    return import_module("procshare._native_faults")
