"""The numbers of `engine.stats` of one block, each a tensor of one element on its device."""

from __future__ import annotations

import functools
import math

import torch

from ait_cmp.engine.device.values import Pairs, power_of_two
from ait_cmp.engine.kernel.abi.thresholds import Options
from ait_cmp.engine.stats import FIELDS

__all__ = ["first_place", "stats_of"]

_SMALL, _LARGE = 2.0**-400, 2.0**400  # squares of magnitudes between these stay in range
_OVERFLOW = 1025  # the exponent for differences beyond float64
_LOWEST = -700.0  # weights below exp(-700) of the largest count for nothing
_NONE = 1 << 62  # no index

Found = dict[str, torch.Tensor | float]
_Unit = tuple[torch.Tensor, torch.Tensor]  # an exponent, and values in units of two to it


def stats_of(pairs: Pairs, first: int, options: Options, *, is_wide: bool) -> torch.Tensor:
    """All numbers of a block that begins at index `first`, in the order of `FIELDS`, as float64;
    `is_wide` where a side is of float64."""
    golden, my, difference = pairs
    finite, my_finite = golden.isfinite(), my.isfinite()
    both = finite & my_finite
    units = _units(pairs, finite, my_finite, both) if is_wide else None
    numbers: Found = {"epsilon": options.epsilon}
    numbers |= _nonfinite(golden, my, finite, my_finite, first)
    numbers |= _side("golden", golden, finite, units[0] if units else None)
    numbers |= _side("my", my, my_finite, units[1] if units else None)
    g, m, d = (torch.where(both, one, 0.0) for one in (golden, my, difference))
    numbers |= _counts(g, d, both, first, options)
    numbers |= _sums(g, m, d, units)
    if options.parts.relative:
        numbers |= _relative(g, d, both, options.epsilon, units)
    if options.parts.softmax:
        numbers |= _softmax(golden, my, both)
    empty = functools.partial(torch.tensor, dtype=torch.float64, device=golden.device)
    return torch.stack(
        [
            one.double() if isinstance(one, torch.Tensor) else empty(one)
            for one in (numbers.get(field.name, field.empty) for field in FIELDS)
        ]
    )


def first_place(mask: torch.Tensor, first: int) -> torch.Tensor:
    """The index of the first true element, the block beginning at `first`; -1 where there is
    none."""
    index = torch.arange(first, first + mask.numel(), device=mask.device)
    found = torch.where(mask, index, _NONE).min()
    return torch.where(found == _NONE, -1, found)


def _nonfinite(
    golden: torch.Tensor,
    my: torch.Tensor,
    finite: torch.Tensor,
    my_finite: torch.Tensor,
    first: int,
) -> Found:
    neither = ~(finite | my_finite)
    same = neither & ((golden == my) | (golden.isnan() & my.isnan()))
    return {
        "elements": golden.numel(),
        "nonfinite_my": (finite & ~my_finite).sum(),
        "nonfinite_golden": (my_finite & ~finite).sum(),
        "nonfinite_alike": same.sum(),
        "nonfinite_different": (neither & ~same).sum(),
        "nonfinite_index": first_place(~(finite & my_finite) & ~same, first),
    }


def _side(name: str, values: torch.Tensor, finite: torch.Tensor, unit: _Unit | None) -> Found:
    """One tensor over its own finite elements."""
    exponent, scaled = unit or (0, values)
    return {
        f"{name}.finite": finite.sum(),
        f"{name}.minimum": torch.where(finite, values, math.inf).min(),
        f"{name}.maximum": torch.where(finite, values, -math.inf).max(),
        f"{name}.total": torch.where(finite, scaled, 0.0).sum(),
        f"{name}.exponent": exponent,
    }


def _counts(
    g: torch.Tensor, d: torch.Tensor, both: torch.Tensor, first: int, options: Options
) -> Found:
    """What is counted of the finite pairs, and which of them is the worst."""
    size = d.abs()
    largest = size.max()
    return {
        "pairs": both.sum(),
        "equal": (both & (d == 0)).sum(),
        "mismatched": (both & (size > options.atol + options.rtol * g.abs())).sum(),
        "difference_max": largest,
        "worst_index": first_place(both & (size == largest), first),
    }


