"""`cmp_report.csv` and `cmp_report.parquet`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ait_cmp.report.report import Report
from ait_cmp.values.text import for_spreadsheet

__all__ = ["write_csv", "write_parquet"]


def write_csv(report: Report, path: Path) -> None:
    """Numbers in full: the shortest text that reads back as the same float64.

    Text is made safe to look at: see `for_spreadsheet`.
    """
    safe = [_safe(column) for column in report.table if column.dtype == pl.String]
    report.table.with_columns(safe).write_csv(path)


def write_parquet(report: Report, path: Path) -> None:
    """The exact report, with true types."""
    report.table.write_parquet(path)


def _safe(column: pl.Series) -> pl.Series:
    cells = [None if cell is None else for_spreadsheet(cell) for cell in column]
    return pl.Series(column.name, cells, dtype=pl.String)
