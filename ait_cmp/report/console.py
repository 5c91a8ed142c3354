"""The summary that a person sees in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ait_cmp.judging import Status, named_counts
from ait_cmp.judging.choices import NEAR_TIE
from ait_cmp.judging.yardstick import BY_REFERENCE
from ait_cmp.report.report import Report
from ait_cmp.values.order import NO_ORDER
from ait_cmp.values.text import printable
from ait_cmp.values.tokens import row_name

__all__ = ["show_summary"]

_SHOWN = {
    "cosine_similarity": "cosine",
    "relative_euclidean_distance": "rel dist",
    "max_absolute_error": "max abs err",
}
_FILE_WIDTH = 160
_NARROW = 110  # a terminal with less shows one metric, so that names have room
_NAME_WIDTH = 16  # of a name at least
_GROUPS = 10  # of rows that have one side only
_LAST, _LARGE = 5, 0.1  # rows at the end, and the part of golden that their error may be
_NAMED = 5  # further divergences that are named
_STYLES = {
    Status.PASS: "green",
    Status.FAIL: "red",
    Status.ERROR: "yellow",
    Status.SKIPPED: "cyan",
}


def show_summary(report: Report, paths: Sequence[Path], worst: int) -> None:
    """Counts, where it went wrong first, the `worst` rows, where the report is."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    counts = [f"[{_STYLES[one]}]{count} {one}[/]" for one, count in named_counts(report.counts)]
    console.print(f"{len(report.table)} rows: {', '.join(counts)}")
    if report.by_statistics:
        console.print(
            f"[bold]{report.by_statistics} rows compared by recorded statistics only[/]: no "
            "tensors were dumped, and elements may differ where statistics agree"
        )
    _show_yardsticks(console, report)
    dumps = [*filter(None, report.table["dump"].unique(maintain_order=True).to_list())]
    if len(dumps) > 1:
        console.print(f"{len(dumps)} dumps: {_plain(', '.join(dumps))}")
    _show_divergences(console, report)
    _show_grown(console, report)
    _show_near_ties(console, report)
    if report.logits:
        console.print(_plain(str(report.logits)))
    _show_first_error(console, report)
    _show_skipped(console, report)
    if len(report.ranked) > report.unpaired and worst:
        _show_worst(console, report, worst)
    _show_unpaired(console, report)
    for path in paths:
        console.print(f"report: {_plain(str(path))}")


def _show_yardsticks(console: Console, report: Report) -> None:
    """How many rows a reference judged, and why it did not judge the others."""
    counts = Counter(filter(None, report.table["yardstick"].to_list()))
    if not counts:
        return
    judged = sum(count for by, count in counts.items() if by.startswith(BY_REFERENCE))
    said = [f"{count} by {by}" for by, count in counts.most_common() if by != BY_REFERENCE]
    console.print("; ".join((f"judged by the reference: {judged} rows", *said)))


def _show_divergences(console: Console, report: Report) -> None:
    """Where it went wrong first, where again, and how many rows only follow."""
    if report.unordered:
        console.print(f"[bold]{NO_ORDER}[/]")
    if not report.divergences:
        return
    first, *others = report.divergences
    line = report.line(first)
    job = f"in job {_plain(line['job'])} " if line.get("job") else ""
    console.print(f"[bold]it goes wrong {job}{_plain(line['first_divergence'])}[/]")
    if line["worst_index"]:
        console.print(
            f"  worst element {_plain(line['worst_index'])}: "
            f"golden {_plain(line['worst_golden'])}, my {_plain(line['worst_my'])}"
        )
    if others:
        names = [_name(report.line(other)) for other in others[:_NAMED]]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        console.print(f"  then in {', '.join(names)}{more}")
    if report.following:
        console.print(f"  {report.following} more failing rows only follow")


