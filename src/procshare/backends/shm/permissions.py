"""Who besides its user may use a segment: the arguments mode= and group=, and whose segments this process uses."""

from __future__ import annotations

import grp
import os
import pwd

from procshare.backends.shm.core import native

USER, GROUP, OTHERS = range(3)  # see _native/trust.c
NO_GROUP = 2**32 - 1
PRIVATE = 0o600


def permissions(mode: object, group: object) -> tuple[int, int]:
    """The mode that is meant, 0 for that of all segments, and the number of the group, or `NO_GROUP`.

    Who lets others in trusts them: what they write will be read here.
    """
    mode = PRIVATE if mode is None else mode
    if not isinstance(mode, int) or isinstance(mode, bool):
        raise TypeError(f"mode is a number, as 0o660, not {mode!r}")
    if mode & ~0o666 or mode & PRIVATE != PRIVATE:
        raise ValueError(
            f"{mode:#o} cannot be a mode: give 0o600 and with it, for others, any of 0o040, 0o020, 0o004 and 0o002; "
            "its user reads and writes it, and nobody executes it"
        )
    if group is None:
        number = NO_GROUP
    elif mode & 0o060:
        number = group_number(group)
    else:
        raise ValueError(f"mode {mode:#o} lets no group in; give mode=0o660 with group={group!r}")
    if mode & 0o060:
        native.trust(GROUP, os.getegid() if number == NO_GROUP else number)
    if mode & 0o006:
        native.trust(OTHERS, 0)
    return (0 if mode == PRIVATE else mode), number


def trust(user: object, group: object, others: bool) -> None:
    """See `procshare.trust`."""
    numbers = [(USER, user_number(user))] if user is not None else []
    numbers += [(GROUP, group_number(group))] if group is not None else []
    numbers += [(OTHERS, 0)] if others else []
    for which, number in numbers:
        native.trust(which, number)


def user_number(user: object) -> int:
    """A user's number, from that or from the name."""
    if not isinstance(user, str):
        return _number("user", user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"no user is called {user!r}") from None


def group_number(group: object) -> int:
    """A group's number, from that or from the name."""
    if not isinstance(group, str):
        return _number("group", group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"no group is called {group!r}") from None


def _number(what: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"a {what} is a name or a number, not {given!r}")
    if not 0 <= given < NO_GROUP:
        raise ValueError(f"{given} is no {what}'s number")
    return given
