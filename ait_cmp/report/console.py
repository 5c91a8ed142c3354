"""The summary that a person sees in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ait_cmp.files.staging import named
from ait_cmp.judging import Status, named_counts
from ait_cmp.judging.choices import NEAR_TIE
from ait_cmp.judging.yardstick import BY_REFERENCE
from ait_cmp.report.answer import wrong_ranks
from ait_cmp.report.columns import judged_level
from ait_cmp.report.report import Report
from ait_cmp.values.growth import Growth
from ait_cmp.values.order import NO_ORDER
from ait_cmp.values.text import counted, printable
from ait_cmp.values.tokens import row_name

__all__ = ["plain", "show_row", "show_summary"]

# What a row's line shows beside its name, what goes first where there is no room last: cell ->
# heading.
_SHOWN = {
    "token_id": "token",
    "relative_euclidean_distance": "rel dist",
    "reason": "reason",
    "worst_index": "worst element",
    "max_absolute_error": "max abs err",
    "cosine_similarity": "cosine",
    "status": "status",
}
_ORDER = (
    *("job", "rank", "token_id", "data_id", "status", "reason"),
    *("cosine_similarity", "relative_euclidean_distance", "max_absolute_error", "worst_index"),
)
_ALWAYS = 2  # of these, unless the terminal is too narrow for a name of so many characters
_NAME_WIDTH = 24
_FRAME = 3  # characters between two columns
_FILE_WIDTH = 160
_GROUPS = 4  # of rows that have one side only, and of what could not be compared
_LAST, _LARGE = 5, 0.1  # rows at the end, and the part of golden that their error may be
_NAMED = 5  # further divergences, dumps and reasons that are named
# Characters of a sentence about one row, which the report has in full; of one that stands beside
# others of its kind.
_LONGEST, _ONE_OF_MANY = 200, 80
_FIRST = 480  # of that which matters most
# What is said of a row, before its numbers.
_SAID = ("first_divergence", "cmp_fail_reason", "diagnosis")
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
    console.print(f"{counted(len(report.table), 'row')}: {', '.join(counts)}")
    if report.by_statistics:
        console.print(
            f"[bold]{counted(report.by_statistics, 'row')} compared by recorded statistics only[/]:"
            " no tensors were dumped, and elements may differ where statistics agree"
        )
    _show_estimated(console, report)
    _show_yardsticks(console, report)
    dumps = [*filter(None, report.table["dump"].unique(maintain_order=True).to_list())]
    if len(dumps) > 1:
        console.print(f"{len(dumps)} dumps: {_few(dumps)}")
    _show_divergences(console, report)
    _show_grown(console, report)
    _show_few(console, report)
    _show_near_ties(console, report)
    if report.logits:
        console.print(plain(str(report.logits)))
    if report.worst and worst:
        _show_worst(console, report, worst)
    _show_errors(console, report)
    _show_skipped(console, report)
    _show_unpaired(console, report)
    for path in paths:
        console.print(f"report: {plain(named(str(path)))}")


def show_row(report: Report, number: int) -> None:
    """All that is known of a row: what is said of it, and every cell that is not empty."""
    line = report.line(number)
    console = Console(highlight=False, soft_wrap=True)
    status = line["status"]
    reason = f" {line['reason']}" if line["reason"] else ""
    console.print(
        f"row {number}: {_name(line, report)}: [{_STYLES[status]}]{status}{plain(reason)}[/]"
    )
    for name in _SAID:
        if line.get(name):
            console.print(f"  {plain(line[name])}")
    for name, value in line.items():
        if value is not None and name not in _SAID:
            console.print(f"  {name:28} {plain(str(value))}")


def _show_estimated(console: Console, report: Report) -> None:
    """How many rows pass of which fingerprints are all that was compared."""
    estimated = pl.col("fingerprint_buckets").is_not_null() & (pl.col("exact_match") != 1)
    passing = len(report.table.filter(estimated & (pl.col("status") == Status.PASS.value)))
    if passing:
        console.print(
            f"{counted(passing, 'row')} of those that pass compared by fingerprints, in which a "
            "fault of a single channel, line or element may hide"
        )


def _show_yardsticks(console: Console, report: Report) -> None:
    """How many rows a reference judged, and why it did not judge the others."""
    counts = Counter(filter(None, report.table["yardstick"].to_list()))
    if not counts:
        return
    judged = sum(count for by, count in counts.items() if by.startswith(BY_REFERENCE))
    said = [f"{count} by {by}" for by, count in counts.most_common() if by != BY_REFERENCE]
    console.print("; ".join((f"judged by the reference: {counted(judged, 'row')}", *said[:_NAMED])))


def _show_divergences(console: Console, report: Report) -> None:
    """Where it went wrong first, where again, and how many rows only follow."""
    if report.unordered:
        console.print(f"[bold]{NO_ORDER}[/]")
    if not report.divergences:
        return
    if report.places:
        _show_ranks(console, report)
        told = {place.line for place in report.places} | {one.first for one in report.ranks}
    else:
        first = report.divergences[0]
        told = {first}
        line = report.line(first)
        job = f"in job {plain(line['job'])} " if line.get("job") else ""
        console.print(f"[bold]it goes wrong {job}{_short(line['first_divergence'], _FIRST)}[/]")
        _show_worst_element(console, line)
    _show_weights(console, report)
    others = [line for line in report.divergences if line not in {*told, *report.weights}]
    if others:
        names = [_name(report.line(other), report) for other in others[:_NAMED]]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        console.print(f"  then in {', '.join(names)}{more}")
    if report.following:
        only = "row only follows" if report.following == 1 else "rows only follow"
        console.print(f"  {report.following} more failing {only}")


def _show_weights(console: Console, report: Report) -> None:
    """All weights that differ, where several do: none follows another."""
    if len(report.weights) > 1:
        names = [_name(report.line(line), report) for line in report.weights]
        console.print(f"  {len(names)} weights differ: {', '.join(names)}")


def _show_ranks(console: Console, report: Report) -> None:
    """Where each of several ranks goes wrong first, those together that do so in one tensor."""
    console.print(
        f"[bold]{wrong_ranks(report)}[/], each in its own order, since none is known across ranks:"
    )
    for place in report.places[:_NAMED]:
        line = report.line(place.line)
        job = f"in job {plain(line['job'])} " if line.get("job") else ""
        sentence = _short(line["first_divergence"], _FIRST)
        console.print(f"  [bold]{plain(place.named)} {job}{sentence}[/]")
        _show_worst_element(console, line)
    if len(report.places) > _NAMED:
        rest = sum(len(place.ranks) for place in report.places[_NAMED:])
        console.print(f"  and {counted(rest, 'more rank')}, in other places")


def _show_worst_element(console: Console, line: Mapping[str, Any]) -> None:
    if line["worst_golden"]:
        console.print(
            f"  worst element {plain(line['worst_index'])}: "
            f"golden {plain(line['worst_golden'])}, my {plain(line['worst_my'])}"
        )


def _show_grown(console: Console, report: Report) -> None:
    """Where no row jumped, and the error is large all the same: what growth alone cannot tell."""
    judged = _judged_by_growth(report)
    level = judged.filter(pl.col("status") == Status.PASS.value).tail(_LAST)["error_level"].max()
    if report.divergences or not isinstance(level, float) or level < _LARGE:
        return
    console.print(
        f"no row jumps, and yet the error reaches {level:.0%} of golden in the last rows: whether "
        "all of it is rounding, a reference run of my's type tells (reference_path=…)"
    )


def _show_few(console: Console, report: Report) -> None:
    """Where so little was dumped that a pass says less than it usually does."""
    few, growth = _judged_by_growth(report)["data_id"].n_unique(), Growth()
    if report.divergences or not 0 < few < growth.few:
        return
    console.print(
        f"{counted(few, 'data_id')} only: of fewer than {growth.few} little is learned of what "
        f"rounding does here, and up to {growth.sparse:g} times as much passes; dump more of the "
        "model, or name a reference run of my's type (reference_path=…)"
    )


def _judged_by_growth(report: Report) -> pl.DataFrame:
    """The rows whose own run alone says what rounding does to them."""
    by_reference = pl.col("yardstick").fill_null("").str.starts_with(BY_REFERENCE)
    told = report.table.select("data_id", "status", judged_level(), "expected_error", "yardstick")
    return told.filter(pl.col("expected_error").is_not_null() & ~by_reference)


def _show_near_ties(console: Console, report: Report) -> None:
    """A warning: what passes, and makes the rest another run."""
    if not report.near_ties:
        return
    line = report.line(report.near_ties[0])
    more = f" and {len(report.near_ties) - 1} more" if len(report.near_ties) > 1 else ""
    console.print(
        f"[{_STYLES[Status.ERROR]}]near tie[/]{more}: {_name(line, report)}: "
        f"{_short(line['cmp_fail_reason'].removeprefix(NEAR_TIE))}"
    )


def _show_errors(console: Console, report: Report) -> None:
    """What could not be compared, by why, and what is said of the first of each kind."""
    kinds: dict[str, list[int]] = {}
    for number, reason in zip(
        report.errors, report.table["reason"].gather(list(report.errors)), strict=True
    ):
        kinds.setdefault(reason, []).append(number)
    ranked = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    most = _LONGEST if len(ranked) == 1 else _ONE_OF_MANY
    for reason, numbers in ranked[:_GROUPS]:
        line = report.line(numbers[0])
        first = "first " if len(numbers) > 1 else ""
        console.print(
            f"[{_STYLES[Status.ERROR]}]not compared: {len(numbers)} {plain(reason)}[/]; "
            f"{first}{_name(line, report)}: {_short(line['cmp_fail_reason'], most)}"
        )
    if len(ranked) > _GROUPS:
        rest = sum(len(numbers) for _, numbers in ranked[_GROUPS:])
        console.print(f"not compared: {counted(rest, 'more row')}, for other reasons")


def _show_skipped(console: Console, report: Report) -> None:
    """How many rows were not judged for each reason, and what is said of the first."""
    if not report.skipped:
        return
    reasons = Counter(report.table["reason"][number] for number in report.skipped)
    named = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    line = report.line(report.skipped[0])
    console.print(
        f"skipped: {named}; first {_name(line, report)}: {_short(line['cmp_fail_reason'])}"
    )


def _show_unpaired(console: Console, report: Report) -> None:
    """What has one side only, by names."""
    for group in report.groups[:_GROUPS]:
        console.print(f"[{_STYLES[Status.ERROR]}]{plain(str(group))}[/]")
    if len(report.groups) > _GROUPS:
        rest = sum(group.count for group in report.groups[_GROUPS:])
        has = "row that has" if rest == 1 else "rows that have"
        console.print(f"and {rest} more {has} one side only")
    if len({group.there for group in report.groups}) > 1:
        console.print(
            "who belongs to whom: `python -m ait_cmp.pair` proposes it for names that differ; "
            "unpaired=ignore leaves out what has one side only"
        )


def _show_worst(console: Console, report: Report, worst: int) -> None:
    lines = [report.line(number) for number in report.worst[:worst]]
    passes = "row that does not pass" if len(report.worst) == 1 else "rows that do not pass"
    cells = {name: [_cell(name, line) for line in lines] for name in ("data_id", *_SHOWN)}
    if report.ranks:
        cells["rank"] = [_cell("rank", line) for line in lines]
    if "job" in report.table.columns:
        cells["job"] = [_cell("job", line) for line in lines]
    width, shown = _fitting(cells, console.width)
    table = Table(title=f"worst {len(lines)} of {len(report.worst)} {passes}")
    for name in shown:
        named = name in ("data_id", "job")
        table.add_column(
            _heading(name),
            overflow="fold",
            no_wrap=not named,
            width=width if name == "data_id" else None,
        )
    for number, line in enumerate(lines):
        styled = [(name, cells[name][number]) for name in shown]
        table.add_row(
            *(
                f"[{_STYLES[line['status']]}]{cell}[/]" if name == "status" else plain(cell)
                for name, cell in styled
            )
        )
    console.print(table)


def _fitting(cells: Mapping[str, Sequence[str]], width: int) -> tuple[int, list[str]]:
    """How wide names are, and the columns that there is room for; names are the last to go."""
    needs = {
        name: max(map(cell_len, (_heading(name), *column))) + _FRAME
        for name, column in cells.items()
    }
    longest, room = needs["data_id"], width - 1
    shown = {"data_id"}
    wanted = [*(name for name in ("rank", "job") if name in cells), *_SHOWN]
    for rank, name in enumerate(wanted):
        least = min(longest, _NAME_WIDTH + _FRAME) if rank < _ALWAYS else longest
        if needs[name] + least > room:
            break
        room -= needs[name]
        shown.add(name)
    return max(1, min(longest, room) - _FRAME), [name for name in _ORDER if name in shown]


def _heading(name: str) -> str:
    return _SHOWN.get(name, name)


def _cell(name: str, line: Mapping[str, Any]) -> str:
    """As it is shown, but for markup."""
    value = line[name]
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _name(line: Mapping[str, Any], report: Report) -> str:
    """What a person calls a row, and the job and the rank that it is of, where several have rows of
    one name."""
    name = plain(row_name(line["data_id"], line["token_id"]))
    apart = ", ".join(map(plain, report.apart(line)))
    return f"{name} ({apart})" if apart else name


def _few(names: Sequence[str]) -> str:
    """The first of them, and how many there are besides."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{plain(', '.join(names[:_NAMED]))}{more}"


def _short(sentence: str, most: int = _LONGEST) -> str:
    """A sentence about one row, cut where it would fill the screen."""
    return plain(sentence if len(sentence) <= most else f"{sentence[: most - 1]}…")


def plain(text: str) -> str:
    """Text of others: no command to the terminal, no markup."""
    return escape(printable(text))
