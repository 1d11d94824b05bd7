"""Objects that others may use, by `mode=` and `group=`, and processes that change their user. See docs/security.md.

What attaches does so in children, since whom a process trusts it trusts for good.
"""

from __future__ import annotations

import os
import pickle
import signal
import stat
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from death_support import forked
from procshare import (
    NotFound,
    NotOwned,
    SharedCounter,
    SharedDict,
    SharedList,
    UnsupportedByBackend,
    share,
)
from procshare.testing import _kinds
from scripts import SHM, entries, run, until
from support import Child, call
from sync_support import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from support import Line

UID, GID = os.geteuid(), os.getegid()
STRANGER = 54321  # a user, and a group of the same number
OTHER_GROUP = 54322
KINDS = {name: kind for name, kind in _kinds.KINDS.items() if name != "SharedPipe"}  # a pipe has no file
NUMBERS = count()
root = pytest.mark.skipif(UID != 0, reason="only root can be another user")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True, scope="module")
def _all_is_imported() -> None:
    """Another user may not be able to read the files of this Python."""
    for kind in KINDS.values():
        with _kinds.kept(kind.make()) as x:
            kind.use(x)
            pickle.loads(pickle.dumps(x)).close()


def become(user: int, group: int) -> None:
    """Be another user for good."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def as_stranger(act: Callable[[], object]) -> int:
    """The exit code of a fork that becomes another user for good, and acts."""

    def stranger() -> None:
        become(STRANGER, STRANGER)
        act()

    return forked(stranger)


def a_name() -> str:
    """Of an object that no other test has."""
    return f"permissions-{os.getpid()}-{next(NUMBERS)}"


def mode_of(segment: str) -> int:
    """The permissions of a segment's file."""
    return stat.S_IMODE((SHM / segment).stat().st_mode)


@contextmanager
def maker(kind: str, **options: Any) -> Generator[tuple[str, bytes]]:
    """A process that has an object for the length of the block: its segment, and a pickled handle."""
    with Child("fork", make, kind, options) as child:
        yield child.hear()
        child.tell("end")
        child.result()


def make(line: Line, kind: str, options: dict[str, Any]) -> None:
    """See `maker`."""
    with _kinds.kept(KINDS[kind].make(**options)) as x:
        line.tell((x.segment, pickle.dumps(x)))
        line.hear(60)


# ---- what mode= and group= do ----


@pytest.mark.parametrize(
    ("kind", "mode"), [*((kind, 0o660) for kind in KINDS), ("SharedSet", 0o666), ("SharedLock", 0o640)]
)
def test_an_object_has_the_mode_that_it_was_given(kind: str, mode: int) -> None:
    """Whatever the umask; in a segment of its own, which has its name from the start and goes with the object."""
    assert call("fork", modes_of_two, kind, mode) == [mode, mode]


def modes_of_two(kind: str, mode: int) -> list[int]:
    """In a child: the modes of the files that two objects have."""
    os.umask(0o777)
    before = entries()
    made = [KINDS[kind].make(mode=mode), KINDS[kind].make(mode=mode, name=a_name())]
    modes = [mode_of(segment) for segment in sorted(entries() - before)]
    assert made[0].name == made[0].segment  # no slab's slot
    for x in made:
        KINDS[kind].use(x)
        x.unlink()
        x.close()
    assert entries() == before
    return modes


@every_kind
def test_what_cannot_be_a_mode_is_refused(kind: str) -> None:
    """Nothing is made."""
    before = entries()
    for mode in (0, 0o060, 0o400, 0o700, 0o661, 0o4660, -1, 0o1600):
        with pytest.raises(ValueError, match="cannot be a mode"):
            KINDS[kind].make(mode=mode)
    for wrong in ("0o660", 0.5, True):
        with pytest.raises(TypeError, match="mode is a number"):
            KINDS[kind].make(mode=wrong)
    with pytest.raises(ValueError, match="lets no group in"):
        KINDS[kind].make(group=GID)
    with pytest.raises(ValueError, match="no group is called 'nonesuch'"):
        KINDS[kind].make(mode=0o660, group="nonesuch")
    for number in (-1, 2**32 - 1):
        with pytest.raises(ValueError, match="no group's number"):
            KINDS[kind].make(mode=0o660, group=number)
    assert entries() == before


def test_share_and_open_take_a_mode() -> None:
    """As the constructors do; opened again, an object stays as it was made."""
    assert call("fork", shared_and_opened) == [0o660] * 4


