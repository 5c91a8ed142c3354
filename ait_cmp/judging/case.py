"""What a verdict is made of: one compared pair, and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ait_cmp.engine.choices import Choices
from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.stats import Stats
from ait_cmp.judging.tolerance import Subject
from ait_cmp.judging.yardstick import Reference
from ait_cmp.values.pair import Alone

__all__ = ["Case"]


class Case(NamedTuple):
    """One compared pair, as a verdict sees it; evidence only where both sides are floating.

    `reference` is what a trusted run shows of golden, where one was named; `extra` are the
    values of the user's own metrics.
    """

    subject: Subject
    shape: tuple[int, ...]
    stats: Stats
    evidence: Evidence | None = None
    choices: Choices | None = None  # of ids that differ, chosen by the scores of another row
    chosen_from: tuple[str, int | None] | None = None
    reference: Reference | None = None
    extra: Mapping[str, float | None] = {}  # never changed
    alone: Alone | None = None  # the module that made the error, where none is inherited
    is_weight: bool = False  # a parameter or buffer itself, which inherits none either
    excused: str = ""  # what other than a fault its error may come of

    @property
    def shown_by(self) -> str:
        """What a reference of it is, in words."""
        return "golden's module in my's types" if self.alone else "the reference run"

    @property
    def lines(self) -> int:
        """Runs along the last axis; 1 of what is flat or a scalar."""
        return math.prod(self.shape[:-1])
