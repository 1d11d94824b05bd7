"""`SharedPipe`: what its ends send and receive, how they end, and how they travel. No test needs the compiled core."""

from __future__ import annotations

import array
import copy
import multiprocessing
import os
import pickle
import selectors
import struct
import threading
import time
from multiprocessing import BufferTooShort, resource_sharer
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Never

import pytest

from procshare import Closed, PipeEnd, ProcshareError, SharedPipe
from scripts import run
from support import START_METHODS, Child, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Anything = PipeEnd[Any, Any]
LETTERS = b"abcdefghijklmnopqrstuvwxyz"
methods = pytest.mark.parametrize("method", START_METHODS)


@pytest.fixture
def ends() -> Iterator[tuple[Anything, Anything]]:
    """Both ends of a pipe that goes both ways."""
    here, there = SharedPipe()
    with here, there:
        yield here, there


@pytest.fixture(autouse=True)
def _sharer() -> Iterator[None]:
    """End the thread that gives ends to other processes: one with threads should not fork."""
    yield
    resource_sharer.stop(5)


class Money:
    """An object of a class of one's own."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.amount == self.amount

    def __hash__(self) -> int:
        return self.amount


def echo(end: Anything) -> None:
    """Send back each message until an empty one comes."""
    while message := end.recv_bytes():
        end.send_bytes(message)
    end.close()


def echoing(_line: Line, end: Anything) -> None:
    """In a child: `echo`."""
    echo(end)


@methods
def test_objects_and_bytes_go_to_a_child_and_back(method: str) -> None:
    """Whole, in order, of any size; then its end is told apart from silence."""
    here, there = SharedPipe()
    with here, Child(method, echoing, there) as child:
        there.close()
        for item in (1, 2.25, None, "text", [1, [2]], {"a": (b"b",)}, Money(3), "x" * 100_000):
            here.send(item)
            assert here.recv() == item
        for message in (b"a", LETTERS, LETTERS * 100_000, array.array("i", range(5)), memoryview(LETTERS)[3:7]):
            here.send_bytes(message)
            assert here.recv_bytes() == bytes(message)
        assert not here.poll()
        here.send_bytes(b"")
        assert here.poll(10)
        with pytest.raises(EOFError):
            here.recv()
        with pytest.raises(EOFError):
            here.recv_bytes()
        assert child.result() is None


def test_a_part_of_a_buffer_is_sent(ends: tuple[Anything, Anything]) -> None:
    """By offset and size, which must lie in it; what is refused is not sent."""
    here, there = ends
    parts: list[tuple[tuple[Any, ...], bytes]] = [
        ((), LETTERS),
        ((5,), LETTERS[5:]),
        ((7, 8), LETTERS[7:15]),
        ((26,), b""),
        ((26, 0), b""),
        ((0, None), LETTERS),
    ]
    for args, part in parts:
        here.send_bytes(LETTERS, *args)
        assert there.recv_bytes() == part
    for wrong in ((27,), (22, 5), (26, 1), (-1,), (4, -1)):
        with pytest.raises(ValueError):
            here.send_bytes(LETTERS, *wrong)
    assert not there.poll()


def test_bytes_are_received_into_a_buffer(ends: tuple[Anything, Anything]) -> None:
    """At an offset, if they fit; the message is in the error if they do not."""
    here, there = ends
    numbers = array.array("i", range(4))
    for offset in (0, 3):
        into = array.array("i", [0] * 10)
        here.send_bytes(numbers)
        assert there.recv_bytes_into(into, offset * into.itemsize) == len(numbers) * numbers.itemsize
        assert into.tolist() == [0] * offset + [0, 1, 2, 3] + [0] * (6 - offset)
    here.send_bytes(LETTERS)
    with pytest.raises(BufferTooShort) as caught:
        there.recv_bytes_into(bytearray(25))
    assert caught.value.args == (LETTERS,)
    for wrong in (-1, 41):
        with pytest.raises(ValueError):
            there.recv_bytes_into(bytearray(40), wrong)
    here.send(1)
    assert there.recv() == 1


def test_a_message_that_is_too_long_ends_the_receiving(ends: tuple[Anything, Anything]) -> None:
    """As in the standard library: what follows it cannot be told from it. Sending goes on."""
    here, there = ends
    here.send_bytes(LETTERS)
    with pytest.raises(OSError, match="bad message length"):
        there.recv_bytes(25)
    assert (there.readable, there.writable) == (False, True)
    with pytest.raises(OSError, match="write-only"):
        there.recv_bytes()
    there.send(5)
    assert here.recv() == 5
    there.send_bytes(LETTERS)
    assert here.recv_bytes(26) == LETTERS


def test_what_does_not_pickle_is_not_sent(ends: tuple[Anything, Anything]) -> None:
    """The error is raised by send, and the pipe is as before."""
    here, there = ends
    with pytest.raises((pickle.PicklingError, AttributeError)):
        here.send(lambda: None)
    assert not there.poll()
    here.send("next")
    assert there.recv() == "next"


def test_a_one_way_pipe_goes_one_way() -> None:
    """The first end receives and the second sends; the other way is an OSError."""
    pipe: tuple[PipeEnd[Never, str], PipeEnd[str, Never]] = SharedPipe(False)
    receiver, sender = pipe
    with receiver, sender:
        sender.send("text")
        assert receiver.recv() == "text"
        assert [receiver.readable, receiver.writable, sender.readable, sender.writable] == [True, False, False, True]
        anyhow: Anything = receiver
        calls: list[Callable[[], object]] = [
            lambda: anyhow.send(1),
            lambda: anyhow.send_bytes(b""),
            sender.recv,
            sender.recv_bytes,
            sender.poll,
        ]
        for wrong in calls:
            with pytest.raises(OSError, match="connection is"):
                wrong()


def test_poll_waits_as_long_as_it_is_told(ends: tuple[Anything, Anything]) -> None:
    """And no longer than it must; messages stay apart, empty ones too."""
    here, there = ends
    for timeout, least in ((0, 0), (-1, 0), (0.1, 0.1)):
        begun = time.monotonic()
        assert here.poll(timeout) is False
        assert least <= time.monotonic() - begun < least + 0.5
    timer = threading.Timer(0.05, there.send_bytes, (b"",))
    timer.start()
    assert here.poll(None) is True
    timer.join()
    for message in (b"a", b"b", b"cd"):
        there.send_bytes(message)
    for expected in (b"", b"a", b"b", b"cd"):
        assert [here.poll(), here.poll(5)] == [True, True]
        assert here.recv_bytes() == expected
    assert not here.poll()


def test_ends_are_waited_for_with_others() -> None:
    """By multiprocessing.connection.wait, beside its own connections, and by selectors; a closed end is ready."""
    pairs: list[tuple[Anything, Anything]] = [SharedPipe() for _ in range(3)]
    mine: list[Anything] = [pair[0] for pair in pairs]
    plain: Any
    other: Any
    plain, other = multiprocessing.Pipe()
    assert wait([*mine, plain], 0.02) == []
    pairs[1][1].send(1)
    other.send(2)
    pairs[2][1].close()
    assert set(wait([*mine, plain], 5)) == {mine[1], mine[2], plain}
    with selectors.DefaultSelector() as selector:
        for number, end in enumerate(mine):
            selector.register(end, selectors.EVENT_READ, number)
        assert {key.data for key, _ in selector.select(5)} == {1, 2}
        mine[0].close()
        selector.unregister(mine[0])  # which the standard library's, when closed, cannot be
    for end in (*mine, *(pair[1] for pair in pairs), plain, other):
        end.close()


CALLS: list[Callable[[Anything], object]] = [
    lambda end: end.send(1),
    lambda end: end.recv(),
    lambda end: end.send_bytes(b"1"),
    lambda end: end.recv_bytes(),
    lambda end: end.recv_bytes_into(bytearray(9)),
    lambda end: end.poll(),
    lambda end: end.fileno(),
]


@pytest.mark.parametrize("use", CALLS)
def test_a_closed_end_says_so(ends: tuple[Anything, Anything], use: Callable[[Anything], object]) -> None:
    """As procshare's other objects, and in a way that code for the standard library's connections catches."""
    here, there = ends
    there.send(1)
    here.close()
    here.close()
    assert here.closed
    for expected in (Closed, ProcshareError, ValueError, OSError):
        with pytest.raises(expected, match="closed") as caught:
            use(here)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
    assert not there.closed


def test_an_end_is_a_connection(ends: Any) -> None:
    """Whatever takes one of multiprocessing's takes it."""
    for end in ends:
        assert issubclass(type(end), PipeEnd)
        assert issubclass(type(end), Connection)


