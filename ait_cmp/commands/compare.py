"""One compare: pairs -> stats -> rows -> report."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.choices import settle_choices
from ait_cmp.commands.ci import tell_ci
from ait_cmp.commands.details import with_details
from ait_cmp.commands.diagnosis import with_diagnoses
from ait_cmp.commands.extra import with_extra
from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run, forget, keep
from ait_cmp.commands.logits import with_positions
from ait_cmp.commands.replicas import with_replicas
from ait_cmp.commands.say import may_go_unread, reader_may_leave
from ait_cmp.commands.shards import Settled, settle_shards
from ait_cmp.commands.status import ExitStatus, exit_status
from ait_cmp.engine.request import Look
from ait_cmp.files import confined_to, look_again, planned
from ait_cmp.files.staging import named, report_names, staged
from ait_cmp.judging import Status, Tolerance
from ait_cmp.judging.coverage import idle_rules, refuse_idle, targets
from ait_cmp.mapping import map_pairs, select, with_adapters, with_masks, with_references
from ait_cmp.measuring.executor import EXECUTORS
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.measurement import measure_pairs
from ait_cmp.measuring.progress import ShowProgress, show_nothing
from ait_cmp.measuring.store import Store
from ait_cmp.report import (
    Report,
    facts_since,
    formats_for,
    make_report,
    table_of,
    with_rows,
    write_report,
)
from ait_cmp.report.console import show_summary
from ait_cmp.report.dry_run import show_pairs
from ait_cmp.report.markdown import as_markdown
from ait_cmp.report.progress import painted_progress
from ait_cmp.settings.tolerances import has_shipped_rules
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import UsageError
from ait_cmp.values.pair import Pair

__all__ = [
    "collecting",
    "compare_and_report",
    "judged",
    "list_pairs",
    "measure",
    "open_store",
    "reported",
    "select_pairs",
    "warn_of_idle",
    "written",
]

_LOGGER = logging.getLogger(__name__)


@contextmanager
def collecting(*, after: int = 50_000) -> Iterator[None]:
    """The garbage collector runs after so many allocations, instead of 700, and never after 0:
    what is kept of entries and rows is no garbage, and looking through it again and again takes a
    fifth of mapping a million entries, a tenth of a run of small pairs, a seventh of a judge."""
    before = gc.get_threshold()
    gc.set_threshold(after, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@collecting()
def compare_and_report(settings: Settings) -> ExitStatus:
    """Compare, write the report, show the summary.

    Raises UsageError for a mapping that cannot be read and for what is calibrate's, ReportError
    when the report cannot be written.
    """
    if settings.learn_failing:
        raise UsageError("learn_failing=true is for calibrate: a compare learns nothing")
    if settings.report_path is not None:
        raise UsageError("report_path is for judge: python -m ait_cmp.judge report=FOLDER")
    started = datetime.now(UTC)
    report = reported(select_pairs(settings), settings, started)
    if not settings.in_sweep:  # which is told of as a whole
        tell_ci(lambda: as_markdown(report))
    return exit_status(report.statuses, settings.fail_on)


def reported(pairs: Sequence[Pair], settings: Settings, started: datetime) -> Report:
    """Compare the pairs, write the report, show the summary."""
    with open_store(settings) as store:
        with painted_progress() as progress:
            run = judged(pairs, settings, store, progress)
        run = replace(run, facts=facts_since(started, settings.in_force))
        report, paths = written(run, settings, store)
    with may_go_unread("the summary"):
        show_summary(report, paths, settings.worst)
    return report


@collecting()
def list_pairs(settings: Settings) -> ExitStatus:
    """Show which pairs would be compared; the status tells of those that could not be."""
    pairs = select_pairs(settings)
    planned()  # no more than this
    with reader_may_leave():
        show_pairs(pairs)
    statuses = [Status.of(pair.error) if pair.error else Status.PASS for pair in pairs]
    return exit_status(statuses, settings.fail_on)


@contextmanager
def open_store(settings: Settings) -> Iterator[Store | None]:
    """What an earlier run measured, and what this one does, to go on from where it does not end
    well; None where nothing may be written."""
    with EXECUTORS[settings.executor].kept():
        if settings.output is None:
            yield None
            return
        with (
            staged(settings.output),
            Store(settings.output, settings.wanted, settings.roots) as store,
        ):
            yield store
            store.finish(keep=settings.keep_stats)


def judged(
    pairs: Sequence[Pair], settings: Settings, store: Store | None, progress: ShowProgress
) -> Run:
    """Measure the pairs, judge them, and say what explains those that fail. Raises UsageError where
    the tolerance says nothing of them."""
    tolerance, metrics = settings.tolerance, settings.metrics
    if tolerance.rules:
        refuse_idle(tolerance, targets(pairs))  # before hours are spent
    settled = measure(pairs, settings, store, progress)
    warn_of_idle(settled, tolerance)
    rows = JudgedRows(settled, tolerance, metrics)
    table = table_of(rows, metrics.extra)  # which goes through them while they are judged
    ask = _asking(settings, store, show_nothing)  # of a few rows, which are done
    rows = with_diagnoses(rows, ask, settings.diagnosed)
    changed = {number: rows[number] for number in rows.diagnoses}
    return Run(settled, tolerance, metrics, rows, table=with_rows(table, changed, metrics.extra))


def warn_of_idle(settled: Settled, tolerance: Tolerance) -> None:
    """Tell of rules that match nothing. Raises UsageError where that leaves nothing to judge by."""
    if not tolerance.rules:
        return
    found = targets(settled.pairs, settled.measured)
    refuse_idle(tolerance, found)
    if (idle := idle_rules(tolerance, found)) and not has_shipped_rules(tolerance):
        for sentence in idle:
            _LOGGER.warning("%s", sentence)


def written(run: Run, settings: Settings, store: Store | None) -> tuple[Report, list[Path]]:
    """The report of a run, and where it was written, with what is kept of the run. Raises
    ReportError."""
    report = make_report(run.rows, run.facts, run.metrics.extra, table=run.table)
    if settings.in_sweep or "html" in formats_for(report.counts, settings.formats):
        report = with_details(report, settings.details, _asking(settings, store, show_nothing))
    paths = write_report(report, settings.folder, settings.formats)
    if settings.keep_stats:
        keep(run, settings.folder)
    else:
        forget(settings.folder)
    return report, paths


def measure(
    pairs: Sequence[Pair], settings: Settings, store: Store | None, progress: ShowProgress
) -> Settled:
    """What was measured, of what several ranks have the pairs that numbers settle, and what can
    be compared after choices that differ; with the user's own metrics."""
    ask = _asking(settings, store, progress)
    settled = settle_shards(pairs, ask, settings.tolerance, settings.metrics)
    if not any(pair.alone for pair in pairs):  # of which none has to do with another
        settled = settle_choices(settled, ask, settings.logits)
        settled = with_positions(settled, ask, settings.logits)
        settled = with_replicas(settled, ask)
    return with_extra(settled, ask, settings.extra)


