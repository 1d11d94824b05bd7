"""The rules of the house: imports point one way, public names are documented, errors travel, importing is light."""

from __future__ import annotations

import ast
import doctest
import inspect
import pickle
import subprocess
import sys
import tomllib
from contextvars import ContextVar
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from procshare import _display, _errors, backends

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(procshare.__file__).parent
PUBLIC = sorted(set(procshare.__all__))
LONGEST = 320
DOCUMENTED = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imported(name: str) -> Iterator[str]:
    """Every module of the package that a module imports, anywhere in it, be it for its types only."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            known = {*MODULES, "procshare._native", "procshare._native_faults"}
            found = [full if (full := f"{base}.{alias.name}") in known else base for alias in node.names]
        else:
            continue
        yield from (each for each in found if each.partition(".")[0] == "procshare")


def room(name: str) -> str:
    """Which room of the house a module is in."""
    parts = name.split(".")
    if name == "procshare":
        return "public"
    if parts[1].startswith("_native"):
        return "native"
    if parts[1] == "backends":
        if len(parts) == 2:
            return "registry"
        own = MODULES[".".join(parts[:3])].name == "__init__.py"  # else a file that backends have in common
        return f"backend {parts[2]}" if own else "common"
    return "interfaces" if parts[1].startswith("_") else parts[1]


def allowed(name: str) -> set[str]:
    """The rooms that a module may import from."""
    here = room(name)
    if here.startswith("backend "):
        native = {"native"} if name == "procshare.backends.shm.core" else set[str]()
        return {here, "common", "registry", "interfaces", *native}  # it implements the interfaces; they do not know it
    return {
        "cli": {"cli", "public", "bench"},
        "bench": {"bench", "public"},
        "testing": {"testing", "public", "backend shm", "native"},  # fault points are the native core's
        "public": {"interfaces", "registry"},
        "interfaces": {"interfaces", "registry"},
        "registry": set[str](),
        "common": {"interfaces"},
    }[here]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    """From the command line to public names, interfaces, the registry, one backend, the core; never back or across."""
    rooms = {each: room(each) for each in imported(name)}
    astray = {each for each, where in rooms.items() if where not in allowed(name)}

    assert astray == set()


def test_the_registry_names_backends_as_text_only() -> None:
    """It loads them on first use, and each class that it names is there."""
    for backend in backends._BACKENDS.values():  # pyright: ignore[reportPrivateUsage]
        if backend.name != "shm" or backends.native_built():
            assert all(callable(backend.serve(kind)) for kind in backend.classes)


def light(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    "use",
    [
        "import procshare",
        "from procshare import SharedCounter",
        "from procshare import *",
        "from procshare import SharedCounter; SharedCounter(5).increment()",
        "from procshare import SharedValue; SharedValue('x').set([1, 2]); SharedValue(5, 'i').modify(lambda n: n + 1)",
        "from procshare import share; share('x').value",
    ],
)
def test_without_arrays_there_is_no_numpy(use: str) -> None:
    """Importing takes none of it, nor does the use of counters and values."""
    assert light(f"import sys; {use}; print('numpy' in sys.modules)") == "False"


def test_importing_loads_no_backend_and_nothing_heavy() -> None:
    """Only what every process needs: the rest comes when the first object is made."""
    heavy = {
        "procshare._native",
        "multiprocessing",
        "multiprocessing.managers",
        "pickle",
        "inspect",
        "asyncio",
        "typer",
        "rich",
    }
    loaded = light("import sys, procshare; print(*sys.modules)").split()

    assert heavy.isdisjoint(loaded)
    assert not [each for each in loaded if each.startswith("procshare.backends.")]


def test_a_repr_uses_no_context_variable() -> None:
    """Reprs run in finalizers too: one that comes within a variable's set(), and sets it, makes CPython crash."""
    assert not [name for name, each in vars(_display).items() if isinstance(each, ContextVar)]


def test_every_c_file_is_part_of_both_cores() -> None:
    """What is not listed is missing only when the core is loaded somewhere else."""
    root = Path(__file__).parent.parent
    files = sorted(str(path.relative_to(root)) for path in root.glob("src/procshare/_native/*.c"))
    if not files:
        pytest.skip("tried away from the sources")
    modules = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    assert [(module["name"], sorted(module["sources"])) for module in modules] == [
        ("procshare._native", files),
        ("procshare._native_faults", files),
    ]


