"""Containers where /dev/shm is full: a clear error, all that was there stays, no SIGBUS, and deleting gives room."""

from __future__ import annotations

import pytest

from scarcity import in_16_mib, wrapper

__all__ = ["wrapper"]  # the fixture

BIG = "b'x' * (20 << 20)"
SMALL = {
    "dict": "SharedDict({'a': 1, 'b': 'text', 'c': [1], 'long': 'y' * 5000})",
    "list": "SharedList([1, 'text', [1], 'y' * 5000])",
    "set": "SharedSet({1, 'text', None, 'y' * 5000})",
    "namespace": "SharedNamespace({'a': 1, 'b': 'text', 'c': [1], 'long': 'y' * 5000})",
}
TOO_MUCH = {
    "dict": [
        f"lambda: x.__setitem__('a', {BIG})",
        f"lambda: x.__setitem__('new', {BIG})",
        "lambda: x.__setitem__('k' * (20 << 20), 1)",
        f"lambda: x.setdefault('new', {BIG})",
        f"lambda: x.update({{'a': 2, 'new': 3, 'big': {BIG}}})",
        f"lambda: x.set({{'big': {BIG}}})",
        f"lambda: x.modify_item('a', lambda now: {BIG})",
        f"lambda: x.modify(lambda now: {{**now, 'a': 5, 'big': {BIG}}})",
        "lambda: x.update((n, n) for n in range(400_000))",
    ],
    "list": [
        f"lambda: x.append({BIG})",
        f"lambda: x.insert(0, {BIG})",
        f"lambda: x.__setitem__(0, {BIG})",
        f"lambda: x.extend([1, 2, {BIG}])",
        f"lambda: x.__setitem__(slice(1, 3), [1, {BIG}, 2])",
        f"lambda: x.set([1, {BIG}])",
        "lambda: x.extend(range(3_000_000))",
        "lambda: x.__imul__(10_000)",
    ],
    "set": [
        "lambda: x.add('k' * (20 << 20))",
        "lambda: x.update(range(400_000))",
        "lambda: x.symmetric_difference_update({1, 'k' * (20 << 20)})",
        "lambda: x.set(range(400_000))",
    ],
    "namespace": [
        f"lambda: setattr(x, 'a', {BIG})",
        f"lambda: x.update(a=5, new={BIG})",
        f"lambda: x.modify(lambda now: {{**now, 'a': 5, 'big': {BIG}}})",
    ],
}
KEPT = """
def keeps(x, make):
    "That it is refused, as a block is too, and changes nothing."
    before = x.value
    refused(make, fills=True)
    assert x.value == before and len(x) == len(before), x
    def in_a_block():
        with x.locked() as t:
            more(t)
            assert t.value != before
            make()
    refused(in_a_block, fills=True)
    assert x.value == before, x
    assert free() > 15 << 20, (make, free())

def more(x):
    if isinstance(x, SharedList): x.append("more")
    elif isinstance(x, SharedSet): x.add(f"more {len(x)}")
    else: x[f"more {len(x)}"] = "more"

"""


@pytest.mark.parametrize("kind", SMALL)
def test_a_container_is_not_made_without_room(wrapper: tuple[str, ...], kind: str) -> None:
    """Nothing of it is left, and one that is smaller can be made."""
    data = {"list": f"[1, {BIG}]", "set": "{1, 'k' * (20 << 20)}"}.get(kind, f"{{'a': 1, 'big': {BIG}}}")
    cls = "Shared" + kind.title()
    in_16_mib(
        f"""
for make in (lambda: {cls}({data}), lambda: {cls}({data}, name="n"), lambda: {cls}.open("n", {data})):
    refused(make)
    assert not left()
x = {SMALL[kind]}
assert len(x) == 4
""",
        wrapper,
    )


@pytest.mark.parametrize("kind", SMALL)
def test_what_is_too_big_changes_nothing(wrapper: tuple[str, ...], kind: str) -> None:
    """By each way to write, without and within a block; and then the same container takes what is smaller."""
    in_16_mib(
        f"""{KEPT}
x = {SMALL[kind]}
for make in [{", ".join(TOO_MUCH[kind])}]:
    keeps(x, make)
    more(x)
    keeps(x, make)
assert os.stat("/dev/shm/" + x.segment).st_blocks * 512 < 1 << 20
""",
        wrapper,
    )


FILL = """
def fill(x, put):
    "Put into it until it is full; how much there was room for, and that all of it is there."
    there = len(x)
    def on():
        while True:
            put(len(x) - there)
    refused(on, fills=True)
    return len(x) - there

"""


