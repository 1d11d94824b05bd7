"""Type-checked, never run: which handle may stand for which; docs/typing.md says why."""

from collections.abc import Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeVar, assert_type

import numpy as np
import numpy.typing as npt

from procshare import (
    Handle,
    PipeEnd,
    Shared,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedPipe,
    SharedQueue,
    SharedSet,
    SharedValue,
)

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Readable(Protocol[T_co]):
    """What has a value to be read."""

    @property
    def value(self) -> T_co:
        """One snapshot."""
        ...


class Source(Protocol[T_co]):
    """The end of a queue that items come out of."""

    def get(self) -> T_co:
        """The next item."""
        ...


class Sink(Protocol[T_contra]):
    """The end of a queue that items go into."""

    def put(self, obj: T_contra, /) -> None:
        """Pass on an item."""
        ...


hits, best, word = SharedCounter(), SharedValue(0.5), SharedValue("x")
stock, names, tags = SharedDict({"x": 5}), SharedList(["x"]), SharedSet({"x"})
numbers, jobs = SharedQueue[int](), SharedQueue[object]()

# ---- state is read and written: T is neither narrowed nor widened ----

same: Shared[float] = best
wider: Shared[float | None] = best  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
floats: Shared[float] = hits  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
objects: SharedDict[str, object] = stock  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
some: SharedList[object] = names  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
elements: SharedSet[object] = tags  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
anything: Shared[Any] = best

# ---- who only reads says so, and gets more ----

read: list[Readable[float]] = [hits, best, SharedValue(5, "i")]
readable: Readable[dict[str, int]] = stock
no_text: Readable[str] = hits  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
mapping: Mapping[str, float] = stock
mutable: MutableMapping[str, float] = stock  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
sequence: Sequence[object] = names
collection: AbstractSet[object] = tags
attributes: Readable[dict[str, Any]] = SharedNamespace()

# ---- a queue is put into and got from; an end of it need not be ----

every: SharedQueue[object] = numbers  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
source: Source[object] = numbers
sink: Sink[int] = jobs
narrow: Sink[object] = numbers  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wide: Source[int] = jobs  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# ---- an end of a pipe sends one type and receives another ----

ends: tuple[PipeEnd[object, int], PipeEnd[int, object]] = SharedPipe()
here, there = ends
sends_less: PipeEnd[str, int] = here
receives_more: PipeEnd[object, float] = here
sends_more: PipeEnd[object, object] = there  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
receives_less: PipeEnd[int, str] = there  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# ---- functions ----

T = TypeVar("T")
ScalarT = TypeVar("ScalarT", bound=np.generic)


def double(state: Shared[int]) -> int:
    """What changes it takes exactly what it writes."""
    return state.modify(lambda n: n * 2)


def swap(one: Shared[T], other: Shared[T]) -> None:
    """Two of a type."""
    one.set(other.value)


def first(image: SharedArray[ScalarT]) -> npt.NDArray[ScalarT]:
    """Of any element type."""
    return image.value[:1]


def names_of(*handles: Handle) -> list[str]:
    """Of any kind."""
    return [handle.name for handle in handles]


assert_type(double(hits), int)
assert_type(names_of(hits, stock, numbers), list[str])
assert_type(first(SharedArray(np.zeros(3))), npt.NDArray[np.float64])
swap(word, SharedValue("y"))
swap(word, hits)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
double(best)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
names_of(here)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
