"""The compiled core, or its test build where PROCSHARE_FAULT names a point to die at ("-": none yet).

Everything of this backend that is written in C comes from here, so that the two are never mixed in a process.
"""

from __future__ import annotations

import os
from types import FunctionType, GetSetDescriptorType, MethodDescriptorType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING or not os.environ.get("PROCSHARE_FAULT"):
    from procshare import _native as native
else:
    from procshare import _native_faults as native

__all__ = ["documented", "native"]

ClassT = TypeVar("ClassT", bound=type[Any])


def documented(cls: ClassT) -> ClassT:
    """Give a class that completes a C type its interface's docstrings, where `help()` of an object looks for them."""
    interface: Any = cls._implements
    cls.__doc__ = interface.__doc__
    for name in [each for each in dir(interface) if not each.startswith("_")]:
        member: Any = getattr(cls, name)
        member = getattr(member, "__func__", member)
        doc: str | None = getattr(interface, name).__doc__
        if not doc:  # with -OO there is none
            continue
        if isinstance(member, MethodDescriptorType | GetSetDescriptorType):
            native.document(cls, name, doc)
        elif isinstance(member, FunctionType | property) and not member.__doc__:
            member.__doc__ = doc
    return cls
