"""What `procshare doctor` looks at: each module here looks at one side of the machine, and yields what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procshare.cli.doctor.finding import Finding
from procshare.cli.doctor.kernel import look_at_kernel
from procshare.cli.doctor.limits import look_at_limits
from procshare.cli.doctor.machine import look_at_machine
from procshare.cli.doctor.memory import look_at_memory
from procshare.cli.doctor.setup import look_at_setup

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Finding", "look"]


def look() -> Iterator[Finding]:
    """All that there is to find, topic after topic."""
    yield from look_at_setup()
    yield from look_at_memory()
    yield from look_at_limits()
    yield from look_at_kernel()
    yield from look_at_machine()
