"""Names, and what is refused under one: another's file, no file, another layout, garbage."""

from __future__ import annotations

import os
import socket
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from procshare import (
    AlreadyExists,
    CorruptSegment,
    Handle,
    KindMismatch,
    NotFound,
    NotOwned,
    ProcshareError,
    SharedArray,
    SharedCounter,
    SharedValue,
    VersionMismatch,
)
from scripts import SHM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UID = os.geteuid()
ANY: Any = procshare  # whose classes infer nothing
KINDS: dict[str, Callable[..., Any]] = {
    "counter": partial(ANY.SharedCounter, 1),
    "value": partial(ANY.SharedValue, "one"),
    "array": partial(ANY.SharedArray, [1]),
    "dict": partial(ANY.SharedDict, {"one": 1}),
    "list": partial(ANY.SharedList, [1]),
    "set": partial(ANY.SharedSet, {1}),
    "namespace": partial(ANY.SharedNamespace, {"one": 1}),
}
GOOD = ["x" * 160, "ä" * 80, "名前", "with space", "tab\tnew\nline", "per%cent", "dot.ted", "co:lon", "-dash", "~"]
GOOD.extend(["\U0001f600", "\x7f", "procshare", "procshare.0"])
GONE = ["procshare-aaaaaaaaaaaaaaaa", "nothing here", "procshare-x#1.1", "procshare-x#1", "x#1.", "x#.1", "x#-1.1"]
GONE.extend(["x#1.1.1", "x#²."])


def own(name: str) -> str:
    """*name*, made this process's own, so that parallel runs do not meet."""
    return f"names-{os.getpid()}-{name}"


@pytest.fixture
def path() -> Iterator[Path]:
    """Where the segment called `own("x")` is; removed afterwards, whatever it became."""
    where = SHM / f"procshare.{UID}.{own('x')}"
    yield where
    if where.is_dir() and not where.is_symlink():
        where.rmdir()
    else:
        where.unlink(missing_ok=True)


BAD = ["", "a/b", "/a", ".", "..", ".hidden", "a\0b", "a#1", "procshare-abc", "x" * 181, "ä" * 91, "\ud800"]


@pytest.mark.parametrize("name", BAD, ids=ascii)
@pytest.mark.parametrize("make", KINDS)
def test_a_bad_name_is_refused(make: str, name: str) -> None:
    """By a ValueError, from whatever creates."""
    with pytest.raises(ValueError, match=r"name|surrogates"):
        KINDS[make](name=name)
    if make == "counter":
        with pytest.raises((ValueError, NotFound)):
            SharedCounter.open(name, 1)
        with pytest.raises((ValueError, NotFound)):
            SharedCounter.attach(name)
        with pytest.raises((ValueError, NotFound)):
            procshare.attach(name)


@pytest.mark.parametrize("name", [b"bytes", 5, 1.5, ["list"], Path("path")], ids=repr)
@pytest.mark.parametrize("make", KINDS)
def test_a_name_of_another_type_is_refused(make: str, name: Any) -> None:
    """By a TypeError."""
    with pytest.raises(TypeError, match="name"):
        KINDS[make](name=name)
    for attach in (SharedCounter.attach, procshare.attach, SharedCounter.open):
        refused: Any = attach
        with pytest.raises(TypeError, match="name"):
            refused(name)


@pytest.mark.parametrize("name", GOOD, ids=ascii)
@pytest.mark.parametrize("make", KINDS)
def test_a_good_name_is_found_again(make: str, name: str) -> None:
    """By any way to attach; `name` gives it back."""
    name += str(os.getpid())
    with KINDS[make](name=name) as made:
        assert made.name == name
        assert made.segment == f"procshare.{UID}.{name}"
        assert (SHM / made.segment).stat().st_mode & 0o7777 == 0o600
        again: list[Any] = [made.attach(name), procshare.attach(name), Handle.attach(name), made.open(name)]
        assert all(str(each.value) == str(made.value) for each in again)
        assert [info.name for info in procshare.segments() if info.segment == made.segment] == [name]
        assert procshare.attach(made.segment).name == name
    for each in again:
        each.close()
    with pytest.raises(NotFound):
        procshare.attach(name)


def test_the_longest_name() -> None:
    """180 bytes, whatever they are."""
    for name in ("x" * 180, "ä" * 90):
        with SharedCounter(name=name) as counter:
            assert SharedCounter.attach(name).increment() == counter.value == 1


@pytest.mark.parametrize("make", KINDS)
def test_a_name_is_given_once(make: str) -> None:
    """The second to want it gets AlreadyExists, whatever its kind, and what is there stays."""
    with KINDS[make](name=own("x")) as made:
        before = str(made.value)
        for other in KINDS.values():
            with pytest.raises(AlreadyExists) as caught:
                other(name=own("x"))
            assert isinstance(caught.value, FileExistsError)
            assert caught.value.name == own("x")
            assert own("x") in str(caught.value)
        assert str(made.value) == before
    KINDS[make](name=own("x")).unlink()


@pytest.mark.parametrize("is_", KINDS)
@pytest.mark.parametrize("as_", [SharedCounter, SharedValue, SharedArray])
def test_another_kind_is_refused(is_: str, as_: Any) -> None:
    """Named or anonymous; nothing changes."""
    with KINDS[is_](name=own("x")) as named, KINDS[is_]() as anonymous:
        if as_.kind == is_:
            assert as_.attach(named.name).name == own("x")
            return
        for refused in (named, anonymous):
            with pytest.raises(KindMismatch) as caught:
                as_.attach(refused.name)
            assert isinstance(caught.value, TypeError)
        with pytest.raises(KindMismatch):
            as_.open(own("x"), [1])
        assert named.name in {info.name for info in procshare.segments()}


