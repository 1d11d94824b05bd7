"""Every text with which procshare's own sources make an error, and which of them no row of the table brings about."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from typing import TYPE_CHECKING

import procshare

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(procshare.__file__).parent
CORE = Path(__file__).parent.parent / "src" / "procshare" / "_native"
OTHER_ROOMS = {"testing", "bench", "cli"}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"(?:\s*"(?:\\.|[^"\\\n])*")*')
PLACE = re.compile(r"%[-0-9.]*(?:ll|z)?[a-zA-Z]")

DAMAGE = {
    "a key or value in it makes no sense",
    "a value in it makes no sense",
    "an item in it makes no sense",
    "it is too small for what it is",
    "its description lies outside",
    "its description lies over its seats",
    "its description makes no sense: {}",
    "it takes {} bytes of {}",
    "its file was made shorter while this process was attached",
    "its heap ends behind its file",
    "its kind is unknown",
    "its lock has no possible name",
    "its name has no end",
    "its number of slots is wrong",
    "its payload lies outside",
    "its ring makes no sense",
    "its size is not a queue's",
    "its size is not a slab's",
    "its size is not that of its kind",
    "its size is not the file's",
    "its type code is unknown",
    "its value makes no sense",
    "what it names as its lock, {}, is none",
    "what it says about itself makes no sense",
}
"""What follows `CorruptSegment`'s own words, or what makes it: test_checks.py, and the tests of damaged bytes."""

ABROAD = {
    "a file is given to a group by root, or by a user who is a member of it",
    "it belongs to another user",
    "it belongs to another user, {}, and its mode is {}: {}; who makes it can let others in, by mode=0o660 and group=",
    "it belongs to another user, {}, and only that user and root can remove it",
    "it belongs to another user, {}; if that user may run code in this process, call procshare.trust(user={}) first",
    (
        "it belongs to user {}, and this process was forked as user {}: fork first, then become another user; or make "
        "it with mode= and group= that let that user in"
    ),
    "it belongs to user {}; it was not removed",
    (
        "it has no name yet, which only the user who made it can give, {}, and this process is user {}: read its "
        ".name, or store a handle in it, before it becomes another user; or make it with mode= and group="
    ),
}
"""What needs another user: test_permissions.py, test_names.py."""

SCARCE = {
    "a transaction is over at most 4096 containers",
    "an item has more than 65,536 buffers out of band",
    "an item of a key is too long",
    "as many processes are attached as it has seats for, 768",
    "each container, queue and array takes a descriptor: raise the limit (ulimit -n)",
    "it cannot be examined",
    "names are drawn with getrandom(2), which a filter of system calls seems to refuse",
    "nothing was changed; the kernel's log (dmesg) may tell more",
    (
        "procshare needs files in a tmpfs that can be mapped, locked and linked: look for a filter of system calls, a "
        "security module or a full disk, or use the stdlib backend (PROCSHARE_BACKEND=stdlib)"
    ),
    "shared objects are made there: mount a tmpfs that this user may write to",
    (
        "shared objects are made there: mount a tmpfs that this user may write to, or use the stdlib backend "
        "(PROCSHARE_BACKEND=stdlib)"
    ),
    "the kernel has no memory for this: close objects, or end processes",
    "the kernel has no room for another file lock: close objects that are not needed",
    "what this needs is in use or locked: try again, with fewer objects or processes",
    "{} has no free seat: {} processes are attached",
    "{} threads wait for this condition already",
}
"""What the kernel refuses, or what there is a limit to: testing/syscalls.py, testing/pressure.py, test_seats.py."""

MOMENTS = {
    "a forked child does not go on with its parent's put()",
    "a forked child does not go on with its parent's wait",
    "a signal handler wants to write in the middle of its thread's wait to write",
    "in the middle of a change to it",
    "it was replaced again and again while attaching",
    "it was unlinked",
    "its owner is gone",
    "process {} has it",
    "the action of barrier {} cannot be unpickled here: {}",
    (
        "the action of barrier {} does not pickle, so only its creator and the creator's forked children can use it; "
        "make it with a function of a module's top level"
    ),
    "the container is in the middle of a change; a finalizer, a signal handler or another thread cannot join it",
    "the list changed while it was read",
    "the queue was shut down, and what is left of it is lost with a process that was killed",
    "what locked() gave is of this block only; send the {} itself to other processes",
    "{} was used again in the middle of a call on it by the same thread",
}
"""What needs another process, a fork, a signal or a finalizer at its moment: test_reentry.py, testing/threads.py."""

INSIDE = {
    "_acquire_as() takes an owner, and whether it slept",
    "PROCSHARE_FAULT names no fault point: {}",
    "a condition's lock is a SharedLock or a SharedRLock of the same backend, or None for its own",
    "a task is named by id(task) | 1",
    "a wait is a tuple of handle, which and token",
    "expected a key and a value",
    "expected a list",
    "expected a list of pairs",
    "expected {} bytes",
    "it was encoded for another queue",
    "it was put already",
    "module 'procshare' has no attribute {}",
    "no fault point is called {}",
    "no segment can have this name",
    "no type of C has a {}",
    "procshare's core serves one interpreter in a process, and another one has it",
    "thing unknown here",
    "this barrier is not yet bound to its action",
    "this condition was attached to, but not yet bound to its lock",
    "{} has no word {}",
    "{} is no container of this backend",
    "{} is no handle",
    "{} is no type code",
}
"""What only procshare's own Python could bring about, which does not."""

UNSEEN = DAMAGE | ABROAD | SCARCE | MOMENTS | INSIDE


def texts() -> set[str]:
    """All of them, with `{}` for what differs. Without the sources of the core, those of Python."""
    found = {*_python(), *_core()}
    return {text for text in found if text.count(" ") > 1}


def pattern(text: str) -> re.Pattern[str]:
    """What a text is found by in a message."""
    return re.compile(".*".join(re.escape(part) for part in text.split("{}")), re.DOTALL)


def _python() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if OTHER_ROOMS.isdisjoint(path.relative_to(PACKAGE).parts):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_error(node.func.id):
                    yield from (_text(argument) for argument in node.args)


def _is_error(name: str) -> bool:
    found = getattr(procshare, name, None) or getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, Exception)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _core() -> Iterator[str]:
    for path in sorted(CORE.glob("*.c")):
        for literal in LITERAL.findall(COMMENT.sub("", path.read_text())):
            text = "".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', literal))
            if not text.endswith((r"\n--\n\n", ".")):  # those document
                yield PLACE.sub("{}", text)
