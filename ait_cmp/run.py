"""One compare: pairs -> stats -> rows -> report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from ait_cmp.comparison import MetricChoice, Row, conclude, failed
from ait_cmp.engine.pair import Measured, Wanted
from ait_cmp.executor import Limits
from ait_cmp.journal import Journal
from ait_cmp.mapping import MAPPINGS, PathMap, Selection
from ait_cmp.measuring import measure_pairs
from ait_cmp.pair import Pair
from ait_cmp.report import write_reports
from ait_cmp.report.columns import frame
from ait_cmp.report.console import show_summary
from ait_cmp.verdict import Status, Tolerance

__all__ = ["ExitStatus", "Settings", "exit_status", "run"]

_LOGGER = logging.getLogger(__name__)


class ExitStatus(IntEnum):
    """The exit status of the command; of several, the highest."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCOMPLETE = 3  # some row could not be compared, or nothing was
    NO_REPORT = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Settings:
    """One compare, resolved: plain values only."""

    golden_path: str
    my_path: str | None
    path_map: PathMap
    selection: Selection
    mapping: str
    metrics: MetricChoice
    epsilon: float
    tolerance: Tolerance
    executor: str
    limits: Limits
    formats: tuple[str, ...]
    worst: int
    output: Path
    ignore_verdicts: bool = False


def run(settings: Settings) -> ExitStatus:
    """Compare, write the report, show the summary.

    Raises UsageError for a mapping that cannot be read, ReportError when the report cannot be
    written.
    """
    pairs = _pairs(settings)
    relative, softmax = settings.metrics.needs(settings.tolerance)
    wanted = Wanted(settings.epsilon, relative, softmax)
    with Journal(settings.output, wanted) as journal:
        measured = measure_pairs(
            pairs, wanted, executor=settings.executor, limits=settings.limits, journal=journal
        )
        rows = frame([_row(pair, measured.get(n), settings) for n, pair in enumerate(pairs)])
        paths = write_reports(rows, settings.output, settings.formats)
        journal.remove()
    show_summary(rows, paths, settings.worst)
    return exit_status(rows["status"].to_list(), settings.ignore_verdicts)


def exit_status(statuses: Sequence[str], ignore_verdicts: bool) -> ExitStatus:
    """The exit status of rows of these statuses."""
    if ignore_verdicts:
        return ExitStatus.PASS
    if not statuses or Status.ERROR in statuses:
        return ExitStatus.INCOMPLETE
    return ExitStatus.FAIL if Status.FAIL in statuses else ExitStatus.PASS


def _pairs(settings: Settings) -> list[Pair]:
    mapped = MAPPINGS[settings.mapping](settings.golden_path, settings.my_path, settings.path_map)
    pairs = [pair for pair in mapped if pair in settings.selection]
    if not pairs:
        _LOGGER.warning(
            "nothing to compare: none of the %d entries of %s is selected by tokens and data_ids",
            len(mapped),
            settings.golden_path,
        )
    return pairs


def _row(pair: Pair, measured: Measured | None, settings: Settings) -> Row:
    if pair.error is not None:
        return Row(pair, failed(pair.error))
    assert measured is not None
    comparison = conclude(
        measured,
        tolerance=settings.tolerance,
        choice=settings.metrics,
        data_id=pair.data_id,
        token_id=pair.token_id,
    )
    return Row(pair, comparison)
