"""What the page knows: a report as plain values and packed columns, whatever its size.

A page of up to `MOST` rows holds them all. Of more, it holds the failing ones, what matters most
first, and of the others the worst of every so many neighbours, which stands for them: the columns
`stands_for` and `step` say for how many, and as which of its token it was computed.
"""

from __future__ import annotations

import base64
import json
import locale
import math
import os
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ait_cmp.engine.detail import Detail
from ait_cmp.files.staging import named
from ait_cmp.judging import Status
from ait_cmp.report.packed import pack_column
from ait_cmp.report.report import Report
from ait_cmp.report.table import made_safe
from ait_cmp.values.paths import is_absolute, relative
from ait_cmp.values.text import printable

__all__ = ["MOST", "language_of", "packed_page", "page_data", "readable"]

MOST = 100_000  # rows that a page holds
_EXACT = 25_000  # rows up to which it has all digits of their numbers
_SETTINGS = ("golden_path", "my_path", "reference_path", "output")  # that are paths
_PATHS = ("golden_data_path", "my_data_path")
_SUSPECT = r"[^\x20-\x7e]"  # printable ASCII looks as it is; `printable` looks at all else

Numbers = npt.NDArray[np.int64]


def page_data(report: Report, folder: Path) -> bytes:
    """Everything, compressed: the length of a header in JSON, the header, the columns."""
    lines, stands_for = _held(report)
    is_whole = len(lines) == len(report.table)
    table = report.table if is_whole else report.table[lines]
    is_relative = report.facts.settings.get("report.paths") == "relative"
    seen_from = named(str(folder.absolute())) if is_relative else None
    exact = len(table) <= _EXACT
    roots = _roots(report.facts.settings)
    shown = [_shown(one, seen_from, roots) for one in table]
    if not is_whole:
        shown.append(pl.Series("stands_for", stands_for))
        shown.append(_steps(report.table)[lines].alias("step"))
    return packed_page(_said(report, lines, seen_from), shown, exact=exact)


def packed_page(header: dict[str, Any], columns: Sequence[pl.Series], *, exact: bool) -> bytes:
    """What a page reads: `header`, and the columns that it goes with, as `page_data` has them."""
    packed = [pack_column(one.name, one, exact=exact) for one in columns]
    header["columns"] = [said | {"bytes": len(content)} for said, content in packed]
    text = json.dumps(header, ensure_ascii=False).encode()
    contents = (content for _, content in packed)
    return zlib.compress(b"".join((struct.pack("<I", len(text)), text, *contents)), 6)


def language_of(settings: Mapping[str, str]) -> str:
    """`zh` or `en`: as set, else as the locale says."""
    told = settings.get("report.language", "auto")
    if told != "auto":
        return told
    set_by = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    name = next(filter(None, set_by), None) or locale.getlocale()[0] or ""
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


def _held(report: Report) -> tuple[Numbers, Numbers]:
    """The lines that the page holds, in order, and for how many lines each stands."""
    rows = len(report.table)
    if rows <= MOST:
        return np.arange(rows), np.ones(rows, np.int64)
    first = [*report.divergences, *report.ranked][: MOST // 2]
    stands_for = np.zeros(rows, np.int64)
    stands_for[first] = 1
    others = np.flatnonzero(stands_for == 0)
    status = report.table["status"][others].to_numpy().astype(str)
    others = others[np.argsort(status, kind="stable")]
    groups = np.arange(len(others)) // math.ceil(len(others) / (MOST // 2))
    error = report.table["relative_euclidean_distance"].fill_null(-1.0).to_numpy()[others]
    worst = np.lexsort((others, -error, groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    stands_for[others[worst[starts]]] = np.bincount(groups)
    lines = np.flatnonzero(stands_for)
    return lines, stands_for[lines]


def _steps(table: pl.DataFrame) -> pl.Series:
    """Of each line, which of its process and token it is, in the order of computation."""
    of = [name for name in ("job", "dump", "token_id") if name in table.columns]
    return table.select(pl.col("order").rank("ordinal").over(of)).to_series().cast(pl.Int64)


def _shown(column: pl.Series, seen_from: str | None, roots: Sequence[str]) -> pl.Series:
    """A column as the page shows it: text that is safe to look at, and paths as they travel."""
    column = readable(column)
    if seen_from is None or column.dtype != pl.String:
        return column
    if column.name in _PATHS:
        return pl.Series(column.name, [one and relative(one, seen_from) for one in column])
    # What sentences name lies where the settings say, or beside it.
    for root in roots:
        column = column.str.replace_all(root, relative(root, seen_from), literal=True)
    return column


def readable(column: pl.Series) -> pl.Series:
    """A column whose text, if it has any, is safe to look at."""
    return made_safe(column, _SUSPECT, printable) if column.dtype == pl.String else column


def _roots(settings: Mapping[str, str]) -> list[str]:
    """The folders that the settings name, the deepest first."""
    named = {settings.get(name, "") for name in _SETTINGS}
    return sorted((one for one in named if is_absolute(one) and one != os.sep), reverse=True)


def _said(report: Report, lines: Numbers, seen_from: str | None) -> dict[str, Any]:
    """What the report says besides its table; rows are named by their number in the page."""
    place = {line: number for number, line in enumerate(lines.tolist())}
    facts = report.facts

    def rows(numbers: Sequence[int]) -> list[int]:
        return [place[number] for number in numbers if number in place]

    return {
        "rows": len(lines),
        "all_rows": len(report.table),
        "language": language_of(facts.settings),
        "counts": {status.value: report.counts[status] for status in Status},
        "divergences": rows(report.divergences),
        **(_ranks(report, rows) if report.ranks else {}),
        "following": report.following,
        "unordered": report.unordered,
        "errors": rows(report.errors[:1]),
        "skipped": rows(report.skipped[:1]),
        "near_ties": rows(report.near_ties),
        "by_statistics": report.by_statistics,
        "ranked": rows(report.ranked),
        "unpaired": report.unpaired,
        "details": {place[line]: _detail(one) for line, one in report.details.items()},
        "groups": [asdict(group) for group in report.groups],
        "logits": _finite(asdict(report.logits)) if report.logits else None,
        "versions": dict(facts.versions),
        "settings": _settings(facts.settings, seen_from),
        "machine": {} if seen_from else dict(facts.machine),
        "started": facts.started.isoformat(timespec="seconds") if facts.started else None,
        "seconds": round(facts.seconds, 1),
    }


def _ranks(report: Report, rows: Callable[[Sequence[int]], list[int]]) -> dict[str, Any]:
    """How many ranks there are, and where they go wrong first: which, and the row of the first."""
    places = [[place.listed, *rows([place.line])] for place in report.places]
    return {"ranks": len(report.ranks), "places": places}


def _detail(detail: Detail) -> dict[str, Any]:
    said = asdict(detail)
    for name in ("scatter", "image"):  # all of the page is compressed together
        said[name] = base64.b64encode(said[name]).decode("ascii")
    return said


def _settings(settings: Mapping[str, str], seen_from: str | None) -> dict[str, str]:
    shown = {name: printable(value) for name, value in settings.items()}
    for name in _SETTINGS if seen_from else ():
        if shown.get(name, "null") != "null":
            shown[name] = relative(shown[name], seen_from or "")
    return shown


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
