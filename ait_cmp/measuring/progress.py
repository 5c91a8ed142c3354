"""How far a measurement is, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Progress", "ShowProgress", "show_nothing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows and bytes that are done, of all; those that an earlier run did, or that could not be
    compared from the start, are done in the first report of it. `nodes` are those of a cluster,
    with the rows, or ranges of one, that each did."""

    rows_done: int
    rows: int
    bytes_done: int
    bytes: int
    nodes: Mapping[str, int] = field(default_factory=dict)


# Called in the parent process before the first answer, and then as answers come.
ShowProgress = Callable[[Progress], None]


def show_nothing(progress: Progress) -> None:
    """Progress that nobody looks at."""
