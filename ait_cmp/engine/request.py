"""What is asked of the engine: two locations, or a range of them, and which stats."""

from __future__ import annotations

from dataclasses import dataclass

from ait_cmp.engine.parts import EVERYTHING, Parts
from ait_cmp.values.location import Location

__all__ = ["ExtraMetric", "Look", "Request", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which optional stats are wanted, and the epsilon of the relative errors; without
    `allow_same` not of two sides whose aliases lead to one file."""

    epsilon: float
    parts: Parts = EVERYTHING
    allow_same: bool = True


@dataclass(frozen=True, slots=True)
class ExtraMetric:
    """A metric of the user's own: the class or function `name` of a file that held `source`.

    A function may have tensors that take `memory` bytes; with `as_original` they are flat and of
    float32, as the original gives them.
    """

    name: str
    path: str
    source: str
    digest: str
    memory: int
    as_original: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A second look at a pair, of a kind of `engine.looks`, beside other tensors; one that is not
    there has no files. `metrics` are those of a look at the user's own."""

    kind: str
    others: tuple[Location, ...]
    metrics: tuple[ExtraMetric, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Two locations to compare, or the elements [start, stop) of them; plain data, so that it
    can go to another process. `size` is how many bytes the files had when the work was planned,
    and `seen` tells in which state they were (0: nothing of it); `roots` where files may be opened
    (None: anywhere). With a `look` that is what is asked."""

    golden: Location
    my: Location
    wanted: Wanted
    size: int = 0
    span: tuple[int, int] | None = None
    roots: tuple[str, ...] | None = None
    look: Look | None = None
    seen: int = 0

    def __reduce__(self) -> tuple[object, ...]:  # as dataclasses do it, in a fifth of the time
        files = self.golden, self.my, self.wanted, self.size
        return Request, (*files, self.span, self.roots, self.look, self.seen)
