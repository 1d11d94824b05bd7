"""What queues, semaphores, events, conditions, barriers and read-write locks have in common: a handle on one thing."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import finalize

from procshare.backends.stdlib.handle import StdlibHandle
from procshare.backends.tracker import release, tracking

if TYPE_CHECKING:
    from collections.abc import Callable

CoreT = TypeVar("CoreT")


class Kept:
    """Something of `multiprocessing`'s with semaphores in it, which are given up where `release` allows it."""

    __slots__ = ("__weakref__", "_things")

    def __init__(self, thing: Any) -> None:
        self._things = [thing]  # which lets go of it where it is emptied; what a slot holds goes after the finalizer
        finalize(self, release, self._things.clear).atexit = False

    @property
    def thing(self) -> Any:
        """It."""
        return self._things[0]


def spawning() -> Any:
    """The context whose semaphores children of every start method can be given."""
    context: Any = multiprocessing.get_context("spawn")
    return context


def made(make: Callable[..., Any], *args: Any) -> Any:
    """What *make* makes, which may call the resource tracker."""
    with tracking():
        return make(*args)


class StdlibPrimitive(StdlibHandle, Generic[CoreT]):
    """A handle on one thing, whose core every handle of this process has."""

    __slots__ = ("_core",)
    _core: CoreT

    def _place(self, core: CoreT, *, created: bool = False) -> None:
        self._begin(os.getpid() if created else None)
        self._core = core

    def _kept(self) -> object:
        return self._core

    def close(self) -> None:
        if not self._closed:
            super().close()
            del self._core

    def _opened(self) -> CoreT:
        self._require_open()
        return self._core