def shared_and_opened() -> list[int]:
    """In a child: the modes of what these made."""
    name, modes = a_name(), list[int]()
    for obj in (0.5, {"a": 1}, [1]):
        with share(obj, mode=0o660, group=GID) as x:
            modes.append(mode_of(x.segment))
    with SharedCounter.open(name, 5, mode=0o660) as first, SharedCounter.open(name, 5, mode=0o660) as again:
        assert again.increment() == first.value == 6
        modes.append(mode_of(first.segment))
    return modes


@pytest.mark.parametrize("kind", _kinds.KINDS)
def test_the_standard_library_gives_nobody_a_mode(kind: str) -> None:
    """Its objects have no name to attach by."""
    if kind == "SharedPipe":
        return
    for options in ({"mode": 0o660}, {"group": GID}, {"mode": 0o660, "group": "nonesuch"}):
        with pytest.raises(UnsupportedByBackend, match="mode or a group"):
            KINDS[kind].make(backend="stdlib", **options)


@pytest.mark.skipif(UID == 0, reason="root may give a file to any group")
def test_a_group_is_given_by_its_members() -> None:
    """A user who is none of them cannot."""
    with pytest.raises(PermissionError, match="member"):
        SharedCounter(mode=0o660, group=OTHER_GROUP)


@root
def test_a_group_is_given_by_its_members_alone() -> None:
    """A user who is none of them cannot."""

    def act() -> None:
        with pytest.raises(PermissionError, match="member"):
            SharedCounter(mode=0o660, group=OTHER_GROUP)
        SharedCounter(mode=0o660, group=STRANGER).unlink()

    assert as_stranger(act) == 0


# ---- whom one trusts ----


@pytest.mark.parametrize("mode", [0o640, 0o660, 0o604, 0o606, 0o666])
@pytest.mark.parametrize("kind", ["SharedCounter", "SharedDict"])
def test_who_is_let_in_is_trusted_or_it_is_refused(kind: str, mode: int) -> None:
    """An object of this very user, too: another program of the user's said who may write there, not this one."""
    with maker(kind, mode=mode, group=GID if mode & 0o060 else None) as (segment, handle):
        assert call("fork", let_in, kind, segment, handle, mode)
        assert segment in {info.segment for info in procshare.segments()}
        assert segment not in {info.segment for info in procshare.prune(dry_run=True)}


def let_in(kind: str, segment: str, handle: bytes, mode: int) -> bool:
    """In a child: attach in vain, trust, and attach."""
    attach = [partial(procshare.attach, segment), partial(pickle.loads, handle)]
    ways: list[tuple[int, Any, str]] = [
        (0o060, {"group": GID}, f"group={GID}"),
        (0o006, {"others": True}, "others=True"),
    ]
    for bits, how, words in ways:
        for each in attach:
            if mode & bits:
                with pytest.raises(NotOwned, match=rf"call procshare\.trust\({words}\) first"):
                    each()
        procshare.trust(**how)
    for each in attach:
        x = each()
        KINDS[kind].use(x)
        x.close()
    return True


def test_who_opens_with_a_mode_trusts_whom_it_lets_in() -> None:
    """Whoever does not say so is refused."""
    name = a_name()
    with Child("fork", opener, name) as child:
        child.hear()
        assert call("fork", opened_by_others, name)
        child.tell("end")
        child.result()


def opener(line: Line, name: str) -> None:
    """In a child: keep it open for a while."""
    with SharedCounter.open(name, mode=0o660):
        line.tell("open")
        line.hear(60)


def opened_by_others(name: str) -> bool:
    """In a child of another process than the one that made it."""
    with pytest.raises(NotOwned, match="trust"):
        SharedCounter.open(name)
    with SharedCounter.open(name, mode=0o660) as hits:
        return hits.increment() == 1


def test_trust_says_whom_it_does_not_know() -> None:
    """And nothing is trusted then."""
    for wrong in ("nonesuch", -1, 2**32 - 1, 2**64):
        with pytest.raises(ValueError, match=r"nonesuch|number"):
            procshare.trust(user=wrong)
        with pytest.raises(ValueError, match=r"nonesuch|number"):
            procshare.trust(user=UID, group=wrong)
    broken: Any = procshare.trust
    for odd in (True, 0.5, b"root"):
        with pytest.raises(TypeError, match="a name or a number"):
            broken(user=odd)