@pytest.mark.parametrize("name", GONE)
def test_what_is_not_there_is_not_found(name: str) -> None:
    """NotFound is a FileNotFoundError."""
    for attach in (SharedCounter.attach, procshare.attach):
        with pytest.raises(NotFound) as caught:
            attach(name)
        assert isinstance(caught.value, FileNotFoundError)


def test_a_slot_that_is_not_there_is_not_found() -> None:
    """A wrong slot, or the right one with another generation."""
    with SharedCounter() as counter:
        segment, _, place = counter.name.partition("#")
        index, generation = place.split(".")
        places = [f"{index}.{int(generation) + 1}", "448.1", "449.1", "0.1", "4294967295.1", "4294967297.1"]
        places.append("1.99999999999999")
        for name in [segment, *(f"{segment}#{place}" for place in places)]:
            for attach in (SharedCounter.attach, procshare.attach):
                with pytest.raises(NotFound):
                    attach(name)


def refused(expected: type[ProcshareError]) -> ProcshareError:
    """See that everything that would use `own("x")` raises *expected*; one of the errors."""
    for use in (SharedCounter.attach, procshare.attach, SharedCounter.open):
        with pytest.raises(expected) as caught:
            use(own("x"))
    assert own("x") in str(caught.value)
    with pytest.raises(AlreadyExists):
        SharedCounter(name=own("x"))
    assert own("x") not in {info.name for info in procshare.segments()}
    assert own("x") not in {info.name for info in procshare.prune(dry_run=True)}
    return caught.value


def a_segment() -> bytes:
    """What a counter's segment holds."""
    with SharedCounter(1, name=own("y")) as made:
        return (SHM / made.segment).read_bytes()


@pytest.mark.parametrize("mode", [0o601, 0o700 | 0o4, 0o4660, 0o610, 0o200, 0o420])
def test_a_file_with_an_impossible_mode_is_refused(path: Path, mode: int) -> None:
    """A perfect segment with a mode that we give to none is not ours. (Of others: `test_permissions.py`.)"""
    path.write_bytes(a_segment())
    path.chmod(mode)
    assert isinstance(refused(NotOwned), PermissionError)
    assert path.exists()


@pytest.mark.skipif(UID != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(path: Path) -> None:
    """Even for root, and even in mode 0600."""
    path.write_bytes(a_segment())
    path.chmod(0o600)
    os.chown(path, 12345, -1)
    refused(NotOwned)
    assert path.exists()


def test_a_symlink_is_refused(path: Path, tmp_path: Path) -> None:
    """It is not followed, wherever it leads."""
    for target in ("/dev/null", tmp_path / "nowhere", tmp_path / "segment"):
        (tmp_path / "segment").write_bytes(a_segment())
        (tmp_path / "segment").chmod(0o600)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        refused(NotOwned)


def test_a_fifo_is_refused(path: Path) -> None:
    """Without waiting for its other end."""
    os.mkfifo(path, 0o600)
    refused(NotOwned)


def test_a_directory_is_refused(path: Path) -> None:
    """It is no regular file."""
    path.mkdir(0o700)
    refused(NotOwned)


def test_a_socket_is_refused(path: Path) -> None:
    """It cannot be opened."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o600)
        refused(NotOwned)


@pytest.mark.skipif(UID != 0, reason="only root can make a device")
def test_a_device_is_refused(path: Path) -> None:
    """It is no regular file, whatever it reads like."""
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices cannot be made here")
    refused(NotOwned)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 8191, b"\0" * 8192, b"\xff" * 100_000, b"procshr\x01" * 2000])
def test_garbage_is_corrupt(path: Path, content: bytes) -> None:
    """It is neither used nor removed."""
    path.write_bytes(content)
    path.chmod(0o600)
    error = refused(VersionMismatch if content.startswith(b"procshr") else CorruptSegment)
    assert isinstance(error, ValueError)
    assert path.read_bytes() == content


@pytest.mark.parametrize("length", [0, 1, 8, 100, 4096, 8191])
def test_a_file_cut_short_is_corrupt(path: Path, length: int) -> None:
    """A segment has a header of 8 KiB."""
    path.write_bytes(a_segment()[:length])
    path.chmod(0o600)
    refused(CorruptSegment)


@pytest.mark.parametrize("version", [0, 1, 2, 4, 2**32 - 1])
def test_another_layout_version_is_refused(path: Path, version: int) -> None:
    """Both versions are in the message."""
    whole = bytearray(a_segment())
    struct.pack_into("=I", whole, 8, version)
    path.write_bytes(whole)
    path.chmod(0o600)
    error = refused(VersionMismatch)
    assert str(version) in str(error)
    assert "this procshare has 3" in str(error)


def test_open_of_another_shape_is_refused() -> None:
    """What is there stays; without data it is taken as it is."""
    with SharedArray([[1, 2]], name=own("x")):
        for data, dtype in [([1, 2], None), ([[1, 2, 3]], None), ([[1.5, 2]], None), ([[1, 2]], "i")]:
            with pytest.raises(KindMismatch, match="array"):
                SharedArray.open(own("x"), data, dtype)
        assert ANY.SharedArray.open(own("x"), [[3, 4]]).value.tolist() == [[1, 2]]
        assert ANY.SharedArray.open(own("x")).value.tolist() == [[1, 2]]
