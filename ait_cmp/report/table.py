"""`cmp_report.csv` and `cmp_report.parquet`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from ait_cmp.report.report import Report
from ait_cmp.values.text import for_spreadsheet

__all__ = ["made_safe", "safe_cells", "safe_table", "write_csv", "write_parquet"]

_AT_ONCE = 50_000  # lines, which are text and numbers of a million otherwise, twice over
# Any cell that `for_spreadsheet` might change matches: all but printable ASCII that starts plainly.
_SUSPECT = r"[^\x20-\x7e]|^ *[=+\-@]"


def write_csv(report: Report, path: Path) -> None:
    """Numbers in full: the shortest text that reads back as the same float64.

    Text is made safe to look at: see `for_spreadsheet`. The byte order mark, where it is asked for,
    tells Excel that it is UTF-8.
    """
    marked = report.facts.settings.get("report.csv.bom") == "true"
    table = report.table
    with path.open("wb") as file:  # polars itself opens no path that is not UTF-8
        for start in range(0, max(1, len(table)), _AT_ONCE):
            some = safe_table(table[start : start + _AT_ONCE])
            some.write_csv(file, include_bom=marked and not start, include_header=not start)


def write_parquet(report: Report, path: Path) -> None:
    """The exact report, with true types."""
    with path.open("wb") as file:
        report.table.write_parquet(file)


def safe_table(table: pl.DataFrame) -> pl.DataFrame:
    """`table`, its text safe to look at in a spreadsheet."""
    return table.with_columns(safe_cells(one) for one in table if one.dtype == pl.String)


def safe_cells(column: pl.Series) -> pl.Series:
    """A column of text, safe to look at in a spreadsheet."""
    return made_safe(column, _SUSPECT, for_spreadsheet)


def made_safe(column: pl.Series, suspect: str, safe: Callable[[str], str]) -> pl.Series:
    """A column of text, of which `safe` makes what it changes; Python looks only at the few cells
    that are not plain, since `suspect` is in them."""
    suspects = column.str.contains(suspect).fill_null(False).arg_true()
    if suspects.is_empty():
        return column
    return column.clone().scatter(suspects, [safe(column[number]) for number in suspects])
