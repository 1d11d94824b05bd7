"""What can be a key of a shared dict, or an element of a shared set: what is the same in every process."""

from __future__ import annotations

from typing import Any, cast

_PLAIN = frozenset({str, int, bytes, type(None)})
_DEEPEST = 50  # as in _native/keys.c


def check_key(key: object, depth: int = 0) -> None:
    """Refuse what cannot be a key.

    Raises:
        TypeError: *key* is no str, bytes, int, None or tuple of these; a subclass of one, such as bool, counts as none.
    """
    if type(key) in _PLAIN:
        return
    if type(key) is not tuple:
        raise TypeError(f"{key!r} cannot be a key: {_reason(key)}. Keys are str, bytes, int, None, or tuples of these")
    if depth == _DEEPEST:
        raise TypeError(f"a key nests at most {_DEEPEST} tuples; make it flatter")
    for each in cast("tuple[object, ...]", key):
        check_key(each, depth + 1)


def _reason(key: Any) -> str:
    kind: str = key.__class__.__name__
    if isinstance(key, bool):
        return f"it would be another key than {int(key)}, which it equals in a dict; give an int or a str"
    if isinstance(key, float):
        return "a float would be another key than the int that it equals in a dict; give an int or a str"
    if isinstance(key, str | int | bytes | tuple):
        return f"a {kind} would come back as the plain type that it derives from; give that"
    return f"a {kind} has no bytes to compare it by that are the same in every process"
