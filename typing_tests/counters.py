"""Type-checked, never run: what the checkers make of `SharedCounter`.

Each `ignore` names an error that must be there: the checkers report an ignore that has become unnecessary.
"""

from contextlib import AbstractContextManager
from typing import assert_type

from procshare import Cell, Shared, SharedCounter

hits = SharedCounter()
assert_type(hits, SharedCounter)
assert_type(SharedCounter(5, name="hits", backend="shm"), SharedCounter)
state: Shared[int] = hits

assert_type(hits.increment(), int)
assert_type(hits.decrement(5), int)
assert_type(hits.exchange(5), int)
assert_type(hits.compare_exchange(5, 6), bool)
assert_type(hits.value, int)
assert_type(int(hits), int)
assert_type(hits.modify(lambda n: n * 2), int)
assert_type(hits.wait_until(lambda n: n > 5, timeout=0.5), int)
hits.set(5)

hits += 1
hits -= 1
assert_type(hits, SharedCounter)

assert_type(hits.locked(), AbstractContextManager[Cell[int]])
with hits.locked(timeout=5) as cell:
    cell.value += 1
    assert_type(cell.value, int)
    cell.value = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

hits.value += 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
hits.value = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
hits.increment("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hits.increment(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hits.set(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hits.modify(str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
hits.locked("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedCounter("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedCounter(5, "i")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SharedCounter(nme="hits")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
hits += 1.5  # type: ignore[arg-type]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
