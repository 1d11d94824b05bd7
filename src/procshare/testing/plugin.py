"""The pytest plugin: fixtures that find what a test leaves behind, and that run functions in processes of their own.

pytest loads it wherever procshare is installed. It does nothing until a test asks for one of its fixtures, or a project
sets `procshare_leaks` in its pytest configuration.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procshare import SegmentInfo
    from procshare.testing import StartWorker

_LEVELS = "off", "warn", "error"


class LeakWarning(pytest.PytestWarning):
    """A test left a shared object, or held a lock, and `procshare_leaks = warn` was set."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting."""
    text = "What to do when a test leaves a shared object or holds a lock: off (default), warn or error"
    parser.addini("procshare_leaks", text, default="off")


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and look after every test where the project wants that."""
    config.addinivalue_line(
        "markers", "procshare_leaks(level): off, warn or error for this test, instead of the setting"
    )
    if _level(config.getini("procshare_leaks")) != "off":
        config.pluginmanager.register(_EveryTest(), "procshare-every-test")


class _EveryTest:
    @pytest.fixture(autouse=True)
    def _procshare_leaks(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Look after every test, as `procshare_leaks` says."""
        marker: pytest.Mark | None = request.node.get_closest_marker("procshare_leaks")
        level = _level(marker.args[0] if marker else request.config.getini("procshare_leaks"))
        if level == "off":
            yield
        else:
            yield from _looked_after(request, level)


@pytest.fixture
def procshare_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it leaves a shared object behind or a lock held, in this process or one that it started.

    What was there before, and what others on this machine make meanwhile, is not looked at. Of a test that fails for
    another reason nothing is told, since its traceback keeps its objects.
    """
    yield from _looked_after(request, "error")


@pytest.fixture
def procshare_segments() -> Callable[[], list[SegmentInfo]]:
    """Call it to get the shared objects that the test, or a process that it started, has made so far and not removed.

    Objects that were never exported (pickled, or their `name` read) are not among them.
    """
    from procshare.testing._leaks import Watch

    return Watch().new


@pytest.fixture
def procshare_start() -> Iterator[StartWorker]:
    """Call it as `procshare_start(function, *args)` to run a function in a spawned process; see `StartWorker`.

    Processes that still run when the test ends are killed.
    """
    from procshare.testing import StartWorker

    start = StartWorker()
    yield start
    start.end()


def _looked_after(request: pytest.FixtureRequest, level: str) -> Iterator[None]:
    from procshare.testing._leaks import Watch, has_core

    if not has_core():
        yield  # the standard library's backend has no segments
        return
    watch, failed = Watch(), request.session.testsfailed
    yield
    if request.session.testsfailed > failed or getattr(sys, "last_value", None) is not None:
        return  # a traceback keeps what the test had
    told = [each.told for each in watch.settled()]
    if not told:
        return
    message = "procshare: " + "\nprocshare: ".join(told)
    if level == "warn":
        warnings.warn(LeakWarning(f"{request.node.nodeid}\n{message}"), stacklevel=1)
    else:
        pytest.fail(message, pytrace=False)


def _level(setting: object) -> str:
    if setting not in _LEVELS:
        raise pytest.UsageError(f"procshare_leaks is one of {', '.join(_LEVELS)}, not {setting!r}")
    return str(setting)
