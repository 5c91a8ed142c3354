"""The merged report of a sweep."""

from __future__ import annotations

from ait_cmp.commands.ci import tell_ci
from ait_cmp.commands.say import complain, may_go_unread
from ait_cmp.commands.status import WITHOUT_REPORT, ExitStatus
from ait_cmp.settings.sweep import Sweep, take_current
from ait_cmp.values.errors import ReportError

__all__ = ["merge_sweep"]


def merge_sweep() -> list[int]:
    """Write the merged report of the sweep that ran, if one did; the statuses of its jobs."""
    ran = take_current()
    if ran is None:
        return []
    with ran.held:
        return _merge(ran)


def _merge(ran: Sweep) -> list[int]:
    from ait_cmp.commands.details import with_kept_details
    from ait_cmp.report import facts_since, file_name, formats_for, merge_reports, write_report
    from ait_cmp.report.console import show_summary
    from ait_cmp.report.markdown import as_markdown

    jobs = ran.jobs()
    for sentence in ran.dead:
        complain(sentence)
    # What lies in the folder of a job without a report is of an earlier sweep.
    reports = [
        (job.name, job.folder / file_name("parquet"))
        for job in jobs
        if job.status not in WITHOUT_REPORT
    ]
    statuses = [job.status for job in jobs] + [ExitStatus.NO_REPORT for _ in ran.dead]
    if not reports:
        return statuses  # nothing to merge: an old report stays
    try:
        merged = merge_reports(reports, facts_since(ran.started, ran.settings))
        if "html" in formats_for(merged.counts, ran.formats):
            merged = with_kept_details(merged, ran.details, {one.name: one.folder for one in jobs})
        paths = write_report(merged, ran.output, ran.formats)
        with may_go_unread("the merged summary"):
            print(f"\nmerged report of {len(reports)} of {len(statuses)} jobs")
            show_summary(merged, paths, ran.worst)
        tell_ci(lambda: as_markdown(merged))
    except ReportError as exc:
        complain(str(exc))
        statuses.append(ExitStatus.NO_REPORT)
    return statuses
