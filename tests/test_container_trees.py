"""Handles in containers of several processes: who ends how, and what is there afterwards."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

import procshare
from nesting import KINDS, exists, let_go, own
from procshare import SegmentInfo, SharedCounter, SharedDict, SharedList
from scripts import SHM, Script, entries, left_since, run, until
from support import START_METHODS, call

kinds = pytest.mark.parametrize("kind", KINDS)
ENDS = ["", "sys.exit()", "os._exit(0)", "os.kill(os.getpid(), 9)"]


def described(name: str) -> SegmentInfo:
    """What `segments()` says of it."""
    (info,) = [info for info in procshare.segments() if info.name == name]
    return info


READ = """
parent = procshare.attach(sys.argv[1])
say("attached")
for line in sys.stdin:
    try:
        say(eval(line))
    except Exception as error:
        say(type(error).__name__)
"""


@pytest.mark.parametrize("end", ENDS)
@kinds
def test_a_child_survives_its_creators_end(kind: str, end: str) -> None:
    """A process that puts it in and ends, in any way; then it goes with the container."""
    source = f"""
kinds = {{
    "counter": lambda: SharedCounter(7), "number": lambda: SharedValue(7, "i"),
    "object": lambda: SharedValue(b"7" * 9000), "array": lambda: SharedArray([7, 8]),
    "dict": lambda: SharedDict({{"seven": 7}}), "list": lambda: SharedList([7, "seven"]),
    "set": lambda: SharedSet({{7}}), "namespace": lambda: SharedNamespace({{"seven": 7}}),
}}
parent = procshare.attach(sys.argv[1])
kept = kinds[sys.argv[2]]()
parent["child"] = SharedDict({{"deep": kept}})
parent["also"] = (1, kinds[sys.argv[2]]())
say(parent["child"].name, kept.name, parent["also"][1].name)
{end}
"""
    with SharedDict[str, Any]() as parent:
        with Script(source, parent.name, kind) as script:
            names = script.hear().split()
            ended = script.ended()
        assert ended.code in (0, -9)
        assert ended.err == ""
        run("SharedCounter(); prune()")
        assert all(map(exists, names))
        with Script(READ, parent.name) as reader:
            assert reader.hear() == "attached"
            reader.tell("parent['child']['deep'].value")
            assert reader.hear() == str(KINDS[kind]().value)
        assert str(parent["also"][1].value) == str(KINDS[kind]().value)
    assert let_go(*names)


@pytest.mark.parametrize("end", ENDS)
def test_all_that_is_nested_goes_with_the_tree(end: str) -> None:
    """Three deep, also where the children were put in by a process of its own: whatever way the tree ends."""
    before = entries()
    source = f"""
def put(outer):
    outer["by child"] = SharedNamespace({{"x": SharedList([SharedCounter(5), SharedArray([1])])}})
    os._exit(0)

if __name__ == "__main__":
    outer = SharedDict({{"list": SharedList([SharedDict({{"n": SharedCounter(1), "v": SharedValue(b"v" * 9000)}})])}})
    process = mp.get_context(sys.argv[1]).Process(target=put, args=(outer,))
    process.start()
    process.join()
    say(outer["list"][0]["n"].value, outer["by child"].x[0].value)
    {end}
"""
    for method in ("fork", "spawn"):
        with Script(source, method) as script:
            assert script.hear() == "1 5"
            ended = script.ended()
        assert ended.err == "" or "9" in end
        assert until(lambda: entries() == before, timeout=3) or run("SharedCounter()").code == 0
        assert until(lambda: entries() == before, timeout=3), entries() - before


def test_killed_with_everything_nothing_is_left() -> None:
    """SIGKILL of a tree whose processes nest and replace all the time."""
    before = entries()
    source = """
def work(ns, me):
    while True:
        ns[f"items {me}"] = SharedList([SharedCounter(me)])
        ns[f"items {me}"].append(SharedNamespace({"x": 1}))
        say(os.getpid())

if __name__ == "__main__":
    ns = SharedNamespace()
    for me in range(2):
        mp.Process(target=work, args=(ns, me)).start()
    work(ns, 2)
