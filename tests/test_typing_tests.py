"""Every public call is tried in `typing_tests`, which the type checkers read and nobody runs."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from procshare import testing

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent.parent / "typing_tests"


def mentioned(path: Path) -> set[str]:
    """Every name and attribute in a file."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


MENTIONED = {path.name: mentioned(path) for path in sorted(FOLDER.glob("*.py"))}
PUBLIC = {name: getattr(home, name) for home in (procshare, testing) for name in home.__all__}


def members(cls: Any) -> Iterator[str]:
    """The public methods, properties and fields that a class of ours declares itself; `kind` is what it inherits."""
    declared: dict[str, object] = {**vars(cls), **inspect.get_annotations(cls)}
    yield from (name for name in declared if not (name.startswith("_") or (name == "kind" and cls.kind)))


CLASSES = [
    each
    for cls in PUBLIC.values()
    if inspect.isclass(cls)
    for each in cls.__mro__
    if each.__module__.startswith("procshare")
]
MEMBERS = sorted({(cls.__name__, name) for cls in CLASSES for name in members(cls)})


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_tried(name: str) -> None:
    """In one file at least."""
    assert [path for path, names in MENTIONED.items() if name in names]


@pytest.mark.parametrize("member", [f"{owner}.{name}" for owner, name in MEMBERS])
def test_every_public_member_is_tried(member: str) -> None:
    """In a file that also mentions its class, or one that inherits it."""
    owner, _, name = member.partition(".")
    heirs = {each for each, cls in PUBLIC.items() if owner in [base.__name__ for base in getattr(cls, "__mro__", ())]}

    assert heirs
    assert [path for path, names in MENTIONED.items() if name in names and heirs & names]
