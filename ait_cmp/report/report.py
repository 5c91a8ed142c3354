"""The finished report: what every output reads, and none adds to.

What is worth saying first is decided here, once, so that the console, a page and a spreadsheet
cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ait_cmp.engine.detail import Detail
from ait_cmp.judging import Finding, Status
from ait_cmp.judging.comparison import Row
from ait_cmp.report.columns import COLUMNS, frame
from ait_cmp.report.facts import Facts
from ait_cmp.report.logits import LogitsSummary, summarize_logits
from ait_cmp.report.ranks import RankAnswer, RankPlace, ranks_of
from ait_cmp.report.unpaired import UnpairedGroup, group_unpaired
from ait_cmp.values.errors import Reason, ReportError, UsageError, os_reason
from ait_cmp.values.order import OrderBy

__all__ = ["Report", "make_report", "merge_reports", "read_report"]

_NEEDED = ("token_id", "data_id", "status", "order")  # without which a table is no report
# The columns that say what matters.
_DECIDING = (
    *_NEEDED,
    *("rank", "reason", "check", "first_divergence", "follows", "order_by"),
    *("relative_euclidean_distance", "golden_data_path", "my_data_path"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """One compare, or a sweep of them, judged.

    `table` has a line for each row, in order, with the columns of the report and, in a sweep, a
    `job` in front; lines are named by their number in it, from 0. `rows` is all that was measured
    of each line; a sweep has none.

    `counts` has every status. `divergences` are the lines where it went wrong, the first first; of
    several ranks, across which no order is known, one rank after the other: `ranks` has what became
    of each, and `places` where they go wrong first. `following` so many lines only follow from
    these; `unordered` is how many fail of which nothing says what was computed before them;
    `weights` are those that fail, which follow from nothing; `errors` have both sides and could
    not be compared, `skipped` were not judged, on purpose, and `near_ties` are choices that differ
    and pass, in the same order; `logits` sums up all positions; `by_statistics` is how many were
    compared by what their dumps recorded of them, without tensors; `ranked` are those that fail or
    could not be compared, what matters most first; the last of them, so many as `unpaired` says,
    have one side only, and `groups` sums these up. `details` has those of the worst rows, by line,
    where somebody asked for them.
    """

    table: pl.DataFrame
    rows: Sequence[Row]
    facts: Facts
    counts: Mapping[Status, int]
    divergences: tuple[int, ...]
    ranks: tuple[RankAnswer, ...]
    places: tuple[RankPlace, ...]
    following: int
    unordered: int
    weights: tuple[int, ...]
    errors: tuple[int, ...]
    skipped: tuple[int, ...]
    near_ties: tuple[int, ...]
    logits: LogitsSummary | None
    by_statistics: int
    ranked: tuple[int, ...]
    unpaired: int
    groups: tuple[UnpairedGroup, ...]
    details: Mapping[int, Detail] = field(default_factory=dict)

    @property
    def worst(self) -> tuple[int, ...]:
        """Those of `ranked` that have both sides."""
        return self.ranked[: len(self.ranked) - self.unpaired]

    @property
    def findings(self) -> tuple[tuple[Finding, ...], ...]:
        """Those of each line: of a table that was read the plainest alone, which is what it has."""
        if self.rows:
            return tuple(row.verdict.findings for row in self.rows)
        told = self.table.select("check", "check_value", "check_limit", "cmp_fail_reason")
        return tuple(() if line[0] is None else (Finding(*line),) for line in told.iter_rows())

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Those that some line has."""
        return tuple(status for status, count in self.counts.items() if count)

    def line(self, number: int) -> dict[str, Any]:
        """The cells of a line, by the names of their columns."""
        return self.table.row(number, named=True)

    def apart(self, line: Mapping[str, Any]) -> list[str]:
        """What tells a line from those of its name: its job, and its rank where several are."""
        rank = f"rank {line['rank']}" if self.ranks and line["rank"] else ""
        return [one for one in (line.get("job"), rank) if one]


def make_report(
    rows: Sequence[Row],
    facts: Facts,
    extra: Sequence[str] = (),
    *,
    table: pl.DataFrame | None = None,
) -> Report:
    """The report of one compare, with the columns of these metrics of the user's own; `table` is
    that of its rows, where it was made."""
    return _decide(frame(rows, extra) if table is None else table, rows, facts)


def merge_reports(jobs: Sequence[tuple[str, Path]], facts: Facts) -> Report:
    """The report of a sweep, of its jobs' names and parquet reports. Raises ReportError."""
    tables = [_job_table(name, path) for name, path in jobs]
    try:
        table = pl.concat(tables) if tables else frame([])
    except pl.exceptions.PolarsError as exc:
        raise ReportError(
            f"the reports of the jobs have different columns ({exc}); run all of them again"
        ) from exc
    return _decide(table, (), facts)