def test_a_block_closes_its_end() -> None:
    """Also if it raises; the repr tells."""
    here, there = SharedPipe()
    with pytest.raises(KeyError), here as entered:
        assert entered is here
        assert repr(here) == f"<PipeEnd fd={here.fileno()}>"
        raise KeyError
    assert here.closed
    assert repr(here) == "<PipeEnd closed>"
    with there, pytest.raises(EOFError):
        there.recv()


def test_a_collected_end_is_closed() -> None:
    """The other end is told, and no descriptor is left."""
    here, there = SharedPipe()
    number = there.fileno()
    del there
    with pytest.raises(EOFError):
        here.recv()
    here.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)


def test_sending_to_nobody_is_a_broken_pipe(ends: tuple[Anything, Anything]) -> None:
    """As in the standard library."""
    here, there = ends
    there.close()
    with pytest.raises(BrokenPipeError):
        here.send(1)


def test_a_broken_pipe_in_a_cycle_can_be_collected() -> None:
    """Python 3.12.1 itself dies of a cycle with a view of a pickle in it, which a Connection's frames would be."""
    program = """
import gc, traceback
from procshare import SharedPipe
for message in (0, "x" * 100_000):
    here, there = SharedPipe()
    there.close()
    try:
        here.send(message)
    except BrokenPipeError as error:
        error.itself = error
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
        assert not [each for frame in frames for each in frame.f_locals.values() if isinstance(each, memoryview)]
        del frames
    here.close()
    gc.collect()
"""
    assert run(program) == (0, "", "")


