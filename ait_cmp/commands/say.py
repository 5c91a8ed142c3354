"""How commands talk: complaints on stderr, results on stdout, to whoever still reads.

What cannot be said changes no answer: the exit status is that of the rows.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ait_cmp.values.errors import ReportError, os_reason
from ait_cmp.values.text import printable

__all__ = [
    "complain",
    "lacking",
    "may_go_unread",
    "print_anything",
    "reader_may_leave",
    "remark",
    "settle_stderr",
]

_LOGGER = logging.getLogger(__name__)


def print_anything() -> None:
    """What stdout's encoding does not have goes out as an escape, as it does on stderr: names
    are of others, and a terminal may be of another language. What was closed leads nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def lacking(error: ModuleNotFoundError) -> str:
    """What is said where a package is not installed that a command needs."""
    package = (error.name or str(error)).partition(".")[0]
    return (
        f"this needs the package {package}, which {sys.executable} does not have; install it "
        f"there: pip install {package}"
    )


def complain(sentence: str) -> None:
    """Say on stderr why the command does not do what it was asked for."""
    from ait_cmp.files.staging import named  # only here: most commands have nothing to complain of

    remark(f"ait_cmp: error: {named(sentence)}")


def remark(sentence: str) -> None:
    """Say something on stderr, if it can be."""
    try:
        print(printable(sentence), file=sys.stderr)
    except OSError:
        _lead_nowhere(sys.stderr)


def settle_stderr() -> None:
    """Drop what a log could not write: Python tries again when it ends, and then exits with 120."""
    try:
        sys.stderr.flush()
    except OSError:
        _lead_nowhere(sys.stderr)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Lets what reads stdout close it early, as `head` does: it has seen what it wanted.

    For what a command is asked to show: raises ReportError where it cannot be written for another
    reason.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        _lead_nowhere(sys.stdout)
        if not isinstance(exc, BrokenPipeError):
            raise ReportError(
                f"the output cannot be written: {os_reason(exc)}; send it elsewhere"
            ) from exc


@contextmanager
def may_go_unread(what: str) -> Iterator[None]:
    """For what is shown of an answer that is kept elsewhere: where it cannot be shown (a closed
    pipe, a full disk), a warning says so of `what`."""
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit) as exc:  # SystemExit is how rich takes a closed pipe
        _lead_nowhere(sys.stdout)
        why = os_reason(exc) if isinstance(exc, OSError) else "nobody reads it"
        _LOGGER.warning("%s cannot be shown (%s), but the answer stands", what, why)


def _lead_nowhere(stream: TextIO) -> None:
    """What is left in the buffer would fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