@pytest.mark.parametrize("value", ["n", "f'{n}' * 10", "f'{n}' * 5000"], ids=["words", "records", "large"])
def test_a_dict_grows_until_it_is_full(wrapper: tuple[str, ...], value: str) -> None:
    """Table, index or arena cannot grow: all is there; deletions give room, and so it goes on."""
    in_16_mib(
        f"""{FILL}
make = lambda n: {value}
x = SharedDict()
for turn in range(3):
    count = fill(x, lambda n: x.__setitem__(n, make(n)))
    assert count > 100, count
    assert list(x) == list(range(count)) and all(x[n] == make(n) for n in range(0, count, 7))
    x[0] = x[count - 1] = 5
    assert x[0] == x[count - 1] == 5
    for n in range(count - count // 4):
        del x[n]
    assert list(x) == list(range(count - count // 4, count))
    x["again"] = "a" * 100_000
    assert x.pop("again") == "a" * 100_000
    if turn == 1:
        x.clear()
    for n in list(x):
        x.popitem()
    assert x.value == {{}} and free() > 15 << 20, free()
""",
        wrapper,
    )


@pytest.mark.parametrize("value", ["n", "f'{n}' * 10", "f'{n}' * 5000"], ids=["words", "records", "large"])
def test_a_list_grows_until_it_is_full(wrapper: tuple[str, ...], value: str) -> None:
    """All is there; what is taken off gives room, at either end, and so it goes on."""
    in_16_mib(
        f"""{FILL}
make = lambda n: {value}
x = SharedList()
for turn in range(3):
    count = fill(x, lambda n: x.append(make(n)))
    assert count > 100, count
    assert all(x[n] == make(n) for n in range(0, count, 7)) and len(x.value) == count
    for n in range(count - count // 4):
        assert x.pop(0 if turn else -1) == make(n if turn else count - n - 1)
    assert len(x) == count // 4
    x.append("a" * 100_000)
    assert x.pop() == "a" * 100_000
    while x:
        x.pop()
    assert x.value == [] and free() > 15 << 20, free()
    x.extend([0] * 1_000_000)
    refused(lambda: x.extend([0] * 3_000_000), fills=True)
    assert len(x) == 1_000_000
    x.clear()
""",
        wrapper,
    )


def test_a_transaction_is_whole_or_nothing(wrapper: tuple[str, ...]) -> None:
    """Also when the room runs out at the second container, or at the records that commit it."""
    in_16_mib(
        """
x, y = SharedDict({"a": 1}), SharedList(["one"])
def step(n):
    with transaction(x, y) as (t, u):
        t["a"] = u[0] = n
        t["big"] = "x" * (n % 7 * 100_000)
        u.append("y" * 300_000)
done = 0
def on():
    global done
    while True:
        step(done + 1)
        done += 1
refused(on, fills=True)
assert done > 20, done
assert x["a"] == y[0] == done and len(y) == done + 1 and x["big"] == "x" * (done % 7 * 100_000)
for n in range(done, 0, -1):
    del y[n]
assert y.value == [done]
step(5)
assert x["a"] == y[0] == 5
""",
        wrapper,
    )


def test_in_a_full_memory_what_takes_none_goes_on(wrapper: tuple[str, ...]) -> None:
    """Reading, attaching, words in place of words, deleting, blocks without changes; then there is room again."""
    in_16_mib(
        """
x = SharedDict({n: n for n in range(1000)} | {"text": "t" * 1000, "child": SharedList([1, 2])})
y = SharedList(range(1000))
x.name, y.name
full = open("/dev/shm/full", "wb", 0)
try:
    while True:
        full.write(bytes(4096))
except OSError:
    pass
assert free() == 0
for handle in (x, pickle.loads(pickle.dumps(x)), SharedDict.attach(x.name)):
    assert len(handle.value) == 1002 and handle["text"] == "t" * 1000 and handle["child"].value == [1, 2]
    handle[5] += 1
    with handle.locked() as t:
        assert t["text"]
y[5] = 6
assert y.pop() == 999 and y.pop(0) == 0 and y[4] == 6
refused(lambda: x.__setitem__("text", "u" * 100_000))
refused(lambda: SharedDict({1: 1}))
assert x["text"] == "t" * 1000
for n in range(1000):
    del x[n]
assert [*x] == ["text", "child"]
while y:
    y.pop()
os.unlink("/dev/shm/full")
full.close()
x["text"] = "u" * 100_000
y.extend(range(100_000))
assert x["text"] == "u" * 100_000 and len(y) == 100_000
""",
        wrapper,
    )


