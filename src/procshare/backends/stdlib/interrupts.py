"""Ctrl-C at a moment when it does no harm: not between two halves of a change that other processes see."""

from __future__ import annotations

import threading
from importlib import import_module
from signal import SIGINT
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_signal: Any = import_module("_signal")  # what is under `signal`, whose enums cost more than all the rest here


class Undisturbed:
    """A block that Ctrl-C interrupts only at its end; it should be short. A second Ctrl-C is not put off.

    Python runs a signal's handler in the main thread, between any two steps of its code. What is in half of a message,
    or between a semaphore and the note that it was taken, would be left like that for ever.
    """

    __slots__ = ("_came", "_handler")
    _came: tuple[int, FrameType | None] | None
    _handler: Any

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None:
            self._handler(number, frame)
        self._came = number, frame

    def __enter__(self) -> None:
        self._came = self._handler = None
        if threading.current_thread() is threading.main_thread():
            handler = _signal.getsignal(SIGINT)
            if callable(handler):
                self._handler = handler
                _signal.signal(SIGINT, self._note)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handler is not None:
            _signal.signal(SIGINT, self._handler)
            if self._came is not None:
                self._handler(*self._came)
