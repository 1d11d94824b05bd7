"""Two processes play ping-pong over a pipe; the game ends when one of them closes its end.

`SharedPipe` is `multiprocessing.Pipe` with types: what one end sends, the other receives. Each process closes the
end that it does not use. Otherwise it keeps it open itself, and never gets the EOFError that says the other has gone.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import TYPE_CHECKING

from procshare import SharedPipe

if TYPE_CHECKING:
    from procshare import PipeEnd

RALLIES = 1_000


def pong(ours: PipeEnd[tuple[str, int], tuple[str, int]], theirs: PipeEnd[tuple[str, int], tuple[str, int]]) -> None:
    """Return each ball until the other has closed its end."""
    theirs.close()
    try:
        while True:
            _, number = ours.recv()
            ours.send(("pong", number))
    except EOFError:
        ours.close()


def main() -> tuple[int, int | None]:
    """Play; how many balls came back, and the other's exit code."""
    ours: PipeEnd[tuple[str, int], tuple[str, int]]
    theirs: PipeEnd[tuple[str, int], tuple[str, int]]
    ours, theirs = SharedPipe()
    player = Process(target=pong, args=(theirs, ours))
    player.start()
    theirs.close()
    returned = 0
    for number in range(RALLIES):
        ours.send(("ping", number))
        returned += ours.recv() == ("pong", number)
    ours.close()
    player.join()
    print(f"{returned:,} of {RALLIES:,} balls came back; the other player left with exit code {player.exitcode}")
    return returned, player.exitcode


if __name__ == "__main__":
    main()