def _asking(settings: Settings, store: Store | None, progress: ShowProgress) -> Ask:
    """What measures pairs, or takes a look at each, as the settings say."""

    def ask(asked: Sequence[Pair], looks: Sequence[Look] | None = None) -> MeasuredRows:
        return measure_pairs(
            asked,
            settings.wanted,
            roots=settings.roots,
            executor=settings.executor,
            limits=settings.limits,
            store=store,
            progress=progress,
            looks=looks,
            slices=settings.reference_path is not None,
        )

    return ask


def select_pairs(settings: Settings) -> list[Pair]:
    """The entries of the mapping that are selected, which are to be planned next. Raises UsageError
    for a mapping that cannot be read."""
    look_again()
    try:
        return _selected(settings)
    except BaseException:
        planned()  # nothing is, and what was seen is not for others
        raise


def _selected(settings: Settings) -> list[Pair]:
    choice = settings.mapping
    with confined_to(settings.roots), collecting(after=0):
        mapped = map_pairs(choice.kind, settings.wish)
    pairs = select(mapped, settings.selection)
    _warn_of_few(mapped, pairs, settings)
    if not pairs:
        _tell_nothing(settings)
    pairs = with_masks(with_adapters(pairs, settings.wish), among=mapped)
    if settings.reference_path is None:
        return pairs
    with confined_to(settings.roots):
        return with_references(pairs, choice.kind, settings.wish, settings.reference_path)


def _warn_of_few(mapped: Sequence[Pair], selected: Sequence[Pair], settings: Settings) -> None:
    """Where so little is selected that verdicts are laxer than those of all would be."""
    growth = settings.tolerance.growth
    there, kept = ({pair.data_id for pair in pairs} for pairs in (mapped, selected))
    if growth and len(kept) < growth.few <= len(there):
        _LOGGER.warning(
            "%d of %d data_ids are selected, and from fewer than %d little can be learned: the "
            "expected error is up to %g times as large, so that faults may pass which a compare of "
            "all finds",
            len(kept),
            len(there),
            growth.few,
            growth.sparse,
        )


def _tell_nothing(settings: Settings) -> None:
    """Warn that there is no entry. Raises UsageError where a report would be replaced by an empty
    one."""
    sentence = f"nothing to compare: {settings.wish.golden_path} has no entries"
    if settings.output is not None and report_names(settings.output):
        raise UsageError(named(f"{sentence}; the report in {settings.output} stays as it is"))
    _LOGGER.warning("%s", sentence)
