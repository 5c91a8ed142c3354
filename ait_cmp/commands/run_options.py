"""Options that several commands have which run another one."""

from __future__ import annotations

import argparse

from ait_cmp.dump.dump_request import LOG_LEVELS

__all__ = [
    "add_device_id",
    "add_exec",
    "add_log_level",
    "add_operation_name",
    "add_switch",
    "add_tolerance",
]


def add_exec(parser: argparse.ArgumentParser) -> None:
    """What runs."""
    parser.add_argument(
        "--exec", required=True, metavar="COMMAND", help="what to run, without a shell"
    )


def add_switch(parser: argparse.ArgumentParser, does: str) -> None:
    """What it is switched on and off by, and what it then does."""
    parser.add_argument(
        "--switch",
        metavar="FILE|SIGNAL",
        default="",
        help=f"{does}, and count no others, or, of SIGUSR1 and SIGUSR2, once ait itself was sent "
        "it, until it is sent it again: for servers (torch)",
    )


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    """What rows are judged by."""
    parser.add_argument(
        "--tolerance", default="dtype", help="a shipped one, or a YAML file (default: dtype)"
    )


def add_operation_name(parser: argparse.ArgumentParser) -> None:
    """Which modules."""
    parser.add_argument(
        "--operation-name",
        "-opname",
        default="",
        metavar="NAMES",
        help="only operations whose name begins so: self,linear (default: all)",
    )


def add_device_id(parser: argparse.ArgumentParser) -> None:
    """Where their tensors are."""
    parser.add_argument(
        "--device-id", "-device", type=_device, help="only tensors of this device (default: all)"
    )


def add_log_level(parser: argparse.ArgumentParser) -> None:
    """How much is said."""
    parser.add_argument(
        "--log-level", "-l", type=str.lower, choices=tuple(LOG_LEVELS), default="info"
    )


def _device(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or int(text) < -1:
        raise argparse.ArgumentTypeError(f"must be the number of a device, not {text!r}")
    return int(text)
