"""What a person sees: progress on stderr, the summary on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ait_cmp.judging import Status
from ait_cmp.values.errors import os_reason
from ait_cmp.values.text import printable
from ait_cmp.values.tokens import row_name

__all__ = ["show_summary", "track"]

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
_PLAIN_INTERVAL = 10.0  # seconds between progress lines where no bar can be drawn
_SHOWN = {
    "cosine_similarity": "cosine",
    "relative_euclidean_distance": "rel dist",
    "max_absolute_error": "max abs err",
}
_FILE_WIDTH = 160
_NAMED = 5  # further divergences that are named
_STYLES = {Status.PASS: "green", Status.FAIL: "red", Status.ERROR: "yellow"}


def track(items: Iterable[T], total: int) -> Iterator[T]:
    """`items` with their progress shown: a bar on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("comparing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield from progress.track(items, total=total)
    else:
        yield from _track_plainly(console, items, total)


def _track_plainly(console: Console, items: Iterable[T], total: int) -> Iterator[T]:
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > _PLAIN_INTERVAL:
            last = time.monotonic()
            console.print(f"compared {done} of {total}", highlight=False)


def show_summary(rows: pl.DataFrame, paths: Sequence[Path], worst: int) -> None:
    """Counts, where it went wrong first, the `worst` rows, where the report is.

    Where nobody can be shown anything (a closed pipe, a full disk), a warning says so.
    """
    try:
        _show_summary(rows, paths, worst)
        sys.stdout.flush()
    except (OSError, SystemExit) as exc:  # SystemExit is how rich takes a closed pipe
        # What is left in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        why = os_reason(exc) if isinstance(exc, OSError) else "nobody reads it"
        _LOGGER.warning("the summary cannot be shown (%s); the report is written", why)


def _show_summary(rows: pl.DataFrame, paths: Sequence[Path], worst: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    counts = {status: int((rows["status"] == status).sum()) for status in Status}
    console.print(
        f"{len(rows)} rows: "
        + ", ".join(f"[{_STYLES[one]}]{counts[one]} {one}[/]" for one in Status)
    )
    dumps = rows["dump"].unique(maintain_order=True).to_list()
    if len(dumps) > 1:
        console.print(f"{len(dumps)} dumps: {_plain(', '.join(dumps))}")
    bad = rows.filter(pl.col("status") != Status.PASS)
    _show_divergences(console, rows)
    _show_first_error(console, rows)
    if len(bad) and worst:
        _show_worst(console, bad, worst)
    for path in paths:
        console.print(f"report: {_plain(str(path))}")


def _show_divergences(console: Console, rows: pl.DataFrame) -> None:
    """Where it went wrong first, where again, and how many rows only follow."""
    diverging = _in_order(rows.filter(pl.col("first_divergence").is_not_null()))
    if not len(diverging):
        return
    first, *others = diverging.iter_rows(named=True)
    job = f"in job {_plain(first['job'])} " if first.get("job") else ""
    console.print(f"[bold]it goes wrong {job}{_plain(first['first_divergence'])}[/]")
    if first["worst_index"]:
        console.print(
            f"  worst element {_plain(first['worst_index'])}: "
            f"golden {_plain(first['worst_golden'])}, my {_plain(first['worst_my'])}"
        )
    if others:
        names = [_plain(row_name(row["data_id"], row["token_id"])) for row in others[:_NAMED]]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        console.print(f"  then in {', '.join(names)}{more}")
    following = (rows["follows"].is_not_null() & rows["first_divergence"].is_null()).sum()
    if following:
        console.print(f"  {following} more failing rows only follow")


def _show_first_error(console: Console, rows: pl.DataFrame) -> None:
    errors = _in_order(rows.filter(pl.col("status") == Status.ERROR))
    if len(errors):
        row = errors.row(0, named=True)
        name = row_name(row["data_id"], row["token_id"])
        console.print(f"first not compared: {_plain(name)}: {_plain(row['cmp_fail_reason'])}")


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("token_id", "order", nulls_last=True, maintain_order=True)


def _show_worst(console: Console, bad: pl.DataFrame, worst: int) -> None:
    ranked = bad.sort(
        pl.col("follows").is_not_null(),  # what is only a consequence comes last
        pl.col("relative_euclidean_distance").fill_null(float("inf")),
        descending=[False, True],
        maintain_order=True,
    ).head(worst)
    table = Table(title=f"worst {len(ranked)} of {len(bad)} rows that do not pass")
    jobs = ["job"] if "job" in ranked.columns else []
    for heading in (
        *jobs,
        "token",
        "data_id",
        "status",
        "reason",
        *_SHOWN.values(),
        "worst element",
    ):
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("data_id", "job"))
    for row in ranked.iter_rows(named=True):
        table.add_row(
            *(_plain(row[job]) for job in jobs),
            "" if row["token_id"] is None else str(row["token_id"]),
            _plain(row["data_id"]),
            f"[{_STYLES[row['status']]}]{row['status']}[/]",
            row["reason"],
            *("" if row[name] is None else f"{row[name]:.6g}" for name in _SHOWN),
            _plain(row["worst_index"] or ""),
        )
    console.print(table)


def _plain(text: str) -> str:
    """Text of others: no command to the terminal, no markup."""
    return escape(printable(text))