@root
@every_kind
def test_another_users_object_is_used_by_who_trusts(kind: str) -> None:
    """By name and by pickle; not by another group, not without trust in its user and in its group."""
    name = a_name()
    with maker(kind, name=name, mode=0o660, group=STRANGER) as (segment, handle):
        assert segment == f"procshare.{UID}.{name}"

        def stranger() -> None:
            with pytest.raises(NotFound):
                procshare.attach(name)  # names are each user's own
            for attach in (partial(procshare.attach, segment), partial(pickle.loads, handle)):
                with pytest.raises(
                    NotOwned, match=rf"belongs to another user, {UID}; .*call procshare.trust\(user={UID}\)"
                ):
                    attach()
            procshare.trust(user="root")
            with pytest.raises(NotOwned, match=rf"call procshare\.trust\(group={STRANGER}\)"):
                procshare.attach(segment)
            procshare.trust(group=STRANGER)
            for attach in (partial(procshare.attach, segment), partial(pickle.loads, handle)):
                x = attach()
                KINDS[kind].use(x)
                assert x.name == segment
                x.close()

        def wrong_group() -> None:
            become(STRANGER, OTHER_GROUP)
            procshare.trust(user="root", group=STRANGER)
            with pytest.raises(NotOwned, match=rf"another user, {UID}, and its mode is 0660: Permission denied"):
                procshare.attach(segment)

        assert as_stranger(stranger) == 0
        assert forked(wrong_group) == 0


@root
def test_a_link_of_a_trusted_user_is_not_followed() -> None:
    """Trust makes no file of what is none."""
    path = SHM / f"procshare-{a_name()}"
    with maker("SharedCounter", mode=0o666) as (segment, _):
        os.symlink(SHM / segment, path)
        os.lchown(path, STRANGER, STRANGER)
        try:

            def act() -> None:
                procshare.trust(user=STRANGER, group=GID, others=True)
                with pytest.raises(NotOwned, match="not a file that this user made"):
                    procshare.attach(path.name)

            assert forked(act) == 0
        finally:
            path.unlink()


# ---- a process that becomes another user ----


def grow(x: Any) -> None:
    """Put more in it than it has room for."""
    text = "x" * 3_000_000
    by_kind: dict[str, Callable[[], object]] = {
        "dict": lambda: x.update(large=text),
        "list": lambda: x.extend(range(100_000)),
        "queue": lambda: x.put_many([text] * 2),
        "value": lambda: x.set(text),
    }
    by_kind.get(x.kind, int)()


@root
@every_kind
def test_whoever_drops_privileges_goes_on_with_what_was_inherited(kind: str) -> None:
    """Whatever its mode: it is used, it grows, and others see it."""
    with _kinds.kept(KINDS[kind].make()) as x:
        KINDS[kind].use(x)

        def work() -> None:
            KINDS[kind].use(x)
            grow(x)
            KINDS[kind].use(x)

        assert as_stranger(work) == 0
        KINDS[kind].use(x)


@root
@pytest.mark.parametrize("way", WAYS)
def test_whoever_drops_privileges_waits_and_is_woken(way: str) -> None:
    """By a process of another user, in every way there is to wait."""
    with WAYS[way].make() as x:
        with WAYS[way].busy(x):
            child = Child("fork", wait, way, x)
            assert child.hear() == "ready"
        with child:
            assert child.result()


def wait(line: Line, way: str, x: Any) -> bool:
    """In a child: become another user and wait."""
    become(STRANGER, STRANGER)
    return WAYS[way].wait(x, 20, partial(line.tell, "ready"))


def in_a_fork(act: Callable[[], object]) -> None:
    """Do it in a fork of this process, as the user that it is."""
    assert forked(act) == 0


@root
@every_kind
@pytest.mark.parametrize("name", [None, "named"])
def test_a_dropped_worker_that_forks_goes_on_where_the_mode_lets_it(kind: str, name: str | None) -> None:
    """Its child opens the file as that user."""

    def master() -> None:
        with _kinds.kept(KINDS[kind].make(name=name and a_name(), mode=0o660, group=STRANGER)) as x:
            KINDS[kind].use(x)
            assert as_stranger(lambda: in_a_fork(lambda: KINDS[kind].use(x))) == 0

    assert forked(master) == 0


@root
@every_kind
def test_a_dropped_worker_that_forks_is_told_where_the_mode_does_not_let_it(kind: str) -> None:
    """NotOwned by whatever is called, at once, and nothing is changed or held by it."""
    with _kinds.kept(KINDS[kind].make()) as x:
        before = KINDS[kind].look(x)

        def child() -> None:
            with pytest.raises(NotOwned, match=r"fork first.* mode= and group="):
                KINDS[kind].use(x)
            x.close()

        assert as_stranger(lambda: in_a_fork(child)) == 0
        assert KINDS[kind].look(x) == before
        KINDS[kind].use(x)


