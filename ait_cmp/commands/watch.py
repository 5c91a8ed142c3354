"""Run a command, each module's output judged by a dump as it appears: `ait llm watch`."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from ait_cmp.commands.kept import keep, write_stats
from ait_cmp.commands.live_run import LiveRun, StopWatchingError, expected_of
from ait_cmp.commands.output_folder import report_folder, said_of_option
from ait_cmp.commands.say import may_go_unread, remark
from ait_cmp.commands.status import ExitStatus, exit_status, status_of
from ait_cmp.commands.switching import switch_by
from ait_cmp.dump.backends import environment
from ait_cmp.dump.dump_request import OUTPUTS, DumpRequest, name_list
from ait_cmp.dump.launch import run_command, split_command
from ait_cmp.report import make_report, write_report
from ait_cmp.report.console import show_summary
from ait_cmp.settings.keywords import live_settings
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import AitCmpError
from ait_cmp.watching.kept import AgainstDump, Golden
from ait_cmp.watching.listening import listening

__all__ = ["watch_command"]

_WORST = 10  # rows that are shown
_COARSEST = DTYPES["bfloat16"]  # that may be in a process of which nothing is known yet


def watch_command(arguments: argparse.Namespace) -> int:
    """Run what `add_arguments` parsed. The exit status is that of a compare, or the command's where
    that ends with one of its own."""
    try:
        return _watch(arguments)
    except AitCmpError as exc:
        remark(f"ait llm watch: error: {said_of_option(exc)}")
        return status_of(exc)


def _watch(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        folder = arguments.output and stack.enter_context(report_folder(arguments.output))
        return _watched(arguments, folder)


def _watched(arguments: argparse.Namespace, folder: Path | None) -> int:
    command = split_command(arguments.exec)
    golden = Golden(arguments.golden, "--golden")
    settings = live_settings(
        golden=arguments.golden,
        my="live:my",
        tolerance=arguments.tolerance,
        metrics="standard",
        epsilon=None,
    )
    live = LiveRun(
        settings, lambda: expected_of(golden, [_COARSEST]), stops=arguments.stop_at == "first"
    )

    def against(number: int, process: int) -> AgainstDump:
        return AgainstDump(
            golden,
            settings.wanted,
            live.take,
            ignore_unpaired=arguments.unpaired == "ignore",
            run=number,
            process=str(process),
        )

    with (
        switch_by(arguments.switch, "ait llm watch") as switch,
        listening(against, StopWatchingError, _tell_outliving) as path,
    ):
        request = _request(arguments, golden, path, switch.path)
        environ = environment("torch", request, os.environ)
        status = run_command(command, environ, switch.heard)
    if not len(live):
        remark(
            "ait llm watch: nothing was seen: is a torch.nn.Module called in a round that golden "
            "has, and does the command start Python with PYTHONPATH (not with -I, -E or -S)?"
        )
    found = _report(live, folder)
    if status and not live.stopped:
        remark(f"ait llm watch: the command ended with status {status}")
        return status
    return found


def _request(arguments: argparse.Namespace, golden: Golden, path: str, switch: str) -> DumpRequest:
    return DumpRequest(
        output="",
        execute_range=tuple((one, one) for one in sorted(golden.tensors)),
        save_tensor_part=OUTPUTS,
        operation_name=name_list(arguments.operation_name),
        device_id=arguments.device_id,
        log_level=arguments.log_level,
        watcher=path,
        switch=switch,
    )


def _tell_outliving(process: int) -> None:
    remark(
        f"ait llm watch: process {process} outlives the command; what it gives from now on is not "
        "looked at"
    )


def _report(live: LiveRun, folder: Path | None) -> ExitStatus:
    """Show what was found, and write it where that is wanted."""
    run = live.run
    report = make_report(run.rows, run.facts, run.metrics.extra)
    paths: list[Path] = []
    if folder is not None:
        paths = write_report(report, folder, ("csv", "parquet"))
        write_stats(run, folder)
        keep(run, folder)
    with may_go_unread("the summary"):
        show_summary(report, paths, _WORST)
    return exit_status(report.statuses)
