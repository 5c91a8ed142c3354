"""What `ait_cmp.compare_dumps` returns: a run that can be looked at, kept, and asked again."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ait_cmp.commands.judged_rows import Judged
from ait_cmp.commands.kept import Run, keep, kept, write_stats
from ait_cmp.judging import Status, named_counts
from ait_cmp.judging.comparison import Row
from ait_cmp.values.errors import UsageError
from ait_cmp.values.order import NO_ORDER, OrderBy
from ait_cmp.values.text import counted, printable

if TYPE_CHECKING:
    from ait_cmp.report import Report, Table
    from ait_cmp.report.difference import Difference

__all__ = ["RunComparison", "load"]

_SHOWN = 10  # rows that do not pass, in a notebook


@dataclass(frozen=True, slots=True, repr=False)
class RunComparison:
    """The rows of one compare, in the order of the report, and what they came from.

    True where rows pass, and none fails or could not be compared.
    """

    rows: Sequence[Row]
    run: Run

    @classmethod
    def of(cls, run: Run) -> RunComparison:
        """The rows of `run`."""
        return cls(run.rows, run)

    @property
    def passed(self) -> bool:
        """Whether rows pass, and none fails or could not be compared; skipped ones do neither."""
        found = {verdict.status for _, verdict in self.run.rows.judged()}
        return Status.PASS in found and found <= {Status.PASS, Status.SKIPPED}

    def __bool__(self) -> bool:
        """As `passed`."""
        return self.passed

    @property
    def divergences(self) -> list[Row]:
        """Where it went wrong: of each run and each token the first row, and every later row
        whose error is not explained by those; `row.verdict.divergence` says it in a sentence."""
        judged = enumerate(self.run.rows.judged())
        several = any(pair.run for pair in self.run.settled.pairs)
        return sorted(
            (self.rows[number] for number, (_, verdict) in judged if verdict.divergence),
            key=lambda row: (
                row.pair.token_id is None,
                several and row.pair.token_id,
                row.pair.order,
            ),
        )

    @property
    def first_divergence(self) -> Row | None:
        """The earliest of `divergences`."""
        return next(iter(self.divergences), None)

    def report(self) -> Report:
        """What every output reads."""
        from ait_cmp.report import make_report

        run = self.run
        return make_report(self.rows, run.facts, run.metrics.extra, table=run.table)

    def to_polars(self) -> Table:
        """The rows as a table, with the columns of the report and true types."""
        return self.report().table

    def html(self) -> str:
        """The page of the run, as `cmp_report.html` has it but for the closer looks, which are made
        by the command alone."""
        from ait_cmp.report.html import page_of

        return page_of(self.report(), Path())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the report, and what `load`, `judge` and `diff` read, into `folder`.

        Raises ReportError, and UsageError where no folder is named.
        """
        from ait_cmp.report import write_report

        path = _folder(folder)
        write_report(self.report(), path, ("csv", "parquet"))
        write_stats(self.run, path)
        keep(self.run, path)

    def diff(self, other: RunComparison) -> Difference:
        """What is not in `other`, the newer run, as it is here: rows that broke, were mended, came,
        went, or whose error moved beyond noise."""
        from ait_cmp.report.difference import compare_reports
        from ait_cmp.settings.tolerances import plain_tolerance

        if not isinstance(other, RunComparison):
            kind = type(other).__name__
            raise TypeError(f"diff takes another run, as ait_cmp.load(FOLDER) gives it, not {kind}")
        tolerances = [[plain_tolerance(one.run.tolerance)] for one in (self, other)]
        return compare_reports(self.to_polars(), other.to_polars(), tolerances=tolerances)

    def __repr__(self) -> str:
        return "\n  ".join(self._said())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        first, *others = self._said()
        said = "".join(f"<li>{html.escape(one)}</li>" for one in others)
        bad = [row for row in self.run.rows.judged() if _is_bad(row)]
        bad.sort(key=lambda row: row.verdict.status is Status.ERROR)
        lines = "".join(map(_line, bad[:_SHOWN]))
        heading = (
            "<tr><th>token</th><th>data_id</th><th>status</th><th>reason</th><th>why</th></tr>"
        )
        rest = f"<p>and {len(bad) - _SHOWN} more</p>" if len(bad) > _SHOWN else ""
        table = f"<table>{heading}{lines}</table>{rest}" if bad else ""
        return f"<p><b>{html.escape(first)}</b></p><ul>{said}</ul>{table}"

    def _said(self) -> Iterator[str]:
        counts = Counter(verdict.status for _, verdict in self.run.rows.judged())
        named = ", ".join(f"{count} {one}" for one, count in named_counts(counts))
        yield f"{counted(len(self.rows), 'row')}: {named}"
        first = self.first_divergence
        if first:
            yield f"it goes wrong {printable(first.verdict.divergence)}"
        failing = [
            pair for pair, verdict in self.run.rows.judged() if verdict.status is Status.FAIL
        ]
        weights = [pair.data_id for pair in failing if pair.order_by is OrderBy.WEIGHTS]
        if len(weights) > 1:
            yield f"{len(weights)} weights differ: {printable(', '.join(weights))}"
        if any(pair.order_by is OrderBy.NAMES for pair in failing):
            yield NO_ORDER


def _is_bad(row: Judged) -> bool:
    return row.verdict.status in (Status.FAIL, Status.ERROR)


def _line(row: Judged) -> str:
    verdict, pair = row.verdict, row.pair
    token = "" if pair.token_id is None else str(pair.token_id)
    cells = (token, pair.data_id, verdict.status, verdict.reason or "", verdict.sentence)
    return f"<tr>{''.join(f'<td>{html.escape(printable(cell))}</td>' for cell in cells)}</tr>"


def load(folder: str | os.PathLike[str]) -> RunComparison:
    """The run that a compare or `save` left in `folder`, judged as it was; no tensor is read.

    Raises UsageError where there is none.
    """
    return RunComparison.of(kept(_folder(folder)))


def _folder(given: str | os.PathLike[str]) -> Path:
    """Raises TypeError for what names none, UsageError for an empty name."""
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(path, str):
        raise TypeError(f"a folder is named as text or a pathlib.Path, not {type(given).__name__}")
    if not path:
        raise UsageError("the folder's name is empty; name one, or '.' for this one")
    return Path(path)
