"""The original's command line, `ait llm dump` and `ait llm compare`, on the same code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ait_cmp.__main__ import main as compare
from ait_cmp.commands import COMPLETION
from ait_cmp.commands.dump import add_arguments as add_dump_arguments
from ait_cmp.commands.dump import dump
from ait_cmp.values.overrides import quoted

__all__ = ["main"]

_LEVELS = ("debug", "info", "warning", "error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ait` with the arguments `argv` (default: the process's); its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in COMPLETION:
        from ait_cmp.commands.completion import complete_parser

        return complete_parser("ait", _parser(), words)
    arguments = _parser().parse_args(words)
    status: int = arguments.run(arguments)
    return status


def _compare(arguments: argparse.Namespace) -> int:
    overrides = {
        "golden_path": arguments.golden_path,
        "my_path": arguments.my_path,
        "output": arguments.output,
        "log_level": arguments.log_level,
    }
    return compare([f"{key}={quoted(value)}" for key, value in overrides.items() if value])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ait", description="The ait command line.")
    llm = parser.add_subparsers(title="components", required=True).add_parser(
        "llm", help="large language models"
    )
    commands = llm.add_subparsers(title="commands", required=True)
    command = commands.add_parser("compare", help="compare golden tensors with my tensors")
    command.add_argument(
        "--golden-path",
        "-gp",
        required=True,
        help="dump folder, golden_tensor folder, ait_dump root, or one tensor file",
    )
    command.add_argument(
        "--my-path", "-mp", help="one tensor file, or the folder that holds the my tensors"
    )
    command.add_argument("--log-level", "-l", choices=_LEVELS, default="info", type=str.lower)
    command.add_argument("--output", "-o", default="./", help="where the report goes")
    command.set_defaults(run=_compare)
    command = commands.add_parser("dump", help="run a command so that its tensors are dumped")
    add_dump_arguments(command)
    command.set_defaults(run=dump)
    return parser


if __name__ == "__main__":
    sys.exit(main())
