"""The answer of a report in a sentence, and in a word."""

from __future__ import annotations

from collections.abc import Iterator

from ait_cmp.judging import Status
from ait_cmp.report.report import Report
from ait_cmp.values.text import counted

__all__ = ["answer", "verdict", "wrong_ranks"]

_PLACES = 3  # in which ranks go wrong first


def verdict(report: Report) -> str:
    """`pass`, `fail`, `error`, or `nothing` where no row was compared."""
    counts = report.counts
    if counts[Status.FAIL]:
        return Status.FAIL.value
    if counts[Status.ERROR]:
        return Status.ERROR.value
    return Status.PASS.value if counts[Status.PASS] else "nothing"


def answer(report: Report) -> str:
    """What became of the rows, and where it went wrong first."""
    return "; ".join(_said(report))


def wrong_ranks(report: Report) -> str:
    """How many of several ranks go wrong."""
    wrong = sum(len(place.ranks) for place in report.places)
    return f"it goes wrong in {wrong} of {len(report.ranks)} ranks"


def _in_ranks(report: Report) -> str:
    """Which of several ranks go wrong, and where, each in its own order."""
    said = [
        f"{place.named} {report.line(place.line)['first_divergence']}"
        for place in report.places[:_PLACES]
    ]
    more = len(report.places) - _PLACES
    rest = [f"{counted(more, 'more place')}"] if more > 0 else []
    where = "; ".join((*said, *rest))
    return f"{wrong_ranks(report)}, each in its own order: {where}"


def _said(report: Report) -> Iterator[str]:
    counts, rows = report.counts, len(report.table)
    if verdict(report) == "nothing":
        yield f"nothing was compared: {counted(rows, 'row')}, none of which was judged"
    elif not counts[Status.FAIL] and not counts[Status.ERROR]:
        yield f"all {counts[Status.PASS]} rows pass" if rows > 1 else "the row passes"
    if counts[Status.FAIL]:
        fail = "fails" if counts[Status.FAIL] == 1 else "fail"
        yield f"{counts[Status.FAIL]} of {counted(rows, 'row')} {fail}"
    if counts[Status.ERROR]:
        yield f"{counted(counts[Status.ERROR], 'row')} could not be compared"
    if counts[Status.SKIPPED] and counts[Status.SKIPPED] < rows:
        yield f"{counted(counts[Status.SKIPPED], 'row')} skipped"
    if report.places:
        yield _in_ranks(report)
    elif report.divergences:
        line = report.line(report.divergences[0])
        job = f"in job {line['job']} " if line.get("job") else ""
        yield f"it goes wrong {job}{line['first_divergence']}"
