"""A web application that counts its requests over all workers of the server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from procshare import SharedCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

hits = SharedCounter.open(os.environ.get("HITS", "my-app-hits"))  # the first worker makes it, the others attach


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Count the request, and then answer it."""
    n = hits.increment()
    body = f"request number {n}, counted by all workers together\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
