"""Type-checked, never run: dicts, lists, sets and namespaces, what `locked()` yields of them, and transactions."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, assert_type

from procshare import Shared, SharedDict, SharedList, SharedNamespace, SharedSet, SharedValue, share, transaction
from procshare._views import DictItems, DictKeys, DictValues

# ---- dict: what the constructor infers ----

ages = SharedDict({"ada": 36})
assert_type(ages, SharedDict[str, int])
pairs = list({"ada": 36}.items())
assert_type(SharedDict(pairs), SharedDict[str, int])
assert_type(SharedDict(ada=36), SharedDict[str, int])
assert_type(SharedDict({"bob": 4}, ada=36, name="ages"), SharedDict[str, int])
assert_type(SharedDict(zip("ab", [b"a", b"b"], strict=True)), SharedDict[str, bytes])
assert_type(SharedDict(ages), SharedDict[str, int])
assert_type(SharedDict[bytes, int | None](), SharedDict[bytes, int | None])
assert_type(SharedDict({"ada": 36}, name="ages", backend="shm"), SharedDict[str, int])
empty: SharedDict[str, list[int]] = SharedDict()
places: SharedDict[tuple[int, int], str] = SharedDict({(0, 0): "origin"})
assert_type(SharedDict.fromkeys("ab"), SharedDict[str, Any | None])
assert_type(SharedDict.fromkeys("ab", 0), SharedDict[str, int])
assert_type(SharedDict.fromkeys([b"a"], 0.5, name="x"), SharedDict[bytes, float])
assert_type(SharedDict[str, int].attach("ages"), SharedDict[str, int])
assert_type(SharedDict[str, int].open("ages", {"ada": 36}), SharedDict[str, int])
state: Shared[dict[str, int]] = ages

# ---- dict: one key ----

assert_type(ages["ada"], int)
ages["ada"] = 37
del ages["ada"]
assert_type("ada" in ages, bool)
assert_type(len(ages), int)
assert_type(ages.get("ada"), int | None)
assert_type(ages.get("ada", 0), int)
assert_type(ages.get("ada", "unknown"), int | str)
assert_type(ages.pop("ada"), int)
assert_type(ages.pop("ada", 0), int)
assert_type(ages.pop("ada", None), int | None)
assert_type(ages.popitem(), tuple[str, int])
assert_type(ages.popitem(last=False), tuple[str, int])
assert_type(ages.setdefault("ada", 36), int)
assert_type(SharedDict[str, int | None]().setdefault("ada"), int | None)
assert_type(ages.increment("ada"), int)
assert_type(ages.increment("ada", -5), int)
assert_type(ages.modify_item("ada", lambda age: age + 1), int)
assert_type(ages.modify_item("ada", abs, default=0), int)
assert_type(empty.modify_item("x", lambda kept: [*kept, 5], []), list[int])

# ---- dict: the whole ----

assert_type(ages.value, dict[str, int])
assert_type(ages.copy(), dict[str, int])
assert_type(iter(ages), Iterator[str])
assert_type(reversed(ages), Iterator[str])
assert_type(list(ages), list[str])
assert_type(ages.keys(), DictKeys[str])
assert_type(ages.values(), DictValues[int])
assert_type(ages.items(), DictItems[str, int])
assert_type(list(ages.keys()), list[str])
assert_type(list(ages.values()), list[int])
assert_type(list(ages.items()), list[tuple[str, int]])
assert_type(list(reversed(ages.keys())), list[str])
assert_type(list(reversed(ages.values())), list[int])
assert_type(list(reversed(ages.items())), list[tuple[str, int]])
for who, age in ages.items():
    assert_type(who, str)
    assert_type(age, int)
assert_type(ages.keys() & {"ada"}, set[str])
assert_type(ages.keys() | {5}, set[str | int])
assert_type(ages.keys() - {"ada"}, set[str])
assert_type(ages.keys() ^ ages.keys(), set[str])
assert_type(ages.keys() <= {"ada"}, bool)
assert_type(ages.keys() == {"ada"}, bool)
assert_type(ages.keys().isdisjoint(["ada"]), bool)
assert_type(ages.items() & {("ada", 36)}, set[tuple[str, int]])
assert_type("ada" in ages.keys(), bool)  # noqa: SIM118  # the view's own
assert_type(36 in ages.values(), bool)
assert_type(("ada", 36) in ages.items(), bool)
assert_type(ages | {"bob": 5}, dict[str, int])
assert_type({"bob": 5} | ages, dict[str, int])
assert_type(ages | ages, dict[str, int])
assert_type(ages | {5: "x"}, dict[str | int, int | str])
assert_type(ages == {"ada": 36}, bool)
ages |= {"bob": 5}
assert_type(ages, SharedDict[str, int])
ages |= [("bob", 5)]
ages.update({"bob": 5})
ages.update({"bob": 5}, carl=7)
ages.update([("bob", 5)])
ages.update(bob=5)
ages.update(ages)
ages.set({"bob": 5})
ages.set([("bob", 5)])
ages.clear()
assert_type(ages.modify(lambda kept: {who: age + 1 for who, age in kept.items()}), dict[str, int])
assert_type(ages.wait_until(lambda kept: "ada" in kept, timeout=5), dict[str, int])
assert_type(ages.locked(), AbstractContextManager[SharedDict[str, int]])
with ages.locked(timeout=0.5) as inside:
    assert_type(inside, SharedDict[str, int])
    inside["ada"] += 1
with ages as entered:
    assert_type(entered, SharedDict[str, int])
assert_type(ages.hand_over(), SharedDict[str, int])

# ---- list ----

numbers = SharedList([3, 1])
assert_type(numbers, SharedList[int])
assert_type(SharedList(range(5)), SharedList[int])
assert_type(SharedList("ab", name="x", backend="stdlib"), SharedList[str])
assert_type(SharedList[str | None](), SharedList[str | None])
words: SharedList[str] = SharedList()
sequence: Shared[list[int]] = numbers
assert_type(SharedList[int].attach("x"), SharedList[int])
assert_type(numbers[0], int)
assert_type(numbers[::2], list[int])
numbers[0] = 5
numbers[1:] = {5, 6}
del numbers[0]
del numbers[::2]
numbers.append(5)
numbers.extend({5, 6})
numbers.insert(0, 5)
assert_type(numbers.pop(), int)
assert_type(numbers.pop(0), int)
numbers.remove(5)
numbers.reverse()
numbers.sort()
numbers.sort(reverse=True)
numbers.sort(key=str, reverse=True)
words.sort(key=len)
numbers.clear()
numbers.set(range(5))
assert_type(numbers.value, list[int])
assert_type(numbers.copy(), list[int])
assert_type(list(numbers), list[int])
assert_type(list(reversed(numbers)), list[int])
assert_type(5 in numbers, bool)
assert_type(numbers.index(5), int)
assert_type(numbers.index(5, 1, -1), int)
assert_type(numbers.count(5), int)
assert_type(numbers + [5], list[int])  # noqa: RUF005  # the operator is meant
assert_type([5] + numbers, list[int])  # noqa: RUF005  # the operator is meant
assert_type(numbers + numbers, list[int])
assert_type(numbers + words, list[int | str])
assert_type(numbers * 2, list[int])
assert_type(2 * numbers, list[int])
numbers += [5]
numbers += (5, 6)
numbers *= 2
assert_type(numbers, SharedList[int])
assert_type(numbers == [5], bool)
assert_type(numbers < [5], bool)
assert_type(numbers >= numbers, bool)
assert_type(numbers.modify(sorted), list[int])
assert_type(numbers.wait_until(lambda kept: len(kept) > 3), list[int])
assert_type(numbers.locked(), AbstractContextManager[SharedList[int]])
with numbers.locked() as drawn:
    assert_type(drawn, SharedList[int])
    drawn[0] += 1

# ---- set ----

tags = SharedSet({"red"})
assert_type(tags, SharedSet[str])
assert_type(SharedSet(["red"], name="tags", backend="shm"), SharedSet[str])
assert_type(SharedSet[int | None](), SharedSet[int | None])
seen: SharedSet[int] = SharedSet()
labels: Shared[set[str]] = tags
assert_type(SharedSet[str].attach("tags"), SharedSet[str])
tags.add("red")
tags.discard("red")
tags.remove("red")
assert_type(tags.pop(), str)
tags.clear()
tags.set(["red"])
assert_type("red" in tags, bool)
assert_type(len(tags), int)
assert_type(list(tags), list[str])
assert_type(tags.value, set[str])
assert_type(tags.copy(), set[str])
assert_type(tags | {"blue"}, set[str])
assert_type(tags | {5}, set[str | int])
assert_type({"blue"} | tags, set[str])
assert_type(tags & {"blue"}, set[str])
assert_type(tags - {"blue"}, set[str])
assert_type({"blue"} - tags, set[str])
assert_type(tags ^ tags, set[str])
assert_type(tags.union([5], {6}), set[str | int])
assert_type(tags.intersection(["red"], tags), set[str])
assert_type(tags.difference(["red"]), set[str])
assert_type(tags.symmetric_difference({5}), set[str | int])
assert_type(tags.issubset(["red"]), bool)
assert_type(tags.issuperset(["red"]), bool)
assert_type(tags.isdisjoint(["red"]), bool)
assert_type(tags <= {"red"}, bool)
assert_type(tags > tags, bool)
assert_type(tags == {"red"}, bool)
tags |= {"red"}
tags &= {"red"}
tags -= {"red"}
tags ^= {"red"}
assert_type(tags, SharedSet[str])
tags.update(["red"], "x")
tags.intersection_update(["red"], [5])
tags.difference_update(["red"])
tags.symmetric_difference_update(["red"])
assert_type(tags.modify(lambda kept: kept | {"x"}), set[str])
assert_type(tags.locked(), AbstractContextManager[SharedSet[str]])
with tags.locked(5) as chosen:
    assert_type(chosen, SharedSet[str])
    chosen.add("red")

# ---- namespace ----


class Settings(SharedNamespace):
    """A user's subclass that says what it holds."""

    limit: int


