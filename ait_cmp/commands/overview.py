"""What `--help` and `--version` say of the whole."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

import ait_cmp

if TYPE_CHECKING:
    from ait_cmp.commands import Command

__all__ = ["EXIT_STATUSES", "overview", "version"]

_BUILT_ON = ("torch", "numpy", "numba", "polars")
EXIT_STATUSES = """\
Exit status: 0 every row passes or is skipped, 1 some row fails, 2 bad usage, 3 some row could
not be compared (or none was judged), 4 the report could not be written, 130 interrupted."""


def overview(commands: Mapping[str, Command]) -> str:
    """The help of the whole: the commands, and how to ask each for its own."""
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:{width}} {one.summary}" for name, one in commands.items())
    return f"""\
ait_cmp: find the tensor that went wrong.

  ait-cmp golden_path=DUMP output=FOLDER
  ait-cmp COMMAND …                        the same as python -m ait_cmp COMMAND …

Commands, each with a --help of its own:

{listed}

  ait-cmp --version                        which ait_cmp this is, and on which libraries
  eval "$(ait-cmp -sc install=bash)"       complete commands and settings in this shell

{EXIT_STATUSES}"""


def version() -> str:
    """Which ait_cmp this is, on which libraries; found without importing them."""
    built_on = [f"python {platform.python_version()}"]
    for name in _BUILT_ON:
        try:
            built_on.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:  # a build without its metadata
            continue
    return f"ait_cmp {ait_cmp.__version__} ({', '.join(built_on)})"
