"""One compare: pairs -> stats -> rows -> report."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from ait_cmp.engine.measure import Measured, Wanted
from ait_cmp.files.regular import confined_to
from ait_cmp.judging import Status, Tolerance
from ait_cmp.judging.comparison import MetricChoice, Row, conclude_run
from ait_cmp.mapping import MAPPINGS, Selection, Wish
from ait_cmp.measuring.executor import Limits
from ait_cmp.measuring.measure import measure_pairs
from ait_cmp.measuring.store import Journal
from ait_cmp.report import facts_since, make_report, write_report
from ait_cmp.report.console import show_summary
from ait_cmp.report.dry_run import show_pairs
from ait_cmp.values.location import Step
from ait_cmp.values.pair import Pair

__all__ = [
    "ExitStatus",
    "MappingChoice",
    "Settings",
    "exit_status",
    "judge_pairs",
    "measure",
    "run",
    "select_pairs",
]

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
class MappingChoice:
    """Which mapping, and the adapters that apply to every pair of it."""

    kind: str
    golden_steps: tuple[Step, ...] = ()
    my_steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """One compare, resolved: plain values only."""

    wish: Wish
    selection: Selection
    mapping: MappingChoice
    metrics: MetricChoice
    epsilon: float
    tolerance: Tolerance
    executor: str
    limits: Limits
    formats: tuple[str, ...]
    worst: int
    output: Path
    dry_run: bool = False
    roots: tuple[str, ...] | None = None
    ignore_verdicts: bool = False

    @property
    def wanted(self) -> Wanted:
        """What must be measured to show and to judge this."""
        relative, softmax = self.metrics.needs(self.tolerance)
        return Wanted(self.epsilon, relative, softmax)


def run(settings: Settings) -> ExitStatus:
    """Compare, write the report, show the summary; with `dry_run` only show the pairs.

    Raises UsageError for a mapping that cannot be read, ReportError when the report cannot be
    written.
    """
    started = datetime.now(UTC)
    pairs = select_pairs(settings)
    if settings.dry_run:
        show_pairs(pairs)
        statuses = [Status.ERROR if pair.error else Status.PASS for pair in pairs]
        return exit_status(statuses, settings.ignore_verdicts)
    with Journal(settings.output, settings.wanted) as journal:
        rows = judge_pairs(pairs, measure(pairs, settings, journal), settings)
        report = make_report(rows, facts_since(started, {}))
        paths = write_report(report, settings.output, settings.formats)
        journal.remove()
    show_summary(report, paths, settings.worst)
    statuses = [row.verdict.status for row in report.rows]
    return exit_status(statuses, settings.ignore_verdicts)


def measure(pairs: Sequence[Pair], settings: Settings, journal: Journal) -> dict[int, Measured]:
    """What was measured, by the number of the pair; nothing for pairs that have an error."""
    return measure_pairs(
        pairs,
        settings.wanted,
        roots=settings.roots,
        executor=settings.executor,
        limits=settings.limits,
        journal=journal,
    )


def exit_status(statuses: Sequence[str], ignore_verdicts: bool) -> ExitStatus:
    """The exit status of rows of these statuses."""
    if ignore_verdicts:
        return ExitStatus.PASS
    if not statuses or Status.ERROR in statuses:
        return ExitStatus.INCOMPLETE
    return ExitStatus.FAIL if Status.FAIL in statuses else ExitStatus.PASS


def select_pairs(settings: Settings) -> list[Pair]:
    """The entries of the mapping that are selected. Raises UsageError for a mapping that cannot
    be read."""
    choice = settings.mapping
    with confined_to(settings.roots):
        mapped = MAPPINGS[choice.kind](settings.wish)
    pairs = [
        replace(
            pair, golden=pair.golden.then(choice.golden_steps), my=pair.my.then(choice.my_steps)
        )
        for pair in mapped
        if pair in settings.selection
    ]
    if not pairs:
        _LOGGER.warning(
            "nothing to compare: none of the %d entries of %s is selected by tokens and data_ids",
            len(mapped),
            settings.wish.golden_path,
        )
    return pairs


def judge_pairs(
    pairs: Sequence[Pair], measured: Mapping[int, Measured], settings: Settings
) -> list[Row]:
    """A row for each pair, in their order; each dump is a run of its own."""
    found = [measured.get(n) or Measured(error=pair.error) for n, pair in enumerate(pairs)]
    dumps: dict[str, list[int]] = defaultdict(list)
    for n, pair in enumerate(pairs):
        dumps[pair.dump].append(n)
    rows: dict[int, Row] = {}
    for numbers in dumps.values():
        run_ = [(pairs[n], found[n]) for n in numbers]
        comparisons = conclude_run(run_, settings.tolerance, settings.metrics)
        rows.update(
            (n, Row(pairs[n], comparison))
            for n, comparison in zip(numbers, comparisons, strict=True)
        )
    return [rows[n] for n in range(len(pairs))]
