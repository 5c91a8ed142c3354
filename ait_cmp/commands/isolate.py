"""`ait-cmp isolate`: two scripts in, a report in which each module of my's is judged by itself."""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ait_cmp.commands.output_folder import output_folder, said_of_option
from ait_cmp.commands.say import complain, remark
from ait_cmp.commands.status import ExitStatus, exit_status, status_of
from ait_cmp.dump.dump_request import range_list
from ait_cmp.dump.injection import ISOLATE, python_path
from ait_cmp.dump.launch import run_command, split_command
from ait_cmp.files.staging import report_names
from ait_cmp.isolating.in_process import ROWS, Task, read_pairs
from ait_cmp.isolating.written import CALLS
from ait_cmp.settings.keywords import live_settings
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import AitCmpError, ReportError, UsageError, os_reason
from ait_cmp.values.pair import Pair

__all__ = ["isolate"]

_CALLS, _ANSWERS = "isolate_calls", "isolate_golden"  # below the output


def isolate(arguments: argparse.Namespace) -> int:
    """Record my's calls, have golden's modules answer them, and judge each; without --golden record
    alone."""
    output = Path(os.path.abspath(arguments.output))
    try:
        if bool(arguments.my) == bool(arguments.calls):
            raise UsageError(
                "name either --my COMMAND or --calls FOLDER, of an earlier run's calls"
            )
        if not (arguments.golden or arguments.my):
            raise UsageError("name --golden COMMAND, whose modules are to answer the calls")
        with _alone(output_folder(arguments.output)):
            return _isolated(arguments, output)
    except AitCmpError as exc:
        stays = f"; the report in {output} stays as it is" if report_names(output) else ""
        complain(f"{said_of_option(exc)}{stays}")
        return status_of(exc)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """No other isolate works in this folder, where it has locks. Raises UsageError."""
    folder = os.open(output, os.O_RDONLY)
    try:
        with suppress(OSError):  # but of one that is held
            _lock(folder, output)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, output: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise UsageError(
            f"another isolate is working in {output}; wait for it or choose another --output"
        ) from exc


def _isolated(arguments: argparse.Namespace, output: Path) -> int:
    commands = {name: _words(name, getattr(arguments, name)) for name in ("my", "golden")}
    started, settings = datetime.now(UTC), _settings(arguments, output)
    task = Task(str(output / _CALLS), range_list(arguments.execute_range))
    status = _run("--my", commands["my"], task) if arguments.my else 0
    calls = _only(
        Path(arguments.calls or task.folder),
        CALLS,
        f"--calls {arguments.calls} has no calls that isolate recorded"
        if arguments.calls
        else _ended("--my", status, "a torch.nn.Module") or "--my called no torch.nn.Module",
        "left calls, and isolate takes those of one; name it: --calls",
    )
    if not arguments.golden:
        remark(f"ait-cmp isolate: my's calls are in {calls}; --calls {calls} takes them")
        return ExitStatus.PASS
    answers = Task(str(output / _ANSWERS), task.rounds, str(calls), arguments.precision)
    status = _run("--golden", commands["golden"], answers)
    found = _only(
        Path(answers.folder),
        ROWS,
        _ended("--golden", status, "a model with the modules that my's calls are of")
        or "no model of --golden has the modules that my's calls are of",
        "of --golden answered my's calls, and isolate takes the answers of one: let one alone run "
        "golden's model; the first is",
    )
    status = _compared(read_pairs(found, calls), settings, started)
    if not arguments.keep:
        shutil.rmtree(answers.folder, ignore_errors=True)
    return status


def _words(name: str, command: str | None) -> list[str]:
    """What runs. Raises UsageError where there is no such command."""
    if command is None:
        return []
    words = split_command(command, f"--{name}")
    if shutil.which(words[0]) is None:
        raise UsageError(f"--{name} cannot run {words[0]!r}: there is no such command")
    return words


def _ended(option: str, status: int, model: str) -> str:
    """What is said of a script that did not come to call a model."""
    if not status:
        return ""
    return f"{option} ended with status {status} before {model} had run; see its own error above"


def _run(option: str, command: list[str], task: Task) -> int:
    """Run a script, the processes of which do `task`; its exit status."""
    folder = Path(task.folder)
    try:
        if folder.exists():  # of an earlier run
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as exc:
        raise ReportError(f"{folder} cannot be made anew: {os_reason(exc)}") from exc
    environ = {**os.environ, "PYTHONPATH": python_path(os.environ), ISOLATE: task.to_json()}
    status = run_command(command, environ, option=option)
    if status:
        remark(f"ait-cmp isolate: {option} {shlex.join(command)} ended with status {status}")
    return status


def _only(folder: Path, name: str, nothing: str, several: str) -> Path:
    """The folder of the one process that left a file `name`. Raises UsageError for none, saying
    `nothing`, and for several."""
    inside = sorted(one.parent for one in folder.glob(f"*/{name}"))
    found = [folder] if (folder / name).exists() else inside
    if not found:
        raise UsageError(f"{nothing}: there is no {name} in {folder}")
    if len(found) > 1:
        raise UsageError(f"{len(found)} processes {several} {found[0]}")
    return found[0]


def _settings(arguments: argparse.Namespace, output: Path) -> Settings:
    """What the rows are judged by. Raises UsageError."""
    sides = arguments.golden, arguments.my or arguments.calls
    golden, my = (f"{said}, module by module" for said in sides)
    settings = live_settings(
        golden=golden, my=my, tolerance=arguments.tolerance, metrics="standard", epsilon=None
    )
    return replace(settings, output=output, reference_path=golden)


def _compared(pairs: Sequence[Pair], settings: Settings, started: datetime) -> int:
    """Compare the tensors of the rows as those of any dump, and write the report."""
    from ait_cmp.commands.compare import reported  # heavy, and not needed to record

    report = reported(pairs, settings, started)
    return exit_status(report.statuses, settings.fail_on)
