"""A web application that counts its requests over all workers, which are not the user who made the counter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from shared import hits, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Count the request, over all pages and for this page, and then answer it."""
    n = hits.increment()
    pages.increment(environ["PATH_INFO"])
    if "fork" in environ.get("QUERY_STRING", ""):
        count_in_a_fork()
    body = f"request number {n}, counted by user {os.geteuid()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def count_in_a_fork() -> None:
    """A child of a worker opens the objects' files as the worker's user: that is what the mode is for."""
    pid = os.fork()
    if pid == 0:
        try:
            with pages.locked(timeout=10) as inside:
                inside["forks"] = inside.get("forks", 0) + 1
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
