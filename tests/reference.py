"""The metrics of DESIGN section 5 computed in exact rational or 50-digit arithmetic, and the sums
by line and channel in float64, from whole tensors, by nothing that ait_cmp uses."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import numpy.typing as npt
import torch

__all__ = ["exact_values", "reference_metrics", "reference_slices"]

Values = npt.NDArray[np.float64]

mpmath.mp.dps = 50


def exact_values(tensor: torch.Tensor) -> list[Fraction | float]:
    """The elements as exact fractions, non-finite ones as floats."""
    flat = tensor.detach().contiguous().reshape(-1)
    values = flat.tolist() if not flat.is_floating_point() else flat.double().tolist()
    return [
        value if isinstance(value, float) and not math.isfinite(value) else Fraction(value)
        for value in values
    ]


def reference_metrics(
    golden: torch.Tensor,
    my: torch.Tensor,
    *,
    rtol: float,
    atol: float,
    epsilon: float = 2.0**-23,
) -> dict[str, float | None]:
    """Every standard metric, over the finite pairs."""
    both = [
        (Fraction(g), Fraction(m))
        for g, m in zip(exact_values(golden), exact_values(my), strict=True)
        if math.isfinite(g) and math.isfinite(m)
    ]
    count = len(both)
    errors = [abs(m - g) for g, m in both]
    ratios = [abs(m - g) / abs(g) for g, m in both if abs(g) > Fraction(epsilon)]
    gg, mm = sum(g * g for g, _ in both), sum(m * m for _, m in both)
    gm, dd = sum(g * m for g, m in both), sum(d * d for d in errors)
    limits = [Fraction(atol) + Fraction(rtol) * abs(g) for g, _ in both]
    return {
        "cosine_similarity": _cosine(gg, mm, gm) if count or not golden.numel() else None,
        "max_absolute_error": float(max(errors)) if count else None,
        "mean_absolute_error": float(sum(errors) / count) if count else None,
        "max_relative_error": float(max(ratios)) if ratios else None,
        "mean_relative_error": float(sum(ratios) / len(ratios)) if ratios else None,
        "kl_divergence": _kl([g for g, _ in both], [m for _, m in both]) if count else None,
        "relative_euclidean_distance": _distance(gg, mm, dd)
        if count or not golden.numel()
        else None,
        "rmse": float(_root(Fraction(dd) / count)) if count else None,
        "mismatch_ratio": sum(d > limit for d, limit in zip(errors, limits, strict=True)) / count
        if count
        else None,
        "exact_match": sum(d == 0 for d in errors) / count if count else None,
        "one_thousandth_ratio": sum(r < Fraction(0.001) for r in ratios) / len(ratios)
        if ratios
        else None,
        "five_thousandths_ratio": sum(r < Fraction(0.005) for r in ratios) / len(ratios)
        if ratios
        else None,
    }


def _real(value: Fraction | int) -> mpmath.mpf:
    fraction = Fraction(value)
    return mpmath.mpf(fraction.numerator) / fraction.denominator


def _root(value: Fraction | int) -> mpmath.mpf:
    return mpmath.sqrt(_real(value))


def _cosine(gg: Fraction | int, mm: Fraction | int, gm: Fraction | int) -> float:
    if gg == 0 or mm == 0:
        return float(gg == mm)
    return float(_real(gm) / (_root(gg) * _root(mm)))


def _distance(gg: Fraction | int, mm: Fraction | int, dd: Fraction | int) -> float:
    if gg == 0:
        return 0.0 if mm == 0 else math.inf
    return float(_root(dd) / _root(gg))


def _kl(golden: list[Fraction], my: list[Fraction]) -> float:
    p, q = _Softmax(golden), _Softmax(my)
    # Each side relative to its own peak first: 50 digits do not hold 1e250 + 1.
    terms = [
        weight * (_real(g - p.peak) - _real(m - q.peak) - p.log_total + q.log_total)
        for g, m, weight in zip(golden, my, p.probabilities, strict=True)
    ]
    return float(mpmath.fsum(terms))


class _Softmax:
    def __init__(self, values: list[Fraction]) -> None:
        self.peak = max(values)
        weights = [mpmath.exp(_real(value - self.peak)) for value in values]
        total = mpmath.fsum(weights)
        self.log_total = mpmath.log(total)
        self.probabilities = [weight / total for weight in weights]


def reference_slices(
    golden: Values, my: Values, shape: tuple[int, ...], saturation: float
) -> tuple[Values, Values, list[tuple[float, float, int]]]:
    """Count, Σg², Σd², Σgd and Σd by bin of lines and by bin of channels (5, bins), and the
    largest errors as (d, g, index); of flat float64 values, those from `saturation` on being
    infinite in effect."""
    with np.errstate(invalid="ignore"):
        ended = (np.minimum(abs(golden), abs(my)) >= saturation) & (golden * my > 0)
        difference = my - golden
    places = np.flatnonzero(np.isfinite(golden) & np.isfinite(my) & ~ended)
    channels = shape[-1] if shape else 1
    g, d = golden[places], difference[places]
    terms = np.array([np.ones(len(g)), g * g, d * d, g * d, d])
    tables = []
    for bins, width, most in (
        (places // max(channels, 1), math.prod(shape[:-1]), 256),
        (places % max(channels, 1), channels, channels if channels <= 1024 else 64),
    ):
        size = next(2**k for k in range(64) if most * 2**k >= width)
        table = np.zeros((5, -(-width // size)))
        for row, values in zip(table, terms, strict=True):
            np.add.at(row, bins // size, values)
        tables.append(table)
    order = [i for i in np.argsort(-abs(d), kind="stable")[:8] if d[i] != 0]
    return tables[0], tables[1], [(d[i], g[i], int(places[i])) for i in order]
