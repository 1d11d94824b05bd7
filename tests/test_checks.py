"""Each check of what a segment says, on the first value that it must refuse.

The fuzzers (test_*_bytes.py) find what is not checked at all. These tests are for the bounds: one more than can be.
The damaged object is used in a forked process, which tells what became of it, or died.
"""

from __future__ import annotations

import os
import signal
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import procshare
from procshare import Handle
from scripts import SHM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Where the fields are: src/procshare/_native/layout.h
KIND, SIZE, PAYLOAD, PAYLOAD_SIZE, META, META_SIZE, SLOTS, FLAGS = 12, 16, 24, 32, 40, 48, 52, 60
HEAP_END, HEAP_FREE, NAME = 104, 112, 496
ROOT = 768
BUFFERS, INLINE = ROOT + 48, ROOT + 64
RING = 1024 + 392
PERSIST = 1 | 2 | 4


class Word(NamedTuple):
    """What is written into a file.

    Attributes:
        at: Where.
        value: A number, or bytes.
        size: Of the number, in bytes.
    """

    at: int
    value: int | bytes
    size: int = 8


def write(path: Path, *words: Word) -> None:
    """Change a file, whoever uses it."""
    with path.open("r+b") as file:
        for at, value, size in words:
            file.seek(at)
            file.write(value if isinstance(value, bytes) else (value % (1 << 8 * size)).to_bytes(size, "little"))


def apart(call: Callable[[], object]) -> str:
    """What a call in a forked process answers or raises, or the signal that ended it."""
    there, back = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        try:
            answer = repr(call())
        except Exception as error:  # noqa: BLE001 - told to the parent
            answer = f"{type(error).__name__}: {error}"
        os.write(back, answer.encode())
        os._exit(0)
    os.close(back)
    with open(there, "rb") as pipe:
        told = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return told if status == 0 else f"signal {-status}"


@pytest.fixture
def copy() -> Iterator[Path]:
    """A segment that nobody is attached to, once it is written; removed afterwards."""
    path = SHM / f"procshare-checks{os.getpid()}"
    yield path
    path.unlink(missing_ok=True)


