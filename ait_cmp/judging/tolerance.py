"""What a verdict holds a row to: limits of metrics, and limits of the error's growth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from ait_cmp.values.dtypes import DType, coarser
from ait_cmp.values.tokens import Tokens, row_name

__all__ = ["Growth", "Limit", "NonFinite", "Rule", "Subject", "Tolerance"]


class NonFinite(StrEnum):
    """Which non-finite elements a row may have."""

    ALIKE = "alike"  # NaN with NaN, or infinities of one sign, on both sides
    NONE = "none"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Limit:
    """The closed interval that a metric must lie in."""

    min: float = -math.inf
    max: float = math.inf

    def excess(self, value: float) -> float:
        """How far `value` lies outside; 0.0 inside, inf for NaN."""
        if math.isnan(value):
            return math.inf
        return max(self.min - value, value - self.max, 0.0)


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules match on: whose pair it is, and of which types."""

    data_id: str
    token_id: int | None
    golden: DType
    my: DType

    @property
    def coarser(self) -> DType:
        """The type of the pair that rounds most."""
        return coarser(self.golden, self.my)

    @property
    def is_floating(self) -> bool:
        """Whether both sides are rounded; otherwise they must be equal."""
        return self.golden.is_floating and self.my.is_floating

    def __str__(self) -> str:
        return row_name(self.data_id, self.token_id)


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits for the pairs that match all of data_id globs, tokens and (coarser) dtypes.

    Without `growth` these pairs are judged by their limits alone.
    """

    limits: Mapping[str, Limit]
    data_ids: tuple[str, ...] = ("*",)
    tokens: Tokens | None = None
    dtypes: tuple[str, ...] = ()
    growth: bool = True

    def matches(self, subject: Subject) -> bool:
        """Whether this rule is for `subject`."""
        return (
            any(fnmatchcase(subject.data_id, glob) for glob in self.data_ids)
            and (self.tokens is None or subject.token_id in self.tokens)
            and (not self.dtypes or subject.coarser.name in self.dtypes)
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """Limits of the growth of the error from row to row, most in multiples of E.

    E is the error that the rows before explain: see `ait_cmp.judging.growth`. docs/verdicts.md
    has the measurements behind every number.
    """

    level: float = 4.0  # of the whole tensor
    channel: float = 8.0  # of one index of the last axis
    line: float = 14.0  # of one run along the last axis
    element: float = 45.0  # of one element
    lone_element: float = 28.0  # of one that stands alone
    alone: float = 3.0  # so many times the second largest is alone
    scale: float = 1.1  # of a factor, less 1, that the slices share; or, where that is more,
    scale_floor: float = 2.5  # so many floors of E
    offset: float = 0.8  # of a shift that the slices share, over golden's rms; or
    offset_floor: float = 1.5  # so many floors of E
    floor: float = 2.0  # E is at least so many grains of the pair's coarser type
    grain: float = 0.0  # relative error that no operation is expected to stay below
    history: float = 2.0  # E is at most so many times the same data_id's error in earlier tokens
    few: int = 32  # where fewer data_ids were dumped, much may lie between two rows, so
    sparse: float = 4.0  # E is at least so many floors,
    sparse_most: float = 2.0**-4  # as long as these are no more than this
    most: float = 0.25  # of golden: no rounding explains more, whatever came before
    margin: float = 1.5  # another input may have so many times the calibrated noise
    window: int = 40  # rows before that E looks at
    enough: int = 16  # elements from which a row's error says something of the next ones'
    many: int = 64  # elements from which scale and offset are read
    proof: int = 24  # rows with some, but a tiny error that prove a float32 run free of tf32
    jump: float = 8.0  # an error so many times that of all failing rows before is a new fault
    noise: Mapping[str, float] = field(default_factory=dict)  # of data_ids, calibrated


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What pairs are held to.

    The first of `rules` that matches gives the limits, `default` where none does; `growth`,
    where it is set, judges each row against those before it as well.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    default: Mapping[str, Limit] = field(default_factory=dict)
    nonfinite: NonFinite = NonFinite.ALIKE
    growth: Growth | None = None

    def limits(self, subject: Subject) -> Mapping[str, Limit]:
        """The limits for `subject`."""
        rule = self._rule(subject)
        return rule.limits if rule else self.default

    def growth_for(self, subject: Subject) -> Growth | None:
        """The limits of growth for `subject`, if it is judged by them."""
        rule = self._rule(subject)
        return self.growth if rule is None or rule.growth else None

    def metrics(self) -> frozenset[str]:
        """Every metric that some limit names."""
        return frozenset(self.default).union(*(rule.limits for rule in self.rules))

    def _rule(self, subject: Subject) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(subject)), None)