"""
    for _ in range(3):
        with Script(source) as script:
            pids: set[int] = set()
            while len(pids) < 3:
                pids.add(int(script.hear()))
            for pid in pids:
                os.kill(pid, 9)
            script.process.wait()
        if not until(lambda: entries() <= before, timeout=2):
            run("SharedCounter()")
        assert until(lambda: entries() <= before, timeout=2), entries() - before


def reach(parent: Any) -> Any:
    """Use what is nested."""
    parent["child"].append("from afar")
    parent["new"] = SharedList(["made by a worker"])
    return parent["child"].value


@pytest.mark.parametrize("method", START_METHODS)
def test_workers_reach_into_a_container(method: str) -> None:
    """Of each start method; what a worker put in outlives it."""
    with SharedDict[str, Any]({"child": SharedList(["here"])}) as parent:
        assert call(method, reach, parent) == ["here", "from afar"]
        assert parent["child"].value == ["here", "from afar"]
        assert parent["new"].value == ["made by a worker"]
        assert exists(parent["new"].name)


def test_a_forked_child_owns_nothing_of_it() -> None:
    """Its end, its collections and its blocks leave all to the parent; what it replaces goes."""
    with SharedDict[str, Any]({"child": SharedList([SharedCounter(1)])}) as parent:
        held = parent["child"]
        names = [held.name, held[0].name]
        pid = os.fork()
        if pid == 0:
            try:
                with parent, held:
                    assert parent["child"][0].increment() == 2
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert all(map(exists, names))
        assert held[0].value == 2
        held.close()
    assert let_go(*names)


@pytest.mark.parametrize("persist", [False, True])
def test_what_was_opened_is_kept_by_its_users_too(persist: bool) -> None:
    """A container that goes takes it along only when nobody uses it; one that shall persist is nobody's to take."""
    child = SharedList[int].open(own("opened"), [1], persist=persist)
    with SharedDict({"child": child}) as parent, Script(READ, child.name) as user:
        assert user.hear() == "attached"
        child.close()
        gc.collect()
        assert parent["child"].value == [1]
        parent.unlink()
        gc.collect()
        assert exists(child.name)
        user.tell("parent.append(2) or parent.value")
        assert user.hear() == "[1, 2]"
        user.hang_up()
        assert user.ended() == (0, "", "")
    assert exists(own("opened")) == persist
    if persist:
        again = SharedList[int].attach(own("opened"))
        assert again.value == [1, 2]
        again.unlink()
        again.close()


def test_an_opened_container_takes_its_children_along() -> None:
    """When the last one out leaves it."""
    source = f"""
parent = SharedDict.open({own("parent")!r}, {{}})
parent["by script"] = SharedList([SharedCounter(3)])
say(parent["by script"].name, parent["by script"][0].name)
for line in sys.stdin:
    pass
"""
    before = entries()
    with Script(source) as script:
        names = script.hear().split()
        parent = SharedDict[str, Any].open(own("parent"), {})
        script.hang_up()
        assert script.ended() == (0, "", "")
        assert all(map(exists, names))
        assert parent["by script"][0].increment() == 4
        parent.close()
    assert let_go(*names)
    assert not left_since(before)


def test_a_container_that_was_handed_over_takes_its_children_along() -> None:
    """They outlive the giver's whole tree, and go with the last who has the container."""
    before = entries()
    source = """
given = SharedDict({"child": SharedList([SharedCounter(3)])}).hand_over()
say(given.name)
sys.stdin.readline()
if len(sys.argv) > 1:
    os.kill(os.getpid(), 9)
"""
    for args in ((), ("kill",)):
        with Script(source, *args) as script:
            name = script.hear()
            script.tell()
            script.ended()
        run("SharedCounter()")
        taken = SharedDict[str, Any].attach(name)
        names = [taken["child"].name, taken["child"][0].name]
        assert taken["child"][0].increment() == 4
        taken.close()
        gc.collect()
        assert let_go(name, *names)
    assert not left_since(before)


def test_a_child_that_was_handed_over_is_kept() -> None:
    """The container that it is put in is its attacher."""
    with SharedDict[str, Any]() as parent:
        parent["child"] = SharedList([1]).hand_over()
        parent["count"] = SharedCounter(5).hand_over()
        names = [parent["child"].name, parent["count"].name]
        gc.collect()
        run("SharedCounter()")
        assert all(map(exists, names))
        assert parent["count"].increment() == 6
    assert let_go(*names)


def test_prune_leaves_what_is_kept_and_takes_what_was() -> None:
    """A claim counts as long as the container that made it is there."""
    source = """
parent = procshare.attach(sys.argv[1])
parent["child"] = SharedList([1])
say(parent["child"].segment)
os.kill(os.getpid(), 9)
"""
    with SharedDict[str, Any]() as parent:
        with Script(source, parent.name) as script:
            segment = script.hear()
            script.ended()
        assert described(segment).attached == ()
        assert segment not in {info.segment for info in procshare.prune(dry_run=True)}
        procshare.prune()
        assert exists(segment)
        (SHM / parent.segment).unlink()  # it is gone, and could release nothing
        assert segment in {info.segment for info in procshare.prune(dry_run=True)}
        assert segment in {info.segment for info in procshare.prune()}
        assert not exists(segment)
