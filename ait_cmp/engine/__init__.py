"""A pair, or an element range of it, in; mergeable stats out.

Ranges are the unit of work. Their bounds depend on the sizes of a pair alone, so that every
executor computes the same sums in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ait_cmp.engine.identity import digest
from ait_cmp.engine.kernel import Accumulator, Options
from ait_cmp.engine.mismatch import way_out, way_out_of_kept
from ait_cmp.engine.parts import EVERYTHING, Parts
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Stats
from ait_cmp.source import Array, FingerprintSource, Source
from ait_cmp.values.dtypes import DType, tolerances
from ait_cmp.values.errors import PairError, Reason

__all__ = [
    "ENGINES",
    "EVERYTHING",
    "Engine",
    "Options",
    "Parts",
    "Stats",
    "align",
    "digest",
    "pair_options",
    "range_stats",
    "ranges",
]

RANGE = 1 << 24  # elements of one task: long enough to hide its start, short enough to spread
# Elements read at once. A fixed number, so that sums come in the same order however it is read.
BLOCK = 1 << 18


def ranges(elements: int) -> Iterator[tuple[int, int]]:
    """The ranges of a pair of so many elements; one empty range for an empty pair."""
    for start in range(0, max(elements, 1), RANGE):
        yield start, min(start + RANGE, elements)


class Accumulation(Protocol):
    """The stats of one pair, growing."""

    def add(self, golden_bits: Array, my_bits: Array, start: int, /) -> None:
        """Add 1-D arrays of stored bits, the first element of which has index `start`."""

    def stats(self) -> Stats:
        """The stats of all that was added."""


class Engine(Protocol):
    """Begins to take the stats of a pair of two types, which falls into these bins."""

    def __call__(
        self, golden: DType, my: DType, options: Options, bins: Bins, /
    ) -> Accumulation: ...


def _on_device(golden: DType, my: DType, options: Options, bins: Bins) -> Accumulation:
    from ait_cmp.engine.device.accumulator import TorchAccumulator  # torch takes a second

    return TorchAccumulator(golden, my, options, bins)


# What does the arithmetic over elements; all give the same stats, up to rounding.
ENGINES: dict[str, Engine] = {"numba": Accumulator, "torch": _on_device}


def range_stats(
    *,
    golden: Source,
    my: Source,
    start: int,
    stop: int,
    options: Options,
    engine: Engine = ENGINES["numba"],
) -> Stats:
    """Stats of the elements [start, stop) of two sources of equal shape."""
    accumulator = engine(golden.dtype, my.dtype, options, Bins.of(golden.shape))
    for source in (golden, my):
        source.expect([(start, stop)])
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        accumulator.add(golden.read(begin, end), my.read(begin, end), begin)
    return accumulator.stats()


def pair_options(
    *, golden: Source, my: Source, epsilon: float, parts: Parts = EVERYTHING
) -> Options:
    """Options of one pair: the mismatch tolerances are those of its coarser type."""
    rtol, atol = tolerances(golden.dtype, my.dtype)
    return Options(epsilon, rtol, atol, parts)


def align(*, golden: Source, my: Source) -> tuple[Source, Source]:
    """Both sources with padding cropped where the other side's shape tells how.

    Raises PairError SHAPE_MISMATCH where the shapes still differ.
    """
    aligned_golden, aligned_my = golden.shaped_like(my.shape), my.shaped_like(golden.shape)
    if aligned_golden.shape != aligned_my.shape:
        raise PairError(Reason.SHAPE_MISMATCH, _mismatch(aligned_golden, aligned_my))
    return aligned_golden, aligned_my


def _mismatch(golden: Source, my: Source) -> str:
    sentence = f"golden has the shape {list(golden.shape)}, my {list(my.shape)}"
    if my.layout != "ND" or golden.layout != "ND":
        sentence += f" (layouts {golden.layout} and {my.layout})"
    if isinstance(golden, FingerprintSource) or isinstance(my, FingerprintSource):
        return f"{sentence}{way_out_of_kept(golden, my)}"
    return f"{sentence}{way_out(golden.shape, my.shape)}"
