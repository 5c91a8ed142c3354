"""What switches dumping and watching on and off while a command runs: a file, or a signal.

A signal is sent to the command of ait_cmp, which makes and removes a file as it comes: in the
program that runs there is no handler, whatever it does with signals of its own.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from ait_cmp.commands.say import remark
from ait_cmp.values.errors import UsageError

__all__ = ["Switch", "switch_by"]

_SIGNALS = ("SIGUSR1", "SIGUSR2")
_SIGNAL = re.compile(r"SIG[A-Z0-9]+")


class Switch(NamedTuple):
    """The file while which exists it is on, empty where it always is, and what signals do."""

    path: str
    heard: Mapping[int, Callable[[], None]]


@contextmanager
def switch_by(text: str, said_by: str) -> Iterator[Switch]:
    """By what `--switch` says, a file or the name of a signal, while a command runs. Raises
    UsageError for a signal that there is not, or that means something else."""
    if not _SIGNAL.fullmatch(text):
        yield Switch(os.path.abspath(text) if text else "", {})
        return
    number = getattr(signal, text, None) if text in _SIGNALS else None
    if number is None:
        raise UsageError(
            f"--switch {text} is no signal that switches: take {' or '.join(_SIGNALS)}, which "
            f"Windows has not, or name a file (./{text} if it is called so)"
        )
    with tempfile.TemporaryDirectory(prefix="ait_switch") as folder:
        path = os.path.join(folder, "on")

        def turn() -> None:
            if os.path.exists(path):
                os.unlink(path)
            else:
                os.close(os.open(path, os.O_CREAT))

        name = text.removeprefix("SIG")
        remark(f"{said_by}: kill -{name} {os.getpid()} switches it on, and off again")
        yield Switch(path, {number: turn})
