"""`SharedPipe`: two typed ends of a connection, each of them one of `multiprocessing`'s.

`PipeEnd` is the interface. The class behind it, in `_ends.py`, derives from `Connection` too, and is loaded with the
first pipe: importing procshare imports no multiprocessing.

Under the start method fork a child has a copy of every end that is open in its parent, the one that it was not meant to
use included. An end is at an end only when all copies of the *other* end are closed: so each process closes the
end that it does not use, or it waits for ever for an EOFError that never comes. With spawn and forkserver a child has
only the ends that it was given, and the parent closes what it gave away.

    here, there = SharedPipe()
    worker = Process(target=work, args=(there,))
    worker.start()
    there.close()  # now here.recv() raises EOFError when the worker has ended, however it ended
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, Never, TypeVar, overload

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import TracebackType
    from typing import Self

    from typing_extensions import Buffer
    from typing_extensions import TypeVar as TypeVarWithDefault

    A = TypeVarWithDefault("A", default=Any)
    B = TypeVarWithDefault("B", default=Any)
else:
    A = TypeVar("A")
    B = TypeVar("B")
    Connection = Generic

SendT_contra = TypeVar("SendT_contra", contravariant=True)
RecvT_co = TypeVar("RecvT_co", covariant=True)


class PipeEnd(Connection[SendT_contra, RecvT_co]):
    """One end of a pipe: sends objects of the one type, receives objects of the other. `SharedPipe` makes it.

    It is a `multiprocessing.connection.Connection`: it has all of its methods, and whatever takes one takes it, as
    `multiprocessing.connection.wait` and `selectors` do. One thread at a time may send, and one receive.

    It travels as `multiprocessing`'s own connections do: as an argument of a Process, and through a `multiprocessing`
    Pipe, Queue or Pool, or another `SharedPipe`. By `pickle` or `copy` it does not: TypeError.

    After `close()` every call raises `Closed`. That error is an OSError too, so what was written for the standard
    library's connections catches it.

    >>> ends: tuple[PipeEnd[str, int], PipeEnd[int, str]] = SharedPipe()
    >>> here, there = ends
    >>> with here, there:
    ...     here.send("how many?")
    ...     there.recv()
    'how many?'
    """

    __slots__ = ()

    def send(self, obj: SendT_contra) -> None:
        """Send a copy of *obj*; waits while the pipe is full.

        Raises:
            BrokenPipeError: The other end is closed, or its process died.
            TypeError, pickle.PicklingError, ...: *obj* does not pickle; nothing was sent.
            OSError: This end cannot send.

        >>> here, there = SharedPipe()
        >>> here.send({"id": 1})
        >>> there.recv()
        {'id': 1}
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def recv(self) -> RecvT_co:
        """The next object that the other end sent; waits for it.

        Raises:
            EOFError: Nothing is left to receive, and the other end is closed or its process died.
            OSError: This end cannot receive.

        >>> here, there = SharedPipe()
        >>> here.send([1, 2])
        >>> here.close()
        >>> there.recv()
        [1, 2]
        >>> there.recv()
        Traceback (most recent call last):
            ...
        EOFError
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def send_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> None:
        """Send bytes as one message, as they are.

        Args:
            buf: Where they are: bytes, an array, any other buffer.
            offset: The first of them.
            size: How many; None: all from *offset* on.

        Raises:
            BrokenPipeError: The other end is closed, or its process died.
            ValueError: *buf* has fewer.
            OSError: This end cannot send.

        >>> here, there = SharedPipe()
        >>> here.send_bytes(b"abcdef", offset=2, size=3)
        >>> there.recv_bytes()
        b'cde'
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The next message, which `send_bytes` sent; waits for it.

        Args:
            maxlength: How long it may be; nothing can be received after one that was longer.

        Raises:
            EOFError: Nothing is left to receive, and the other end is closed or its process died.
            OSError: It is longer than *maxlength*, or this end cannot receive.

        >>> here, there = SharedPipe()
        >>> here.send_bytes(b"abc")
        >>> there.recv_bytes(maxlength=1024)
        b'abc'
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def recv_bytes_into(self, buf: Buffer, offset: int = 0) -> int:
        """Receive the next message, which `send_bytes` sent, into memory of the caller's; returns its length.

        Args:
            buf: A writable buffer.
            offset: Where in it the message begins.

        Raises:
            EOFError: Nothing is left to receive, and the other end is closed or its process died.
            multiprocessing.BufferTooShort: It does not fit; the error's `args[0]` is the message.
            OSError: This end cannot receive.

        >>> here, there = SharedPipe()
        >>> buffer = bytearray(6)
        >>> here.send_bytes(b"abc")
        >>> there.recv_bytes_into(buffer, offset=1), buffer[1:4]
        (3, bytearray(b'abc'))
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive, the end included; waits for it if a time is given.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Raises:
            OSError: This end cannot receive.

        >>> here, there = SharedPipe()
        >>> there.poll()
        False
        >>> here.send(1)
        >>> there.poll(timeout=2)
        True
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def fileno(self) -> int:
        """The file descriptor.

        >>> here, there = SharedPipe()
        >>> here.fileno() > 2
        True
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close this end in this process; a second time does nothing.

        >>> here, there = SharedPipe()
        >>> there.close()
        >>> here.poll(), there.closed  # the end can be received
        (True, True)
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether this end was closed in this process.

        >>> here, there = SharedPipe()
        >>> here.closed
        False
        >>> here.close(), there.close()
        (None, None)
        """
        raise NotImplementedError

    @property
    def readable(self) -> bool:
        """Whether this end can receive.

        >>> receiver, sender = SharedPipe(duplex=False)
        >>> with receiver, sender:
        ...     receiver.readable, sender.readable
        (True, False)
        """
        raise NotImplementedError

    @property
    def writable(self) -> bool:
        """Whether this end can send.

        >>> receiver, sender = SharedPipe(duplex=False)
        >>> with receiver, sender:
        ...     receiver.writable, sender.writable
        (False, True)
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError


@overload
def SharedPipe(  # type: ignore[overload-overlap]
    duplex: Literal[False],
) -> tuple[PipeEnd[Never, A], PipeEnd[A, Never]]: ...
@overload
def SharedPipe(duplex: bool = True) -> tuple[PipeEnd[A, B], PipeEnd[B, A]]: ...
def SharedPipe(duplex: bool = True) -> tuple[PipeEnd[Any, Any], PipeEnd[Any, Any]]:  # noqa: N802 - as other things to make
    """Make a pipe, and return its two ends: what the one sends, the other receives, in order.

    As `multiprocessing.Pipe`, which it is made of, whatever the backend. Say what travels::

        ends: tuple[PipeEnd[Question, Answer], PipeEnd[Answer, Question]] = SharedPipe()

    Close the end that a process does not use, as the ends of files: while any process has a copy of an end open, the
    other end is not told EOFError. A forked child has copies of both.

    Args:
        duplex: Whether both ends send and receive. If not, the first only receives and the second only sends.

    Raises:
        OSError: No file descriptor is left.

    >>> here, there = SharedPipe()
    >>> here.send("ping")
    >>> there.recv()
    'ping'
    >>> here.close(), there.close()
    (None, None)
    """
    from procshare._ends import connect

    return connect(duplex)