def _show_grown(console: Console, report: Report) -> None:
    """Where no row jumped, and the error is large all the same: what growth alone cannot tell."""
    table = report.table
    judged = table["expected_error"].is_not_null() & (table["status"] == Status.PASS.value)
    grown = table.filter(judged & (table["yardstick"].fill_null("") != BY_REFERENCE)).tail(_LAST)
    level = grown["error_level"].max()
    if report.divergences or not isinstance(level, float) or level < _LARGE:
        return
    console.print(
        f"no row jumps, and yet the error reaches {level:.0%} of golden in the last rows: whether "
        "all of it is rounding, a reference run of my's type tells (reference_path=…)"
    )


def _show_near_ties(console: Console, report: Report) -> None:
    """A warning: what passes, and makes the rest another run."""
    if not report.near_ties:
        return
    line = report.line(report.near_ties[0])
    more = f" and {len(report.near_ties) - 1} more" if len(report.near_ties) > 1 else ""
    console.print(
        f"[{_STYLES[Status.ERROR]}]near tie[/]{more}: {_name(line)}: "
        f"{_plain(line['cmp_fail_reason'].removeprefix(NEAR_TIE))}"
    )


def _show_first_error(console: Console, report: Report) -> None:
    if report.errors:
        line = report.line(report.errors[0])
        console.print(f"first not compared: {_name(line)}: {_plain(line['cmp_fail_reason'])}")


def _show_skipped(console: Console, report: Report) -> None:
    """How many rows were not judged for each reason, and what is said of the first."""
    if not report.skipped:
        return
    reasons = Counter(report.table["reason"][number] for number in report.skipped)
    named = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    line = report.line(report.skipped[0])
    console.print(f"skipped: {named}; first {_name(line)}: {_plain(line['cmp_fail_reason'])}")


def _show_unpaired(console: Console, report: Report) -> None:
    """What has one side only, by names."""
    for group in report.groups[:_GROUPS]:
        console.print(f"[{_STYLES[Status.ERROR]}]{_plain(str(group))}[/]")
    if len(report.groups) > _GROUPS:
        rest = sum(group.count for group in report.groups[_GROUPS:])
        console.print(f"and {rest} more rows that have one side only")
    if len({group.there for group in report.groups}) > 1:
        console.print(
            "who belongs to whom: `python -m ait_cmp.pair` proposes it for names that differ; "
            "unpaired=ignore leaves out what has one side only"
        )


def _show_worst(console: Console, report: Report, worst: int) -> None:
    ranked = report.ranked[: len(report.ranked) - report.unpaired]
    lines = [report.line(number) for number in ranked[:worst]]
    table = Table(title=f"worst {len(lines)} of {len(ranked)} rows that do not pass")
    jobs = ["job"] if "job" in report.table.columns else []
    shown = dict(_SHOWN)
    if console.width < _NARROW:
        shown = {name: _SHOWN[name] for name in ("relative_euclidean_distance",)}
    for heading in (
        *jobs,
        "token",
        "data_id",
        "status",
        "reason",
        *shown.values(),
        "worst element",
    ):
        named = heading in ("data_id", "job")
        table.add_column(
            heading, overflow="fold", no_wrap=not named, min_width=_NAME_WIDTH if named else None
        )
    for line in lines:
        table.add_row(
            *(_plain(line[job]) for job in jobs),
            "" if line["token_id"] is None else str(line["token_id"]),
            _plain(line["data_id"]),
            f"[{_STYLES[line['status']]}]{line['status']}[/]",
            line["reason"],
            *("" if line[name] is None else f"{line[name]:.6g}" for name in shown),
            _plain(line["worst_index"] or ""),
        )
    console.print(table)


def _name(line: Mapping[str, Any]) -> str:
    """What a person calls a row, and the job that it is of: several have rows of one name."""
    name = _plain(row_name(line["data_id"], line["token_id"]))
    return f"{name} ({_plain(line['job'])})" if line.get("job") else name


def _plain(text: str) -> str:
    """Text of others: no command to the terminal, no markup."""
    return escape(printable(text))
