"""One module an output, behind one function (report, path), which decides nothing.

To add a report: one module with a writer, one row in `REPORTS`, its name in the `formats` of a
file in `conf/report/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from ait_cmp.files.output import in_places_of
from ait_cmp.judging import Status
from ait_cmp.report.as_json import write_json
from ait_cmp.report.columns import frame as table_of
from ait_cmp.report.columns import with_rows
from ait_cmp.report.facts import Facts, facts_since
from ait_cmp.report.html import write_html
from ait_cmp.report.junit import write_junit
from ait_cmp.report.markdown import write_markdown
from ait_cmp.report.report import Report, make_report, merge_reports, read_report
from ait_cmp.report.table import write_csv, write_parquet
from ait_cmp.report.xlsx import write_xlsx
from ait_cmp.values.errors import ReportError, os_reason

__all__ = [
    "REPORTS",
    "STEM",
    "Facts",
    "Report",
    "Table",
    "facts_since",
    "file_name",
    "formats_for",
    "make_report",
    "merge_reports",
    "read_report",
    "table_of",
    "with_rows",
    "write_report",
]

STEM = "cmp_report"
Table = pl.DataFrame

# Format -> writer.
REPORTS: dict[str, Callable[[Report, Path], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_json,
    "junit": write_junit,
    "md": write_markdown,
    "xlsx": write_xlsx,
    "html": write_html,
}
_ALWAYS = ("csv", "parquet")  # where nothing is said
_SUFFIXES = {"junit": "junit.xml"}  # where it is not the format


def file_name(name: str) -> str:
    """What a report of this format is called in its folder."""
    return f"{STEM}.{_SUFFIXES.get(name, name)}"


def formats_for(counts: Mapping[Status, int], formats: Sequence[str] | None) -> tuple[str, ...]:
    """What is written of a report with so many rows of each status: `formats`; where nothing is
    said, also the page where rows fail."""
    if formats is not None:
        return tuple(formats)
    return (*_ALWAYS, "html") if counts.get(Status.FAIL) else _ALWAYS


def write_report(report: Report, folder: Path, formats: Sequence[str] | None) -> list[Path]:
    """Write `report` to `folder` in every format (see `formats_for`); the paths written.

    All are written beside their places first and renamed together, so that an old report stays
    whole until the new one is; then it goes, in other formats as well. No formats, no change.
    Raises ReportError.
    """
    formats = formats_for(report.counts, formats)
    paths = [folder / file_name(name) for name in formats]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with in_places_of(paths) as temporaries:
            for name, temporary in zip(formats, temporaries, strict=True):
                REPORTS[name](report, temporary)
        for name in REPORTS.keys() - set(formats) if formats else ():
            (folder / file_name(name)).unlink(missing_ok=True)
    except OSError as exc:
        raise ReportError(
            f"the report cannot be written to {folder}: {os_reason(exc)}; "
            "free the place or choose another with output=…"
        ) from exc
    except pl.exceptions.PolarsError as exc:
        raise ReportError(f"the report cannot be written to {folder}: {exc}") from exc
    return paths