@root
def test_the_lock_of_a_dropped_worker_is_taken_over_though_its_child_lives() -> None:
    """The child that may not open the file does not keep its parent's seat alive either."""
    with SharedDict({"a": 1}) as d, Child("fork", die_holding, d, daemon=False) as worker:
        grandchild = worker.hear()
        worker.kill()
        try:
            with d.locked(timeout=5) as inside:
                inside["a"] = 2
        finally:
            os.kill(grandchild, signal.SIGKILL)


def die_holding(line: Line, d: SharedDict[str, int]) -> None:
    """In a child: become another user, take the lock, fork, and wait to be killed."""
    become(STRANGER, STRANGER)
    with d.locked():
        pid = os.fork()
        if pid == 0:
            signal.pause()
        line.tell(pid)
        line.hear(60)


@root
def test_an_object_without_a_name_gets_none_from_another_user() -> None:
    """The kernel does not let it: read its name before."""
    with SharedDict[str, Any]() as d:

        def act() -> None:
            with pytest.raises(NotOwned, match="has no name yet"):
                _ = d.name
            with pytest.raises(NotOwned, match="has no name yet"), SharedList([1]) as unkept:
                d["list"] = unkept

        assert as_stranger(act) == 0


@root
def test_only_its_user_and_root_remove_an_object() -> None:
    """unlink() says so; leaving is silent, and what a container keeps stays with it."""
    with SharedDict[str, Any](mode=0o660, group=STRANGER) as d, SharedList([1]) as kept:
        d["kept"] = kept
        code, out, err = run(LEAVES, d.segment, kept.segment)
        assert (code, out, err) == (0, "told\n", "")
        assert d["kept"].value == [1]


LEAVES = f"""
import numpy, threading, traceback, queue
import procshare.backends.shm.containers
import multiprocessing.util, multiprocessing.resource_tracker, multiprocessing.process
os.setgroups([]); os.setresgid(*[{STRANGER}] * 3); os.setresuid(*[{STRANGER}] * 3)
trust(user=0, group={STRANGER})
d = attach(sys.argv[1])
assert len(d) == 1
try:
    d.unlink()
except NotOwned as error:
    assert "only that user and root" in str(error)
    say("told")
"""


@root
def test_the_last_one_out_leaves_another_users_object_to_that_user() -> None:
    """It may not remove it: the next process of its user that makes something does, with all that it keeps."""
    name = a_name()
    with Child("fork", open_and_leave, name) as owner:
        segment = owner.hear()
        with Child("fork", attach_and_leave, segment) as stranger:
            assert stranger.hear() == "attached"
            owner.tell("end")
            owner.result()
            stranger.tell("end")
            assert stranger.result() == "left"
    assert segment in entries()
    assert segment in {info.segment for info in procshare.prune()}
    assert segment not in entries()


def open_and_leave(line: Line, name: str) -> None:
    """In a child: it belongs to whoever has it open."""
    with SharedDict[str, Any].open(name, mode=0o660, group=STRANGER) as d:
        d["list"] = SharedList([1], mode=0o660, group=STRANGER)
        line.tell(d.segment)
        line.hear(60)


def attach_and_leave(line: Line, segment: str) -> str:
    """In a child: another user's handle, closed last."""
    become(STRANGER, STRANGER)
    procshare.trust(user=UID, group=STRANGER)
    with procshare.attach(segment) as d:
        line.tell("attached")
        line.hear(60)
        kept: Any = d
        assert kept["list"].value == [1]
    return "left"


@root
def test_what_another_users_container_keeps_is_not_swept() -> None:
    """Its own user cannot look into that container; once there is none, the sweep takes it."""
    name = a_name()
    d = SharedDict[str, Any](name=name)

    def store() -> None:
        become(STRANGER, STRANGER)
        d["list"] = SharedList([1])

    def sweep() -> int:
        become(STRANGER, STRANGER)
        return len(procshare.prune())

    before = entries()
    call("fork", store)
    (kept,) = entries() - before
    assert call("fork", sweep) == 0
    assert kept in entries()
    d.unlink()
    assert kept in entries()  # root does not touch another user's file
    assert call("fork", sweep) == 1
    assert kept not in entries()
    d.close()


@root
def test_what_was_made_before_its_maker_became_another_user_is_removed() -> None:
    """By the resource tracker, which is still root."""
    name = a_name()
    code, out, _ = run(
        f"""
import traceback
d = SharedDict({{"a": 1}}, name={name!r})
say(d.name)
os.setresgid(*[{STRANGER}] * 3); os.setresuid(*[{STRANGER}] * 3)
d["b"] = 2
"""
    )
    assert (code, out) == (0, f"{name}\n")
    assert until(lambda: f"procshare.{UID}.{name}" not in entries())