def test_it_can_stand_in_for_the_standard_librarys() -> None:
    """It does not call itself where somebody put it in that one's place."""
    program = """
import multiprocessing
from procshare import SharedPipe
multiprocessing.Pipe = SharedPipe
here, there = multiprocessing.Pipe()
here.send(5)
assert there.recv() == 5
"""
    assert run(program) == (0, "", "")


def test_an_end_that_left_messages_unread_is_at_its_end_too(ends: tuple[Anything, Anything]) -> None:
    """EOFError, after what it had sent; the standard library's ConnectionResetError at the same time."""
    here, there = ends
    here.send("never read")
    there.send("last")
    there.close()
    assert here.recv() == "last"
    with pytest.raises(EOFError) as caught:
        here.recv()
    assert isinstance(caught.value, ConnectionResetError)
    with pytest.raises(EOFError):
        here.recv_bytes_into(bytearray(5))


def test_half_a_message_is_no_message(ends: tuple[Anything, Anything]) -> None:
    """Of one that died in the midst of sending: EOFError, and the standard library's OSError at the same time."""
    here, there = ends
    os.write(there.fileno(), struct.pack("!i", 100) + b"not a hundred bytes")
    there.close()
    with pytest.raises(EOFError, match="midst") as caught:
        here.recv()
    assert isinstance(caught.value, OSError)
    with pytest.raises(EOFError):
        here.recv()


