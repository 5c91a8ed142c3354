"""Which optional parts of the stats are wanted."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EVERYTHING", "Parts"]


class Parts(NamedTuple):
    """The stats that not every compare needs; those that are not wanted stay empty.

    One value from the choice of metrics to the compiled loops, which read it as it is.
    """

    relative: bool = False  # errors over golden, element by element
    softmax: bool = False  # the sums of the KL divergence
    slices: bool = False  # sums by line and channel, of floating types

    def __or__(self, other: Parts) -> Parts:
        """What either wants."""
        return Parts(*(one or two for one, two in zip(self, other, strict=True)))


EVERYTHING = Parts(relative=True, softmax=True, slices=True)
