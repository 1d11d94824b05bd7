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


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("how", ORDERLY)
def test_an_orderly_exit_leaves_and_prints_nothing(how: str, python: str) -> None:
    """On every version of Python, with every warning an error."""
    code, expected = ORDERLY[how]
    before = entries()

    ended = run(f"{MAKE}\nmade = make('orderly')\n{code}", python=python)

    assert ended == (expected, "", "")
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
