"""What the steps of a compare ask for: pairs that are measured, or a look at each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ait_cmp.engine.request import Look
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.values.pair import Pair

__all__ = ["Ask"]


class Ask(Protocol):
    """Measures pairs, or takes a look at each; what it finds, by their places."""

    def __call__(
        self, pairs: Sequence[Pair], looks: Sequence[Look] | None = None, /
    ) -> MeasuredRows: ...
