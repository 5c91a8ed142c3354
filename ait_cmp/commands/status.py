"""What every command's exit status says."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from ait_cmp.values.errors import AitCmpError, ReportError
from ait_cmp.values.fail_on import FailOn

__all__ = ["WITHOUT_REPORT", "ExitStatus", "exit_status", "status_of"]


class ExitStatus(IntEnum):
    """The exit status of the command; of several, the highest."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCOMPLETE = 3  # some row could not be compared, or none was judged
    NO_REPORT = 4
    INTERRUPTED = 130


# With these no report was written.
WITHOUT_REPORT = (ExitStatus.USAGE, ExitStatus.NO_REPORT, ExitStatus.INTERRUPTED)


def exit_status(statuses: Collection[str], fail_on: FailOn = FailOn.any) -> ExitStatus:
    """The exit status of rows of these statuses."""
    from ait_cmp.judging import Status  # heavy, and every entry imports this module

    found = set(statuses)
    if fail_on is FailOn.never:
        return ExitStatus.PASS
    if not found - {Status.SKIPPED, Status.ERROR}:
        return ExitStatus.INCOMPLETE  # nothing was compared, which is no pass
    if Status.ERROR in found and fail_on is not FailOn.fail:
        return ExitStatus.INCOMPLETE
    fails = Status.FAIL in found and fail_on is not FailOn.error
    return ExitStatus.FAIL if fails else ExitStatus.PASS


def status_of(error: AitCmpError) -> ExitStatus:
    """The exit status of a command that ended with `error`."""
    return ExitStatus.NO_REPORT if isinstance(error, ReportError) else ExitStatus.USAGE