def read_report(path: Path) -> Report:
    """The report in a folder, or of a parquet file, as far as that has it. Raises UsageError."""
    file = path / "cmp_report.parquet" if path.is_dir() else path
    try:
        table = _parquet(file)
        missing = [name for name in COLUMNS if name not in table.columns]
        for name in missing:
            if name in _NEEDED:
                raise UsageError(f"{file} has no column {name}: it is no report; compare again")
        # An older version had fewer columns.
        table = table.with_columns(pl.lit(None, COLUMNS[one].dtype).alias(one) for one in missing)
        return _decide(table, (), Facts())
    except FileNotFoundError as exc:
        raise UsageError(
            f"there is no report {file}; name the folder of a finished compare whose "
            "report.formats have parquet"
        ) from exc
    except OSError as exc:
        raise UsageError(f"the report {file} cannot be read: {os_reason(exc)}") from exc
    except pl.exceptions.PolarsError as exc:
        raise UsageError(f"{file} is no report: {exc}") from exc


def _parquet(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        return pl.read_parquet(file)


def _job_table(name: str, path: Path) -> pl.DataFrame:
    try:
        table = _parquet(path)
    except (OSError, pl.exceptions.PolarsError) as exc:
        why = os_reason(exc) if isinstance(exc, OSError) else str(exc)
        raise ReportError(
            f"the report of the job {name} cannot be read from {path}: {why}; run it again"
        ) from exc
    return table.select(pl.lit(name, pl.String).alias("job"), pl.all())


_NO_GOLDEN, _NO_MY = pl.col("golden_data_path") == "", pl.col("my_data_path") == ""
_ALONE = (_NO_GOLDEN & ~_NO_MY & (pl.col("reason") == Reason.GOLDEN_MISSING)) | (
    _NO_MY & (pl.col("reason") == Reason.MY_MISSING)
)


def _decide(table: pl.DataFrame, rows: Sequence[Row], facts: Facts) -> Report:
    status, diverges = pl.col("status"), pl.col("first_divergence").is_not_null()
    follows = pl.col("follows").is_not_null()
    recorded = (pl.col("reason") == Reason.STATISTICS_ONLY) | (pl.col("check") == "statistics")
    found = table["status"]
    # Only what is asked here, and of these lines few, since sorting makes a copy of all.
    numbered = table.select(_DECIDING).with_row_index("line")
    ranked = numbered.filter(~status.is_in([Status.PASS, Status.SKIPPED])).sort(
        _ALONE,
        status == Status.ERROR,  # faults first
        follows,  # what is only a consequence comes last
        pl.col("relative_euclidean_distance").fill_null(float("inf")),
        descending=[False, False, False, True],
        maintain_order=True,
    )

    in_order = _sorter(numbered)
    diverging = in_order(diverges)
    ranks, places = ranks_of(numbered, diverging)
    if ranks:
        order = {one.rank: number for number, one in enumerate(ranks)}
        place = pl.col("rank").replace_strict(order, default=len(order))
        diverging = diverging.sort(place, maintain_order=True)
    unpaired = in_order(_ALONE).select("data_id", _NO_MY)
    return Report(
        table=table,
        rows=rows,
        facts=facts,
        counts={one: int((found == one.value).sum()) for one in Status},
        divergences=_lines(diverging),
        ranks=ranks,
        places=places,
        following=len(numbered.filter(follows & ~diverges)),
        unordered=len(
            numbered.filter((status == Status.FAIL) & (pl.col("order_by") == OrderBy.NAMES))
        ),
        weights=_lines(in_order((status == Status.FAIL) & (pl.col("order_by") == OrderBy.WEIGHTS))),
        errors=_lines(in_order((status == Status.ERROR) & ~_ALONE)),
        skipped=_lines(in_order(status == Status.SKIPPED)),
        near_ties=_lines(in_order(pl.col("reason") == Reason.NEAR_TIE)),
        logits=summarize_logits(table),
        by_statistics=len(numbered.filter(recorded)),
        ranked=_lines(ranked),
        unpaired=len(unpaired),
        groups=group_unpaired(unpaired.rows()),
    )


def _sorter(numbered: pl.DataFrame) -> Callable[[pl.Expr], pl.DataFrame]:
    """What gives those of the numbered lines that are asked for, in the order of the computation.

    Places count from the beginning of each run: of several runs a round tells more.
    """
    several = numbered["order"].n_unique() < len(numbered)
    token = pl.col("token_id") if several else pl.col("token_id").is_null()

    def in_order(which: pl.Expr) -> pl.DataFrame:
        found = numbered.filter(which)
        return found.sort(token, "order", nulls_last=True, maintain_order=True)

    return in_order


def _lines(table: pl.DataFrame) -> tuple[int, ...]:
    return tuple(table["line"].to_list())
