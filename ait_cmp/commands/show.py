"""`ait-cmp show`: a finished run in; its summary again, or all that is known of a row."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ait_cmp.commands.say import complain, reader_may_leave
from ait_cmp.commands.status import ExitStatus, status_of
from ait_cmp.files.output import no_room, write_whole
from ait_cmp.report import REPORTS, Report, file_name, read_report
from ait_cmp.report.console import show_row, show_summary
from ait_cmp.report.html import page_of
from ait_cmp.settings.words import folder_in, make_words_parser, rows_in, words_of
from ait_cmp.values.errors import AitCmpError, UsageError
from ait_cmp.values.tokens import row_name

__all__ = ["make_parser", "show"]

_KEYS = {
    "report": "the folder of a finished compare, or its cmp_report.parquet",
    "worst": "so many of the worst rows are shown (default: 10)",
    "page": "a file: the page is drawn there again, with the details that were kept",
}
_ROW = "ROW: its number, from 0, or its name: 'token 3 layer2.q', layer2.q"
_NAMED = 5  # of several rows that are meant


def make_parser() -> argparse.ArgumentParser:
    """Of its help: the arguments are read by `words_of`."""
    summary = "Show the summary of a finished compare again, or all that is known of one row."
    return make_words_parser("show", summary, {**_KEYS, "[row]": _ROW})


def show(arguments: argparse.Namespace) -> int:
    """Show it; 0 whatever the rows say."""
    try:
        given = words_of(arguments.words, _KEYS, bare="row")
        folder, worst = folder_in(given, "report"), rows_in(given, "worst", 10)
        report = read_report(folder)
        number = _number(report, given["row"]) if "row" in given else None
        with reader_may_leave():
            if number is None:
                drawn = [_draw(report, folder, Path(page))] if (page := given.get("page")) else []
                show_summary(report, [*_written(folder), *drawn], worst)
            else:
                show_row(report, number)
        return ExitStatus.PASS
    except AitCmpError as exc:
        complain(str(exc))
        return status_of(exc)


def _draw(report: Report, folder: Path, place: Path) -> Path:
    """The page of `report` at `place`, as the run in `folder` would have it. Raises ReportError."""
    from ait_cmp.commands.details import with_kept_details
    from ait_cmp.commands.kept import kept

    run = folder if folder.is_dir() else folder.parent
    jobs = report.table["job"].unique() if "job" in report.table.columns else [""]
    folders = {job: run / "jobs" / Path(job).name if job else run for job in jobs}
    with suppress(UsageError):  # a run that kept nothing, or a sweep, has no settings to show
        report = replace(report, facts=kept(run).facts)
    report = with_kept_details(report, len(report.ranked), folders)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, page_of(report, place.parent))
    except OSError as exc:
        raise no_room(place, exc, "page") from exc
    return place


def _written(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for name in REPORTS if (path := folder / file_name(name)).exists())


def _number(report: Report, row: str) -> int:
    """The row that is meant. Raises UsageError where it is not there, or may be several."""
    if row.isdecimal() and int(row) < len(report.table):
        return int(row)
    names = report.table.select("data_id", "token_id").rows()
    found = [
        number
        for number, (data_id, token) in enumerate(names)
        if row in (data_id, row_name(data_id, token))
    ]
    if not found:
        raise UsageError(f"there is no row {row!r} among {len(names)}; give its number or its name")
    if len(found) > 1:
        some = ", ".join(f"{number} ({row_name(*names[number])})" for number in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise UsageError(f"{row!r} may be row {some}{more}; give its number")
    return found[0]
