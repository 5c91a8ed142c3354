"""`ait-cmp judge`: a finished run in, judged anew of what was measured: no tensor is read."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from ait_cmp.commands.ci import tell_ci
from ait_cmp.commands.compare import collecting, warn_of_idle
from ait_cmp.commands.details import with_kept_details
from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run, keep, kept, require_stats
from ait_cmp.commands.say import may_go_unread
from ait_cmp.commands.status import ExitStatus, exit_status
from ait_cmp.files.staging import staged
from ait_cmp.measuring.store import NAME, holding
from ait_cmp.report import facts_since, formats_for, make_report, write_report
from ait_cmp.report.console import show_summary
from ait_cmp.report.markdown import as_markdown
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import ReportError, UsageError, os_reason

__all__ = ["judge"]

# Settings whose names begin so are those of the judgement; all others stay those of the run.
_OF_JUDGE = (
    *("tolerance.", "metrics.definition", "metrics.names", "metrics.epsilon"),
    *("report.", "report_path", "output", "fail_on", "log_level"),
)


@collecting()
def judge(settings: Settings) -> ExitStatus:
    """Judge, write the report, show the summary; the status is that of the rows.

    Raises UsageError where no run is kept, or the stats do not have what is asked for, ReportError
    when the report cannot be written.
    """
    if settings.report_path is None:
        raise UsageError("report is missing; pass report=FOLDER of a finished compare")
    started = datetime.now(UTC)
    was = kept(settings.report_path)
    require_stats(settings.report_path, settings.wanted)
    run = _judged(was, settings, started)
    report = make_report(run.rows, run.facts, run.metrics.extra)
    if "html" in formats_for(report.counts, settings.formats):
        report = with_kept_details(report, settings.details, {"": settings.report_path})
    with staged(settings.folder), holding(settings.folder):
        paths = write_report(report, settings.folder, settings.formats)
        _copy_stats(settings)
        keep(run, settings.folder)
    with may_go_unread("the summary"):
        print(f"judged by tolerance={settings.tolerance.name}, before by {was.tolerance.name}")
        show_summary(report, paths, settings.worst)
    tell_ci(lambda: as_markdown(report))
    return exit_status(report.statuses, settings.fail_on)


def _judged(was: Run, settings: Settings, started: datetime) -> Run:
    tolerance, settled = settings.tolerance, was.settled
    warn_of_idle(settled, tolerance)
    told = {name: value for name, value in settings.in_force.items() if name.startswith(_OF_JUDGE)}
    facts = facts_since(started, {**was.facts.settings, **told})
    rows = JudgedRows(settled, tolerance, settings.metrics, was.rows.diagnoses)
    return Run(settled, tolerance, settings.metrics, rows, facts)


def _copy_stats(settings: Settings) -> None:
    """So that what is judged elsewhere can be judged again there."""
    assert settings.report_path is not None
    source, place = settings.report_path / NAME, settings.folder / NAME
    try:
        if not (place.exists() and source.samefile(place)):
            place.unlink(missing_ok=True)
            shutil.copyfile(source, place)
    except OSError as exc:
        raise ReportError(f"{place} cannot be written: {os_reason(exc)}; free some space") from exc
