"""What `chaos`'s workers do with transactions: money moves between four containers, and none is lost or made."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procshare import SharedDict, SharedList, SharedNamespace, SharedSet, transaction
from procshare.testing._chaos_state import Oops, pattern

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

SUM = 6_000
NAMES = "bank", "vault", "safe", "odd"


def make(_name: str, _slots: int) -> dict[str, Any]:
    """The objects."""
    return {
        "bank": SharedDict[Any, Any]({"cash": SUM}),
        "vault": SharedList[Any]([0] * 8),
        "safe": SharedNamespace({"cash": 0, "commits": 0}),
        "odd": SharedSet[Any](),
    }


def transactions(w: Worker) -> None:
    """Move money between four containers, or look at all of them at once."""
    objects = [w.world[name] for name in NAMES]
    fails = w.rng.random() < 0.2
    moves = w.some(True, True, False)
    if w.rng.random() < 0.3:
        _two(w)
        return
    with suppress(Oops), transaction(*objects, timeout=w.timeout()) as (bank, vault, safe, odd):
        _add_up(w, bank, vault, safe, odd)
        if not moves:
            return
        if not fails:
            w.intend("commits")
        n, at = w.rng.randint(-30, 30), w.rng.randrange(8)
        bank["cash"] -= 2 * n
        vault[at] += n
        w.inside()
        safe.cash += n
        safe.commits += 1
        (odd.add if safe.commits % 2 else odd.discard)("odd")
        bank["last", w.slot] = pattern(n, 10 * abs(n))
        with suppress(Oops), w.world["bank"].locked() as inner:
            inner["cash"] += 1
            raise Oops
        if fails:
            raise Oops
    if not fails:
        w.ack("commits")


def _two(w: Worker) -> None:
    """Of two of them only."""
    with transaction(w.world["vault"], w.world["bank"], timeout=w.timeout()) as (vault, bank):
        n = w.rng.randint(-30, 30)
        vault[w.rng.randrange(8)] += n
        w.inside()
        bank["cash"] -= n


def _add_up(w: Worker, bank: Any, vault: Any, safe: Any, odd: Any) -> None:
    low = w.ledger.acknowledged("commits")
    total = bank["cash"] + sum(vault) + safe.cash
    commits = safe.commits
    high = w.ledger.intended("commits")
    w.check(total == SUM, f"{bank['cash']} + {vault.value} + {safe.cash} is {total}")
    w.check(low <= commits <= high, f"{commits} commits, not between {low} and {high}")
    w.check(("odd" in odd) == commits % 2, f"half of a transaction: {commits} commits and {odd.value}")


def settle(w: Worker) -> None:
    """At the end: it adds up, and goes on."""
    for _ in range(2):
        with transaction(*(w.world[name] for name in NAMES)) as four:
            _add_up(w, *four)
        transactions(w)


DEEDS: dict[str, Deed] = {"transaction": transactions}