ANY: Any = procshare
MAKE: dict[str, Callable[..., Any]] = {
    "counter": partial(ANY.SharedCounter, 5),
    "array": partial(ANY.SharedArray, [1, 2, 3]),
    "queue": ANY.SharedQueue,
    "slab": partial(ANY.SharedCounter, 5),
}
FAR = [Word(META, 8192), Word(PAYLOAD, 12288), Word(PAYLOAD_SIZE, 0)]
HEADERS: dict[str, tuple[str, str, list[Word]]] = {
    "a slab as a kind of its own": ("array", "kind", [Word(KIND, 0, 4)]),
    "the first kind that there is not": ("array", "kind", [Word(KIND, 18, 4)]),
    "smaller than its header": ("array", "size", [Word(SIZE, 4096), Word(PAYLOAD, 4096), Word(PAYLOAD_SIZE, 0)]),
    "a part of a page": ("array", "size", [Word(SIZE, 12288 - 8)]),
    "larger than its file": ("array", "size", [Word(SIZE, 12288 + 4096)]),
    "a payload over the header": ("array", "payload", [Word(PAYLOAD, 8192 - 8)]),
    "a payload behind the end": ("array", "payload", [Word(PAYLOAD, 12288 + 8), Word(PAYLOAD_SIZE, 0)]),
    "a payload longer than what is left": ("array", "payload", [Word(PAYLOAD_SIZE, 4096 + 1)]),
    "a description over the fields": ("array", "over its seats", [Word(META, 1024 - 8)]),
    "a description behind the payload": ("array", "description", [Word(META, 8192 + 8), Word(META_SIZE, 0, 4)]),
    "a description longer than what is left": (
        "array",
        "description lies outside",
        [*FAR, Word(META, 8192), Word(META_SIZE, 4097, 4)],
    ),
    "a description that runs into the seats": ("array", "over its seats", [Word(META_SIZE, 1025, 4)]),
    "a description among the seats": ("array", "over its seats", [Word(META, 2048), Word(META_SIZE, 8, 4)]),
    "slots in an array": ("array", "slots", [Word(SLOTS, 1, 4)]),
    "a slot too many": ("slab", "slots", [Word(SLOTS, 417, 4)]),
    "a slab without its slots": ("slab", "size", [Word(SIZE, 65536 - 4096), Word(PAYLOAD_SIZE, 4096)]),
    "a queue without its leases": ("queue", "size", [Word(SIZE, 32768), Word(PAYLOAD_SIZE, 4096)]),
    "a counter with a payload": ("counter", "size", [Word(8192, bytes(8192)), Word(SIZE, 16384)]),
    "a name without an end": ("array", "name", [Word(NAME, b"x" * 232)]),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_is_refused(case: str, copy: Path) -> None:
    """With CorruptSegment, which says what is wrong with it."""
    kind, says, words = HEADERS[case]
    with MAKE[kind](**({} if kind == "slab" else {"name": f"checks-{os.getpid()}"})) as made:
        name = made.name.replace(made.segment, copy.name) if kind == "slab" else copy.name
        with open(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
            file.write((SHM / made.segment).read_bytes())
    write(copy, Word(FLAGS, PERSIST, 4))
    assert apart(lambda: procshare.attach(name).closed) == "False"
    write(copy, *words)
    answer = apart(lambda: procshare.attach(name).closed)
    assert answer.startswith("CorruptSegment"), answer
    assert says in answer


def buffer(offset: int, order: int) -> int:
    """Where a value's record lies."""
    return offset << 6 | order


def kept(make: Callable[..., Handle]) -> tuple[Any, Path]:
    """An object with a segment of its own, and where that is."""
    made = make(name=f"checks-{os.getpid()}")
    return made, SHM / made.segment


CORRUPT = "CorruptSegment"
VALUES: dict[str, tuple[object, list[Word], str]] = {
    "a record one byte longer than its buffer": ("old", [Word(INLINE, 25, 7), Word(INLINE + 32, 25, 7)], CORRUPT),
    "a record in no buffer": ("old", [Word(BUFFERS, buffer(ROOT + 64, 2)), Word(INLINE, 1 << 30, 7)], CORRUPT),
    "a buffer behind the end of the file": (b"x" * 5000, [Word(BUFFERS, buffer(16384, 13))], CORRUPT),
    "a buffer that is longer than the file": (b"x" * 5000, [Word(BUFFERS, buffer(8192, 14))], CORRUPT),
    "a buffer that begins in the header": (b"x" * 5000, [Word(BUFFERS, buffer(4096, 13))], CORRUPT),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_values_record_is_refused(case: str) -> None:
    """What its slot says of where it lies, and what stands in front of it."""
    value, words, wanted = VALUES[case]
    made, path = kept(partial(ANY.SharedValue, value))
    with made:
        write(path, *words)
        assert apart(lambda: made.value).startswith(wanted)


def test_a_values_word_does_not_come_again() -> None:
    """A reader goes by it: what it copied while two records were written, one over the other, is not what it was."""
    made, path = kept(partial(ANY.SharedValue, "old"))
    words: set[int] = set()
    with made:
        for n in range(50):
            made.set(f"new {n}")
            words.add(struct.unpack_from("=Q", path.read_bytes(), ROOT)[0])
    assert len(words) == 50


def longer(size: int, _old: object) -> bytes:
    """A new value."""
    return b"y" * size


HEAPS: dict[str, list[Word]] = {
    "a free extent behind the end": [Word(HEAP_FREE + 8 * 13, 1 << 30)],
    "a free extent over the seats": [Word(HEAP_FREE + 8 * 12, 4096), Word(HEAP_FREE + 8 * 11, 2048)],
    "a free extent that is not aligned": [Word(HEAP_FREE + 8 * 11, 8192 + 1024)],
}


@pytest.mark.parametrize("case", HEAPS)
def test_a_free_list_is_not_followed(case: str) -> None:
    """It is dropped, and the heap grows instead."""
    made, path = kept(partial(ANY.SharedValue, b"x" * 5000))
    with made:
        before = path.read_bytes()[1024:8192]
        write(path, *HEAPS[case])
        for size in (1500, 3000, 6000):
            assert apart(partial(made.modify, partial(longer, size))) == repr(b"y" * size)
            places = [where for where in struct.unpack_from("=QQ", path.read_bytes(), BUFFERS) if where & 63 > 5]
            assert all((where >> 6) % (1 << (where & 63)) == 0 for where in places)
        after = path.read_bytes()[1024:8192]
        assert sum(one != other for one, other in zip(before, after, strict=True)) < 100  # the children's seats


def test_a_heap_ends_where_its_file_does() -> None:
    """A heap that says otherwise is not extended there."""
    made, path = kept(partial(ANY.SharedValue, "old"))
    with made:
        write(path, Word(HEAP_END, 1 << 40))
        assert apart(lambda: made.set(b"y" * 5000)).startswith(CORRUPT)
        assert path.stat().st_size < 1 << 20
        assert made.value == "old"


def test_an_extent_is_given_out_once() -> None:
    """Both of a value's records have one of their own, also of those that were given back."""
    made, path = kept(partial(ANY.SharedValue, "old"))
    with made:
        for value in (b"a" * 5000, b"b" * 5000, 1, b"c" * 5000, b"d" * 5000):
            made.set(value)
        one, other = struct.unpack_from("=QQ", path.read_bytes(), BUFFERS)
        assert one != other
        assert made.value == b"d" * 5000


@pytest.mark.parametrize("where", [8192, 65536 + 9], ids=["over what each process owes", "not aligned"])
def test_a_ring_is_refused(where: int) -> None:
    """Where no ring can be."""
    made, path = kept(ANY.SharedQueue)
    with made:
        os.truncate(path, 1 << 20)
        write(path, Word(RING, buffer(where, 13)))
        assert apart(lambda: made.put(1)).startswith(CORRUPT)
        assert apart(lambda: made.get(timeout=0)).startswith("Empty")
