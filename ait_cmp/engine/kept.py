"""A pair of which one side, or both, is the fingerprint of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.estimating import alike, estimate
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.request import Wanted
from ait_cmp.fingerprint.value import Fingerprint, bin_width, line_and_channel
from ait_cmp.source import FingerprintSource, Source, from_memory, needs_tensors
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.location import Step

__all__ = ["measure_kept", "refuse_other_axes"]

_FEWEST = 0.25  # of the bins of lines; of fewer nothing is told of a tensor
_MOVES = ("permute", "fill")


def measure_kept(*, golden: Source, my: Source, wanted: Wanted) -> Measured:
    """What the fingerprints of two sides of equal shape tell. Raises PairError."""
    refuse_other_axes(golden, my)
    first, *_ = [side for side in (golden, my) if isinstance(side, FingerprintSource)]
    one, other = alike(_side(golden, first.back), _side(my, first.back))
    assert isinstance(one, Fingerprint)
    assert isinstance(other, Fingerprint)
    other = replace(other, shape=one.shape)
    found = estimate(golden=one, my=other, wanted=wanted, kept=_kept_bins(first))
    infos = TensorInfo(golden.dtype, one.shape), TensorInfo(my.dtype, one.shape)
    return replace(found, golden=infos[0], my=infos[1])


def _side(side: Source, back: Sequence[Step]) -> Source | Fingerprint:
    """A fingerprint, or the tensor, its axes moved to where the other's fingerprint has them."""
    return side.fingerprint if isinstance(side, FingerprintSource) else adapt([side], back)


def _kept_bins(side: FingerprintSource) -> npt.NDArray[np.bool_] | None:
    """Which bins of lines have no position that is left out; None where none is. Raises PairError
    where few have none."""
    if all(step.name != "fill" for step in side.back):
        return None
    present = adapt([from_memory(DTYPES["uint8"], np.ones(side.shape, np.uint8))], side.back)
    lines, channels = line_and_channel(side.fingerprint.shape)
    whole = present.read(0, present.elements).reshape(lines, channels).all(1)
    kept = np.logical_and.reduceat(whole, np.arange(0, lines, bin_width(lines)))
    if kept.sum() < _FEWEST * len(kept):
        raise needs_tensors(
            side.place,
            f"of its {len(kept)} bins of lines {len(kept) - int(kept.sum())} have positions that "
            "are to be left out",
        )
    return kept


def refuse_other_axes(golden: Source, my: Source) -> None:
    """Raise PairError NEEDS_TENSORS where both are fingerprints whose elements are not in one
    order."""
    if not (isinstance(golden, FingerprintSource) and isinstance(my, FingerprintSource)):
        return
    moves = [[step for step in side.back if step.name in _MOVES] for side in (golden, my)]
    kept = [line_and_channel(side.fingerprint.shape) for side in (golden, my)]
    if moves[0] != moves[1] or kept[0] != kept[1]:
        raise needs_tensors(
            f"{golden.place} and {my.place}",
            f"made of {list(golden.fingerprint.shape)} and {list(my.fingerprint.shape)}, and axes "
            "that one of them has elsewhere are to be moved",
        )
