"""The options of `ait-cmp isolate`, known without torch, which it runs golden's modules with."""

from __future__ import annotations

import argparse

from ait_cmp.commands.run_options import add_log_level, add_tolerance

__all__ = ["make_parser"]

_DOES = (
    "`ait-cmp isolate`: two scripts in, a report in which each module of my's is judged by itself."
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `ait-cmp isolate`."""
    parser = argparse.ArgumentParser(prog="ait-cmp isolate", description=_DOES)
    add = parser.add_argument
    add("--golden", metavar="COMMAND", help="runs the golden model, without a shell")
    add("--my", metavar="COMMAND", help="runs my model: its calls are recorded")
    add("--calls", metavar="FOLDER", help="my's calls as an earlier run recorded them, for --my")
    add(
        *("--execute-range", "-er"),
        default="0,0",
        metavar="FIRST,LAST",
        help="token rounds, as closed ranges: 0,3 (default: 0,0)",
    )
    add(
        "--precision",
        choices=("float64", "float32"),
        default="float64",
        help="in which golden's modules are run on what my's were given (default: float64)",
    )
    add_tolerance(parser)
    add("--output", "-o", default="./", help="where the report goes (default: this folder)")
    add(
        "--keep",
        action="store_true",
        help="keep golden's tensors beside my's calls, which `show` reads for a closer look",
    )
    add_log_level(parser)
    return parser
