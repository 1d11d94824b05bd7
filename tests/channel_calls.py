"""What the victims of tests/test_channel_bytes.py call after the damage: all public methods, some of them twice.

A part of the program in channel_victims.py.
"""

from __future__ import annotations

CALLS = """
INTERRUPT = signal.SIGUSR1
waiting = False

def interrupted(number, frame):
    if waiting:
        raise Waited

def patiently(step):
    "A call that takes no timeout may wait for a process that lives, as long as a signal ends that."
    def run():
        global waiting
        timer = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), INTERRUPT))
        timer.start()
        waiting = True
        try:
            return step()
        finally:
            waiting = False
            timer.cancel()
            timer.join()
    return run

def released(x, *args, **kwargs):
    "Whether it was acquired, and released."
    got = x.acquire(*args, **kwargs)
    if got:
        x.release()
    return got

async def in_time(step):
    try:
        async with asyncio.timeout(0.05):
            return await step()
    except TimeoutError as error:
        if isinstance(error, ProcshareError):
            raise
        raise Waited from None

def in_a_task(step):
    return lambda: asyncio.run(in_time(step))

def in_threads(steps):
    "Some calls at the same time; the first error of one of them."
    errors = []
    def run(step):
        try:
            step()
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4)
        if thread.is_alive():
            os.kill(os.getpid(), signal.SIGALRM)  # it hangs
    for error in errors:
        raise error

# ---- queues ----

def leased(q, error=None):
    with q.lease(timeout=0.005):
        if error:
            raise error

def two_leases(q):
    with q.lease(timeout=0), q.lease(timeout=0) as item:
        return item

async def both_ways(q):
    await q.put_async([1, "async"], timeout=0.005)
    return await q.get_async(timeout=0.005)

def of_queue_calls(q):
    yield lambda: q.put(5, timeout=0.005)
    yield lambda: q.get(timeout=0.005)
    yield lambda: (q.qsize(), q.empty(), q.full(), q.maxsize, q.capacity)
    yield lambda: q.put(b"p" * 9000, timeout=0)
    yield lambda: q.get_many(3, timeout=0)
    yield lambda: q.put_many([None, "m" * 70, (1, 2), np.arange(20), {3}], timeout=0)
    yield lambda: leased(q)
    yield lambda: leased(q, KeyError("back"))
    yield lambda: two_leases(q)
    yield lambda: q.get_nowait()
    yield patiently(lambda: q.task_done())
    yield lambda: q.join(timeout=0.005)
    yield lambda: q.put(np.zeros(40_000), timeout=0)
    yield lambda: q.put_nowait(SharedCounter(1))
    yield lambda: repr(q)
    yield lambda: q.put_many([b"q" * 500] * 60, timeout=0)
    yield lambda: q.put("large" * 60_000, timeout=0)
    yield lambda: q.put(b"l" * (1 << 20), timeout=0)
    yield lambda: q.get_many(timeout=0)
    yield lambda: q.get_many(timeout=0.005)
    yield in_a_task(lambda: both_ways(q))
    yield lambda: [q.get(False) for _ in range(40)]
    yield lambda: in_threads([lambda: q.get(timeout=0.02), lambda: q.put(1, timeout=0), lambda: q.join(0.01)])
    yield lambda: kept.pop().__exit__(None, None, None) if kept else None
    yield lambda: q.put_many(ITEMS * 3, timeout=0)
    yield lambda: (q.qsize(), q.empty(), q.full())

def end_of_queue(q):
    yield lambda: (q.join_thread(), q.cancel_join_thread())
    yield patiently(lambda: q.shutdown())
    yield patiently(lambda: list(q))
    yield lambda: q.put(1, timeout=0)
    yield patiently(lambda: q.shutdown(immediate=True))
    yield lambda: q.get(timeout=0)
    yield lambda: q.join(timeout=0.005)

# ---- locks ----

async def held_by_task(x):
    got = await x.acquire_async(timeout=0.005)
    if got:
        x.release()
    async with x:
        return got

def of_lock(x):
    yield lambda: released(x, timeout=0.005)
    yield lambda: released(x, False)
    yield lambda: (x.locked(), x.owner_died, repr(x))
    yield lambda: x.release()
    def nested():
        if x.acquire(timeout=0.005):
            try:
                return x.owner_died, x.locked(), released(x, timeout=0)
            finally:
                x.release()
    yield nested
    yield in_a_task(lambda: held_by_task(x))
    yield patiently(lambda: [x.__enter__(), x.__exit__(None, None, None)])
    yield lambda: in_threads([lambda: released(x, timeout=0.02)] * 3)

def of_semaphore(x):
    yield lambda: released(x, timeout=0.005)
    yield patiently(lambda: (x.get_value(), x.locked(), repr(x)))
    yield patiently(lambda: x.release())
    yield patiently(lambda: x.release(2**31 - 1))
    yield lambda: [x.acquire(False) for _ in range(6)]
    yield patiently(lambda: [x.release() for _ in range(3)])
    yield patiently(lambda: x.release(3))
    yield in_a_task(lambda: held_by_task(x))
    yield patiently(lambda: [x.__enter__(), x.__exit__(None, None, None)])
    yield lambda: in_threads([lambda: x.acquire(timeout=0.02), x.release, lambda: x.acquire(timeout=0)])
    yield patiently(lambda: x.get_value())

def of_event(x):
    yield lambda: x.wait(0.005)
    yield lambda: (x.is_set(), repr(x))
    yield lambda: x.set()
    yield lambda: x.clear()
    yield in_a_task(lambda: x.wait_async(0.005))
    yield lambda: in_threads([lambda: x.wait(0.02), x.set, x.clear])
    yield lambda: x.is_set()

# ---- signals ----

def under(x, step):
    "With the condition's lock, if it is to be had."
    if x.acquire(timeout=0.005):
        try:
            return step()
        finally:
            x.release()

def of_condition(x):
    yield patiently(lambda: under(x, lambda: x.wait(0.005)))
    yield lambda: under(x, lambda: (x.notify(), x.notify(3), x.notify_all()))
    yield lambda: (x.locked(), repr(x))
    yield patiently(lambda: under(x, lambda: under(x, lambda: x.wait_for(lambda: False, 0.005))))
    yield lambda: x.notify()
    yield lambda: x.wait(0)
    yield lambda: x.release()
    yield patiently(lambda: [x.__enter__(), x.__exit__(None, None, None)])
    yield lambda: in_threads([lambda: under(x, lambda: x.wait(0.02)), lambda: under(x, x.notify_all)])
    yield lambda: under(x, lambda: x.notify_all())

def of_barrier(x):
    yield lambda: x.wait(0.005)
    yield patiently(lambda: (x.parties, x.n_waiting, x.broken, repr(x)))
    yield patiently(lambda: x.reset())
    yield lambda: in_threads([lambda: x.wait(0.05)] * min(x.parties, 4))
    yield patiently(lambda: (x.n_waiting, x.broken))
    yield patiently(lambda: x.reset())
    yield lambda: in_threads([lambda: x.wait(0.02)] * 3)
    yield patiently(lambda: x.abort())
    yield lambda: x.wait(0)
    yield patiently(lambda: (x.reset(), x.n_waiting))
    yield patiently(lambda: x.wait())

def inside(x, step=lambda: None, **timeouts):
    "Blocks of a read-write lock, one in another."
    (how, timeout), *rest = timeouts.items()
    with getattr(x, how.rstrip("_"))(timeout):
        return inside(x, step, **dict(rest)) if rest else step()

def of_rwlock(x):
    yield lambda: inside(x, reading=0.005)
    yield lambda: inside(x, writing=0.005)
    yield lambda: inside(x, reading=0, reading_=0)
    yield lambda: inside(x, writing=0, reading=0)
    yield lambda: inside(x, reading=0, writing=0)
    yield lambda: repr(x)
    yield lambda: in_threads([lambda: inside(x, reading=0.02), lambda: inside(x, writing=0.02)] * 2)
    yield lambda: inside(x, reading=0.005)

OF = {SharedQueue: of_queue_calls, SharedLock: of_lock, SharedRLock: of_lock, SharedSemaphore: of_semaphore,
      SharedBoundedSemaphore: of_semaphore, SharedEvent: of_event, SharedCondition: of_condition,
      SharedBarrier: of_barrier, SharedRWLock: of_rwlock}

def use(x, turn):
    "Everything that can be done with it, beginning anywhere."
    steps = [step for cls, calls in OF.items() if isinstance(x, cls) for step in calls(x)]
    turn %= len(steps)
    yield from steps[turn:] + steps[:turn]
    yield lambda: repr(pickle.loads(pickle.dumps(x)))
    yield lambda: type(x).attach(x.name).close()
    yield end_others
    if isinstance(x, SharedQueue):
        yield from end_of_queue(x)
    yield lambda: x.hand_over()
    yield lambda: x.unlink()

def judge(announce, kind, how, turn, hurts):
    signal.signal(INTERRUPT, interrupted)
    tells, end = [], time.monotonic() + 3.5
    made = MAKE[kind](announce, {} if kind.startswith("small") else {"name": f"bad-{os.getpid()}"})
    name, path = made.name, "/dev/shm/" + made.segment
    announce(path)
    slot = 8192 + 4096 + 128 * (int(name.partition("#")[2].partition(".")[0]) - 1) if "#" in name else ROOT
    with open(path, "rb") as file:
        whole = file.read()
    if how == "before":  # the damage is done to a copy that nobody is attached to
        path = f"/dev/shm/procshare-bad{os.getpid()}"
        announce(path)
        spoiled(path, whole, hurts)
        name = os.path.basename(path) + ("#" + name.partition("#")[2] if "#" in name else "")
    damage(path, name, kind, slot, hurts)
    if how == "meanwhile":
        with open(path, "rb") as file:
            scribble(announce, path, whole, file.read())
    handles = [] if how == "before" else [made]
    for attach in (procshare.attach, type(made).attach, [*OF][turn % len(OF)].attach):
        handle = attempt(lambda: attach(name), tells)
        if handle is not None:
            handles.append(handle)
    attempt(segments, tells)
    attempt(lambda: prune(dry_run=True), tells)
    for step in use(handles[0], turn) if handles else ():  # which all of this process's would be the same
        if time.monotonic() < end:
            attempt(step, tells)
    end_others()
    for handle in [*handles, made]:
        attempt(handle.close, tells)
        attempt(handle.unlink, tells)
    return tells

async def warm():
    await asyncio.sleep(0)

asyncio.run(warm())  # so that all modules are loaded
import procshare.backends.shm.waiting
with SharedQueue(name=f"bad-warm-{os.getpid()}"):
    pass
"""
