"""`ait-cmp calibrate`: a benign run in, the tolerance that knows its noise out.

It takes the arguments of a compare. What it learns is each data_id's noise: the least expected
error with which that run passes. A tolerance that knows some already (`tolerance=FILE`) learns
more, so that several benign runs add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ait_cmp
from ait_cmp.commands.compare import (
    measure,
    open_store,
    select_pairs,
)
from ait_cmp.commands.say import reader_may_leave
from ait_cmp.commands.status import ExitStatus
from ait_cmp.judging import Status, Tolerance
from ait_cmp.judging.comparison import Row, conclude_rows
from ait_cmp.report.progress import painted_progress
from ait_cmp.settings.tolerances import write_tolerance
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import UsageError
from ait_cmp.values.text import printable

__all__ = ["calibrate", "learn"]

_NAME = "calibrated"
_LOUD = 0.3  # noise of golden's own size is rarely benign
_LISTED = 10  # rows that do not pass even so


def calibrate(settings: Settings) -> ExitStatus:
    """Measure, learn, write `tolerance/calibrated.yaml` below the output, and say what it leaves.

    Raises UsageError where nothing can be learned, ReportError when it cannot be written.
    """
    pairs = select_pairs(settings)
    with open_store(settings) as store:
        with painted_progress() as progress:
            measured = measure(pairs, settings, store, progress)
        rows = conclude_rows(pairs, measured, settings.tolerance, settings.metrics)
        learned = learn(rows, settings.tolerance)
        path = settings.folder / "tolerance" / f"{_NAME}.yaml"
        write_tolerance(learned, path, made=_made(settings, len(rows)))
    with reader_may_leave():
        _show(conclude_rows(pairs, measured, learned, settings.metrics), path)
    return ExitStatus.PASS


def learn(rows: Sequence[Row], tolerance: Tolerance) -> Tolerance:
    """`tolerance` with the noise of `rows`, which are of a benign run. Raises UsageError."""
    growth = tolerance.growth
    if growth is None:
        raise UsageError(
            f"tolerance={tolerance.name} does not look at growth, so noise has no place in it; "
            "calibrate dtype or int8"
        )
    noise = dict(growth.noise)
    for row in rows:
        learned = row.verdict.noise
        if learned is not None and math.isfinite(learned):  # else golden is zero, and my is not
            data_id = row.pair.data_id
            noise[data_id] = max(noise.get(data_id, 0.0), learned)
    if not noise:
        raise UsageError("nothing can be learned: no two floating tensors were compared")
    return replace(tolerance, name=_NAME, growth=replace(growth, noise=noise))


def _made(settings: Settings, rows: int) -> dict[str, Any]:
    return {
        "by": f"ait_cmp {ait_cmp.__version__} calibrate",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "golden_path": settings.wish.golden_path,
        "my_path": settings.wish.my_path,
        "tolerance": settings.tolerance.name,
        "rows": rows,
    }


def _show(rows: Sequence[Row], path: Path) -> None:
    """What was written, and which rows of this very run it would not pass."""
    bad = [row for row in rows if row.verdict.status is not Status.PASS]
    print(f"{len(rows)} rows, {len(rows) - len(bad)} of which pass with what was learned")
    for row in bad[:_LISTED]:
        print(printable(f"  not {row.pair.name}: {row.verdict.sentence}"))
    loud = [row for row in rows if (row.verdict.noise or 0.0) > _LOUD]
    if loud:
        worst = max(loud, key=lambda row: row.verdict.noise or 0.0)
        print(
            f"{len(loud)} rows differ by more than {_LOUD:.0%} of golden, "
            f"{printable(worst.pair.name)} most: is this run really good?"
        )
    print(f"tolerance: {path}")
    print(f"use it: python -m ait_cmp golden_path=… output=… tolerance={path}")
