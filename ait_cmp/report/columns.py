"""The columns of the report, in order: name -> type and the value of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.measured import TensorInfo
from ait_cmp.engine.stats import Side, Stats
from ait_cmp.judging import Finding
from ait_cmp.judging.comparison import Row

__all__ = ["COLUMNS", "frame"]

Value = Callable[[Row], Any]


def _info(side: str, get: Callable[[TensorInfo], str]) -> Value:
    def value(row: Row) -> str | None:
        info: TensorInfo | None = getattr(row.comparison.measured, side)
        return get(info) if info else None

    return value


def _side(side: str, get: Callable[[Side], float | None]) -> Value:
    def value(row: Row) -> float | None:
        stats = row.comparison.measured.stats
        values: Side | None = getattr(stats, side) if stats else None
        return get(values) if values and values.finite else None

    return value


def _stats(get: Callable[[Stats], int]) -> Value:
    def value(row: Row) -> int | None:
        stats = row.comparison.measured.stats
        return get(stats) if stats else None

    return value


def _evidence(get: Callable[[Evidence], float]) -> Value:
    def value(row: Row) -> float | None:
        evidence = row.comparison.measured.evidence
        return get(evidence) if evidence else None

    return value


def _finding(get: Callable[[Finding], Any]) -> Value:
    """Of the plainest check that the row fails."""

    def value(row: Row) -> Any:
        findings = row.verdict.findings
        return get(findings[0]) if findings else None

    return value


def _metric(name: str) -> tuple[type[pl.DataType], Value]:
    return pl.Float64, lambda row: row.comparison.metrics.get(name)


def _tensor(side: str, path: Value) -> dict[str, tuple[type[pl.DataType], Value]]:
    return {
        f"{side}_data_path": (pl.String, path),
        f"{side}_dtype": (pl.String, _info(side, lambda info: str(info.dtype))),
        f"{side}_shape": (pl.String, _info(side, lambda info: str(list(info.shape)))),
        f"{side}_max_value": (pl.Float64, _side(side, lambda values: values.maximum)),
        f"{side}_min_value": (pl.Float64, _side(side, lambda values: values.minimum)),
        f"{side}_mean_value": (pl.Float64, _side(side, lambda values: values.mean)),
    }


def _worst_index(row: Row) -> str | None:
    index = row.comparison.worst_index
    return None if index is None else str(list(index))


COLUMNS: dict[str, tuple[type[pl.DataType], Value]] = {
    "token_id": (pl.Int64, lambda row: row.pair.token_id),
    "data_id": (pl.String, lambda row: row.pair.data_id),
    **_tensor("golden", lambda row: str(row.pair.golden)),
    **_tensor("my", lambda row: str(row.pair.my)),
    "cosine_similarity": _metric("cosine_similarity"),
    "max_relative_error": _metric("max_relative_error"),
    "mean_relative_error": _metric("mean_relative_error"),
    "max_absolute_error": _metric("max_absolute_error"),
    "mean_absolute_error": _metric("mean_absolute_error"),
    "kl_divergence": _metric("kl_divergence"),
    "relative_euclidean_distance": _metric("relative_euclidean_distance"),
    "cmp_fail_reason": (pl.String, lambda row: row.verdict.sentence),
    "status": (pl.String, lambda row: row.verdict.status),
    "reason": (pl.String, lambda row: row.verdict.reason),
    "dump": (pl.String, lambda row: row.pair.dump),
    "order": (pl.Int64, lambda row: row.pair.order),
    "elements": (pl.Int64, _stats(lambda stats: stats.elements)),
    "rmse": _metric("rmse"),
    "mismatch_ratio": _metric("mismatch_ratio"),
    "exact_match": _metric("exact_match"),
    "one_thousandth_ratio": _metric("one_thousandth_ratio"),
    "five_thousandths_ratio": _metric("five_thousandths_ratio"),
    "nonfinite_golden": (pl.Int64, _stats(lambda stats: stats.nonfinite_golden)),
    "nonfinite_my": (pl.Int64, _stats(lambda stats: stats.nonfinite_my)),
    "nonfinite_alike": (pl.Int64, _stats(lambda stats: stats.nonfinite_alike)),
    "nonfinite_different": (pl.Int64, _stats(lambda stats: stats.nonfinite_different)),
    "worst_index": (pl.String, _worst_index),
    # As text, since a float64 column would round 64-bit integers.
    "worst_golden": (pl.String, lambda row: row.comparison.measured.worst_golden),
    "worst_my": (pl.String, lambda row: row.comparison.measured.worst_my),
    "check": (pl.String, _finding(lambda finding: finding.check)),
    "check_value": (pl.Float64, _finding(lambda finding: finding.value)),
    "check_limit": (pl.Float64, _finding(lambda finding: finding.limit)),
    "error_level": (pl.Float64, _evidence(lambda evidence: evidence.level)),
    "expected_error": (pl.Float64, lambda row: row.verdict.expected),
    "noise": (pl.Float64, lambda row: row.verdict.noise),
    "follows": (pl.String, lambda row: row.verdict.follows or None),
    "first_divergence": (pl.String, lambda row: row.verdict.divergence or None),
}


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """The report of `rows` as a table with true types."""
    return pl.DataFrame(
        {
            name: pl.Series(name, [_text(value(row)) for row in rows], dtype=dtype)
            for name, (dtype, value) in COLUMNS.items()
        }
    )


def _text(value: Any) -> Any:
    """Text that UTF-8 can hold: a lone surrogate (an undecodable path) as \\udcXX."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
