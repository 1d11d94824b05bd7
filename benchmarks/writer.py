"""Another process, which writes flat out while something is timed."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare.bench.measure import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Seconds = Callable[[], float]


class Writer:
    """A process that does the same again and again, while it is told to."""

    def __init__(self, write: Callable[[], object]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, pipe = context.Pipe()
        self._process = context.Process(target=self._work, args=(pipe, write), daemon=True)
        self._process.start()

    @staticmethod
    def _work(pipe: Any, write: Callable[[], object]) -> None:
        while pipe.recv():
            write()
            pipe.send(0)
            times = 0
            while not pipe.poll():
                write()
                times += 1
            pipe.recv()
            pipe.send(times)

    def beside(self, action: Seconds) -> Seconds:
        """The action, timed while this process writes; again if it got no time to write meanwhile."""

        def run() -> float:
            while True:
                self._tell(True)
                seconds = action()
                if self._tell(False):
                    return seconds

        return run

    def beside_way(self, way: Way) -> Way:
        """The same, for one way among several."""

        def run(turns: int) -> float:
            return self.beside(partial(way.run, turns))()

        return Way(run, way.per, way.most)

    def _tell(self, go: bool) -> int:
        """Say it, wait until it is so, and return how often it has written meanwhile."""
        self._pipe.send(go)
        if not self._pipe.poll(30):
            raise SystemExit("the writing process does not answer")
        times: int = self._pipe.recv()
        return times

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()


@contextmanager
def writing(write: Callable[[], object]) -> Generator[Writer]:
    """A process that writes when told to, for the length of the block."""
    writer = Writer(write)
    try:
        yield writer
    finally:
        writer.stop()
