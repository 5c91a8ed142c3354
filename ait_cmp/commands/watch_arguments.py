"""The options of `ait llm watch`, known without what it judges with."""

from __future__ import annotations

import argparse

from ait_cmp.commands.run_options import (
    add_device_id,
    add_exec,
    add_log_level,
    add_operation_name,
    add_switch,
    add_tolerance,
)

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, in their order."""
    add = parser.add_argument
    add_exec(parser)
    add("--golden", required=True, metavar="DUMP", help="a .fp.safetensors, or a dump of tensors")
    add("--output", "-o", metavar="FOLDER", help="where the report goes (default: nowhere)")
    add(
        "--stop-at",
        choices=("end", "first"),
        default="end",
        help="first: the command ends at the first divergence (default: end)",
    )
    add_tolerance(parser)
    add(
        "--unpaired",
        choices=("error", "ignore"),
        default="error",
        help="ignore: what one side alone has is skipped (default: error)",
    )
    add_operation_name(parser)
    add_device_id(parser)
    add_switch(parser, "look only at calls that begin while this file exists")
    add_log_level(parser)
