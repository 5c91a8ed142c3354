"""A pair of torch tensors, measured where they are.

On the CPU that is what a pair of files is measured by. Elsewhere torch does the arithmetic on the
device, and what comes to the host are sums, and a thousand elements that say whether some are so
huge that they hide the others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ait_cmp.engine import Options, align, pair_options
from ait_cmp.engine.device.accumulator import TorchAccumulator
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources, measured_of, merged
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.reach import is_out_of_reach
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Stats
from ait_cmp.engine.usual import huge_from
from ait_cmp.source import Array, Source, from_memory
from ait_cmp.tensors import as_array, dtype_of, reals

__all__ = ["measure_on_device", "measure_tensors"]

_BLOCK = 1 << 21  # elements at a time, each of which takes 200 bytes of scratch


def measure_tensors(*, golden: torch.Tensor, my: torch.Tensor, wanted: Wanted) -> Measured:
    """Compare two tensors: on the device of my, or on the host where that has no float64."""
    try:
        if my.device.type != "cpu" and _has_float64(my.device):
            return measure_on_device(golden=golden, my=my, wanted=wanted)
        return _measure_on_host(golden, my, wanted)
    except Exception as exc:
        return Measured(error=as_pair_error(exc, "this pair"))


def measure_on_device(*, golden: torch.Tensor, my: torch.Tensor, wanted: Wanted) -> Measured:
    """Compare two tensors by torch operations on the device of my. Raises PairError for shapes or
    types that cannot be compared."""
    one, two = align(golden=_Placed.of(golden, "golden"), my=_Placed.of(my, "my"))
    assert isinstance(one, _Placed)
    assert isinstance(two, _Placed)
    one = replace(one, tensor=one.tensor.to(two.tensor.device))
    options = pair_options(golden=one, my=two, epsilon=wanted.epsilon, parts=wanted.parts)
    stats = _stats(one, two, options)
    if is_out_of_reach(one, two, stats):
        return _measure_on_host(golden, my, wanted)
    if stats.slices and (huge := huge_from(one, stats.slices)) < math.inf:
        apart = replace(options, parts=Parts(slices=True), huge=huge)
        usual = _stats(one, two, apart).slices
        stats = replace(stats, slices=replace(stats.slices, usual=usual))
    return merged([measured_of(golden=one, my=two, stats=stats)])


def _measure_on_host(golden: torch.Tensor, my: torch.Tensor, wanted: Wanted) -> Measured:
    one, two = (
        from_memory(*as_array(tensor.detach(), side))
        for tensor, side in ((golden, "golden"), (my, "my"))
    )
    return measure_sources(golden=one, my=two, wanted=wanted)


def _stats(golden: _Placed, my: _Placed, options: Options) -> Stats:
    """The stats of the whole pair, in blocks of whole lines where these are short."""
    accumulator = TorchAccumulator(golden.dtype, my.dtype, options, Bins.of(golden.shape))
    line = max(1, golden.shape[-1] if golden.shape else 1)
    block = max(1, _BLOCK // line) * line if line < _BLOCK else _BLOCK
    for start in range(0, golden.elements, block):
        stop = min(start + block, golden.elements)
        accumulator.add_tensors(golden.tensor[start:stop], my.tensor[start:stop], start)
    return accumulator.stats()


@functools.cache
def _has_float64(device: torch.device) -> bool:
    """Whether a device adds in float64."""
    try:
        return bool(torch.ones(2, dtype=torch.float64, device=device).sum().item() == 2)
    except (RuntimeError, TypeError):
        return False


@dataclass(frozen=True, slots=True)
class _Placed(Source):
    """A flat tensor on a device; what of it is read is copied to the host."""

    tensor: torch.Tensor
    asked: dict[tuple[int, int], Array] = field(default_factory=dict)

    @classmethod
    def of(cls, tensor: torch.Tensor, side: str) -> _Placed:
        """The elements of `tensor` in row-major order; complex ones as pairs of reals."""
        dense = reals(tensor, side)
        return cls(dtype_of(dense, side), tuple(dense.shape), tensor=dense.reshape(-1))

    def read(self, start: int, stop: int) -> Array:
        known = self.asked.get((start, stop))
        return self._read(self.tensor[start:stop]) if known is None else known

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        joined = self._read(torch.cat([self.tensor[start:stop] for start, stop in ranges]))
        ends = np.cumsum([stop - start for start, stop in ranges])
        self.asked.update(zip(ranges, np.split(joined, ends[:-1]), strict=True))

    def _read(self, tensor: torch.Tensor) -> Array:
        bits: Array = as_array(tensor, "a tensor")[1]
        return bits
