"""A web application whose workers share one cache: what one of them has computed, all of them know."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from procshare import SharedCounter, SharedDict, SharedLock, WaitTimeout

NAME = os.environ.get("CACHE", "my-app-cache")
FRESH = 60.0  # seconds for which an answer is good
SLOW = float(os.environ.get("SLOW", "0.2"))  # seconds that it takes to compute one

cache: SharedDict[str, tuple[float, str]] = SharedDict.open(NAME)
computing = SharedLock.open(f"{NAME}-computing")
computed = SharedCounter.open(f"{NAME}-computed")


async def look_up(key: str) -> str:
    """The answer from the cache, or else computed: once, however many requests of however many workers want it."""
    answer = fresh(key)
    if answer is None:
        async with computing:  # the other tasks of this worker go on; if it is killed here, another one takes over
            answer = fresh(key)  # somebody may have been faster
            if answer is None:
                answer = await compute(key)
                cache[key] = time.time() + FRESH, answer
                computed.increment()
    return answer


def fresh(key: str) -> str | None:
    """What the cache says, if that is not too old. Takes no lock and well under a microsecond: fine in a coroutine."""
    until, answer = cache.get(key, (0.0, ""))
    return answer if until > time.time() else None


async def compute(key: str) -> str:
    """A stand-in for a database, or another service."""
    await asyncio.sleep(SLOW)
    return key.upper()


async def news(seen: int) -> str:
    """Wait until more than *seen* answers have been computed, by any worker."""
    try:
        return str(await computed.wait_until_async(lambda n: n > seen, timeout=30))
    except WaitTimeout:
        return str(seen)


async def live(receive: Any, send: Any) -> None:
    """Let go at the end, since uvicorn's workers die of a signal, which runs no exit function."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()  # until the server is to stop, and has answered all
    for shared in cache, computing, computed:
        shared.close()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/news?n` waits for the next answer after the n-th; every other path is looked up."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    path = scope["path"]
    body = await news(int(scope["query_string"] or 0)) if path == "/news" else await look_up(path)
    headers = [(b"content-type", b"text/plain"), (b"worker", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
