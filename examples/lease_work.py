"""A worker is killed in the middle of an item: the item comes back to the queue, and another worker does it.

`get()` hands an item out for good: if its taker dies, it is gone. `lease()` hands it out for the length of a block.
When the block ends, it is done; if the block raises or its process dies, it is at the front of the queue again.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import Process
from typing import NamedTuple

from procshare import SharedCounter, SharedList, SharedQueue, ShutDown

ITEMS = ["one", "two", "three", "four"]


class Work(NamedTuple):
    """What came of it."""

    done: list[str]
    """In the order in which it was done."""
    left: int


def work(queue: SharedQueue[str], done: SharedList[str], begun: SharedCounter, careless: bool) -> None:
    """Do one item after the other; a careless worker is killed in the middle of its second."""
    while True:
        try:
            with queue.lease() as item:
                if begun.increment() == 2 and careless:
                    os.kill(os.getpid(), signal.SIGKILL)
                done.append(item)
        except ShutDown:
            return


def main() -> Work:
    """Let a careless worker begin, and another one finish."""
    with SharedQueue[str]() as queue, SharedList[str]() as done, SharedCounter() as begun:
        queue.put_many(ITEMS)
        for careless in (True, False):
            worker = Process(target=work, args=(queue, done, begun, careless))
            worker.start()
            if careless:
                worker.join()
                print(f"killed, exit code {worker.exitcode}; done so far: {done.value}")
            else:
                queue.join(timeout=30)  # until all that was put is done
                queue.shutdown()
                worker.join()
        result = Work(done.value, queue.qsize())
    print(f"done in the end: {result.done}; left in the queue: {result.left}")
    return result


if __name__ == "__main__":
    main()
