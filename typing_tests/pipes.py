"""Type-checked, never run: the two ends of a pipe, and what each sends and receives."""

from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Never, assert_type

from procshare import PipeEnd, SharedPipe

ends: tuple[PipeEnd[str, int], PipeEnd[int, str]] = SharedPipe()
here, there = ends
here.send("how many?")
assert_type(there.recv(), str)
there.send(5)
assert_type(here.recv(), int)
here.send(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
there.send("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

here.send_bytes(b"abc", 1, 2)
assert_type(there.recv_bytes(), bytes)
assert_type(there.recv_bytes_into(bytearray(10)), int)
assert_type(here.poll(0.5), bool)
assert_type(here.fileno(), int)
assert_type(here.closed, bool)
assert_type(here.readable, bool)
assert_type(here.writable, bool)
here.close()
with there as entered:
    assert_type(entered, PipeEnd[int, str])

plain: Connection[str, int] = here
wait_for([here], timeout=1)

one_way: tuple[PipeEnd[Never, bytes], PipeEnd[bytes, Never]] = SharedPipe(duplex=False)
assert_type(one_way[0].recv(), bytes)
one_way[0].send(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
one_way[1].send(b"x")
one_way[1].send("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
