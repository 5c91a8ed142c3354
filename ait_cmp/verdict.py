"""Metrics and a tolerance in, a verdict out. Pure: no file, no config.

A tolerance judges the standard definitions of the metrics, whatever definitions the report
shows, so that the same limits always mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from ait_cmp.dtypes import DType, coarser
from ait_cmp.engine.stats import Stats
from ait_cmp.errors import Reason
from ait_cmp.metrics import compute
from ait_cmp.tokens import Tokens

__all__ = ["Limit", "NonFinite", "Rule", "Status", "Subject", "Tolerance", "Verdict", "judge"]


class Status(StrEnum):
    """What the report says of a row."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


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


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits for the pairs that match all of data_id globs, tokens and (coarser) dtypes."""

    limits: Mapping[str, Limit]
    data_ids: tuple[str, ...] = ("*",)
    tokens: Tokens | None = None
    dtypes: tuple[str, ...] = ()

    def matches(self, subject: Subject) -> bool:
        """Whether this rule is for `subject`."""
        return (
            any(fnmatchcase(subject.data_id, glob) for glob in self.data_ids)
            and (self.tokens is None or subject.token_id in self.tokens)
            and (not self.dtypes or subject.coarser.name in self.dtypes)
        )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Rules, the first match of which gives the limits; `default` where none matches."""

    name: str
    rules: tuple[Rule, ...] = ()
    default: Mapping[str, Limit] = field(default_factory=dict)
    nonfinite: NonFinite = NonFinite.ALIKE

    def limits(self, subject: Subject) -> Mapping[str, Limit]:
        """The limits for `subject`."""
        return next((rule.limits for rule in self.rules if rule.matches(subject)), self.default)

    def metrics(self) -> frozenset[str]:
        """Every metric that some limit names."""
        return frozenset(self.default).union(*(rule.limits for rule in self.rules))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sentence` says why, for anything but a pass; `severity` orders rows, worst highest."""

    status: Status
    reason: Reason | None = None
    sentence: str = ""
    severity: float = 0.0


def judge(stats: Stats, tolerance: Tolerance, subject: Subject) -> Verdict:
    """Whether `stats` keep the limits that `tolerance` sets for `subject`."""
    nonfinite = _judge_nonfinite(stats, tolerance.nonfinite)
    if nonfinite:
        return Verdict(Status.FAIL, Reason.NONFINITE, nonfinite, math.inf)
    limits = tolerance.limits(subject)
    values = {name: value for name, value in compute(stats, limits).items() if value is not None}
    broken = [
        _explain(name, value, limits[name])
        for name, value in values.items()
        if limits[name].excess(value) > 0
    ]
    if limits and not values and stats.difference_max > 0:
        # Nothing that is limited has a value (a zero golden has no relative error), so
        # nothing has shown that this difference is allowed.
        broken = [
            f"{' and '.join(limits)} cannot be told, since golden has no element above "
            f"{stats.epsilon:.3g}, and my differs by up to {stats.difference_max!r}"
        ]
    if not broken:
        return Verdict(Status.PASS)
    distance = compute(stats, ["relative_euclidean_distance"])["relative_euclidean_distance"]
    return Verdict(
        Status.FAIL,
        Reason.TOLERANCE,
        f"{'; '.join(broken)} (tolerance {tolerance.name}, {subject.coarser.name})",
        distance or 0.0,
    )


def _judge_nonfinite(stats: Stats, allowed: NonFinite) -> str:
    disagreeing = stats.nonfinite_disagreeing
    if allowed is NonFinite.ANY or not (disagreeing or stats.nonfinite_alike):
        return ""
    if disagreeing:
        return (
            f"non-finite elements differ: {stats.nonfinite_my} in my only, "
            f"{stats.nonfinite_golden} in golden only, {stats.nonfinite_different} different in "
            f"both, of {stats.elements}; the metrics leave them out"
        )
    if allowed is NonFinite.NONE:
        return f"{stats.nonfinite_alike} of {stats.elements} elements are non-finite on both sides"
    return ""


def _explain(name: str, value: float, limit: Limit) -> str:
    below = value < limit.min
    bound, side = (limit.min, "min") if below else (limit.max, "max")
    return (
        f"{name} is {value!r}, {'below' if below else 'above'} its {side} {bound!r} "
        f"by {limit.excess(value):.6g}; {side}={value!r} would pass"
    )
