"""`cmp_report.md`: the answer on a page, as code forges show it below a build."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ait_cmp.judging import named_counts
from ait_cmp.report.answer import answer, verdict
from ait_cmp.report.report import Report
from ait_cmp.values.text import printable
from ait_cmp.values.tokens import row_name

__all__ = ["as_code", "as_markdown", "as_text", "table_lines", "write_markdown"]

_MARKS = {"pass": "✅", "fail": "❌", "error": "⚠️", "nothing": "⚠️"}
_ROWS = 20  # of each list; the report has all
_LONGEST = 500  # characters of a sentence
# What Markdown, and a forge that links names, numbers and addresses, would make more of than text.
_SPECIAL = re.compile(r"[\\`*\[\]#|~@$]|:(?=\S)|(?<=www)\.|(?<![^\W_])_|_(?![^\W_])", re.IGNORECASE)
_SHOWN = {
    "reason": "reason",
    "relative_euclidean_distance": "rel dist",
    "cosine_similarity": "cosine",
    "max_absolute_error": "max abs err",
    "worst_index": "worst element",
}


def write_markdown(report: Report, path: Path) -> None:
    """The same as `as_markdown`."""
    path.write_text(as_markdown(report), encoding="utf-8")


def as_markdown(report: Report) -> str:
    """The answer, counts, divergences, the worst rows, what was not compared, the settings."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_MARKS[verdict(report)]} ait_cmp: {as_text(answer(report))}"
    yield ""
    counts = [*named_counts(report.counts)]
    yield from table_lines([one.value for one, _ in counts], [[str(n) for _, n in counts]])
    if report.divergences:
        yield from ("", "### Where it goes wrong", "")
        for number in report.divergences[:_ROWS]:
            line = report.line(number)
            yield f"1. {_name(line, report)}: {as_text(line['first_divergence'])}"
            if line.get("diagnosis"):
                yield f"   {as_text(line['diagnosis'])}"
        yield from _rest(len(report.divergences))
    if report.worst:
        yield from ("", "### The worst rows", "")
        yield from _worst(report, report.worst[:_ROWS])
        yield from _rest(len(report.worst))
    yield from _unjudged(report)
    if report.facts.settings:
        yield from ("", "<details><summary>Settings and versions</summary>", "")
        known = {**report.facts.settings, **report.facts.versions}
        yield from table_lines(("name", "value"), [[*map(as_code, one)] for one in known.items()])
        yield from ("", "</details>")


def _worst(report: Report, numbers: Sequence[int]) -> Iterator[str]:
    lines = [report.line(number) for number in numbers]
    rows = [
        [_name(line, report), line["status"], *(_cell(line[name]) for name in _SHOWN)]
        for line in lines
    ]
    yield from table_lines(("row", "status", *_SHOWN.values()), rows)


def _unjudged(report: Report) -> Iterator[str]:
    """What could not be compared, was not judged, or has one side only."""
    found = {"Not compared": report.errors, "Skipped": report.skipped}
    for title, numbers in found.items():
        if numbers:
            yield from ("", f"### {title}", "")
            reasons = Counter(report.table["reason"].gather(list(numbers)))
            yield ", ".join(f"{count} {as_code(reason)}" for reason, count in reasons.most_common())
            line = report.line(numbers[0])
            yield f"first {_name(line, report)}: {as_text(line['cmp_fail_reason'])}"
    if report.groups:
        yield from ("", "### On one side only", "")
        for group in report.groups[:_ROWS]:
            glob = as_code(group.glob)
            yield f"- {group.count} {group.there} without {group.without}: {glob}"
        yield from _rest(len(report.groups))


def _rest(count: int) -> Iterator[str]:
    if count > _ROWS:
        yield from ("", f"and {count - _ROWS} more")


def _name(line: Mapping[str, Any], report: Report) -> str:
    name = as_code(row_name(line["data_id"], line["token_id"]))
    apart = ", ".join(map(as_code, report.apart(line)))
    return f"{name} ({apart})" if apart else name


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else as_code(str(value))


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are Markdown already."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def as_code(text: str) -> str:
    """Text of others, in the font of code; whatever it holds, it is no more than text, in a table
    as well."""
    return f"<code>{_escaped(text)}</code>"


def as_text(text: str) -> str:
    """A sentence with text of others in it."""
    return _escaped(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_entity, html.escape(printable(text), quote=False))


def _entity(special: re.Match[str]) -> str:
    """As an entity: behind a backslash a bar still ends a cell, and a name still is a link."""
    return f"&#{ord(special[0])};"
