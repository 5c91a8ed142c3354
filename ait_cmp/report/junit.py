"""`cmp_report.junit.xml`: rows as the test cases that CI systems show."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from ait_cmp.judging import Status
from ait_cmp.report.answer import answer
from ait_cmp.report.report import Report
from ait_cmp.values.text import counted, printable
from ait_cmp.values.tokens import row_name

__all__ = ["write_junit"]

_PASSING = 10_000  # rows that have a case each; CI systems refuse files of hundreds of megabytes
_COLUMNS = (
    *("job", "token_id", "data_id", "dump", "rank", "status", "reason", "cmp_fail_reason"),
    *("first_divergence", "follows", "golden_data_path", "my_data_path", "worst_index"),
    *("worst_golden", "worst_my", "relative_euclidean_distance", "cosine_similarity"),
    *("max_absolute_error", "diagnosis"),
)
_ELEMENTS = {Status.FAIL: "failure", Status.ERROR: "error", Status.SKIPPED: "skipped"}
# What XML 1.0 has no way to write, and what a reader would change or obey.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(report: Report, path: Path) -> None:
    """Every row a case, of the class that its job, dump and rank make; of very many passing rows
    only the number."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        _write(report, file)


def _write(report: Report, file: TextIO) -> None:
    told = report.counts[Status.PASS] <= _PASSING
    cases = len(report.table) if told else len(report.table) - report.counts[Status.PASS] + 1
    failures, errors, skipped = (report.counts[one] for one in _ELEMENTS)
    counts = (
        f'tests="{cases}" failures="{failures}" errors="{errors}" skipped="{skipped}" '
        f'time="{report.facts.seconds:.3f}"'
    )
    file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="ait_cmp" {counts}>\n')
    file.write(f'<testsuite name="cmp_report" {counts}>\n<properties>\n')
    for name, value in _properties(report):
        file.write(f"<property name={_quoted(name)} value={_quoted(value)}/>\n")
    file.write("</properties>\n")
    columns = [name for name in _COLUMNS if name in report.table.columns]
    for line in report.table.select(columns).iter_rows(named=True):
        if told or line["status"] != Status.PASS:
            file.writelines(_case(line))
    if not told:
        passing = counted(report.counts[Status.PASS], "row")
        file.write(f'<testcase classname="ait_cmp" name="{passing} that pass" time="0"/>\n')
    file.write("</testsuite>\n</testsuites>\n")


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "answer", answer(report)
    for name, value in report.facts.versions.items():
        yield f"version.{name}", value
    yield from report.facts.settings.items()


def _case(line: Mapping[str, Any]) -> Iterator[str]:
    of = [line.get("job"), line["dump"], line["rank"] and f"rank {line['rank']}"]
    name = row_name(line["data_id"], line["token_id"]) or "tensor"
    yield f"<testcase classname={_quoted(' '.join(filter(None, of)) or 'ait_cmp')}"
    yield f' name={_quoted(name)} time="0"'
    element = _ELEMENTS.get(line["status"])
    if element is None:
        yield "/>\n"
        return
    yield f"><{element} message={_quoted(line['cmp_fail_reason'] or line['reason'])}"
    yield f" type={_quoted(line['reason'])}>"
    shown = ((key, value) for key, value in line.items() if value not in (None, ""))
    yield _text("\n".join(f"{key}: {printable(str(value))}" for key, value in shown))
    yield f"</{element}></testcase>\n"


def _quoted(value: str) -> str:
    return f'"{_text(printable(value)).replace(chr(34), "&quot;")}"'


def _text(value: str) -> str:
    return _UNWRITABLE.sub("�", html.escape(value, quote=False))
