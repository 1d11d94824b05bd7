"""Money moves between two accounts in a transaction: a process killed in the middle of one leaves nothing half done.

The accounts are in two dicts, and the sum of both must stay what it was. A clerk transfers without pause; five are
killed with SIGKILL, each at another moment. Whoever looks next finds every transfer whole, or not there at all.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import Process
from typing import TYPE_CHECKING, NamedTuple

from procshare import SharedCounter, SharedDict, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

CLERKS = 5
MONEY = 1_000


class Books(NamedTuple):
    """What the accounts come to after all clerks were killed."""

    total: int
    transfers: int
    """How many transfers the books show."""
    acknowledged: int
    """How many transfers the clerks had finished, as each told before its next."""
    after: int
    """The total after one more transfer, by a process that had to wait for no one."""


def transfer(checking: SharedDict[str, int], savings: SharedDict[str, int], amount: int) -> None:
    """Move money, and count the transfer: in both dicts, or in neither."""
    with transaction(checking, savings) as (one, other):
        one["balance"] -= amount
        other["balance"] += amount
        one["transfers"] += 1


def clerk(checking: SharedDict[str, int], savings: SharedDict[str, int], done: SharedCounter) -> None:
    """Transfer to and fro until killed."""
    amount = 1
    while True:
        transfer(checking, savings, amount)
        done.increment()
        amount = -amount


def at_least(goal: int) -> Callable[[int], bool]:
    """Whether a count has come so far."""
    return lambda count: count >= goal


def main() -> Books:
    """Let the clerks work, kill each, and look at the books."""
    with (
        SharedDict({"balance": MONEY, "transfers": 0}) as checking,
        SharedDict({"balance": MONEY}) as savings,
        SharedCounter() as done,
    ):
        for number in range(1, CLERKS + 1):
            worker = Process(target=clerk, args=(checking, savings, done), daemon=True)
            worker.start()
            done.wait_until(at_least(done.value + 100 * number), timeout=30)
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
        with transaction(checking, savings) as (one, other):
            total = one["balance"] + other["balance"]
        transfers, acknowledged = checking["transfers"], done.value
        transfer(checking, savings, 500)
        after = checking["balance"] + savings["balance"]
    print(f"{CLERKS} clerks killed; {transfers:,} transfers in the books, {acknowledged:,} acknowledged")
    print(f"both accounts together: {total:,}, and {after:,} after one more transfer; {2 * MONEY:,} is right")
    return Books(total, transfers, acknowledged, after)


if __name__ == "__main__":
    main()
