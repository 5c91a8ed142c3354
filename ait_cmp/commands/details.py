"""A closer look at the rows that matter most, for who looks at the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ait_cmp.commands.asking import Ask
from ait_cmp.engine.detail import Detail
from ait_cmp.engine.request import Look
from ait_cmp.measuring.store import NAME
from ait_cmp.measuring.stored_run import load
from ait_cmp.report import Report
from ait_cmp.values.errors import UsageError

__all__ = ["with_details", "with_kept_details"]

_LOOK = Look("detail", ())


def with_details(report: Report, most: int, ask: Ask) -> Report:
    """`report` with the details of the worst `most` of its rows that were compared and do not
    pass, which are read once more."""
    ranked = ((line, report.rows[line]) for line in report.ranked)  # each is made anew
    compared = ((line, row.pair) for line, row in ranked if row.comparison.measured.stats)
    worst = dict(islice(compared, most))
    if not worst:
        return report
    found = ask([*worst.values()], [_LOOK] * len(worst))
    details = {line: found[place].detail for place, line in enumerate(worst)}
    return replace(report, details={line: one for line, one in details.items() if one})


def with_kept_details(report: Report, most: int, folders: Mapping[str, Path]) -> Report:
    """`report`, with the details of its worst `most` rows that were kept in these folders, by the
    names of its jobs; of one that is not merged, by no name."""
    wanted: dict[str, dict[tuple[str, str], int]] = {}
    worst = list(report.ranked[:most])
    names = ("golden_data_path", "my_data_path", "job")
    told = report.table.select(name for name in names if name in report.table.columns)[worst]
    for line, (golden, my, *of) in zip(worst, told.iter_rows(), strict=True):
        wanted.setdefault("".join(of), {})[golden, my] = line
    details: dict[int, Detail] = {}
    for job, lines in wanted.items():
        for sides, detail in _kept(folders[job]).items():
            if sides in lines:
                details[lines[sides]] = detail
    return replace(report, details=details)


def _kept(folder: Path) -> dict[tuple[str, str], Detail]:
    """The details that a run kept, by the locations of both sides; none where it kept nothing."""
    try:
        run = load(folder / NAME)
    except UsageError:
        return {}
    return {
        (str(key[0]), str(key[1])): measured.detail
        for key, measured in run.looks(_LOOK.kind)
        if measured.detail
    }
