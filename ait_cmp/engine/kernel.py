"""Two runs of stored bits in, their stats out: all the arithmetic over elements.

Everything is taken in float64. Integers wider than float64's 53 bits are compared by
halves of 32 bits, each exact, so that a difference is rounded once.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.dtypes import DType
from ait_cmp.engine.source import Array
from ait_cmp.engine.stats import Side, Softmax, Stats

__all__ = ["Options", "block_stats"]

Doubles = npt.NDArray[np.float64]
# Squares of magnitudes between 2**-SAFE and 2**SAFE, summed over any tensor, stay in range.
_SAFE = 400


@dataclass(frozen=True, slots=True)
class Options:
    """What the stats depend on besides the data."""

    epsilon: float
    rtol: float
    atol: float
    relative: bool = True
    softmax: bool = True


def block_stats(
    *, golden: Array, golden_dtype: DType, my: Array, my_dtype: DType, start: int, options: Options
) -> Stats:
    """Stats of two 1-D arrays of stored bits, the first element of which has index `start`."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        g, m = widen(golden, golden_dtype), widen(my, my_dtype)
        finite_g, finite_m = np.isfinite(g), np.isfinite(m)
        both = finite_g & finite_m
        d = _difference(golden, golden_dtype, my, my_dtype, g, m)
        golden_side, my_side = _side(g[finite_g]), _side(m[finite_m])
        return Stats(
            elements=g.size,
            **_nonfinite(g, m, finite_g, finite_m, start),
            golden=golden_side,
            my=my_side,
            **_sums(g[both], m[both], d[both], golden_side.exponent, my_side.exponent),
            **_worst(np.where(both, np.abs(d), -1.0), start),
            **_ratios(np.abs(g[both]), np.abs(d[both]), options),
            softmax=_softmax(g[both], m[both]) if options.softmax else Softmax(),
        )


def widen(bits: Array, dtype: DType) -> Doubles:
    """The values of stored bits, each rounded at most once (64-bit integers only)."""
    if dtype.name == "bool":
        return np.not_equal(bits, 0).astype(np.float64)
    if dtype.name == "bfloat16":
        singles: npt.NDArray[np.float32] = (bits.astype("<u4") << 16).view("<f4")
        return singles.astype(np.float64)
    if dtype.name.startswith("float8"):
        table: Doubles = _byte_values(dtype.name)
        return table.take(bits)
    return bits.astype(np.float64)


@functools.cache
def _byte_values(name: str) -> Doubles:
    import torch

    every_byte = torch.arange(256).to(torch.uint8)
    return every_byte.view(getattr(torch, name)).to(torch.float64).numpy()


def _difference(
    golden: Array, golden_dtype: DType, my: Array, my_dtype: DType, g: Doubles, m: Doubles
) -> Doubles:
    if not any(_is_long(dtype) for dtype in (golden_dtype, my_dtype)):
        return m - g
    golden_high, golden_low = _halves(golden, golden_dtype, g)
    my_high, my_low = _halves(my, my_dtype, m)
    return np.asarray((my_high - golden_high) + (my_low - golden_low))


def _is_long(dtype: DType) -> bool:
    return not dtype.is_floating and dtype.itemsize == 8


def _halves(bits: Array, dtype: DType, values: Doubles) -> tuple[Doubles, Doubles]:
    if not _is_long(dtype):
        return values, np.zeros_like(values)
    high = (bits >> 32).astype(np.float64) * 2.0**32
    return high, (bits & bits.dtype.type(0xFFFFFFFF)).astype(np.float64)


def _nonfinite(
    g: Doubles,
    m: Doubles,
    finite_g: npt.NDArray[np.bool_],
    finite_m: npt.NDArray[np.bool_],
    start: int,
) -> dict[str, int]:
    neither = ~finite_g & ~finite_m
    alike = neither & ((g == m) | (np.isnan(g) & np.isnan(m)))
    disagree = np.flatnonzero(~(finite_g & finite_m) & ~alike)
    return {
        "nonfinite_golden": int(np.count_nonzero(~finite_g & finite_m)),
        "nonfinite_my": int(np.count_nonzero(finite_g & ~finite_m)),
        "nonfinite_alike": int(np.count_nonzero(alike)),
        "nonfinite_different": int(np.count_nonzero(neither & ~alike)),
        "nonfinite_index": int(disagree[0]) + start if disagree.size else -1,
    }


def _side(values: Doubles) -> Side:
    if not values.size:
        return Side()
    exponent = _exponent(values)
    low, high = float(values.min()), float(values.max())
    return Side(values.size, low, high, float(np.ldexp(values, -exponent).sum()), exponent)


def _exponent(values: Doubles) -> int:
    """0, or the binary exponent of the largest magnitude where its square leaves float64."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest) or 2.0**-_SAFE < largest < 2.0**_SAFE:
        return 0
    return math.frexp(largest)[1]


def _sums(
    g: Doubles, m: Doubles, d: Doubles, golden_exponent: int, my_exponent: int
) -> dict[str, Any]:
    difference_exponent = _exponent(d)
    scaled_g, scaled_m = np.ldexp(g, -golden_exponent), np.ldexp(m, -my_exponent)
    scaled_d = np.ldexp(d, -difference_exponent)
    return {
        "pairs": g.size,
        "equal": int(np.count_nonzero(d == 0)),
        "golden_squares": float((scaled_g * scaled_g).sum()),
        "my_squares": float((scaled_m * scaled_m).sum()),
        "products": float((scaled_g * scaled_m).sum()),
        "difference_squares": float((scaled_d * scaled_d).sum()),
        "difference_total": float(np.abs(scaled_d).sum()),
        "difference_exponent": difference_exponent,
    }


def _worst(magnitudes: Doubles, start: int) -> dict[str, Any]:
    if not magnitudes.size or magnitudes.max() < 0:
        return {}
    index = int(magnitudes.argmax())
    return {"difference_max": float(magnitudes[index]), "worst_index": index + start}


def _ratios(g: Doubles, d: Doubles, options: Options) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "mismatched": int(np.count_nonzero(d > options.atol + options.rtol * g))
    }
    above = g > options.epsilon
    if not options.relative or not above.any():
        return counts
    errors, ratios = d[above], d[above] / g[above]
    return counts | {
        "relative_count": ratios.size,
        "relative_total": float(ratios.sum()),
        "relative_max": float(ratios.max()),
        "within_thousandth": int(np.count_nonzero(ratios < 0.001)),
        "within_five_thousandths": int(np.count_nonzero(ratios < 0.005)),
        "above_total": float(np.ldexp(errors, -_exponent(d)).sum()),
        "above_max": float(errors.max()),
    }


def _softmax(g: Doubles, m: Doubles) -> Softmax:
    if not g.size:
        return Softmax()
    golden_peak, my_peak = float(g.max()), float(m.max())
    golden_below, my_below = g - golden_peak, m - my_peak
    weights = np.exp(golden_below)
    return Softmax(
        golden_peak,
        float(weights.sum()),
        my_peak,
        float(np.exp(my_below).sum()),
        float((weights * (golden_below - my_below)).sum(where=weights > 0)),
    )
