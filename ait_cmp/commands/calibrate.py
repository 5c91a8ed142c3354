"""`ait-cmp calibrate`: a benign run in, the tolerance that knows its noise out.

It takes the arguments of a compare. What it learns is each data_id's noise: the least expected
error with which that run passes. Rows that the tolerance fails which it starts from are not
learned, unless `learn_failing=true` says that they are good. A tolerance that knows some already
(`tolerance=FILE`) learns more, so that several benign runs add up.
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
from ait_cmp.commands.judged_rows import Judged, JudgedRows
from ait_cmp.commands.say import complain, may_go_unread
from ait_cmp.commands.shards import Settled
from ait_cmp.commands.status import ExitStatus, exit_status
from ait_cmp.files.staging import named
from ait_cmp.judging import Growth, Status, Tolerance
from ait_cmp.report.progress import painted_progress
from ait_cmp.settings.tolerances import write_tolerance
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import UsageError
from ait_cmp.values.pair import Pair
from ait_cmp.values.text import counted, printable

__all__ = ["calibrate", "learn", "require_growth"]

_NAME = "calibrated"
_LOUD = 0.3  # noise of golden's own size is rarely benign
_LISTED = 10  # rows that do not pass


def calibrate(settings: Settings) -> ExitStatus:
    """Measure, learn, write `tolerance/calibrated.yaml` below the output, and say what it leaves.

    The status is that of the rows, judged by what was learned. Raises UsageError where nothing
    can be learned, ReportError when it cannot be written.
    """
    require_growth(settings.tolerance)
    pairs = select_pairs(settings)
    with open_store(settings) as store:
        with painted_progress() as progress:
            settled = measure(pairs, settings, store, progress)
        rows = _judged(settled, settings.tolerance, settings)
        learned = learn(rows, settings.tolerance, failing=settings.learn_failing)
        if learned is None:
            complain(_nothing_learned(rows))
            return max(ExitStatus.USAGE, _status(rows, settings))
        path = settings.folder / "tolerance" / f"{_NAME}.yaml"
        write_tolerance(learned, path, made=_made(settings, len(rows)))
    after = _judged(settled, learned, settings)
    with may_go_unread("what was learned"):
        told = _show_failing(rows, settings)
        _show(after, path, told)
    return _status(after, settings)


def require_growth(tolerance: Tolerance) -> Growth:
    """The growth that noise has its place in. Raises UsageError where there is none."""
    if tolerance.growth is None:
        raise UsageError(
            f"tolerance={tolerance.name} does not look at growth, so noise has no place in it; "
            "calibrate dtype or int8"
        )
    return tolerance.growth


def learn(
    rows: Sequence[Judged], tolerance: Tolerance, *, failing: bool = False
) -> Tolerance | None:
    """`tolerance` with the noise of `rows`, which are of a benign run; None where there is none.

    Of rows that `tolerance` fails it learns only with `failing`: it would hide what is wrong with
    them.
    """
    growth = require_growth(tolerance)
    noise = dict(growth.noise)
    learns = (Status.PASS, Status.FAIL) if failing else (Status.PASS,)
    for row in rows:
        learned = row.verdict.noise
        if learned is None or row.verdict.status not in learns:
            continue
        if math.isfinite(learned):  # else golden is zero, and my is not
            data_id = row.pair.data_id
            noise[data_id] = max(noise.get(data_id, 0.0), learned)
    if not noise:
        return None
    return replace(tolerance, name=_NAME, growth=replace(growth, noise=noise))


def _judged(settled: Settled, tolerance: Tolerance, settings: Settings) -> list[Judged]:
    return [*JudgedRows(settled, tolerance, settings.metrics).judged()]


def _status(rows: Sequence[Judged], settings: Settings) -> ExitStatus:
    statuses = [row.verdict.status for row in rows]
    return exit_status(statuses, settings.fail_on)


def _nothing_learned(rows: Sequence[Judged]) -> str:
    failing = sum(row.verdict.status is Status.FAIL for row in rows)
    if failing:
        return (
            f"nothing can be learned: {failing} of {len(rows)} rows fail; if the run is good all "
            "the same, learn_failing=true learns them"
        )
    return "nothing can be learned: no two floating tensors were compared"


def _made(settings: Settings, rows: int) -> dict[str, Any]:
    return {
        "by": f"ait_cmp {ait_cmp.__version__} calibrate",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "golden_path": settings.wish.golden_path,
        "my_path": settings.wish.my_path,
        "tolerance": settings.tolerance.name,
        "rows": rows,
    }


def _show_failing(rows: Sequence[Judged], settings: Settings) -> set[Pair]:
    """Which rows the tolerance fails that was started from, and what becomes of them; those of
    which no more needs to be said."""
    failing = [row for row in rows if row.verdict.status is Status.FAIL]
    if not failing:
        return set()
    one = len(failing) == 1
    fails = f"{counted(len(failing), 'row')} {'fails' if one else 'fail'}"
    fails += f" tolerance={printable(settings.tolerance.name)} and {'was' if one else 'were'}"
    if settings.learn_failing:
        print(f"{fails} learned, which hides what is wrong with them:")
    else:
        print(
            f"{fails} not learned, since that would hide what is wrong with them; if they are "
            "good, learn_failing=true learns them:"
        )
    _list(failing)
    return set() if settings.learn_failing else {row.pair for row in failing}


def _show(rows: Sequence[Judged], path: Path, told: set[Pair]) -> None:
    """What was written, and which other rows of this very run it would not pass."""
    bad = [row for row in rows if row.verdict.status is not Status.PASS]
    print(
        f"{counted(len(rows), 'row')}, {len(rows) - len(bad)} of which pass with what was learned"
    )
    _list([row for row in bad if row.pair not in told])
    loud = [row for row in rows if (row.verdict.noise or 0.0) > _LOUD]
    if loud:
        worst = max(loud, key=lambda row: row.verdict.noise or 0.0)
        print(
            f"{len(loud)} rows differ by more than {_LOUD:.0%} of golden, "
            f"{printable(worst.pair.name)} most: is this run really good?"
        )
    place = named(str(path))
    print(f"tolerance: {place}")
    print(f"use it: python -m ait_cmp golden_path=… output=… tolerance={place}")


def _list(rows: Sequence[Judged]) -> None:
    for row in rows[:_LISTED]:
        verdict = row.verdict
        print(printable(f"  {verdict.status} {row.pair.name}: {verdict.sentence}"))
    if len(rows) > _LISTED:
        print(f"  and {len(rows) - _LISTED} more")
