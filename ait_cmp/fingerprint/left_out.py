"""Elements that are in no sum: what is not finite, and what stands for infinity."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ait_cmp.fingerprint.value import SATURATED, Whole
from ait_cmp.values.dtypes import DType

__all__ = ["what_is_left_out"]

_AT_ONCE = 1 << 22
_FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47  # those of splitmix64, as int64
_NAN, _POSITIVE, _NEGATIVE = 1, 3, 5  # kinds
_MASK = (1 << 64) - 1


def what_is_left_out(values: torch.Tensor, dtype: DType) -> tuple[Whole, float]:
    """How many elements of each kind there are and where, with the extremes of the finite ones and
    the sum of those that stand for infinity; the largest magnitude of what is in the sums."""
    flat = values.view(-1)
    whole, largest = Whole(), 0.0
    for start in range(0, flat.numel(), _AT_ONCE):
        some, most = _part(flat[start : start + _AT_ONCE], start, dtype)
        whole, largest = _both(whole, some), max(largest, most)
    return whole, largest


def _part(flat: torch.Tensor, start: int, dtype: DType) -> tuple[Whole, float]:
    """The same of elements from `start` on."""
    x = flat.to(torch.float64 if dtype.name == "float64" else torch.float32)
    end = SATURATED * dtype.largest
    plain = x.abs() < end  # which NaN is not
    at = (~plain).nonzero().flatten()
    few = x[at]
    nans, infinite, positive, negative = few.isnan(), few.isinf(), few >= end, few <= -end
    finite = ~(nans | infinite)
    counts = (nans, positive & infinite, negative & infinite, positive & finite, negative & finite)
    kinds = nans.long() * _NAN + positive.long() * _POSITIVE + negative.long() * _NEGATIVE
    nonfinite, saturated = at[~finite], few[finite]
    beyond = torch.full_like(x, math.inf)
    low, high = (
        float(torch.where(plain, x, beyond).amin()),
        float(torch.where(plain, x, -beyond).amax()),
    )
    numbers = [int(one.sum()) for one in counts]
    whole = Whole(
        nans=numbers[0],
        positive=numbers[1],
        negative=numbers[2],
        saturated_positive=numbers[3],
        saturated_negative=numbers[4],
        places=_places(at + start, kinds),
        first=start + int(nonfinite[0]) if len(nonfinite) else -1,
        minimum=min(low, float(saturated.amin())) if len(saturated) else low,
        maximum=max(high, float(saturated.amax())) if len(saturated) else high,
        total=float(saturated.double().cpu().sum()),
    )
    return whole, max(high, -low, 0.0)


def _places(at: torch.Tensor, kinds: torch.Tensor) -> int:
    """A hash of where each kind is, the same in any split."""
    mixed = (at + 1) * _FIRST
    mixed = (mixed ^ (mixed >> 29)) * _SECOND
    return int(((mixed ^ (mixed >> 32)) * kinds).sum()) & _MASK


def _both(one: Whole, two: Whole) -> Whole:
    return replace(
        one,
        nans=one.nans + two.nans,
        positive=one.positive + two.positive,
        negative=one.negative + two.negative,
        saturated_positive=one.saturated_positive + two.saturated_positive,
        saturated_negative=one.saturated_negative + two.saturated_negative,
        places=(one.places + two.places) & _MASK,
        first=one.first if one.first >= 0 else two.first,
        minimum=min(one.minimum, two.minimum),
        maximum=max(one.maximum, two.maximum),
        total=one.total + two.total,
    )
