"""Celery tasks whose worker processes count together, and remember what one of them looked up.

The broker is a folder (`QUEUE`), so that nothing else has to run. Use a real one in earnest.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from celery import Celery
from celery.signals import worker_init, worker_process_init

from procshare import SharedCounter, SharedDict

NAME = os.environ.get("TASKS", "my-tasks")
FOLDER = Path(os.environ.get("QUEUE", f"{tempfile.gettempdir()}/{NAME}"))
FOLDER.mkdir(parents=True, exist_ok=True)

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER),
    "data_folder_out": str(FOLDER),
    "control_folder": str(FOLDER / "control"),
}
app.conf.task_acks_late = True  # a task whose process is killed is done again, by another one
app.conf.task_reject_on_worker_lost = True
app.conf.worker_lost_wait = 1.0  # seconds until it is
app.conf.worker_prefetch_multiplier = 1

done: SharedCounter
known: SharedDict[str, int]


def share(**_from_celery: object) -> None:
    """Open what is shared: in the worker, which holds it while processes come and go, and in each of them."""
    global done, known
    done = SharedCounter.open(f"{NAME}-done")
    known = SharedDict.open(f"{NAME}-known")


worker_init.connect(share, weak=False)
worker_process_init.connect(share, weak=False)


@app.task
def look_up(what: str) -> int:
    """Its length, which takes long to find out, unless another process has."""
    if what not in known:
        known[what] = len(what)
    done.increment()
    return known[what]


@app.task
def die_once() -> None:
    """Kill this process, the first time."""
    if known.increment("deaths") == 1:
        os.kill(os.getpid(), 9)
    done.increment()
