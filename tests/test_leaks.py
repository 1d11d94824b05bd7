"""Whatever way a process ends, nothing of its is left in /dev/shm, and an orderly end prints nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from procshare import SharedCounter
from scripts import Script, entries, finish, left_since, run

MAKE = """
def make(tag):
    "Objects of each kind and each sort of life; a name of each."
    name = f"leaks-{tag}-{os.getpid()}"
    kinds = [
        lambda **kw: SharedCounter(1, **kw),
        lambda **kw: SharedValue(2, "i", **kw),
        lambda **kw: SharedValue(b"3" * 100_000, **kw),
        lambda **kw: SharedDict({"n": 1, "list": SharedList([SharedCounter(2)])}, **kw),
        lambda **kw: SharedList(range(9), **kw),
    ]
    try:
        import numpy
        kinds.append(lambda **kw: SharedArray([1.0, 2.0], **kw))
    except ImportError:
        pass
    made = []
    for number, kind in enumerate(kinds):
        exported = kind()
        exported.name
        made += [kind(), exported, kind(name=f"{name}-{number}")]
        given = kind().hand_over()
        made += [given, pickle.loads(pickle.dumps(given))]
    for number, cls in enumerate([SharedCounter, SharedValue, SharedArray][: len(kinds) - 3]):
        made.append(cls.open(f"{name}-open-{number}", *([7], [7], [[7.0, 8.0]])[number][: 1]))
    return made
"""


def interpreters() -> list[str]:
    """This one, and one of each other version that is found: in PROCSHARE_TEST_PYTHONS, with pyenv, on the path."""
    named = os.environ.get("PROCSHARE_TEST_PYTHONS", "").split(":")
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.1[123].*/bin/python"), reverse=True)
    found = {sys.version_info[:2]: sys.executable}
    for python in [*filter(None, named), *map(str, pyenv), "python3.11", "python3.12", "python3.13"]:
        ask = [python, "-c", "import sys, multiprocessing.resource_tracker, _ctypes; print(*sys.version_info[:2])"]
        try:
            asked = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        major, minor = map(int, asked.stdout.split())
        if (3, 11) <= (major, minor) <= (3, 13):
            found.setdefault((major, minor), python)
    return [found[version] for version in sorted(found)]


PYTHONS = interpreters()

ORDERLY = {
    "end": ("", 0),
    "exit": ("sys.exit(3)", 3),
    "exit in a thread's wake": ("import threading; threading.Thread(target=make, args=('t',)).start(); sys.exit(0)", 0),
    "collected": ("del made; import gc; gc.collect()", 0),
    "closed": ("[x.close() for x in made]", 0),
    "unlinked": ("[x.unlink() for x in made]", 0),
    "left": ("[x.__exit__(None, None, None) for x in made]", 0),
}


DEATHS = ["os._exit(5)", "os.kill(os.getpid(), signal.SIGTERM)", "os.kill(os.getpid(), signal.SIGKILL)"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("how", ORDERLY)
def test_an_orderly_exit_leaves_and_prints_nothing(how: str, python: str) -> None:
    """On every version of Python, with every warning an error."""
    code, expected = ORDERLY[how]
    before = entries()

    ended = run(f"{MAKE}\nmade = make('orderly')\n{code}", python=python)

    assert ended == (expected, "", "")
    assert not left_since(before)


@pytest.mark.parametrize("code", ["raise KeyError('unheard of')", "signal.raise_signal(signal.SIGINT)"])
def test_an_exception_leaves_nothing(code: str) -> None:
    """It prints its own traceback, and nothing more; Ctrl-C is one."""
    before = entries()

    ended = run(f"{MAKE}\nmade = make('raise')\n{code}")

    assert ended.code in (1, -signal.SIGINT)
    assert ended.err.count("Traceback") == 1
    assert ended.err.splitlines()[-1] in ("KeyError: 'unheard of'", "KeyboardInterrupt")
    assert not left_since(before)


@pytest.mark.parametrize("code", DEATHS)
def test_a_death_without_python_leaves_nothing(code: str) -> None:
    """What it owned goes at once; what belongs to whoever is attached, at the latest when the next process creates."""
    before = entries()

    ended = run(f"{MAKE}\nmade = make('death')\n{code}")
    assert ended.code in (5, -signal.SIGTERM, -signal.SIGKILL)
    left = left_since(before, timeout=1)
    run("SharedCounter()")

    assert all("open" in name or name.startswith("procshare-") for name in left)
    assert not left_since(before)


@pytest.mark.parametrize("code", DEATHS)
def test_what_a_dead_process_owned_goes_at_once(code: str) -> None:
    """Without the help of another process that creates something."""
    before = entries()

    run(
        f"""