def _sums(
    g: torch.Tensor, m: torch.Tensor, d: torch.Tensor, units: tuple[_Unit, ...] | None
) -> Found:
    """The sums over pairs, which are 0 where one is not finite."""
    exponent: torch.Tensor | int = 0
    if units:
        ((_, g_units), (_, m_units), (exponent, d)) = units
        paired = (g != 0) | (m != 0)  # of what is 0 on both sides the units are 0 as well
        g, m = torch.where(paired, g_units, 0.0), torch.where(paired, m_units, 0.0)
    return {
        "golden_squares": torch.dot(g, g),
        "my_squares": torch.dot(m, m),
        "products": torch.dot(g, m),
        "difference_squares": torch.dot(d, d),
        "difference_total": d.abs().sum(),
        "difference_exponent": exponent,
    }


def _relative(
    g: torch.Tensor,
    d: torch.Tensor,
    both: torch.Tensor,
    epsilon: float,
    units: tuple[_Unit, ...] | None,
) -> Found:
    """Errors over golden, where that is above epsilon."""
    magnitude, size = g.abs(), d.abs()
    above = both & (magnitude > epsilon)
    ratio = torch.where(above, size / magnitude, 0.0)
    absolute = units[2][1].abs() if units else size
    return {
        "relative_count": above.sum(),
        "relative_total": ratio.sum(),
        "relative_max": ratio.max(),
        # Products, since among neighbours in bfloat16 are ratios of 1/200.
        "within_thousandth": (above & (size < magnitude * 0.001)).sum(),
        "within_five_thousandths": (above & (size < magnitude * 0.005)).sum(),
        "above_total": torch.where(above, absolute, 0.0).sum(),
        "above_max": torch.where(above, size, 0.0).max(),
    }


def _softmax(golden: torch.Tensor, my: torch.Tensor, both: torch.Tensor) -> Found:
    """The sums of log-sum-exp, relative to the largest element of the block."""
    peak = torch.where(both, golden, -math.inf).max()
    my_peak = torch.where(both, my, -math.inf).max()
    depth = torch.where(both, golden - peak, -math.inf)
    my_depth = torch.where(both, my - my_peak, -math.inf)
    weight = torch.where(depth > _LOWEST, depth.exp(), 0.0)
    # A weight of 0 may meet an infinite depth: that is 0, not nan.
    cross = torch.where(depth > _LOWEST, weight * (depth - my_depth), 0.0)
    return {
        "softmax.golden_peak": peak,
        "softmax.golden_weight": weight.sum(),
        "softmax.my_peak": my_peak,
        "softmax.my_weight": torch.where(my_depth > _LOWEST, my_depth.exp(), 0.0).sum(),
        "softmax.cross": cross.sum(),
    }


def _units(
    pairs: Pairs, finite: torch.Tensor, my_finite: torch.Tensor, both: torch.Tensor
) -> tuple[_Unit, ...]:
    """Golden, my and their difference in units in which squares stay in float64's range."""
    sides = [
        _unit(torch.where(mask, one, 0.0))
        for one, mask in ((pairs.golden, finite), (pairs.my, my_finite))
    ]
    difference = torch.where(both, pairs.difference, 0.0)
    exponent, scaled = _unit(difference)
    halves = torch.where(both, pairs.my * 0.5 - pairs.golden * 0.5, 0.0) * 2.0 ** (1 - _OVERFLOW)
    return *sides, (exponent, torch.where(exponent == _OVERFLOW, halves, scaled))


def _unit(values: torch.Tensor) -> _Unit:
    largest = values.abs().max()
    exponent = torch.frexp(largest).exponent.long()
    in_range = (largest == 0) | ((largest >= _SMALL) & (largest <= _LARGE))
    exponent = torch.where(in_range, 0, torch.where(largest.isinf(), _OVERFLOW, exponent))
    half = exponent // 2  # in two exact steps, since 2**1074 is no float64
    return exponent, values * power_of_two(-half) * power_of_two(half - exponent)