config = SharedNamespace({"limit": 5})
assert_type(config, SharedNamespace)
assert_type(SharedNamespace(name="config", backend="shm", limit=5), SharedNamespace)
attributes: Shared[dict[str, Any]] = config
config.limit = 5
config.tags = SharedList(["red"])
assert_type(config.size, Any)
del config.limit
config["value"] = 5
assert_type(config["value"], Any)
del config["value"]
assert_type("limit" in config, bool)
assert_type(len(config), int)
assert_type(list(config), list[str])
config.update({"limit": 5}, size=7)
config.update(size=7)
config.set({"limit": 5})
config.clear()
assert_type(config.value, dict[str, Any])
assert_type(config.increment("limit"), int)
assert_type(config.modify_item("limit", abs, default=0), Any)
assert_type(config.modify(dict), dict[str, Any])
assert_type(config.locked(), AbstractContextManager[SharedNamespace])
with config.locked() as changed:
    assert_type(changed, SharedNamespace)
    changed.limit += 1
assert_type(Settings().limit, int)
with Settings().locked() as settings:
    assert_type(settings, Settings)

# ---- nesting ----

tree: SharedDict[str, SharedList[int]] = SharedDict({"primes": SharedList([2, 3])})
tree["primes"].append(5)
assert_type(tree["primes"][0], int)
assert_type(tree.value, dict[str, SharedList[int]])

