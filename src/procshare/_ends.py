"""The ends of a pipe: `multiprocessing`'s connections, which tell more exactly how they ended, and how they travel."""

from __future__ import annotations

import errno
from multiprocessing import connection, reduction
from typing import TYPE_CHECKING, Any, NoReturn

from procshare._errors import Closed
from procshare._pipe import PipeEnd

CONNECTION: Any = getattr(connection, "PipeConnection", connection.Connection)  # on Windows, elsewhere
REDUCE: Any = getattr(connection, "reduce_pipe_connection", None) or getattr(connection, "reduce_connection")
CUT_SHORT = "got end of file during message"  # what the standard library says then, with no errno

if TYPE_CHECKING:

    class _Connected(PipeEnd[Any, Any]):
        _handle: int | None

        def _recv(self, *args: Any) -> Any: ...

        def _send_bytes(self, buf: Any) -> None: ...

else:

    class _Connected(CONNECTION, PipeEnd):
        pass


class ClosedEnd(Closed, OSError):
    """The end was closed in this process: procshare's `Closed`, and the OSError that the standard library raises."""


class OtherEndDied(EOFError, ConnectionResetError):
    """The other end is gone, and with it half a message, or it had not read all that it was sent.

    An EOFError as at any end of a pipe, and the OSError that the standard library raises in these two cases.
    """


class ConnectedEnd(_Connected):
    """What `SharedPipe` makes; see `PipeEnd`."""

    def _check_closed(self) -> None:
        if self.closed:
            raise ClosedEnd("this end of the pipe is closed; make another pipe, or pass an end on before it is closed")

    def _recv(self, *args: Any) -> Any:
        try:
            return super()._recv(*args)
        except ConnectionResetError as error:
            raise OtherEndDied(errno.ECONNRESET, "the other end of the pipe was closed before it read all") from error
        except OSError as error:
            if str(error) != CUT_SHORT:
                raise
            raise OtherEndDied(errno.ECONNRESET, "the other end of the pipe died in the midst of a message") from error

    def _send_bytes(self, buf: Any) -> None:
        try:
            super()._send_bytes(buf)
        except BaseException as error:
            # The frames hold a view of the pickle. Where the error is part of a cycle, Python 3.12.1 dies of that.
            del buf
            below = error.__traceback__ and error.__traceback__.tb_next
            while below is not None:
                below.tb_frame.clear()
                below = below.tb_next
            raise

    def __repr__(self) -> str:
        return f"<PipeEnd {'closed' if self.closed else f'fd={self.fileno()}'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an end of a pipe travels as an argument of a Process, or through a multiprocessing Pipe, Queue or Pool; "
            "a plain pickle or a copy would be the number of a file descriptor, which means another file elsewhere"
        )


def connect(duplex: bool) -> tuple[ConnectedEnd, ConnectedEnd]:
    """The two ends of a new pipe; see `SharedPipe`."""
    one, other = connection.Pipe(duplex)  # multiprocessing.Pipe may be ours, where somebody put it in its place
    return _end(one), _end(other)


def _end(plain: Any) -> ConnectedEnd:
    """The end that takes a connection's place, and leaves it closed."""
    make: Any = ConnectedEnd
    end: ConnectedEnd = make(plain.fileno(), plain.readable, plain.writable)
    plain._handle = None
    return end


def _reduced(end: ConnectedEnd) -> tuple[Any, ...]:
    """For multiprocessing's pickler: what it makes of a connection, and to make an end of that again."""
    return _rebuilt, REDUCE(end)


def _rebuilt(rebuild: Any, args: tuple[Any, ...]) -> ConnectedEnd:
    return _end(rebuild(*args))


reduction.register(ConnectedEnd, _reduced)