def test_a_damaged_message_is_an_error_of_its_own(ends: tuple[Anything, Anything]) -> None:
    """What comes after it is received."""
    here, there = ends
    there.send_bytes(b"no pickle")
    there.send("next")
    with pytest.raises(pickle.UnpicklingError):
        here.recv()
    assert here.recv() == "next"


def stay(line: Line, end: Anything, other: Anything | None) -> None:
    """In a child: say so, and wait to be killed with a message on its way, which is larger than the pipe."""
    if other is not None:
        other.close()
    line.tell("here")
    end.send_bytes(bytes(10_000_000))
    line.hear(60)


@methods
def test_a_killed_process_closes_its_end(method: str) -> None:
    """EOFError, and no wait, whatever it was doing. A forked child has the other end too, and closes it."""
    here, there = SharedPipe()
    with here, Child(method, stay, there, here if method == "fork" else None) as child:
        there.close()
        assert child.hear(20) == "here"
        assert here.poll(10)
        child.kill()
        with pytest.raises(EOFError):
            here.recv_bytes()
        with pytest.raises(EOFError):
            here.recv()
        with pytest.raises(BrokenPipeError):
            here.send(1)


def is_an_end(thing: object) -> bool:
    """What the checkers know of a value that is typed so."""
    return isinstance(thing, PipeEnd)


def work_on(line: Line, end: Anything) -> None:
    """In a child: receive an end through an end, and use it; pass one back."""
    line.tell("ready")
    inner: Anything = end.recv()
    inner.send(("all is well", is_an_end(inner)))
    assert inner.recv() == "go on"
    one, other = SharedPipe()
    end.send(other)
    one.send("from below")
    line.hear(20)  # the one who asked has to have it before this process may end


@methods
def test_an_end_travels_through_a_pipe(method: str) -> None:
    """Through another end, there and back; it is an end there, and passes the next ones on."""
    here, there = SharedPipe()
    mine, theirs = SharedPipe()
    with here, mine, Child(method, work_on, there) as child:
        there.close()
        assert child.hear(20) == "ready"
        here.send(theirs)
        assert mine.recv() == ("all is well", True)
        theirs.close()
        mine.send("go on")
        got: Anything = here.recv()
        assert got.recv() == "from below"
        got.close()
        child.tell("")
        with pytest.raises(EOFError):
            mine.recv()


def answer(channel: Any) -> None:
    """In a child: take an end out of something of multiprocessing's, and use it."""
    end: Anything = channel.get() if hasattr(channel, "get") else channel.recv()
    with end:
        end.send(end.recv() * 2)


@methods
@pytest.mark.parametrize("kind", ["Pipe", "Queue", "SimpleQueue"])
def test_an_end_travels_through_what_multiprocessing_has(method: str, kind: str) -> None:
    """Its connections and its queues."""
    context: Any = multiprocessing.get_context(method)
    here, there = SharedPipe()
    theirs, mine = context.Pipe(False) if kind == "Pipe" else [getattr(context, kind)()] * 2
    child = context.Process(target=answer, args=(theirs,), daemon=True)
    child.start()
    (mine.send if kind == "Pipe" else mine.put)(there)
    here.send(21)
    assert here.recv() == 42
    there.close()
    child.join(10)
    assert child.exitcode == 0
    with here, pytest.raises(EOFError):
        here.recv()
    for each in {theirs, mine}:
        each.close()
    child.close()


def test_an_end_is_not_pickled_or_copied(ends: tuple[Anything, Anything]) -> None:
    """A descriptor's number means another file elsewhere: the error says how an end travels."""
    tries: list[Callable[[Anything], object]] = [pickle.dumps, copy.copy, copy.deepcopy]
    for attempt in tries:
        with pytest.raises(TypeError, match="argument of a Process"):
            attempt(ends[0])
    here, there = ends
    there.close()
    with pytest.raises(Closed):
        here.send(there)
