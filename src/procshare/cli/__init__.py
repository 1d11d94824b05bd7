"""The `procshare` command: a demonstration, and a look at what is in shared memory."""

from procshare.cli.entry import main

__all__ = ["main"]
