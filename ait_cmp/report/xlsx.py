"""`cmp_report.xlsx`: the rows as a spreadsheet opens them, with filters, colours and formats.

Text goes into cells of text, which run nothing; what a spreadsheet would run, were it typed anew,
is marked as text besides. Numbers have the 16 digits that a cell holds; the parquet is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ait_cmp.judging import Status, named_counts
from ait_cmp.report.answer import answer
from ait_cmp.report.report import Report
from ait_cmp.values.text import counted, for_spreadsheet, printable

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

__all__ = ["write_xlsx"]

_ROWS = 20_000  # more take a minute to write, and to open
_UNKNOWN = datetime(2000, 1, 1, tzinfo=UTC)  # when a run was, of which nothing is known
_LONGEST = 32_767  # characters that a cell holds
_EXACT = 1 << 53  # above it a cell would round an integer
_SIZED = 200  # rows by which a column's width is chosen
_WIDTH = 60  # characters of a column at most
_ERROR, _COUNT = "[=0]0;0.000E+00", "0"
# A share that is almost all, or almost nothing, never reads as 1 or 0.
_SHARE = "[>0.99995]0.000000000000000;[<0.0001]0.000E+00;0.0000"
_SHARES = (
    *("cosine_similarity", "exact_match", "one_thousandth_ratio", "five_thousandths_ratio"),
    *("same_top1", "top5_overlap"),
)
_COLOURS = {
    Status.PASS: ("#C6EFCE", "#006100"),
    Status.FAIL: ("#FFC7CE", "#9C0006"),
    Status.ERROR: ("#FFEB9C", "#7F6000"),
    Status.SKIPPED: ("#DDEBF7", "#1F4E78"),
}


def write_xlsx(report: Report, path: Path) -> None:
    """Rows with a frozen header, a summary, and what was in force."""
    from xlsxwriter import Workbook  # here, since only who asks for it should wait for it

    made = BytesIO()  # so that no file of its own is left where the disk is full
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with Workbook(made, options) as book:
        book.set_properties({"created": report.facts.started or _UNKNOWN})
        sheet = book.add_worksheet("rows")
        told = _told(report)
        _write_rows(book, sheet, told)
        _write_pairs(book, book.add_worksheet("summary"), _summary(report, len(told)))
        known = {**report.facts.settings, **report.facts.versions, **report.facts.machine}
        _write_pairs(book, book.add_worksheet("settings"), [*known.items()])
    path.write_bytes(made.getbuffer())


def _told(report: Report) -> pl.DataFrame:
    """All rows, or of very many those that do not pass."""
    if len(report.table) <= _ROWS:
        return report.table
    bad = (report.table["status"] != Status.PASS.value).arg_true()
    return report.table[bad.head(_ROWS)]


def _summary(report: Report, told: int) -> list[tuple[str, Any]]:
    rows = len(report.table)
    left_out = [
        (
            "left out",
            f"{counted(rows - told, 'row')} of {rows}, those that pass first; "
            "cmp_report.csv and cmp_report.parquet have all",
        )
    ]
    return [
        ("answer", answer(report)),
        *((status.value, count) for status, count in named_counts(report.counts)),
        *(left_out if told < rows else []),
        *(
            _divergence(report, place, number)
            for place, number in enumerate(report.divergences[:20], start=1)
        ),
        *((f"{group.there} without {group.without}", str(group)) for group in report.groups[:20]),
    ]


def _divergence(report: Report, place: int, number: int) -> tuple[str, str]:
    line = report.line(number)
    rank = f", rank {line['rank']}" if report.ranks and line["rank"] else ""
    return f"divergence {place}{rank}", line["first_divergence"]


def _write_rows(book: Workbook, sheet: Worksheet, table: pl.DataFrame) -> None:
    heading = book.add_format({"bold": True, "bottom": 1})
    cells = _Cells(book)
    names = table.columns
    for place, name in enumerate(names):
        sheet.set_column(place, place, _width(name, table[name]))
        sheet.write_string(0, place, name, heading)
    styles = [cells.style(name, table[name].dtype) for name in names]
    for number, line in enumerate(table.iter_rows(), start=1):
        for place, value in enumerate(line):
            cells.write(sheet, number, place, value, styles[place])
    last = max(1, len(table))
    sheet.freeze_panes(1, names.index("data_id") + 1)
    sheet.autofilter(0, 0, last, len(names) - 1)
    _colour(book, sheet, names, last)


def _colour(book: Workbook, sheet: Worksheet, names: Sequence[str], last: int) -> None:
    """Status by status, and the errors by their size beside each other."""
    status = names.index("status")
    for one, (ground, ink) in _COLOURS.items():
        style = book.add_format({"bg_color": ground, "font_color": ink})
        rule = {"type": "cell", "criteria": "==", "value": f'"{one.value}"', "format": style}
        sheet.conditional_format(1, status, last, status, rule)
    scale = {"type": "2_color_scale", "min_color": "#FFFFFF", "max_color": "#F8696B"}
    for name in ("relative_euclidean_distance", "error_level"):
        place = names.index(name)
        sheet.conditional_format(1, place, last, place, scale)


def _width(name: str, column: pl.Series) -> float:
    sample = column.head(_SIZED).drop_nulls()
    longest = max(map(len, map(str, sample)), default=0) if column.dtype == pl.String else 11
    return float(min(_WIDTH, max(longest, len(name)) + 3))


def _write_pairs(book: Workbook, sheet: Worksheet, pairs: Sequence[tuple[str, Any]]) -> None:
    cells = _Cells(book)
    sheet.set_column(0, 0, 28)
    sheet.set_column(1, 1, 100)
    for number, (name, value) in enumerate(pairs):
        cells.write(sheet, number, 0, name, cells.plain)
        cells.write(sheet, number, 1, value, cells.plain)


class _Cells:
    """Values as cells: text as text, numbers as numbers where a cell holds them."""

    def __init__(self, book: Workbook) -> None:
        self.plain: Format = book.add_format()
        self._quoted: Format = book.add_format({"quote_prefix": True})
        self._made: dict[str, Format] = {}
        self._add: Callable[[dict[str, Any]], Format] = book.add_format

    def style(self, name: str, dtype: pl.DataType) -> Format:
        """That of a column."""
        if not dtype.is_numeric():
            return self.plain
        shown = (_SHARE if name in _SHARES else _ERROR) if dtype.is_float() else _COUNT
        if shown not in self._made:
            self._made[shown] = self._add({"num_format": shown})
        return self._made[shown]

    def write(self, sheet: Worksheet, row: int, column: int, value: Any, style: Format) -> None:
        """`value`, or nothing where it is None."""
        if value is None:
            return
        if _fits(value):
            sheet.write_number(row, column, value, style)
            return
        text = printable(str(value))[:_LONGEST]
        runs = for_spreadsheet(text) != text
        sheet.write_string(row, column, text, self._quoted if runs else self.plain)


def _fits(value: Any) -> bool:
    """Whether a cell holds `value` as a number."""
    if isinstance(value, int):
        return abs(value) <= _EXACT
    return isinstance(value, float) and math.isfinite(value)
