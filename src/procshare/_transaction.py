"""`transaction()`: changes to several containers, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from procshare._containers import is_a
from procshare._dict import SharedDict
from procshare._list import SharedList
from procshare._namespace import SharedNamespace
from procshare._set import SharedSet
from procshare.backends import maker, serve

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    Container: TypeAlias = SharedDict[Any, Any] | SharedList[Any] | SharedSet[Any] | SharedNamespace

A = TypeVar("A", bound="Container")
B = TypeVar("B", bound="Container")
C = TypeVar("C", bound="Container")
D = TypeVar("D", bound="Container")


@overload
def transaction(a: A, /, *, timeout: float | None = None) -> AbstractContextManager[tuple[A]]: ...
@overload
def transaction(a: A, b: B, /, *, timeout: float | None = None) -> AbstractContextManager[tuple[A, B]]: ...
@overload
def transaction(a: A, b: B, c: C, /, *, timeout: float | None = None) -> AbstractContextManager[tuple[A, B, C]]: ...
@overload
def transaction(
    a: A, b: B, c: C, d: D, /, *, timeout: float | None = None
) -> AbstractContextManager[tuple[A, B, C, D]]: ...
@overload
def transaction(*containers: A, timeout: float | None = None) -> AbstractContextManager[tuple[A, ...]]: ...
def transaction(*containers: Any, timeout: float | None = None) -> AbstractContextManager[tuple[Any, ...]]:
    """Change several containers all or nothing: what a `with` block writes to them appears together when it ends.

    Yields each container as the block sees it, as its `locked()` does. None of the writes appears if the block raises
    or the process dies, at whatever instant. The locks are taken in one order whatever the order here, so that two
    transactions never wait for each other. (Inside a block of some of them and not of others it could not be all or
    nothing, and is refused.)

    Args:
        containers: Dicts, lists, sets and namespaces, all of one backend.
        timeout: Seconds to wait at most for all the locks; 0 tries once; None waits for ever.

    Raises:
        LockTimeout: One was still held by someone else when the time ran out.
        TypeError: One of them is no container, or they are of different backends.
        ValueError: No container was given.
        RuntimeError: This thread is in a block of some of them, but not of all.

    >>> accounts, log = SharedDict(ann=10, bob=0), SharedList()
    >>> with transaction(accounts, log) as (inside, entries):
    ...     inside["ann"] -= 5
    ...     inside["bob"] += 5
    ...     entries.append(("ann", "bob", 5))
    >>> accounts.value, log.value
    ({'ann': 5, 'bob': 5}, [('ann', 'bob', 5)])
    """
    for each in containers:
        if not is_a(SharedDict | SharedList | SharedSet | SharedNamespace, each):
            raise TypeError(
                f"a transaction is over shared dicts, lists, sets and namespaces, not {type(each).__name__}"
            )
    backends = {maker(each.__class__) for each in containers}
    if not backends:
        raise ValueError("a transaction needs a container")
    if len(backends) > 1:
        raise TypeError(
            f"a transaction needs containers of one backend, not of {sorted(each.name for each in backends)}"
        )
    block: AbstractContextManager[tuple[Any, ...]] = serve("transaction", backends.pop())(list(containers), timeout)
    return block
