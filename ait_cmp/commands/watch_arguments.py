"""The options of `ait llm watch`, known without what it judges with."""

from __future__ import annotations

import argparse

from ait_cmp.dump.dump_request import LOG_LEVELS

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; what `ait llm dump` has as well is called alike."""
    add = parser.add_argument
    add("--exec", required=True, metavar="COMMAND", help="what to run, without a shell")
    add("--golden", required=True, metavar="DUMP", help="a .fp.safetensors, or a dump of tensors")
    add("--output", "-o", metavar="FOLDER", help="where the report goes (default: nowhere)")
    add(
        "--stop-at",
        choices=("end", "first"),
        default="end",
        help="first: the command ends at the first divergence (default: end)",
    )
    add("--tolerance", default="dtype", help="a shipped one, or a YAML file (default: dtype)")
    add(
        "--unpaired",
        choices=("error", "ignore"),
        default="error",
        help="ignore: what one side alone has is skipped (default: error)",
    )
    add(
        "--operation-name",
        "-opname",
        default="",
        metavar="NAMES",
        help="only operations whose name begins so: self,linear (default: all)",
    )
    add("--device-id", "-device", type=int, help="only tensors of this device (default: all)")
    add("--switch", metavar="FILE", default="", help="look only while this file exists")
    add("--log-level", "-l", type=str.lower, choices=tuple(LOG_LEVELS), default="info")
