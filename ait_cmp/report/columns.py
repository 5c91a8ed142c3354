"""The columns of the report, in order: name -> type, and the cell of a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import polars as pl

from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.measured import TensorInfo
from ait_cmp.engine.positions import Positions
from ait_cmp.engine.stats import Side, Stats
from ait_cmp.judging import Finding, Verdict
from ait_cmp.judging.choices import JudgedFlip
from ait_cmp.judging.comparison import Comparison, Row
from ait_cmp.judging.metrics import METRICS
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.pair import Alone, Pair
from ait_cmp.values.statistics import Statistics

__all__ = ["COLUMNS", "Column", "frame", "judged_level", "with_rows"]

Type = type[pl.DataType]


@dataclass(frozen=True, slots=True)
class Column:
    """The type of a column, and its cell, made of a part of the row; empty where there is none."""

    dtype: Type
    part: Callable[[Row], Any]
    cell: Callable[[Any], Any]


# The parts of a row that cells are made of; each is looked up once a row.


def _pair(row: Row) -> Pair:
    return row.pair


def _comparison(row: Row) -> Comparison:
    return row.comparison


def _values(row: Row) -> Mapping[str, float | None]:
    """Of the metrics."""
    return row.comparison.metrics


def _verdict(row: Row) -> Verdict:
    return row.comparison.verdict


def _stats(row: Row) -> Stats | None:
    return row.comparison.measured.stats


def _sized(row: Row) -> Evidence | None:
    """What has a size, which nothing has where no element is finite on both sides."""
    measured = row.comparison.measured
    stats = measured.stats
    return measured.evidence if stats and (stats.pairs or not stats.elements) else None


def _in_runs(row: Row) -> float | None:
    """The error level of whole runs: of a module that was judged alone what it was in these."""
    if row.pair.alone:
        return row.pair.alone.in_run
    sized = _sized(row)
    return sized.level if sized else None


def _alone(row: Row) -> Alone | None:
    return row.pair.alone


def _own_level(row: Row) -> float | None:
    """The error level of what a module alone did."""
    sized = _sized(row) if row.pair.alone else None
    return sized.level if sized else None


def _estimate(row: Row) -> tuple[Stats, Evidence] | None:
    """What is estimated of two fingerprints, of which metrics have a standard error."""
    stats, evidence = row.comparison.measured.stats, row.comparison.measured.evidence
    return (stats, evidence) if stats and evidence and evidence.buckets else None


def _level_deviation(told: tuple[Stats, Evidence]) -> float | None:
    return _half(METRICS["relative_euclidean_distance"].formula(told[0]), told[1])


def _rmse_deviation(told: tuple[Stats, Evidence]) -> float | None:
    return _half(METRICS["rmse"].formula(told[0]), told[1])


def _half(value: float | None, evidence: Evidence) -> float | None:
    """The deviation of a root, half of that of what it is the root of, as shares go."""
    return None if value is None else value * evidence.spread / 2


def _cosine_deviation(told: tuple[Stats, Evidence]) -> float | None:
    """Σgm is what Σg² and Σm² leave of Σd², of which only this is not exact."""
    stats, evidence = told
    norms = math.sqrt(stats.golden_squares) * math.sqrt(stats.my_squares)
    return stats.difference_squares * evidence.spread / 2 / norms if norms else None


def _flip(row: Row) -> JudgedFlip | None:
    flip = row.comparison.verdict.flip
    return flip if flip.near_tie or flip.finding else None


def _flip_kind(flip: JudgedFlip) -> str:
    return "near tie" if flip.near_tie else "fault"


def _diagnosis(row: Row) -> Diagnosis | None:
    return row.comparison.diagnosis


def _positions(row: Row) -> Positions | None:
    return row.comparison.measured.positions


def _told(name: str) -> Callable[[Positions], float | None]:
    """A number of positions, where it is one."""

    def cell(positions: Positions) -> float | None:
        value: float = getattr(positions, name)
        return None if math.isnan(value) else value

    return cell


def _perplexity(name: str) -> Callable[[Positions], float | None]:
    told = _told(name)

    def cell(positions: Positions) -> float | None:
        surprise = told(positions)
        return None if surprise is None else float(np.exp(surprise))

    return cell


def _plainest(row: Row) -> Finding | None:
    """The check that the row fails most plainly."""
    findings = row.comparison.verdict.findings
    return findings[0] if findings else None


def _golden(row: Row) -> TensorInfo | None:
    return row.comparison.measured.golden


def _my(row: Row) -> TensorInfo | None:
    return row.comparison.measured.my


def _golden_values(row: Row) -> Side | Statistics | None:
    stats = row.comparison.measured.stats
    if stats is None and row.pair.statistics:
        return row.pair.statistics[0]
    return stats.golden if stats and stats.golden.finite else None


def _my_values(row: Row) -> Side | Statistics | None:
    stats = row.comparison.measured.stats
    if stats is None and row.pair.statistics:
        return row.pair.statistics[1]
    return stats.my if stats and stats.my.finite else None


def _metrics(first: str, last: str) -> dict[str, Column]:
    """Those from `first` to `last` of the table of metrics."""
    names = list(METRICS)
    return {name: _metric(name) for name in names[names.index(first) : names.index(last) + 1]}


def _metric(name: str) -> Column:
    return Column(pl.Float64, _values, methodcaller("get", name))


@cache
def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def _worst_index(comparison: Comparison) -> str | None:
    index = comparison.worst_index
    return None if index is None else str(list(index))


COLUMNS: dict[str, Column] = {
    "token_id": Column(pl.Int64, _pair, attrgetter("token_id")),
    "data_id": Column(pl.String, _pair, attrgetter("data_id")),
    "golden_data_path": Column(pl.String, _pair, lambda pair: str(pair.golden)),
    "golden_dtype": Column(pl.String, _golden, lambda info: str(info.dtype)),
    "golden_shape": Column(pl.String, _golden, lambda info: _shape(info.shape)),
    "golden_max_value": Column(pl.Float64, _golden_values, attrgetter("maximum")),
    "golden_min_value": Column(pl.Float64, _golden_values, attrgetter("minimum")),
    "golden_mean_value": Column(pl.Float64, _golden_values, attrgetter("mean")),
    "my_data_path": Column(pl.String, _pair, lambda pair: str(pair.my)),
    "my_dtype": Column(pl.String, _my, lambda info: str(info.dtype)),
    "my_shape": Column(pl.String, _my, lambda info: _shape(info.shape)),
    "my_max_value": Column(pl.Float64, _my_values, attrgetter("maximum")),
    "my_min_value": Column(pl.Float64, _my_values, attrgetter("minimum")),
    "my_mean_value": Column(pl.Float64, _my_values, attrgetter("mean")),
    **_metrics("cosine_similarity", "relative_euclidean_distance"),
    "cmp_fail_reason": Column(pl.String, _verdict, attrgetter("sentence")),
    "status": Column(pl.String, _verdict, attrgetter("status")),
    "reason": Column(pl.String, _verdict, attrgetter("reason")),
    "dump": Column(pl.String, _pair, attrgetter("dump")),
    "order": Column(pl.Int64, _pair, attrgetter("order")),
    "elements": Column(pl.Int64, _stats, attrgetter("elements")),
    **_metrics("rmse", "five_thousandths_ratio"),
    "nonfinite_golden": Column(pl.Int64, _stats, attrgetter("nonfinite_golden")),
    "nonfinite_my": Column(pl.Int64, _stats, attrgetter("nonfinite_my")),
    "nonfinite_alike": Column(pl.Int64, _stats, attrgetter("nonfinite_alike")),
    "nonfinite_different": Column(pl.Int64, _stats, attrgetter("nonfinite_different")),
    "worst_index": Column(pl.String, _comparison, _worst_index),
    # As text, since a float64 column would round 64-bit integers.
    "worst_golden": Column(pl.String, _comparison, attrgetter("measured.worst_golden")),
    "worst_my": Column(pl.String, _comparison, attrgetter("measured.worst_my")),
    "check": Column(pl.String, _plainest, attrgetter("check")),
    "check_value": Column(pl.Float64, _plainest, attrgetter("value")),
    "check_limit": Column(pl.Float64, _plainest, attrgetter("limit")),
    "error_level": Column(pl.Float64, _in_runs, float),
    "expected_error": Column(pl.Float64, _verdict, attrgetter("expected")),
    "noise": Column(pl.Float64, _verdict, attrgetter("noise")),
    "follows": Column(pl.String, _verdict, lambda verdict: verdict.follows or None),
    "first_divergence": Column(pl.String, _verdict, lambda verdict: verdict.divergence or None),
}
# Of metrics that came later the columns stand at the end.
COLUMNS |= {name: _metric(name) for name in METRICS if name not in COLUMNS}
COLUMNS["rank"] = Column(pl.String, _pair, lambda pair: pair.rank or None)
COLUMNS["paired_by"] = Column(pl.String, _pair, lambda pair: pair.paired_by or None)
COLUMNS["order_by"] = Column(pl.String, _pair, lambda pair: pair.order_by or None)
COLUMNS["yardstick"] = Column(pl.String, _verdict, lambda verdict: verdict.yardstick or None)
COLUMNS |= {
    "flip": Column(pl.String, _flip, _flip_kind),
    "flip_margin": Column(pl.Float64, _flip, attrgetter("margin")),
    "flip_limit": Column(pl.Float64, _flip, attrgetter("limit")),
    "positions": Column(pl.Int64, _positions, attrgetter("lines")),
    "position_kl_mean": Column(pl.Float64, _positions, _told("kl_mean")),
    "position_kl_p99": Column(pl.Float64, _positions, _told("kl_high")),
    "position_kl_max": Column(pl.Float64, _positions, _told("kl_most")),
    "same_top1": Column(pl.Float64, _positions, _told("same_top")),
    "top5_overlap": Column(pl.Float64, _positions, _told("top_overlap")),
    "scored_tokens": Column(pl.Int64, _positions, attrgetter("tokens")),
    "golden_perplexity": Column(pl.Float64, _positions, _perplexity("golden_surprise")),
    "my_perplexity": Column(pl.Float64, _positions, _perplexity("my_surprise")),
}
COLUMNS |= {
    "diagnosis": Column(pl.String, _diagnosis, attrgetter("sentence")),
    "diagnosis_kind": Column(pl.String, _diagnosis, attrgetter("kind")),
    "diagnosis_explained": Column(pl.Float64, _diagnosis, attrgetter("explained")),
    "diagnosis_rest": Column(pl.Float64, _diagnosis, attrgetter("rest")),
}
COLUMNS |= {
    "own_error": Column(pl.Float64, _own_level, float),
    "own_module": Column(pl.String, _alone, attrgetter("module")),
}
COLUMNS |= {
    "fingerprint_buckets": Column(pl.Int64, _estimate, lambda told: told[1].buckets),
    "relative_euclidean_distance_se": Column(pl.Float64, _estimate, _level_deviation),
    "rmse_se": Column(pl.Float64, _estimate, _rmse_deviation),
    "cosine_similarity_se": Column(pl.Float64, _estimate, _cosine_deviation),
}
_PARTS = {column.part for column in COLUMNS.values()}
_AT_ONCE = 256  # rows that stay in the processor's cache while their cells are made
_OF_PART = 16_384  # rows whose cells are Python's until they are columns
_OF_CHUNK = 8 * _OF_PART  # rows that lie together, and are a row group of a parquet file


def frame(rows: Iterable[Row], extra: Sequence[str] = ()) -> pl.DataFrame:
    """The report of `rows` as a table with true types, at its end the user's own metrics; none of
    them is kept."""
    columns = COLUMNS | {name: _metric(name) for name in extra}
    coming, chunks = iter(rows), list[pl.DataFrame]()
    while not chunks or len(chunks[-1]) == _OF_CHUNK:
        parts = [_part(columns, coming)]
        while len(parts[-1]) == _OF_PART and len(parts) * _OF_PART < _OF_CHUNK:
            parts.append(_part(columns, coming))
        chunks.append(_constants_once(pl.concat(parts, rechunk=True)))
    return pl.concat(chunks, rechunk=False)


def _constants_once(table: pl.DataFrame) -> pl.DataFrame:
    """`table`, of which a column that says one thing alone, as two of five do, takes no memory."""
    alike = [one for one in table if _is_constant(one)]
    return table.with_columns(pl.lit(one[0], one.dtype).alias(one.name) for one in alike)


def _is_constant(column: pl.Series) -> bool:
    ends = column[:1].append(column[-1:])
    return ends.n_unique() == 1 and column.n_unique() == 1  # most are told by their ends


def _part(columns: Mapping[str, Column], rows: Iterator[Row]) -> pl.DataFrame:
    """The next rows as a table."""
    cells: dict[str, list[Any]] = {name: [] for name in columns}
    for _ in range(0, _OF_PART, _AT_ONCE):
        some = [*islice(rows, _AT_ONCE)]
        _add_cells(columns, cells, some)
        if len(some) < _AT_ONCE:
            break
    return pl.DataFrame([_series(name, one.dtype, cells[name]) for name, one in columns.items()])


def judged_level() -> pl.Expr:
    """The error that a row is judged by, as `error_level`: where a module stands alone its own."""
    return pl.coalesce("own_error", "error_level").alias("error_level")


def with_rows(
    table: pl.DataFrame, rows: Mapping[int, Row], extra: Sequence[str] = ()
) -> pl.DataFrame:
    """`table`, in which these `rows` stand in their lines."""
    if not rows:
        return table
    parts = []
    for start in range(0, len(table), _OF_CHUNK):  # since a column is copied to be changed
        part = table[start : start + _OF_CHUNK]
        told = {line - start: row for line, row in rows.items() if 0 <= line - start < len(part)}
        parts.append(_mended(part, told, extra) if told else part)
    return pl.concat(parts, rechunk=False)


def _mended(table: pl.DataFrame, rows: Mapping[int, Row], extra: Sequence[str]) -> pl.DataFrame:
    lines, told = [*rows], frame(rows.values(), extra)
    before = table[lines]
    changed = [one for one in told if not one.equals(before[one.name], null_equal=True)]
    return table.with_columns(table[one.name].clone().scatter(lines, one) for one in changed)


def _add_cells(
    columns: Mapping[str, Column], cells: Mapping[str, list[Any]], rows: Sequence[Row]
) -> None:
    parts = {part: [*map(part, rows)] for part in _PARTS}
    whole = {part for part, found in parts.items() if all(one is not None for one in found)}
    for name, column in columns.items():
        cell, found = column.cell, parts[column.part]
        cells[name] += (
            map(cell, found)
            if column.part in whole
            else [None if one is None else cell(one) for one in found]
        )


def _series(name: str, dtype: Type, cells: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(name, cells, dtype=dtype)
    except UnicodeEncodeError:
        return pl.Series(name, [_utf8(one) for one in cells], dtype=dtype)


def _utf8(cell: str | None) -> str | None:
    """Text that UTF-8 can hold: a lone surrogate (an undecodable path) as \\udcXX."""
    return cell and cell.encode("utf-8", "backslashreplace").decode()
