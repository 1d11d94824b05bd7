"""A server that squares numbers: requests come in through one queue, answers go out through another.

Each request has a number of its own, so that the answers may come in any order: two servers share the work. When the
requests are shut down, the servers finish what is left and end, and the last of them shuts down the answers.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import NamedTuple

from procshare import SharedCounter, SharedQueue

SERVERS = 2
NUMBERS = [3, 1, 4, 1, 5, 9, 2, 6]


class Request(NamedTuple):
    """What a client wants to know."""

    number: int
    base: float


class Answer(NamedTuple):
    """What it is told."""

    number: int
    square: float | None
    error: str = ""


def answer(request: Request) -> Answer:
    """Square it; what goes wrong is the client's to know, and does not end the server."""
    try:
        return Answer(request.number, request.base * request.base)
    except TypeError as error:
        return Answer(request.number, None, str(error))


def serve(requests: SharedQueue[Request], answers: SharedQueue[Answer], running: SharedCounter) -> None:
    """Answer until no more requests will come."""
    for request in requests:
        answers.put(answer(request))
    if running.decrement() == 0:
        answers.shutdown()


def main() -> list[float | None]:
    """Ask, and put the answers in the order of the questions."""
    with (
        SharedQueue[Request]() as requests,
        SharedQueue[Answer]() as answers,
        SharedCounter(SERVERS) as running,
    ):
        servers = [Process(target=serve, args=(requests, answers, running)) for _ in range(SERVERS)]
        for server in servers:
            server.start()
        requests.put_many(Request(number, base) for number, base in enumerate(NUMBERS))
        requests.shutdown()
        found = {each.number: each.square for each in answers}
        for server in servers:
            server.join()
    squares = [found[number] for number in range(len(NUMBERS))]
    print(f"{NUMBERS} squared by {SERVERS} servers: {squares}")
    return squares


if __name__ == "__main__":
    main()
