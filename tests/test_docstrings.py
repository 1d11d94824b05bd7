"""Every public name has a docstring with an example that runs, also as `help()` of an object shows it."""

from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from procshare.backends import default_backend, serve, set_default_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PARSER = doctest.DocTestParser()


def is_documented_here(thing: Any) -> bool:
    """Whether it is ours: from Python 3.13 on `ShutDown` is the standard library's."""
    return str(thing.__module__).partition(".")[0] == "procshare"


def parts(cls: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties that users call on a class, whichever of our classes defines them.

    What Python calls by itself (`__len__`, `__enter__`, ...) and the fields of a NamedTuple are shown by the class's
    example. So is what a class inherits from a class that is not ours: exceptions, `Connection`.
    """
    for base in cls.__mro__:
        if not is_documented_here(base):
            continue
        for name, member in vars(base).items():
            function: Any = getattr(member, "__func__", member)
            if not name.startswith("_") and (inspect.isfunction(function) or isinstance(member, property)):
                yield f"{base.__name__}.{name}", function


def public() -> dict[str, Any]:
    """Every public class, function, method and property, by the name of what defines it."""
    found: dict[str, Any] = {}
    for name in procshare.__all__:
        thing = getattr(procshare, name)
        if is_documented_here(thing):
            found[name] = thing
            found.update(parts(thing) if inspect.isclass(thing) else ())
    return found


PUBLIC = public()


@pytest.fixture(autouse=True)
def _same_backend() -> Iterator[None]:
    """An example that chooses a backend does so for itself only."""
    before = default_backend()
    yield
    set_default_backend(before)


def test_all_of_the_public_interface_is_found() -> None:
    """The names that the examples below are looked for at: functions, classes, methods, properties."""
    assert len(PUBLIC) > 180
    assert {"share", "SharedDict", "SharedDict.get", "SharedDict.fromkeys", "Handle.name"} <= PUBLIC.keys()


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_runs(name: str) -> None:
    """As it stands, in a program that has imported the names of procshare."""
    doc = inspect.getdoc(PUBLIC[name]) or ""
    names = {each: getattr(procshare, each) for each in procshare.__all__}
    example = PARSER.get_doctest(doc, names, name, None, 0)
    said: list[str] = []

    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)

    assert example.examples, f"{name} has no example"
    assert not said, "".join(said)


INTERFACES = [each for each in PUBLIC.values() if inspect.isclass(each) and issubclass(each, procshare.Handle)]


@pytest.mark.parametrize("interface", [each for each in INTERFACES if each.kind], ids=lambda each: each.__name__)
def test_help_of_an_object_is_that_of_its_class(interface: Any) -> None:
    """Also where a method is written in C: the docstring is the interface's, and the signature is told."""
    cls = serve(interface.kind, "shm")

    assert cls.__doc__ == interface.__doc__
    for name in {each.partition(".")[2] for each, _ in parts(interface)}:
        member: Any = getattr(cls, name)
        assert member.__doc__ == getattr(interface, name).__doc__, name
        assert not callable(member) or inspect.signature(member), name
