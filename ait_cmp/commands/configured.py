"""Commands that take settings: arguments in, an exit status for every job, the highest out."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ait_cmp.commands.merge import merge_sweep
from ait_cmp.commands.overview import EXIT_STATUSES, version
from ait_cmp.commands.say import complain, lacking, may_go_unread, reader_may_leave
from ait_cmp.commands.status import ExitStatus, status_of
from ait_cmp.settings.arguments import has_option, option_values, setting_keys, without_option
from ait_cmp.settings.hydra_jobs import Job, each_job
from ait_cmp.settings.reference import settings_reference
from ait_cmp.settings.schema import GROUPS, setting_help
from ait_cmp.settings.sweep import in_job_folder, job_record
from ait_cmp.values.errors import AitCmpError, UsageError
from ait_cmp.values.interrupts import told_as_interrupts
from ait_cmp.values.text import printable

if TYPE_CHECKING:
    from ait_cmp.commands import Command

__all__ = ["run_configured"]

_CFG, _PACKAGE = ("--cfg", "-c"), ("--package", "-p")
_LOGGER = logging.getLogger("ait_cmp")


class _PrintableFormatter(logging.Formatter):
    """Messages that hold text of others, in one line each."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


def run_configured(name: str, command: Command, arguments: list[str]) -> int:
    """Run `command` with the settings that `arguments` make; the highest status of its jobs."""
    statuses: list[int] = []
    try:
        if has_option(arguments, "--help", "-h", "--version"):
            with reader_may_leave():
                wants_version = has_option(arguments, "--version")
                print(version() if wants_version else _help(name, command, arguments))
            return ExitStatus.PASS
        if "job" in option_values(arguments, *_CFG):
            _show_config(arguments)
            return ExitStatus.PASS
        if command.asks_report:
            arguments = _of_report(name, command, arguments)
        with told_as_interrupts():
            each_job(arguments, lambda job: statuses.append(_run_job(job, name, command)))
    except KeyboardInterrupt:
        complain("interrupted")
        statuses.append(ExitStatus.INTERRUPTED)
    except SystemExit as exc:  # Hydra's own options, as --info
        status = ExitStatus.USAGE if exc.code else ExitStatus.PASS
        statuses.append(exc.code if isinstance(exc.code, int) else status)
    except AitCmpError as exc:
        complain(str(exc))
        statuses.append(status_of(exc))
    statuses += merge_sweep()  # also those of jobs that other processes ran
    if not statuses and has_option(arguments, "-m", "--multirun"):
        complain("the sweep has no jobs: what it runs over matches nothing")
        return ExitStatus.USAGE
    return max([ExitStatus.PASS, *statuses])


def _of_report(name: str, command: Command, arguments: list[str]) -> list[str]:
    """`arguments` with report=FOLDER as the setting that it is, and the golden_path of that run.

    Raises UsageError where it is missing, and for what has nothing to say to `command`.
    """
    from ait_cmp.commands.kept import settings_of
    from ait_cmp.files.staging import near_report

    folders = [one.partition("=")[2] for one in arguments if one.startswith("report=")]
    if len(folders) != 1 or not folders[0]:
        raise UsageError(f"{name} needs one report=FOLDER, that of a finished compare")
    kept = [one for one in arguments if not one.startswith("report=")]
    for key in setting_keys(kept):
        if key not in command.heeds and not key.startswith("tolerance."):
            raise UsageError(f"{key} says nothing to {name}, which reads no tensor; compare again")
    golden = settings_of(near_report(folders[0])).get("golden_path") or "?"
    output = [] if "output" in setting_keys(kept) else [f"output={folders[0]}"]
    return [*kept, f"report_path={folders[0]}", f"golden_path={golden}", *output]


def _show_config(arguments: list[str]) -> None:
    """What `--cfg job` asks for, in full: Hydra shows what files name, not what is in force."""
    package = next(option_values(arguments, *_PACKAGE), None)
    rest = without_option(arguments, *_CFG, *_PACKAGE)
    resolved = "--resolve" in rest
    jobs: list[Job] = []
    each_job([one for one in rest if one != "--resolve"], jobs.append)
    with reader_may_leave():
        for job in jobs:
            print(job.shown(package, resolved=resolved), end="")


def _help(name: str, command: Command, arguments: list[str]) -> str:
    usage = [f"  ait-cmp {name} {command.usage}"]
    if command.sweeps:
        usage.append(f"  ait-cmp {name} -m {command.usage} tokens=0-9,10-19")
    uses = "\n".join(usage)
    every = {*GROUPS, *(key for key, _ in setting_help())}
    takes = set(command.heeds) or every - set(command.not_heed)
    reference = settings_reference(arguments, takes)
    return f"ait-cmp {name}: {command.summary}\n\n{uses}\n\n{reference}\n\n{EXIT_STATUSES}"


def _run_job(job: Job, name: str, command: Command) -> int:
    """The exit status of one job; in a sweep, also left as a record in its folder."""
    if job.folder is None:
        return _status(job, name, command)
    status: int = ExitStatus.INTERRUPTED
    with may_go_unread("which job runs"):
        print(f"\njob {job.number}: {printable(' '.join(job.overrides))}")
    try:
        status = _status(job, name, command)
    finally:
        job_record(job.number, list(job.overrides), status).write(job.folder)
    return status


def _status(job: Job, name: str, command: Command) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], force=True)
    _LOGGER.setLevel(job.log_level)
    try:
        values = job.values()
        if job.folder is not None:
            if not command.sweeps:  # it has no report to merge
                raise UsageError(f"{name} takes one run at a time; leave out -m")
            if values.dry_run:
                raise UsageError("dry_run=true lists the pairs of one compare; leave out -m")
            values = in_job_folder(values, job.folder)
        from ait_cmp.commands.compare import list_pairs
        from ait_cmp.settings.resolve import resolve

        work = list_pairs if values.dry_run else command.function()
        with told_as_interrupts():
            return work(replace(resolve(values), in_sweep=job.folder is not None))
    except AitCmpError as exc:
        complain(str(exc))
        return status_of(exc)
    except ModuleNotFoundError as exc:
        complain(lacking(exc))
        return ExitStatus.USAGE
    except Exception as exc:
        _LOGGER.debug("unexpected error", exc_info=exc)
        complain(
            f"ait_cmp itself failed ({type(exc).__name__}: {exc}); run with log_level=debug and "
            "report it"
        )
        return ExitStatus.NO_REPORT