counter, value, named = SharedCounter(), SharedValue(b"x" * 100_000), SharedCounter(name=f"leaks-owned-{{os.getpid()}}")
array = SharedArray.zeros(1000)
exported = counter.name, value.name, array.name
{code}"""
    )

    assert not left_since(before)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("ends", ["kill", "exit"])
def test_children_go_on_when_their_creator_ends(method: str, ends: str) -> None:
    """They keep counting in what it made; all is gone when they are."""
    before = entries()
    source = """
def child(counter, array, there, back):
    say(os.getpid())
    there.recv()
    say(counter.increment(), array.array.sum())

if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    there, back = mp.Pipe(), mp.Pipe()
    counter, array = SharedCounter(41), SharedArray([1, 2, 3])
    process = mp.Process(target=child, args=(counter, array, there[1], back[1]))
    process.start()
    sys.stdin.readline()
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    there[0].send(None)
"""
    with Script(source, method, ends) as script:
        pid = int(script.hear())
        script.tell()
        if ends == "exit":
            assert script.hear() == "42 6"
        script.process.wait()
        # A forked child holds the other end itself and waits for ever. The others end of themselves, and are let: one
        # killed between unlink and unregister leaves the tracker a name in vain, a warning, which "-W error" makes its
        # end.
        finish(pid, signal.SIGKILL if (method, ends) == ("fork", "kill") else 0)
        assert script.ended().err == "" or ends == "kill"
    assert not left_since(before)


CHILD = (
    MAKE
    + """
def act(how):
    global made
    made = make("child")
    if how == "raise":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        raise KeyError
    if how == "exit":
        sys.exit(3)
    if how == "_exit":
        os._exit(3)
    if how != "end":
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(20)
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_leaves_nothing(method: str) -> None:
    """However it ends, and also while its parent, which has shared objects too, goes on."""
    before = entries()
    source = f"""{CHILD}
if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    mine = make("parent")
    ways = ["end", "raise", "exit", "_exit", "SIGTERM", "SIGKILL"]
    processes = [context.Process(target=act, args=(how,)) for how in ways]
    [process.start() for process in processes]
    [process.join() for process in processes]
    say(*(x.value if i < 10 else 0 for i, x in enumerate(mine[:2])))
"""
    with Script(source, method) as script:
        assert script.hear() == "1 1"
        assert script.ended() == (0, "", "")
    assert not left_since(before)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_tree_of_processes_ends_in_silence(method: str, python: str) -> None:
    """Processes, daemons and pools that end in order print nothing and leave nothing."""
    before = entries()
    source = f"""{CHILD}
from concurrent.futures import ProcessPoolExecutor

def count(counter):
    return counter.increment()

def wait_for_ever(counter, barrier):
    global made
    made = make("daemon"), counter
    barrier.wait()
    time.sleep(60)

def give(n):
    return SharedValue(b"x" * n).hand_over()

def give_array(n):
    return SharedArray(range(n)).hand_over()

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    mine = SharedCounter(0)
    mine.name  # starts the resource tracker, so that children that are forked have the same
    process = context.Process(target=act, args=("end",))
    process.start()
    process.join()
    barrier = context.Barrier(2)
    context.Process(target=wait_for_ever, args=(mine, barrier), daemon=True).start()
    barrier.wait()
    with context.Pool(2) as pool:
        pool.map(count, [mine] * 4)
        given = pool.map(give, [1, 100_000])
        assert [len(x.value) for x in given] == [1, 100_000]
        try:
            import numpy
        except ImportError:
            pass
        else:
            given += pool.map(give_array, [5, 6])
            assert given[-1].array.sum() == 15
    with context.Pool(1) as pool:
        pool.map(count, [mine] * 2)
        pool.close()
        pool.join()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(count, [mine] * 4))
        kept = executor.submit(give, 10).result()
    assert kept.value == b"x" * 10
    assert mine.value == 10
"""
    assert run(source, method, python=python) == (0, "", "")
    assert not left_since(before)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("python", PYTHONS)
