"""The command: Hydra gives a config, a run gives an exit status."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ait_cmp.commands.status import WITHOUT_REPORT, ExitStatus, status_of
from ait_cmp.settings import sweep
from ait_cmp.settings.schema import Config, config_folder, unknown_setting
from ait_cmp.values.errors import AitCmpError, ReportError, UsageError
from ait_cmp.values.text import printable

if TYPE_CHECKING:
    from ait_cmp.settings.values import Settings

__all__ = ["main"]

Work = Callable[["Settings"], int]

_LOGGER = logging.getLogger("ait_cmp")
# Hydra's options that take a value, which may look like an override.
_BAD_SYNTAX = re.compile(
    "mismatched input|Unknown function|token recognition|no viable|extraneous input|missing EQUAL"
)
_NO_OPTION = re.compile(
    r"Could not find '([^']+)'\s+Available options in '([^']+)':\n((?:\t.+\n)*)"
)
_VALUE_OPTIONS = {
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
    "-cd",
    "--cfg",
    "-c",
    "--package",
    "-p",
}


class _PrintableFormatter(logging.Formatter):
    """Messages that hold text of others, in one line each."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


def main(argv: Sequence[str] | None = None, work: Work | None = None) -> int:
    """Run the command with the arguments `argv` (default: the process's); its exit status.

    `work` is what is done with the settings of each job; the default is to compare.
    """
    statuses: list[int] = []
    ConfigStore.instance().store(name="schema", node=Config)
    command = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(lambda config: statuses.append(_job(config, work)))
    try:
        arguments = _options_first(list(sys.argv[1:] if argv is None else argv))
        with _hydra_environment(_with_tolerance_file(arguments)):
            command()
    except KeyboardInterrupt:
        _fail("interrupted")
        statuses.append(ExitStatus.INTERRUPTED)
    except SystemExit as exc:
        statuses.append(
            exc.code if isinstance(exc.code, int) else ExitStatus.USAGE if exc.code else 0
        )
    except Exception as exc:  # of the config: jobs answer for their own
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        _fail(_explain(exc))
        statuses.append(ExitStatus.USAGE)
    return max([0, *statuses, *_finish_sweep()])


def _job(config: DictConfig, work: Work | None) -> int:
    """One compare; in a sweep, with its record."""
    job = HydraConfig.get()
    if job.mode != RunMode.MULTIRUN:
        return _compare(config, work, None)
    folder = Path(job.runtime.output_dir)
    status: int = ExitStatus.INTERRUPTED
    print(f"\njob {job.job.num}: {printable(' '.join(job.overrides.task))}", flush=True)
    try:
        status = _compare(config, work, folder)
    finally:
        overrides = list(job.overrides.task)
        sweep.job_record(job.job.num, overrides, status).write(folder)
    return status


def _compare(config: DictConfig, work: Work | None, folder: Path | None) -> int:
    """The exit status of one job, which writes to `folder` if it is part of a sweep."""
    from ait_cmp.commands.compare import run
    from ait_cmp.settings.resolve import resolve

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], force=True)
    try:
        _LOGGER.setLevel(config.log_level.value)
        settings = resolve(config)
        if folder is not None:
            if work is not None:  # it has no report to merge
                raise UsageError("a calibration is of one run; leave out -m")
            if settings.dry_run:
                raise UsageError("dry_run=true lists the pairs of one compare; leave out -m")
            # The merged report is made of the exact one.
            formats = tuple(dict.fromkeys((*settings.formats, "parquet")))
            settings = replace(settings, output=folder, formats=formats, worst=0)
        return (work or run)(settings)
    except AitCmpError as exc:
        _fail(str(exc))
        return status_of(exc)
    except Exception as exc:
        _LOGGER.debug("unexpected error", exc_info=exc)
        _fail(
            f"ait_cmp itself failed ({type(exc).__name__}: {exc}); run with log_level=debug and "
            "report it"
        )
        return ExitStatus.NO_REPORT


def _finish_sweep() -> list[int]:
    """Write the merged report of the sweep that ran, if one did; the statuses of its jobs."""
    ran = sweep.take_current()
    if ran is None:
        return []
    from ait_cmp.report import STEM, Facts, merge_reports, write_report
    from ait_cmp.report.console import show_summary

    jobs = ran.jobs()
    # What lies in the folder of a job without a report is of an earlier sweep.
    reports = [
        (job.name, job.folder / f"{STEM}.parquet")
        for job in jobs
        if job.status not in WITHOUT_REPORT
    ]
    statuses = [job.status for job in jobs]
    if not reports:
        return statuses  # nothing to merge: an old report stays
    try:
        merged = merge_reports(reports, Facts())
        paths = write_report(merged, ran.output, ran.formats)
        print(f"\nmerged report of {len(reports)} of {len(jobs)} jobs")
        show_summary(merged, paths, ran.worst)
    except ReportError as exc:
        _fail(str(exc))
        statuses.append(ExitStatus.NO_REPORT)
    return statuses


@contextmanager
def _hydra_environment(arguments: list[str]) -> Iterator[None]:
    """Hydra reads its arguments from sys.argv, and raises errors as they are when told so."""
    before = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["ait_cmp", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = before[0]
        del os.environ["HYDRA_FULL_ERROR"]
        if before[1] is not None:
            os.environ["HYDRA_FULL_ERROR"] = before[1]


def _options_first(arguments: list[str]) -> list[str]:
    """Options before overrides, since Hydra's parser refuses them mixed."""
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _VALUE_OPTIONS:
            options += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        else:
            if "=" not in argument and os.path.exists(argument):
                raise UsageError(f"{argument} is no setting; write golden_path={argument}")
            (options if argument.startswith("-") else overrides).append(argument)
    return options + overrides


def _with_tolerance_file(arguments: list[str]) -> list[str]:
    """`tolerance=FOLDER/tolerance/NAME.yaml` as Hydra reads it: a place to search, and a name."""
    key = "tolerance="
    given = [one for one in arguments if one.startswith(key) and one.endswith(".yaml")]
    if not given:
        return arguments
    path = Path(given[-1].removeprefix(key)).absolute()
    if not path.is_file():
        raise UsageError(f"the tolerance {path} does not exist")
    if path.parent.name != "tolerance":
        raise UsageError(f"{path} must lie in a folder called tolerance to be read from there")
    place = f"hydra.searchpath=[file://{path.parent.parent}]"
    rest = [one for one in arguments if one not in given]
    return [*rest, place, f"{key}{path.stem}"]


def _explain(error: Exception) -> str:
    """Hydra's message as one sentence that says what to do."""
    text = f"{error}\n{error.__cause__ or ''}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return unknown_setting(unknown[1])
    if option := _NO_OPTION.search(text):
        return f"there is no {option[1]}; choose {option[2]} from {', '.join(option[3].split())}"
    if value := re.search(r"merging override (\S+)\n(.+)", text):
        return f"{value[1]}: {value[2]}"
    if _BAD_SYNTAX.search(text):
        return (
            f"an override cannot be read ({text.splitlines()[0]}); put a value with special "
            "characters in two pairs of quotes: 'golden_path=\"/a=b\"'"
        )
    return " ".join(filter(None, map(str.strip, text.splitlines())))


def _fail(sentence: str) -> None:
    print(f"ait_cmp: error: {printable(sentence)}", file=sys.stderr)
