"""What procshare promises of crashes, checked: fault points for your tests, and programs that break things on purpose.

Each of these programs prints a table of what was survived, in Markdown, and ends with 1 if anything was not:

    python -m procshare.testing.sweep       a SIGKILL at each fault point of each type
    python -m procshare.testing.steps       a SIGKILL after each store to shared memory
    python -m procshare.testing.chaos       processes of all types killed, stopped and restarted at random
    python -m procshare.testing.exits       what is left after each way to end
    python -m procshare.testing.strangers   what strangers, lost descriptors and other namespaces can destroy
    python -m procshare.testing.stdlib      the same questions, asked of the standard library
    python -m procshare.testing.pressure    a full /dev/shm, resource limits
    python -m procshare.testing.syscalls    each system call failing in turn
    python -m procshare.testing.threads     forks, finalizers, signals and closes in the middle of each call
    python -m procshare.testing.scale       thousands of objects and processes

A process that is started with PROCSHARE_FAULT=<point> in its environment loads the core's test build and kills itself
at that point; PROCSHARE_FAULT=<point>:<n> at its n-th visit. With PROCSHARE_FAULT=- it loads the test build and
lives, until `arm()` names a point. Without the variable the core has no fault points at all.

`procshare.testing.plugin` has fixtures for pytest.
"""

from procshare.testing._workers import StartWorker, Worker, WorkerDied
from procshare.testing.faults import arm, fault_points, visits

__all__ = ["StartWorker", "Worker", "WorkerDied", "arm", "fault_points", "visits"]
