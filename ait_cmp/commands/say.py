"""How commands talk: complaints on stderr, results on stdout, to whoever still reads."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ait_cmp.values.errors import ReportError, os_reason
from ait_cmp.values.text import printable

__all__ = ["complain", "print_anything", "reader_may_leave"]


def print_anything() -> None:
    """What stdout's encoding does not have goes out as an escape, as it does on stderr: names
    are of others, and a terminal may be of another language."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def complain(sentence: str) -> None:
    """Say on stderr why the command does not do what it was asked for."""
    print(f"ait_cmp: error: {printable(sentence)}", file=sys.stderr)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Lets what reads stdout close it early, as `head` does: it has seen what it wanted.

    Raises ReportError where the output cannot be written for another reason.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as exc:
        # What is left in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(exc, BrokenPipeError):
            raise ReportError(
                f"the output cannot be written: {os_reason(exc)}; send it elsewhere"
            ) from exc
