"""The commands: one module each, a row in `COMMANDS`, one entry.

Light, since every worker process imports the entry: a command is imported when it is asked for.

To add a command: one module with a function, one row in `COMMANDS`.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ait_cmp.commands.say import complain, print_anything, reader_may_leave
from ait_cmp.commands.status import ExitStatus

__all__ = ["COMMANDS", "Command", "main"]

_DEFAULT = "compare"
_HELP = ("--help", "-h")
_WORD = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, as `module:function`, and what it does, in a line.

    With `configured` the function takes `Settings`, which Hydra composes of the arguments; in a
    sweep, once a job, if `sweeps`. Without, it takes the arguments as they are.
    """

    home: str
    summary: str
    usage: str
    configured: bool = True
    sweeps: bool = False

    def function(self) -> Callable[[Any], int]:
        """The function, imported now."""
        module, _, name = self.home.partition(":")
        found: Callable[[Any], int] = getattr(importlib.import_module(module), name)
        return found


COMMANDS: dict[str, Command] = {
    "compare": Command(
        "ait_cmp.commands.compare:compare_and_report",
        "compare golden tensors with my tensors, judge each pair, write the report (default)",
        "golden_path=DUMP output=FOLDER",
        sweeps=True,
    ),
    "calibrate": Command(
        "ait_cmp.commands.calibrate:calibrate",
        "learn the noise of a run that is known to be good: a tolerance for later compares",
        "golden_path=DUMP output=FOLDER",
    ),
    "dump": Command(
        "ait_cmp.commands.dump:main",
        "run a command so that the tensors which it computes are dumped",
        "--exec COMMAND --output FOLDER",
        configured=False,
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
    if first in COMMANDS:
        return _run(first, arguments[1:])
    if _WORD.fullmatch(first) and not os.path.exists(first):
        complain(_no_command(first))
        return ExitStatus.USAGE
    return _run(_DEFAULT, arguments)


def _run(name: str, arguments: list[str]) -> int:
    command = COMMANDS[name]
    if not command.configured:
        return command.function()(arguments)
    from ait_cmp.commands.configured import run_configured

    return run_configured(name, command, arguments)


def _no_command(word: str) -> str:
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(COMMANDS)}"
    return f"there is no command {word!r}; {hint}"
