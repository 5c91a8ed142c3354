"""`ait-cmp diff`: two finished runs in; which rows broke, were mended, came, went or moved."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ait_cmp.commands.ci import tell_ci
from ait_cmp.commands.say import complain, may_go_unread
from ait_cmp.commands.status import ExitStatus, status_of
from ait_cmp.files.staging import near_output, staged
from ait_cmp.measuring.run_record import RECORD, read_header, unpacking
from ait_cmp.report import read_report
from ait_cmp.report.difference import compare_reports, difference_markdown
from ait_cmp.report.show_difference import show_difference
from ait_cmp.settings.words import folder_in, make_words_parser, rows_in, words_of
from ait_cmp.values.errors import AitCmpError, UsageError

__all__ = ["diff", "make_parser"]

_KEYS = {
    "base": "the folder of the report that is known, or its cmp_report.parquet",
    "new": "that of the run that is asked about",
    "output": "where cmp_diff.csv, .md and .html go (default: this folder)",
    "worst": "so many rows of each change are shown (default: 10)",
    "fail_on": "any, or never: exit with 0 whatever changed",
}


def make_parser() -> argparse.ArgumentParser:
    """Of its help: the arguments are read by `words_of`."""
    summary = (
        "Compare two finished runs by the names, tokens and ranks of their rows; exit with 1 on "
        "a regression."
    )
    return make_words_parser("diff", summary, _KEYS)


def diff(arguments: argparse.Namespace) -> int:
    """Say what changed, and write it down; the status is 1 on a regression."""
    try:
        return _diff(words_of(arguments.words, _KEYS))
    except AitCmpError as exc:
        complain(str(exc))
        return status_of(exc)


def _diff(given: dict[str, str]) -> ExitStatus:
    folders = [folder_in(given, key) for key in ("base", "new")]
    worst, fail_on = rows_in(given, "worst", 10), given.get("fail_on", "any")
    if fail_on not in ("any", "never"):
        raise UsageError(f"fail_on: there is no {fail_on!r}; choose from any, never")
    base, new = map(read_report, folders)
    found = compare_reports(base.table, new.table, tolerances=[*map(_tolerances_of, folders)])
    output = near_output(given.get("output", "."))
    with staged(output, stats=False):
        paths = found.write(output, given)
    with may_go_unread("the difference"):
        show_difference(found, paths, worst)
    tell_ci(lambda: difference_markdown(found))
    if fail_on == "never":
        return ExitStatus.PASS
    if not len(new.table) or not len(base.table):
        return ExitStatus.INCOMPLETE
    return ExitStatus.FAIL if found.regressed else ExitStatus.PASS


def _tolerances_of(report: Path) -> list[Mapping[str, Any]]:
    """By what a report, of one run or of a sweep, was judged, in plain values; none where nothing
    is kept of it."""
    folder = report if report.is_dir() else report.parent
    found = list[Mapping[str, Any]]()
    for record in (folder / RECORD, *sorted(folder.glob(f"jobs/*/{RECORD}"))):
        with suppress(UsageError), unpacking(record.parent):
            found.append(dict(read_header(record.parent)["tolerance"]))
    return found
