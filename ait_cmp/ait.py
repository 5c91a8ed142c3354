"""The original's command line, `ait llm dump` and `ait llm compare`, on the same code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from ait_cmp.__main__ import leave
from ait_cmp.__main__ import main as compare
from ait_cmp.commands import COMPLETION
from ait_cmp.commands.dump import add_arguments as add_dump_arguments
from ait_cmp.commands.dump import dump
from ait_cmp.commands.original import add_arguments as add_compare_arguments
from ait_cmp.commands.original import overrides
from ait_cmp.commands.overview import version
from ait_cmp.commands.say import complain, lacking, reader_may_leave
from ait_cmp.commands.status import ExitStatus
from ait_cmp.commands.watch_arguments import add_arguments as add_watch_arguments
from ait_cmp.values.errors import UsageError

__all__ = ["main", "run"]


def run() -> NoReturn:
    """Be the process: run `ait` with the process's arguments, and end with its status."""
    leave(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ait` with the arguments `argv` (default: the process's); its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in COMPLETION:
        from ait_cmp.commands.completion import complete_parser

        return complete_parser("ait", _parser(), words)
    if words[:1] == ["--version"]:
        with reader_may_leave():
            print(version())
        return ExitStatus.PASS
    arguments = _parser().parse_args(words)
    status: int = arguments.run(arguments)
    return status


def _compare(arguments: argparse.Namespace) -> int:
    try:
        settings = list(overrides(arguments))
    except UsageError as exc:
        complain(str(exc))
        return ExitStatus.USAGE
    return compare(settings)


def _watch(arguments: argparse.Namespace) -> int:
    try:
        from ait_cmp.commands.watch import watch_command  # heavy, as what it judges with is

        return watch_command(arguments)
    except ModuleNotFoundError as exc:
        complain(lacking(exc))
        return ExitStatus.USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ait", description="The ait command line.")
    parser.add_argument("--version", action="store_true", help="which ait_cmp this is")
    llm = parser.add_subparsers(title="components", required=True).add_parser(
        "llm", help="large language models"
    )
    commands = llm.add_subparsers(title="commands", required=True)
    command = commands.add_parser("compare", help="compare golden tensors with my tensors")
    add_compare_arguments(command)
    command.set_defaults(run=_compare)
    command = commands.add_parser("dump", help="run a command so that its tensors are dumped")
    add_dump_arguments(command)
    command.set_defaults(run=dump)
    command = commands.add_parser("watch", help="run a command, its modules judged meanwhile")
    add_watch_arguments(command)
    command.set_defaults(run=_watch)
    return parser


if __name__ == "__main__":
    run()
