"""A process that has all modules loaded, and forks others that die: killed by the test, or at a fault point.

Each child attaches for itself to what it is given. What it has done it writes in a ledger, which outlives it.
"""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts import Script

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = """
import traceback
from importlib import import_module
sys.path.insert(0, sys.argv[1])
for kind in SharedCounter, SharedDict, SharedList, SharedSet, SharedNamespace:
    with kind():
        pass  # now what it needs is loaded here, and not by each child

for line in sys.stdin:
    verb, argument = line.split()
    if verb == "start":
        module, function, job = pickle.loads(bytes.fromhex(argument))
        call = getattr(import_module(module), function)
        child = os.fork()
        if child == 0:
            try:
                call(*pickle.loads(job))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        say(child)
    else:
        if verb == "kill":
            os.kill(int(argument), signal.SIGKILL)
        say(os.waitstatus_to_exitcode(os.waitpid(int(argument), 0)[1]))
"""


class Nursery(Script):
    """The process that forks the others.

    Args:
        environ: Variables in addition to this process's.
    """

    def __init__(self, **environ: str) -> None:
        environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads of NumPy's is warned when it forks
        super().__init__(PROGRAM, Path(__file__).parent, environ=environ)
        self.children: list[int] = []

    def start(self, call: Callable[..., object], *args: Any) -> int:
        """Start a child that calls a module's function with *args*; its process id."""
        job = (call.__module__, call.__name__, pickle.dumps(args))
        self.tell("start " + pickle.dumps(job).hex())
        self.children.append(int(self.hear()))
        return self.children[-1]

    def end(self, which: int) -> None:
        """Kill a child, which must not have ended by itself, and wait until it is gone."""
        self.tell(f"kill {self.children.pop(which)}")
        code = self.hear()
        assert code == str(-signal.SIGKILL), f"it ended with {code}; stderr:\n{self._errors()}"

    def wait(self) -> bool:
        """Wait for the end of the child that was started last: whether it was killed.

        Raises:
            AssertionError: It ended in another way than by its death or well.
        """
        self.tell(f"wait {self.children.pop()}")
        code = self.hear()
        assert code in (str(-signal.SIGKILL), "0"), f"it ended with {code}; stderr:\n{self._errors()}"
        return code != "0"

    def __exit__(self, *exc: object) -> None:
        for child in self.children:
            os.kill(child, signal.SIGKILL)
        super().__exit__(*exc)