def test_an_argument_that_nothing_else_holds_arrives(method: str, python: str) -> None:
    """`Process(args=(SharedCounter(),))`: the creator keeps what it exported."""
    before = entries()
    source = """
def child(counter, value):
    say(counter.increment(), len(value.value))

if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child, args=(SharedCounter(4), SharedValue("x" * 9000)))
    process.start()
    process.join()
"""
    assert run(source, method, python=python) == (0, "5 9000\n", "")
    assert not left_since(before)


@pytest.mark.parametrize("how", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_raw_fork_destroys_nothing_of_its_parents(how: str) -> None:
    """A child of `os.fork()` ends in any way; its parent's objects stay, what it made itself goes."""
    before = entries()
    source = f"""{MAKE}
mine = make("parent")
names = [x.name for x in mine]
child = os.fork()
if child == 0:
    own = SharedCounter(), SharedCounter(name=f"leaks-raw-{{os.getpid()}}"), SharedArray([1])
    [x.name for x in own]
    {how}
os.waitpid(child, 0)
say(len([procshare.attach(name) for name in names]))
"""
    with Script(source) as script:
        assert script.hear() == "33"
        ended = script.ended()
    assert (ended.code, ended.out) == (0, "")
    assert "KILL" in how or "_exit" in how or ended.err == ""
    assert not left_since(before)


@pytest.mark.parametrize("how", ["", "sys.exit(1)", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_stranger_destroys_nothing(how: str) -> None:
    """An unrelated process that attached ends in any way; the object stays its owner's."""
    with SharedCounter(1) as counter, SharedCounter(5, name=f"leaks-stranger-{os.getpid()}") as named:
        source = f"""
mine = [SharedCounter.attach(name) for name in sys.argv[1:]]
say(sum(x.increment() for x in mine))
{how}"""
        with Script(source, counter.name, named.name) as script:
            assert script.hear() == "8"
            assert script.ended().err == ""

        assert (counter.value, named.value) == (2, 6)
        again = run("say(*(SharedCounter.attach(name).value for name in sys.argv[1:]))", counter.name, named.name)
        assert again == (0, "2 6\n", "")


def test_an_object_made_while_the_process_exits_is_removed() -> None:
    """By atexit functions, too, which run after all else."""
    before = entries()
    source = """
import atexit
@atexit.register
def late():
    global made
    made = SharedCounter(), SharedCounter(name=f"leaks-late-{os.getpid()}")
    made[0].name
"""
    first = f"{source}\nSharedCounter()"
    assert run(source) == (0, "", "")
    assert not left_since(before)
    assert run(first) == (0, "", "")
    assert not left_since(before)


def test_killed_all_at_once_nothing_is_left() -> None:
    """A whole tree, by SIGKILL, while it creates and exports."""
    before = entries()
    source = """
def work():
    say(os.getpid())
    while True:
        kept = [SharedCounter() for _ in range(20)]
        names = [x.name for x in kept]

if __name__ == "__main__":
    for _ in range(3):
        mp.Process(target=work).start()
    say("all")
    work()
"""
    for _ in range(2):
        with Script(source) as script:
            said = [script.hear() for _ in range(5)]
            pids = [int(line) for line in said if line != "all"]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            script.ended()
        for pid in pids:
            finish(pid)
        left = left_since(before, timeout=1)
        if left:
            run("SharedCounter()")
        assert not left_since(before), left
