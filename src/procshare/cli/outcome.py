"""How commands end: the exit codes, errors as one line on stderr, Ctrl-C, and readers that left."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import procshare
from procshare.cli.paper import print_json, to_nowhere

if TYPE_CHECKING:
    from collections.abc import Generator

FINE = 0
WRONG = 1  # something is wrong, or was not found
USAGE = 2  # the command line makes no sense, or an extra is missing
INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
UNREAD = 141  # what a shell reports for a command whose reader left

EXIT_CODES = """\
Exit codes: 0 all is well; 1 something is wrong or was not found; 2 the command line makes no sense, or an extra is
missing; 130 interrupted by Ctrl-C; 141 whoever read the output left."""


class Failed(Exception):
    """The command cannot do what it should; the message is for whoever called it.

    Args:
        message: What is wrong.
        code: The exit code.
    """

    def __init__(self, message: str, code: int = WRONG) -> None:
        super().__init__(message)
        self.code = code


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"procshare: {message}", file=sys.stderr)


@contextmanager
def told(as_json: bool = False) -> Generator[None]:
    """Make an exit code and one line on stderr of what a command raises.

    Args:
        as_json: Print the error as a JSON object too.
    """
    try:
        yield
    except Failed as error:
        _fail(str(error), as_json, error.code)
    except procshare.ProcshareError as error:
        _fail(str(error), as_json)
    except ImportError as error:
        if not _of_the_core(error):
            raise
        _fail(f"only the shm backend has segments, and it cannot be loaded here: {error}", as_json)
    except BrokenPipeError:
        to_nowhere()
        sys.exit(UNREAD)
    except OSError as error:  # of the system: no descriptor left, a file that may not be touched
        _fail(str(error), as_json)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(INTERRUPTED)


def _of_the_core(error: ImportError) -> bool:
    if error.name == "procshare":  # so it is where the core was never built: "cannot import name '_native' from ..."
        return "'_native" in str(error)
    return (error.name or "").startswith(("procshare.backends.shm", "procshare._native"))


def _fail(message: str, as_json: bool, code: int = WRONG) -> None:
    if as_json:
        print_json({"ok": False, "error": message})
    complain(message)
    sys.exit(code)
