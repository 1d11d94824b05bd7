"""Whose shared objects this process uses besides its own user's: `trust()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procshare.backends import serve

if TYPE_CHECKING:
    from collections.abc import Callable


def trust(*, user: str | int | None = None, group: str | int | None = None, others: bool = False) -> None:
    """Attach, from now on, to objects that others can write into; by default only its own user may.

    Who can write into a dict, list, queue or untyped value can run code in whoever reads it, since they may hold
    pickles. So an object is refused, with `NotOwned`, unless all are trusted who can read or write it: its user; its
    group, if its mode lets that in; and everybody, if it lets those in. It makes no difference how the process comes by
    the object, by name or by a pickled handle.

    It holds for this process and what it forks. A process that is started by spawn or forkserver trusts for itself:
    call this at the top of the main module, which it imports before it unpickles its arguments. Whoever makes or opens
    an object with `mode=` and `group=` trusts those whom it lets in, and needs no call.

    Args:
        user: Name or number of a user, whose objects are used then.
        group: Name or number of a group, whose members may then write into objects of this user and of trusted users.
        others: Everybody may.

    Raises:
        ValueError: No user or group has this name or number.

    >>> trust(group=4711)
    """
    believe: Callable[[str | int | None, str | int | None, bool], None] = serve("trust", "shm")
    believe(user, group, others)
