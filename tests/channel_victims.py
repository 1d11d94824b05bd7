"""The victims of tests/test_channel_bytes.py: queues and locks that other processes, living and dead, take part in.

A program for `victims.Victims`, in four parts: what all need; what is made; where the damage is aimed
(channel_damage.py); what is called afterwards (channel_calls.py).
"""

from __future__ import annotations

from channel_calls import CALLS
from channel_damage import DAMAGE

_OTHERS = """
import asyncio, queue, re, threading
from fractions import Fraction
import numpy as np

class Waited(Exception):
    "A call that takes no timeout was interrupted, as by Ctrl-C."

# What is said of a call that is wrong where things are as the damaged bytes say.
SAID = re.compile("not yours to release|without the lock|on lease, which is the most|wait for this condition already|"
                  "of which this process has|is yours already|not yet bound to its|another task|no asyncio task|"
                  "does not (read|write) it|this lease was entered already|this thread reads it")
CHANNEL = (queue.Empty, queue.Full, ShutDown, threading.BrokenBarrierError, Waited)
of_state = fine

def fine(error):
    return isinstance(error, CHANNEL) or (type(error) is RuntimeError and SAID.search(str(error))) or of_state(error)

others = []

def another(announce, do, dies):
    "A forked process that does something with what this one has, says so, and is killed, or stays until this one ends."
    there, back = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        try:
            kept = do(lambda: os.write(back, b"."))
            os.write(back, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.close(back)
    announce(child)
    assert os.read(there, 1) == b"."
    os.close(there)
    if dies:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    else:
        others.append(child)

def end_others():
    for child in others:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    others.clear()
"""

_MAKE = """
ITEMS = [None, True, 5, 1 << 60, 1 << 70, 2.5, "text", "t" * 100, b"b" * 50, b"B" * 5000, "\\ud800", (1, ("two", 3.0)),
         [1, None, b"x"], {"k": 1, "l": "v"}, {1, 2}, Fraction(1, 3), np.arange(10), [np.arange(5), bytearray(99)],
         np.arange(600.0), b"\\0\\0\\0\\3" * 4]  # the last is a head, if read from its middle

def takes_part(q, leases):
    def do(ready):
        q.get(timeout=0)
        kept = [q.lease(timeout=0) for _ in range(leases)]
        return kept, [lease.__enter__() for lease in kept]
    return do

def filled(announce, kw, *, alone=False):
    "Items of all kinds, with debts and leases of this process, a living one and a dead one."
    q = SharedQueue(**kw)
    q.put_many(ITEMS, timeout=0)
    q.put_many([SharedList([1]), [SharedCounter(3)]], timeout=0)
    q.get_many(3, timeout=0)
    q.task_done()
    if not alone:
        another(announce, takes_part(q, 2), True)
        another(announce, takes_part(q, 1), False)
        mine = q.lease(timeout=0)
        mine.__enter__()
        kept.append(mine)
    return q

def grown(announce, kw):
    "Its ring moved, and went round."
    q = SharedQueue(**kw)
    for _ in range(3):
        q.put_many([b"g" * 3000] * 12 + ["g"] * 12, timeout=0)
        q.get_many(20, timeout=0)
    return q

def large(announce, kw):
    "An item larger than the capacity, and one of these on lease of the dead."
    q = SharedQueue(capacity=400, **kw)
    q.put(b"L" * 9000, timeout=0)
    another(announce, lambda ready: q.lease(timeout=0).__enter__(), True)
    q.put([SharedList(), b"M" * 20_000], timeout=0)
    return q

def tight(announce, kw):
    "Full by number."
    q = SharedQueue(3, **kw)
    q.put_many([ITEMS[-1], 2, [3.0]], timeout=0)
    return q

def bomb(announce, kw):
    "Bytes that are tuples within tuples, if they are taken for a plain object: each as long as what is left."
    q = SharedQueue(**kw)
    q.put(b"".join(b"\\x08" + struct.pack("=I", 10_000_000 - 5 * i) for i in range(1, 9)).ljust(10_000_000, b"\\1"))
    return q

def shut(announce, kw):
    q = filled(announce, kw)
    q.shutdown()
    return q

def taken(cls, dies, *args, **more):
    def make(announce, kw):
        x = cls(*args, **more, **kw)
        another(announce, lambda ready: x.acquire(timeout=0), dies)
        return x
    return make

def shared_out(cls):
    def make(announce, kw):
        x = cls(5, robust=True, **kw)
        another(announce, lambda ready: x.acquire(timeout=0), True)
        another(announce, lambda ready: x.acquire(timeout=0), False)
        x.acquire(timeout=0)
        return x
    return make

def waits(x):
    def do(ready):
        with x:
            ready()
            x.wait(30)
    return do

def awaited(make_lock):
    def make(announce, kw):
        lock = make_lock()
        kept.append(lock)
        x = SharedCondition(lock, **kw)
        for dies in (True, False):
            another(announce, waits(x), dies)
            assert x.acquire(timeout=5)  # so that it does wait
            x.release()
        return x
    return make

def attended(action):
    def make(announce, kw):
        x = SharedBarrier(3, action, 0.01, **kw)
        def do(ready):
            ready()
            x.wait(30)
        another(announce, do, False)
        end = time.monotonic() + 5
        while x.n_waiting == 0 and time.monotonic() < end:
            time.sleep(0.001)
        return x
    return make

def read(announce, kw):
    x = SharedRWLock(**kw)
    for dies in (True, False):
        another(announce, lambda ready: x.reading(0).__enter__(), dies)
    return x

def written(announce, kw):
    x = SharedRWLock(**kw)
    another(announce, lambda ready: x.writing(0).__enter__(), True)
    return x

def same_length():
    return SharedLock(name=f"lck-{os.getpid()}")  # as the condition's own name

kept = []  # what this process holds while the damage is done
MAKE = {
    "queue": filled,
    "queue alone": lambda announce, kw: filled(announce, kw, alone=True),
    "grown queue": grown,
    "large items": large,
    "tight queue": tight,
    "shut queue": shut,
    "bomb in a queue": bomb,
    "lock": taken(SharedLock, True),
    "lock of the living": taken(SharedLock, False),
    "rlock": taken(SharedRLock, True),
    "semaphore": taken(SharedSemaphore, True, 3),
    "bounded semaphore": taken(SharedBoundedSemaphore, False, 2),
    "robust semaphore": shared_out(SharedSemaphore),
    "robust bounded semaphore": shared_out(SharedBoundedSemaphore),
    "event": lambda announce, kw: SharedEvent(**kw),
    "condition": awaited(lambda: None),
    "condition of a lock": awaited(same_length),
    "barrier": attended(None),
    "barrier with an action": attended(os.getpid),
    "rwlock": read,
    "written rwlock": written,
    "small lock": taken(SharedLock, True),
    "small semaphore": taken(SharedSemaphore, True, 3),
    "small event": lambda announce, kw: SharedEvent(**kw),
}
"""

VICTIM = _OTHERS + _MAKE + DAMAGE + CALLS
