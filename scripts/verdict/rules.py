"""The rules in use today that a verdict is measured against.

Each judges one row by its sums; two need more: what the row was computed of, or a second run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ait_cmp.engine.stats import Stats
from ait_cmp.judging.metrics import compute
from ait_cmp.values.dtypes import DType

__all__ = ["EPSILON", "MSPROBE", "OTHERS", "RATIO", "breaks_ratio", "broken_rules", "close_share"]

RELATIVE = {"float32": 2.0**-13, "float16": 2.0**-10, "bfloat16": 2.0**-7}
EPSILON = 2.0**-23  # relative errors are of elements above it
SATURATED = 0.99  # of the largest finite value: -65504 and -3.4e38 both mean "masked"

Values = NDArray[np.float64]
Fails = Callable[[Values, Values, DType], bool]  # of golden, the difference, the coarser type


def _elementwise(g: Values, d: Values, _: DType) -> bool:
    size = np.abs(d)
    return bool(((size > 1e-5) & (size > 1e-5 * np.abs(g))).any())


def _assert_close(g: Values, d: Values, dtype: DType) -> bool:
    return bool((np.abs(d) > dtype.atol + dtype.rtol * np.abs(g)).any())


def _relative(g: Values, d: Values, dtype: DType) -> bool:
    if not d.any():
        return False
    large = np.abs(g) > EPSILON
    if not large.any():
        return True
    ratio, limit = np.abs(d[large] / g[large]), RELATIVE.get(dtype.name, 0.0)
    return bool(ratio.mean() >= limit or ratio.max() >= 10 * limit)


def _similarity(g: Values, d: Values, _: DType) -> bool:
    m = g + d
    total = float(g @ g + m @ m)
    return total > 0 and 1 - 2 * float(g @ m) / total > 1e-3


def _cosine(limit: float) -> Fails:
    def fails(g: Values, d: Values, _: DType) -> bool:
        m = g + d
        size = math.sqrt(float(g @ g) * float(m @ m))
        return bool(d.any()) if size == 0 else float(g @ m) / size < limit

    return fails


OTHERS: dict[str, Fails] = {
    "elementwise atol/rtol 1e-5, both exceeded": _elementwise,
    "`assert_close` tolerances of the coarser type": _assert_close,
    "mean rel < T and max rel < 10T": _relative,
    "1 − 2Σxy/Σ(x²+y²) ≤ 1e-3": _similarity,
    "cosine ≥ 0.999": _cosine(0.999),
    "cosine ≥ 0.99": _cosine(0.99),
}


def broken_rules(*, golden: Tensor, my: Tensor, stats: Stats, dtype: DType) -> frozenset[str]:
    """Those of OTHERS that this pair breaks, masked elements (alike at their end) left out.

    The sums tell it, where nothing is masked; `dtype` is the pair's coarser type.
    """
    if stats.slices is None or float(stats.slices.lines.count.sum()) != stats.elements:
        return _broken_by_elements(golden, my, dtype)
    return frozenset(_broken_by_sums(stats, dtype, golden, my))


def _broken_by_sums(stats: Stats, dtype: DType, golden: Tensor, my: Tensor) -> list[str]:
    if not stats.difference_max:
        return []
    named = compute(
        stats, ["cosine_similarity", "mean_relative_error", "max_relative_error", "mismatch_ratio"]
    )
    cosine, mean, most, mismatched = named.values()
    d = (my.float() - golden.float()).abs_()
    apart = bool(((d > 1e-5) & (d > 1e-5 * golden.float().abs())).any())
    limit = RELATIVE.get(dtype.name, 0.0)
    similarity = (stats.golden_squares + stats.my_squares) - 2 * stats.products
    total = stats.golden_squares + stats.my_squares
    told = (
        apart,
        bool(mismatched),
        mean is None or most is None or mean >= limit or most >= 10 * limit,
        total > 0 and similarity / total > 1e-3,
        cosine is None or cosine < 0.999,
        cosine is None or cosine < 0.99,
    )
    return [name for name, broken in zip(OTHERS, told, strict=True) if broken]


def _broken_by_elements(golden: Tensor, my: Tensor, dtype: DType) -> frozenset[str]:
    g, m = (t.detach().double().numpy().ravel() for t in (golden, my))
    floating = [t.dtype for t in (golden, my) if t.is_floating_point()]
    end = SATURATED * min((torch.finfo(one).max for one in floating), default=np.inf)
    with np.errstate(invalid="ignore"):
        masked = (np.abs(g) >= end) & (np.abs(m) >= end) & (np.sign(g) == np.sign(m))
    masked |= np.isnan(g) & np.isnan(m)
    g, m = g[~masked], m[~masked]
    if not (np.isfinite(g).all() and np.isfinite(m).all()):
        return frozenset(OTHERS)
    return frozenset(name for name, fails in OTHERS.items() if fails(g, m - g, dtype))


# ---- rules that need more than the row -----------------------------------------------------------

MSPROBE = "msprobe: under 60 % within 1e-3, inputs above 90 %"
RATIO = "max error < 1.5 times, L2 < 3 times a run's of the same type"


def close_share(stats: Stats) -> float:
    """The share of the relative errors that is below 0.001."""
    return stats.within_thousandth / stats.relative_count if stats.relative_count else 1.0


def breaks_ratio(stats: Stats, reference: Stats) -> bool:
    """Whether my's error is larger than that of a trusted run of the same type may be."""
    if stats.nonfinite_disagreeing:
        return True
    return bool(
        stats.difference_max > 1.5 * reference.difference_max
        or stats.difference_squares > 9 * reference.difference_squares
    )