def test_the_public_names_are_sorted_and_complete() -> None:
    """`__all__` is what type checkers see imported, and where each name is loaded from is the same place."""
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    shown, _loaded = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: f"{node.module}" for node in shown.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    homes = procshare._HOMES  # pyright: ignore[reportPrivateUsage]

    assert list(procshare.__all__) == PUBLIC
    assert sorted(seen) == PUBLIC
    assert {name: f"procshare.{home}" for home, names in homes.items() for name in names.split()} == seen
    assert set(PUBLIC) <= set(dir(procshare))


def test_a_name_is_loaded_when_it_is_asked_for() -> None:
    """Who imports a counter does not wait for dicts; a name that there is none of is an AttributeError."""
    loaded = light("import sys; from procshare import SharedCounter; print(*sys.modules)").split()

    assert {each for each in loaded if each.startswith("procshare.")} == {
        f"procshare.{each}" for each in ("_counter", "_display", "_errors", "_shared", "backends")
    }
    assert light("from procshare import *; print(SharedDict.kind, callable(attach))") == "dict True"
    with pytest.raises(AttributeError, match="module 'procshare' has no attribute 'SharedTree'"):
        _ = procshare.SharedTree  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def own_members(cls: type) -> Iterator[tuple[str, Any]]:
    """What users call on a class of ours, whichever of our classes defines it."""
    for each in cls.__mro__:
        if each.__module__.startswith("procshare"):
            yield from ((name, member) for name, member in vars(each).items() if not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    """With a docstring of its own; its methods and properties too."""
    thing = getattr(procshare, name)
    inherited = [base.__doc__ for base in getattr(thing, "__mro__", ())[1:]]

    assert thing.__doc__
    assert thing.__doc__ not in inherited
    for member_name, member in own_members(thing) if inspect.isclass(thing) else ():
        function: Any = getattr(member, "__func__", member)
        if callable(function) or isinstance(member, property):
            assert function.__doc__, f"{name}.{member_name} has no docstring"


ERRORS = [
    procshare.ProcshareError("something"),
    procshare.LockTimeout("x", 1.5, 42, 3.5),
    procshare.LockTimeout("x", 1.5),
    procshare.WaitTimeout("x", 1.5),
    procshare.OwnerDied("x"),
    procshare.Closed(),
    procshare.Closed("this block is over"),
    procshare.NotFound("x", "never made"),
    procshare.AlreadyExists("x"),
    procshare.KindMismatch("x", "it is an array"),
    procshare.VersionMismatch("x"),
    procshare.CorruptSegment("x", "bad magic"),
    procshare.NotOwned("x", "it belongs to user 0"),
    procshare.UnsupportedByBackend("not here"),
    procshare.OutOfSharedMemory("x", 1 << 30, 4096),
    procshare.OutOfSharedMemory("x", 1 << 30),
]
BUILT_IN = {
    "LockTimeout": TimeoutError,
    "WaitTimeout": TimeoutError,
    "Closed": ValueError,
    "NotFound": FileNotFoundError,
    "AlreadyExists": FileExistsError,
    "KindMismatch": TypeError,
    "VersionMismatch": ValueError,
    "CorruptSegment": ValueError,
    "NotOwned": PermissionError,
    "UnsupportedByBackend": TypeError,
    "OutOfSharedMemory": MemoryError,
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickle_with_their_facts(error: Exception) -> None:
    """A worker's error reaches its parent whole: type, attributes and message."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))

        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == str(error) != ""
    assert isinstance(error, BUILT_IN.get(type(error).__name__, Exception))
    assert isinstance(error, procshare.ProcshareError)


def test_every_error_is_tried_above() -> None:
    """None was added without its facts being tried; all are public."""
    defined = {
        name
        for name, each in vars(_errors).items()
        if inspect.isclass(each) and issubclass(each, Exception) and not name.startswith("_")
    }

    assert defined == {type(error).__name__ for error in ERRORS}
    assert defined <= set(PUBLIC)


def lines_of_examples(tree: ast.Module) -> int:
    """How many lines of a module are examples in its docstrings, with the empty line before each."""
    docs = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    examples = [doctest.DocTestParser().get_examples(doc) for doc in docs]
    shown = sum(f"{each.source}{each.want}".count("\n") for found in examples for each in found)
    return shown + sum(bool(found) for found in examples)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short_and_plain(name: str) -> None:
    """One idea a file, with a docstring; no exec, no eval, no `__del__`, no class swapping.

    An example belongs with what it shows, and makes no module longer.
    """
    text = MODULES[name].read_text()
    tree = ast.parse(text)
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    swapped = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == "__class__"
    ]

    assert ast.get_docstring(tree)
    assert len(text.splitlines()) - lines_of_examples(tree) <= LONGEST
    assert calls.isdisjoint({"exec", "eval"})
    assert "__del__" not in functions
    assert swapped == []
