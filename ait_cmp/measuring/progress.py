"""How far a measurement is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ShowProgress", "show_nothing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows and bytes that are done, of all; those that an earlier run did, or that could not be
    compared from the start, are done in the first report of it."""

    rows_done: int
    rows: int
    bytes_done: int
    bytes: int


# Called in the parent process before the first answer, and then as answers come.
ShowProgress = Callable[[Progress], None]


def show_nothing(progress: Progress) -> None:
    """Progress that nobody looks at."""
