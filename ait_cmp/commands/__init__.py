"""The commands: one module each, a row in `COMMANDS`, one entry.

Light, since every worker process imports the entry: a command is imported when it is asked for.

To add a command: one module with a function, one row in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ait_cmp.commands.say import complain, lacking, print_anything, reader_may_leave
from ait_cmp.commands.status import ExitStatus

__all__ = ["COMMANDS", "COMPLETION", "Command", "main"]

_DEFAULT = "compare"
_HELP = ("--help", "-h")
COMPLETION = ("-sc", "--shell-completion")
_WORD = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True)
class Command:
    """A function, as `module:function`, and what it does, in a line.

    It takes `Settings`, which Hydra composes of the arguments; in a sweep, once a job, if
    `sweeps`. With a `parser_home` it takes what that function's parser makes of them. Its help
    shows the settings and groups that it `heeds`, or all but what it does `not_heed`; one that
    `asks_report` takes report=FOLDER for a finished run, and no setting that it does not heed.
    """

    home: str
    summary: str
    usage: str
    sweeps: bool = False
    parser_home: str = ""
    heeds: tuple[str, ...] = ()
    asks_report: bool = False
    not_heed: tuple[str, ...] = ()

    def function(self) -> Callable[[Any], int]:
        """The function, imported now."""
        found: Callable[[Any], int] = _imported(self.home)
        return found

    def parser(self) -> argparse.ArgumentParser | None:
        """The parser of its arguments; None where these are settings."""
        if not self.parser_home:
            return None
        parser: argparse.ArgumentParser = _imported(self.parser_home)()
        return parser


# What asks for no more than what was measured.
_JUDGED = (
    *("tolerance", "tolerance.default", "tolerance.growth"),
    *("metrics", "metrics.definition", "metrics.names", "metrics.epsilon"),
    *("report.formats", "report.worst", "report.csv.bom", "report.paths", "report.language"),
)
# What a command that writes no report has no use for.
_OF_REPORTS = (
    *("report", "report.formats", "report.worst", "report.csv.bom", "report.details"),
    *("report.paths", "report.language", "diagnosis", "diagnosis.rows"),
)

COMMANDS: dict[str, Command] = {
    "compare": Command(
        "ait_cmp.commands.compare:compare_and_report",
        "compare golden tensors with my tensors, judge each pair, write the report (default)",
        "golden_path=DUMP output=FOLDER",
        sweeps=True,
        not_heed=("learn_failing", "report_path"),
    ),
    "calibrate": Command(
        "ait_cmp.commands.calibrate:calibrate",
        "learn the noise of a run that is known to be good: a tolerance for later compares",
        "golden_path=DUMP output=FOLDER",
        not_heed=("report_path", *_OF_REPORTS),
    ),
    "dump": Command(
        "ait_cmp.commands.dump:dump",
        "run a command so that the tensors which it computes are dumped",
        "--exec COMMAND --output FOLDER",
        parser_home="ait_cmp.commands.dump:make_parser",
    ),
    "isolate": Command(
        "ait_cmp.commands.isolate:isolate",
        "judge each module by itself: golden's is run on what my's was given",
        "--golden COMMAND --my COMMAND --output FOLDER",
        parser_home="ait_cmp.commands.isolate_arguments:make_parser",
    ),
    "pair": Command(
        "ait_cmp.commands.pair:pair",
        "propose who belongs to whom in two dumps whose names differ: a mapping to read and edit",
        "golden_path=DUMP my_path=DUMP output=pairs.yaml",
        heeds=(
            *("golden_path", "my_path", "allowed_roots"),
            *("output", "fail_on", "log_level", "mapping.budget"),
        ),
    ),
    "fingerprint": Command(
        "ait_cmp.commands.fingerprint:fingerprint",
        "make the fingerprints of a dump: one file, a hundredth of the bytes, compared like a dump",
        "golden_path=DUMP output=X.fp.safetensors",
        heeds=("golden_path", "allowed_roots", "output", "fail_on", "log_level"),
    ),
    "judge": Command(
        "ait_cmp.commands.judge:judge",
        "judge a finished run anew, of what was measured: no tensor is read",
        "report=FOLDER tolerance=…",
        heeds=("report_path", *_JUDGED, "output", "fail_on", "log_level"),
        asks_report=True,
    ),
    "diff": Command(
        "ait_cmp.commands.diff:diff",
        "compare two finished runs: rows that broke, were mended, came, went or moved",
        "base=FOLDER new=FOLDER",
        parser_home="ait_cmp.commands.diff:make_parser",
    ),
    "show": Command(
        "ait_cmp.commands.show:show",
        "show the summary of a finished run again, or all that is known of a row",
        "report=FOLDER [ROW]",
        parser_home="ait_cmp.commands.show:make_parser",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names (default: the process's); its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else ""
    print_anything()
    if first in _HELP or first == "--version":
        from ait_cmp.commands.overview import overview, version

        with reader_may_leave():
            print(version() if first == "--version" else overview(COMMANDS))
        return ExitStatus.PASS
    if first in COMPLETION:
        from ait_cmp.commands.completion import complete_commands

        return complete_commands(COMMANDS, arguments)
    if first in COMMANDS:
        return _run(first, arguments[1:])
    if _WORD.fullmatch(first) and not os.path.exists(first):
        complain(_no_command(first))
        return ExitStatus.USAGE
    return _run(_DEFAULT, arguments)


def _run(name: str, arguments: list[str]) -> int:
    command = COMMANDS[name]
    if parser := command.parser():
        parsed = parser.parse_args(arguments)
        try:
            return command.function()(parsed)
        except ModuleNotFoundError as exc:
            complain(lacking(exc))
            return ExitStatus.USAGE
    from ait_cmp.commands.configured import run_configured

    return run_configured(name, command, arguments)


def _imported(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)


def _no_command(word: str) -> str:
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(COMMANDS)}"
    return f"there is no command {word!r}; {hint}"
