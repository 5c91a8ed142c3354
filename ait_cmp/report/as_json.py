"""`cmp_report.json`: what a program asks of a report; docs/cmp_report.schema.json describes it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ait_cmp.judging import Status
from ait_cmp.report.answer import answer, verdict
from ait_cmp.report.ranks import RankAnswer
from ait_cmp.report.report import Report

__all__ = ["VERSION", "as_plain", "write_json"]

VERSION = 1  # of the schema; another where a reader of this one would be misled
_ROWS = 1000  # that do not pass, and as many divergences; the other formats have all rows


def write_json(report: Report, path: Path) -> None:
    """The summary, the divergences, the rows that do not pass, settings and versions."""
    text = json.dumps(as_plain(report), ensure_ascii=False, allow_nan=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def as_plain(report: Report) -> dict[str, Any]:
    """The report in plain values of JSON. All that the clock says stands under `run`."""
    facts, table = report.facts, report.table
    return {
        "format": "ait_cmp report",
        "version": VERSION,
        "verdict": verdict(report),
        "answer": answer(report),
        "summary": {
            "rows": len(table),
            "counts": {status.value: report.counts[status] for status in Status},
            "reasons": dict(sorted(Counter(table["reason"].drop_nulls()).items())),
            "dumps": table["dump"].unique(maintain_order=True).to_list(),
            "following": report.following,
            "unordered": report.unordered,
            "unpaired": report.unpaired,
            "unpaired_groups": [asdict(group) for group in report.groups],
            "near_ties": len(report.near_ties),
            "by_statistics": report.by_statistics,
            "logits": _finite(asdict(report.logits)) if report.logits else None,
        },
        **({"ranks": [_rank(report, one) for one in report.ranks]} if report.ranks else {}),
        "divergences": _lines(report, report.divergences),
        "divergences_left_out": max(0, len(report.divergences) - _ROWS),
        "rows": _lines(report, report.ranked),
        "rows_left_out": max(0, len(report.ranked) - _ROWS),
        "settings": dict(facts.settings),
        "versions": dict(facts.versions),
        "run": {
            "started": facts.started.isoformat() if facts.started else None,
            "seconds": facts.seconds,
            "machine": dict(facts.machine),
        },
    }


def _rank(report: Report, rank: RankAnswer) -> dict[str, Any]:
    """What became of one of several ranks, and the line where it goes wrong first."""
    first = () if rank.first is None else (rank.first,)
    return {
        "rank": rank.rank,
        "counts": {status.value: rank.counts[status] for status in Status},
        "first_divergence": next(iter(_lines(report, first)), None),
    }


def _lines(report: Report, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Each with its number, and the cells that are not empty."""
    return [{"row": number, **_finite(report.line(number))} for number in numbers[:_ROWS]]


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty; JSON has no number for `inf` and `nan`, which stand as text."""
    return {
        name: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
        if value is not None
    }