READER = """
import threading

def read(x, y, line):
    "Until told to stop: whole states, whatever the writer is refused."
    looks = 0
    line.send("ready")
    while not line.poll():
        looks += 1
        value = x.value
        assert value["a"] == value["b"], value
        assert all(text == key * (len(text) // len(key)) for key, text in value.items() if key not in "ab")
        found = x.get("c1", "c1")
        assert found == "c1" * (len(found) // 2)
        items = y.value
        assert items == sorted(items), items
        assert y[-1:] == [] or y[-1:] >= [0]
    line.send(looks)

"""


def test_readers_see_whole_states_and_no_sigbus(wrapper: tuple[str, ...]) -> None:
    """While a writer runs into the limit over and over, compacts, and gives memory back."""
    in_16_mib(
        f"""{READER}
x, y = SharedDict({{"a": 0, "b": 0}}), SharedList()
lines, readers = [], []
for _ in range(2):
    here, there = mp.Pipe()
    reader = mp.get_context("fork").Process(target=read, args=(x, y, there))
    reader.start()
    there.close()
    lines.append(here)
    readers.append(reader)
for line in lines:
    assert line.recv() == "ready"
def step(n):
    with x.locked() as t:
        t["a"] += 1
        t["b"] += 1
        t[f"c{{n % 40}}"] = f"c{{n % 40}}" * (n * 7919 % 150_000)
    y.extend([n] * 3000)
limits = 0
for n in range(400):
    try:
        step(n)
    except OutOfSharedMemory:
        limits += 1
        for each in [*x][2::2]:
            del x[each]
        y.clear()
assert limits > 3, limits
for line in lines:
    line.send("stop")
looks = [line.recv() for line in lines]
assert min(looks) > 3, looks
for reader in readers:
    reader.join()
    assert reader.exitcode == 0, reader.exitcode
assert x["a"] == x["b"]
""",
        wrapper,
    )


def test_children_in_a_full_memory(wrapper: tuple[str, ...]) -> None:
    """A handle that cannot be stored is not lost, and one that was goes with its container, which gives room."""
    in_16_mib(
        """
x = SharedDict()
for turn in range(3):
    made = 0
    def on():
        global made
        while True:
            x[made] = SharedList([b"z" * 400_000])
            made += 1
    refused(on, fills=True)
    assert 20 < made < 45, made
    assert all(len(x[n][0]) == 400_000 for n in range(made))
    x.clear()
    x["another"] = SharedCounter(turn)
    assert x["another"].value == turn and len(left()) < 8, left()
    assert free() > 14 << 20, free()
""",
        wrapper,
    )


STOPPED = """
x = SharedDict({n: f"{n}:" * 500 for n in range(200)})
y = SharedList(f"{n}:" * 500 for n in range(200))
here, there = mp.Pipe()

def read():
    looks = 0
    while not there.poll():
        looks += 1
        for key, text in (x.value if looks % 3 else dict(enumerate(y.value))).items():
            assert text == f"{key}:" * 500, (key, text[:50])
        assert x[looks % 200].startswith(f"{looks % 200}:") and y[looks % 200].startswith(f"{looks % 200}:")
        if looks == 3:
            there.send("ready")
    there.send(looks)

reader = mp.get_context("fork").Process(target=read)
reader.start()
there.close()
assert here.recv() == "ready"

def state():
    with open(f"/proc/{reader.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]

def move():
    "Copy all that lives to a new generation, so that the old one is given back."
    x.update({n: f"{n}:" * 500 for n in range(200)})
    y[:] = [f"{n}:" * 500 for n in range(200)]

for turn in range(60):
    os.kill(reader.pid, signal.SIGSTOP)
    while state() not in "TZ":
        os.sched_yield()
    for _ in range(3):
        move()
    with open("/dev/shm/full", "wb", 0) as full:
        try:
            while True:
                full.write(bytes(1 << 16 if free() > 1 << 17 else 4096))
        except OSError:
            pass
    assert free() == 0
    os.kill(reader.pid, signal.SIGCONT)
    here.poll(0.002 * (turn % 4))
    os.unlink("/dev/shm/full")
    assert reader.is_alive(), (turn, reader.exitcode)
    sum(range(turn * 1000))
here.send("stop")
assert here.recv() > 3
reader.join()
assert reader.exitcode == 0, reader.exitcode
"""


def test_a_reader_that_was_stopped_gets_no_sigbus(wrapper: tuple[str, ...]) -> None:
    """What it was reading is given back while it stands still, and when it goes on there is not one free page."""
    in_16_mib(STOPPED, wrapper)
