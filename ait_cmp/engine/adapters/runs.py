"""Runs of positions of a tensor, one after the other, without what lies between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ait_cmp.files import FileState
from ait_cmp.source import Array, Source

__all__ = ["kept_runs"]


def kept_runs(
    source: Source, kept: npt.NDArray[np.bool_], dims: int, states: Sequence[FileState] = ()
) -> Source:
    """The positions of the first `dims` dimensions of `source` that are kept; `states` are those of
    the files that say which."""
    # Where runs of kept positions begin and end.
    turns = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    starts, stops = turns[::2], turns[1::2]
    upto = np.cumsum(stops - starts)
    return _Runs(
        source.dtype,
        (int(upto[-1]) if upto.size else 0, *source.shape[dims:]),
        states=(*source.states, *states),
        layout=source.layout,
        inner=source,
        starts=starts,
        upto=upto,
    )


@dataclass(frozen=True, slots=True)
class _Runs(Source):
    """Runs of positions of `inner`: where each begins, and how many are kept up to its end."""

    inner: Source
    starts: npt.NDArray[np.int64]
    upto: npt.NDArray[np.int64]

    @property
    def in_one(self) -> bool:
        return self.inner.in_one

    def read(self, start: int, stop: int) -> Array:
        parts = [np.empty(0, self.dtype.storage)]
        parts += [self.inner.read(*one) for one in self._within(start, stop)]
        return np.concatenate(parts) if len(parts) > 2 else parts[-1]

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.inner.expect([within for one in ranges for within in self._within(*one)])

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Where the elements [start, stop) lie in `inner`."""
        width = math.prod(self.shape[1:])
        run = int(np.searchsorted(self.upto, start // width, side="right")) if width else 0
        while start < stop:
            before = int(self.upto[run - 1]) if run else 0
            end = min(stop, int(self.upto[run]) * width)
            shift = (int(self.starts[run]) - before) * width
            yield start + shift, end + shift
            start, run = end, run + 1
