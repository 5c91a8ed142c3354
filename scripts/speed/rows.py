"""What a benchmark tells: a figure, the bound that it should keep, and what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Row", "at_least", "at_most", "in_turn"]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    figure: float
    bound: str
    met: bool
    detail: str


def at_least(name: str, figure: float, bound: float, detail: str) -> Row:
    """A figure that is good when it is large."""
    return Row(name, figure, f">= {bound:g}", figure >= bound, detail)


def at_most(name: str, figure: float, bound: float, detail: str) -> Row:
    """A figure that is good when it is small."""
    return Row(name, figure, f"<= {bound:g}", figure <= bound, detail)


def in_turn(times: int, *sides: Callable[[], float]) -> list[float]:
    """The median of what each side returns, called one after the other, `times` times."""
    rounds = [[side() for side in sides] for _ in range(times)]
    return [median(side) for side in zip(*rounds, strict=True)]
