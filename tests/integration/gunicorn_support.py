"""A real gunicorn, and clients that keep account of what it answered."""

from __future__ import annotations

import re
import threading
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from server_support import EXAMPLES, PATIENCE, Server

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["EXAMPLES", "Gunicorn", "Load"]


class Gunicorn(Server):
    """A gunicorn that runs `app:app` of a folder, with the `gunicorn.conf.py` there.

    Args:
        folder: In which it is started.
        options: Of its command line.
        environ: Variables in addition to this process's.
    """

    def __init__(self, folder: Path, *options: str, environ: dict[str, str] | None = None) -> None:
        super().__init__(folder, "-m", "gunicorn", "--bind", "fd://{fd}", *options, "app:app", environ=environ)


class Load:
    """Clients that ask for one page after the other, each time on a connection of its own, until the block ends.

    Attributes:
        sent: Requests that a server may have got.
        numbers: The number that each answer told.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self.sent = 0
        self.numbers = list[int]()
        self._port = port
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def until(self, answered: int) -> None:
        """Wait for that many more answers.

        Raises:
            AssertionError: They did not come in time.
        """
        with self._changed:
            wanted = len(self.numbers) + answered
            assert self._changed.wait_for(lambda: len(self.numbers) >= wanted, PATIENCE), len(self.numbers)

    def _ask(self) -> None:
        while not self._stopped:
            with self._changed:
                self.sent += 1
            number = self._once()
            if number:
                with self._changed:
                    self.numbers.append(number)
                    self._changed.notify_all()

    def _once(self) -> int:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read().decode()
        except (HTTPException, OSError):  # its worker was killed before it answered
            return 0
        finally:
            connection.close()
        told = re.search(r"\d+", body)
        assert response.status == 200
        assert told, body
        return int(told[0])

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
