"""Metrics: name -> function of stats. The one place where a formula stands.

`METRICS` are the definitions of the field, `AIT` the numbers that `ait llm compare` prints.
A metric without a value (nothing to compare it over) is None, never a number that looks good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ait_cmp.engine.parts import Parts
from ait_cmp.engine.stats import Stats

__all__ = ["AIT", "DEFINITIONS", "METRICS", "Metric", "compute"]

_NOTHING, _RELATIVE, _SOFTMAX = Parts(), Parts(relative=True), Parts(softmax=True)

Formula = Callable[[Stats], float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """A formula, the optional parts of the stats that it needs, and what it can be at most."""

    formula: Formula
    needs: Parts = _NOTHING
    most: float = math.inf
    least: float = 0.0


def _cosine_similarity(stats: Stats) -> float | None:
    if not stats.pairs:
        return None if stats.elements else 1.0
    golden, my = math.sqrt(stats.golden_squares), math.sqrt(stats.my_squares)
    if golden == 0.0 or my == 0.0:
        return float(golden == my)
    return max(-1.0, min(1.0, stats.products / golden / my))


def _max_absolute_error(stats: Stats) -> float | None:
    return _known(stats.difference_max) if stats.pairs else None


def _mean_absolute_error(stats: Stats) -> float | None:
    return _known(_mean(stats.difference_total, stats.difference_exponent, stats.pairs))


def _max_relative_error(stats: Stats) -> float | None:
    return stats.relative_max if stats.relative_count else None


def _mean_relative_error(stats: Stats) -> float | None:
    return stats.relative_total / stats.relative_count if stats.relative_count else None


def _kl_divergence(stats: Stats) -> float | None:
    """Σp(ln p - ln q) = cross/Z_g - ln Z_g + ln Z_m, each Z relative to its own peak."""
    sums = stats.softmax
    if not sums.golden_weight:
        return None
    spread = math.log(sums.my_weight / sums.golden_weight)
    return max(0.0, sums.cross / sums.golden_weight + spread)


def _relative_euclidean_distance(stats: Stats) -> float | None:
    if not stats.pairs:
        return None if stats.elements else 0.0
    golden = math.sqrt(stats.golden_squares)
    if golden == 0.0:
        return 0.0 if stats.my_squares == 0.0 else math.inf
    ratio = math.sqrt(stats.difference_squares) / golden
    return _scaled(ratio, stats.difference_exponent - stats.golden.exponent)


def _rmse(stats: Stats) -> float | None:
    if not stats.pairs:
        return None
    root = math.sqrt(stats.difference_squares / stats.pairs)
    return _scaled(root, stats.difference_exponent)


def _mismatch_ratio(stats: Stats) -> float | None:
    return _share(stats.mismatched, stats.pairs)


def _exact_match(stats: Stats) -> float | None:
    return _share(stats.equal, stats.pairs)


def _one_thousandth_ratio(stats: Stats) -> float | None:
    return _share(stats.within_thousandth, stats.relative_count)


def _five_thousandths_ratio(stats: Stats) -> float | None:
    return _share(stats.within_five_thousandths, stats.relative_count)


def _ait_max_absolute_error(stats: Stats) -> float | None:
    return stats.above_max if stats.relative_count else None


def _ait_mean_absolute_error(stats: Stats) -> float | None:
    if not stats.relative_count:
        return None
    return _mean(stats.above_total, stats.difference_exponent, stats.pairs)


def _ait_mean_relative_error(stats: Stats) -> float | None:
    return stats.relative_total / stats.pairs if stats.relative_count else None


def _ait_relative_euclidean_distance(stats: Stats) -> float | None:
    """Σd²/Σg² without a root; 0 where the norm of golden is at most epsilon."""
    if not stats.pairs:
        return None
    norm = _scaled(math.sqrt(stats.golden_squares), stats.golden.exponent)
    if norm <= stats.epsilon:
        return 0.0
    ratio = stats.difference_squares / stats.golden_squares
    return _scaled(ratio, 2 * (stats.difference_exponent - stats.golden.exponent))


def _mean(total: float, exponent: int, count: int) -> float | None:
    return _scaled(total / count, exponent) if count else None


def _share(count: int, total: int) -> float | None:
    """None of a count that is not known, which is below 0."""
    return count / total if total and count >= 0 else None


def _known(value: float | None) -> float | None:
    """None of a sum that is not known, which is NaN."""
    return None if value is None or math.isnan(value) else value


def _scaled(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.inf


METRICS: dict[str, Metric] = {
    "cosine_similarity": Metric(_cosine_similarity, least=-1.0, most=1.0),
    "max_relative_error": Metric(_max_relative_error, _RELATIVE),
    "mean_relative_error": Metric(_mean_relative_error, _RELATIVE),
    "max_absolute_error": Metric(_max_absolute_error),
    "mean_absolute_error": Metric(_mean_absolute_error),
    "kl_divergence": Metric(_kl_divergence, _SOFTMAX),
    "relative_euclidean_distance": Metric(_relative_euclidean_distance),
    "rmse": Metric(_rmse),
    "mismatch_ratio": Metric(_mismatch_ratio, most=1.0),
    "exact_match": Metric(_exact_match, most=1.0),
    "one_thousandth_ratio": Metric(_one_thousandth_ratio, _RELATIVE, most=1.0),
    "five_thousandths_ratio": Metric(_five_thousandths_ratio, _RELATIVE, most=1.0),
}

AIT: dict[str, Metric] = {
    name: METRICS[name] for name in ("cosine_similarity", "max_relative_error", "kl_divergence")
} | {
    "max_absolute_error": Metric(_ait_max_absolute_error, _RELATIVE),
    "mean_absolute_error": Metric(_ait_mean_absolute_error, _RELATIVE),
    "mean_relative_error": Metric(_ait_mean_relative_error, _RELATIVE),
    "relative_euclidean_distance": Metric(_ait_relative_euclidean_distance),
}

DEFINITIONS: dict[str, Mapping[str, Metric]] = {"standard": METRICS, "ait": AIT}


def compute(
    stats: Stats, names: Iterable[str], *, definition: str = "standard"
) -> dict[str, float | None]:
    """The metrics `names` of `stats`, in that order."""
    table = DEFINITIONS[definition]
    return {name: table[name].formula(stats) for name in names}