# ---- transactions ----

with transaction(ages) as (only,):
    assert_type(only, SharedDict[str, int])
with transaction(ages, numbers) as (first, second):
    assert_type(first, SharedDict[str, int])
    assert_type(second, SharedList[int])
    second.append(first["ada"])
with transaction(ages, numbers, tags, timeout=5) as (*_, third):
    assert_type(third, SharedSet[str])
with transaction(ages, numbers, tags, config) as (*_, fourth):
    assert_type(fourth, SharedNamespace)
assert_type(transaction(ages, ages, ages, ages, ages), AbstractContextManager[tuple[SharedDict[str, int], ...]])
assert_type(transaction(*[numbers, numbers]), AbstractContextManager[tuple[SharedList[int], ...]])

# ---- share ----

assert_type(share({"ada": 36}), SharedDict[str, int])
assert_type(share([1, 2]), SharedList[int])
assert_type(share({"red"}), SharedSet[str])
assert_type(share(ages), SharedDict[str, int])
assert_type(share(numbers), SharedList[int])
assert_type(share(tags), SharedSet[str])
assert_type(share(config), SharedNamespace)

# ---- mistakes ----

ages["ada"] = "old"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
ages[5]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
ages.value = {}  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
ages.increment("ada", 0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ages.modify_item("ada", str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ages.set({"ada": "old"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ages.modify(list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedDict(5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
unhashable = {ages: 5}  # pyright: ignore[reportUnhashable]
numbers.append("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
numbers["x"]  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
numbers.value = []  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
smaller = numbers < "x"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
SharedList([object()]).sort()  # pyright: ignore[reportCallIssue]
tags.add(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tags.value = set()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
config.value = 5  # type: ignore[assignment, misc]  # pyright: ignore[reportAttributeAccessIssue]
config[5]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
Settings().limit = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
transaction(5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
transaction(ages, SharedValue(5))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
wrong: SharedDict[str, str] = share({"ada": 36})  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
tags |= ["red"]  # type: ignore[arg-type]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
