"""What a verdict holds a row to: limits of metrics, and limits of the error's growth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from ait_cmp.values.dtypes import DType, coarser
from ait_cmp.values.errors import UsageError
from ait_cmp.values.growth import Growth
from ait_cmp.values.tokens import Tokens, row_name

__all__ = ["Growth", "Limit", "NonFinite", "Rule", "Subject", "Tolerance"]


class NonFinite(StrEnum):
    """Which non-finite elements a row may have."""

    ALIKE = "alike"  # NaN with NaN, or infinities of one sign, on both sides
    NONE = "none"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Limit:
    """The closed interval that a metric must lie in. Raises UsageError for bounds of NaN, which
    nothing would exceed."""

    min: float = -math.inf
    max: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.min) or math.isnan(self.max):
            raise UsageError(f"a limit of tolerance must be a number, not NaN: {self}")

    def excess(self, value: float) -> float:
        """How far `value` lies outside; 0.0 inside, inf for NaN."""
        if math.isnan(value):
            return math.inf
        return max(self.min - value, value - self.max, 0.0)


class Subject(NamedTuple):
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
