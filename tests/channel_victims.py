"""The victims of tests/test_channel_bytes.py: queues and locks that other processes, living and dead, take part in.

A program for `victims.Victims`, in four parts: what all need; what is made; where the damage is aimed; what is called
afterwards (channel_calls.py).
"""

from __future__ import annotations

from channel_calls import CALLS

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
         [1, None, b"x"], {"k": 1, "l": "v"}, {1, 2}, Fraction(1, 3), np.arange(10), [np.arange(5), bytearray(b"a" * 99)],
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
    q.put_many(["one", 2, [3.0]], timeout=0)
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

_DAMAGE = """
FIRST, OWED, LEASES, LEASE = 16384, 8192, 32768, 32
LINKED, LARGE = 0x80, 0x40

# Where a queue's books are, found by what they are known to say.
with SharedQueue(capacity=123_456_789, name=f"bad-queue-{os.getpid()}") as probe:
    probe.put_many([b"x" * 1000] * 7, timeout=0)
    probe.get_many(3, timeout=0)
    with open("/dev/shm/" + probe.segment, "rb") as file:
        probed = file.read(2048)
PUTS, TAKES, RING, CAPACITY = (probed.index(struct.pack("=Q", n), 1024) for n in (7056, 3024, FIRST << 6 | 13, 123_456_789))
PUTS, TAKES, RING = PUTS - 32, TAKES - 72, RING - 8  # from the second of each two books to the number that chooses

def word(data, at):
    return struct.unpack_from("=Q", data, at)[0] if 0 <= at <= len(data) - 8 else 0

def bodies(data):
    "Where the records of a queue are: their heads, and how long they are."
    extent = word(data, RING + 8 + 8 * (word(data, RING) & 1))
    at, size = extent >> 6, 1 << (extent & 63)
    tail, head = word(data, TAKES + 8 + 64 * (word(data, TAKES) & 1)), word(data, PUTS + 8 + 24 * (word(data, PUTS) & 1))
    while tail < head and size <= len(data):
        where = at + tail % size
        length = word(data, where) & (1 << 56) - 1
        yield where, length
        tail += 8 + (length + 7 & ~7)

def of_queue(data):
    records = list(bodies(data))
    leases = [(LEASES + LEASE * i, LEASE) for i in range(6)]
    extents = [word(data, at + 8) >> 6 for at, _ in leases if word(data, at)]
    return {
        "locks": [(1024, 8), (PUTS - 8, 8), (PUTS + 56, 8), (TAKES - 8, 8)],
        "puts": [(PUTS, 56)],
        "takes": [(TAKES, 40), (TAKES + 72, 32)],
        "also": [(TAKES + 40 + 64 * (i // 2) + 16 * (i % 2), 16) for i in range(4)],
        "ring": [(RING, 24)],
        "bounds": [(CAPACITY - 16, 24)],
        "shut": [(CAPACITY + 8, 12)],
        "owed": [(at, 8) for at in range(OWED, FIRST, 8) if word(data, at)] + [(FIRST - 2048, 8), (OWED, 64)],
        "leases": leases,
        "heads": [(at, 8) for at, _ in records] + [(at - 8, 8) for at in extents],
        "bodies": [(at + 8, min(length, 64)) for at, length in records if length] + [(at, 64) for at in extents],
    }

def entries(kind, data, at):
    if "rwlock" in kind:
        return 8, [(at + 64 + 64 * i, 16) for i in range(5)]
    if "robust" in kind:
        return 8, [(at + 8 * i, 8) for i in range(768) if word(data, at + 8 * i)] + [(at, 32)]
    return 16, [(at + 16 + 16 * i, 16) for i in range(4)]

def extents(kind, data, slot):
    "What the damage is aimed at: ranges of the file."
    payload, meta = word(data, 24), word(data, 40)
    meta_size, = struct.unpack_from("=I", data, 48)
    found = {"slot": [(slot, 128)], "first": [(slot, 48)], "fields": [(0, 896)], "heap": [(HEAP_LOCK, 396)],
             "seats": [(2048, 128)], "all": [(0, len(data))], "meta": [(meta, meta_size)] if meta_size else []}
    if "small" in kind:
        found["table"] = [(8192 + 8, 64)]  # the slots' claims
    elif "queue" in kind or "items" in kind:
        found.update(of_queue(data))
    elif payload < len(data):
        size, found["entries"] = entries(kind, data, payload)
        found["table"] = [(payload, size)]
    return {area: ranges or [(slot, 128)] for area, ranges in found.items()}

def damage(path, name, kind, slot, hurts):
    fd = os.open(path, os.O_RDWR)
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        if any(how == "cut" for _, _, how, _ in hurts):
            return
        found = extents(kind, data, slot)
        tokens = [token(data), *(token(data, child) for child in others)] if others else [token(data)] * 2
        tokens.append(tokens[0] ^ 1)  # a dead one's
        for area, place, how, number in hurts:
            ranges = found.get(area) or found["first"]
            start, length = ranges[place % len(ranges)]
            where = start + place // len(ranges) % length
            change(fd, data, where, how, number)
            if how == "add":
                old, = struct.unpack("=Q", os.pread(fd, 8, where & ~7).ljust(8, b"\\0"))
                os.pwrite(fd, struct.pack("=Q", (old + number) % (1 << 64)), where & ~7)
            elif how == "token":  # of this process, a living or a dead one; with the waiters bit or a count
                living = area in ("leases", "owed", "entries")
                mine, number = tokens[number % 3 if living else number % 2 * 2], number // 3
                packed = struct.pack("=I", mine | number // 2 % 2 << 31)
                wide = struct.pack("=II", number // 2 % 5, mine)
                os.pwrite(fd, *((packed, where & ~3) if number % 2 else (wide, where & ~7)))
            elif how == "lock":
                os.pwrite(fd, struct.pack("=I", tokens[0] | number % 2 << 31), slot + 16)
            elif how == "itself":  # a condition's lock is the condition
                os.pwrite(fd, name.encode(), found["meta"][0][0])
                os.pwrite(fd, struct.pack("=I", len(name)), 48)
    finally:
        os.close(fd)

def scribble(announce, path, whole, spoiled):
    "A process that does the damage and undoes it again and again."
    changes = [at for at in range(0, len(whole), 8) if whole[at : at + 8] != spoiled[at : at + 8]]
    def do(ready):
        ready()
        fd = os.open(path, os.O_RDWR)
        while True:
            for data in (spoiled, whole):
                for at in changes:
                    os.pwrite(fd, data[at : at + 8], at)
    another(announce, do, False)
"""

VICTIM = _OTHERS + _MAKE + _DAMAGE + CALLS
