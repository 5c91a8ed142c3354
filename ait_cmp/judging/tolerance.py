"""What a verdict holds a row to: limits of metrics, and limits of the error's growth."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from ait_cmp.judging.metrics import METRICS
from ait_cmp.values.dtypes import DType, coarser
from ait_cmp.values.errors import UsageError
from ait_cmp.values.growth import Growth
from ait_cmp.values.tokens import Tokens, row_name

__all__ = ["Growth", "Limit", "NonFinite", "Rule", "Subject", "Tolerance", "Unjudged"]


class NonFinite(StrEnum):
    """Which non-finite elements a row may have."""

    ALIKE = "alike"  # NaN with NaN, or infinities of one sign, on both sides
    NONE = "none"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Limit:
    """The closed interval that a metric must lie in.

    Raises UsageError for bounds that nothing, or everything, would break.
    """

    min: float = -math.inf
    max: float = math.inf

    def __post_init__(self) -> None:
        for bound in (self.min, self.max):
            number = isinstance(bound, int | float) and not isinstance(bound, bool)
            if not number or math.isnan(bound):
                raise UsageError(f"a limit must be a number, not {bound!r}")
        if (self.min, self.max) == (-math.inf, math.inf):
            raise UsageError("a limit must have a min or a max, else everything keeps it")
        if self.min > self.max or self.min == math.inf or self.max == -math.inf:
            raise UsageError(f"no number keeps a limit of {self}")

    def __str__(self) -> str:
        bounds = (f"{side} {bound!r}" for side, bound in self.bounds().items())
        return " and ".join(bounds)

    def bounds(self) -> dict[str, float]:
        """Those that there are, by their names."""
        sides = {"min": self.min, "max": self.max}
        return {side: bound for side, bound in sides.items() if not math.isinf(bound)}

    def excess(self, value: float) -> float:
        """How far `value` lies outside; 0.0 inside, inf for NaN."""
        if math.isnan(value):
            return math.inf
        return max(self.min - value, value - self.max, 0.0)


class Unjudged(StrEnum):
    """What a row is called that no limit and no growth judges."""

    SKIPPED = "skipped"
    PASS = "pass"


class Subject(NamedTuple):
    """What rules match on: whose pair it is, and of which types."""

    data_id: str
    token_id: int | None
    golden: DType
    my: DType
    former: str = ""  # how older versions called it

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
        return self.takes(subject.data_id, subject.token_id, subject.former) and (
            not self.dtypes or subject.coarser.name in self.dtypes
        )

    def takes(self, data_id: str, token_id: int | None, former: str = "") -> bool:
        """Whether this rule is for a row of either name, of some type."""
        names = (data_id, former) if former else (data_id,)
        return any(fnmatchcase(name, glob) for name in names for glob in self.data_ids) and (
            self.tokens is None or token_id in self.tokens
        )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What pairs are held to.

    The first of `rules` that matches gives the limits, `default` where none does; `growth`,
    where it is set, judges each row against those before it as well. `unjudged` is what becomes
    of a row that neither judges. `extra` names the user's own metrics, which limits may name too.
    Raises UsageError for limits that say nothing of their metric,
    and where nothing would ever be judged.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    default: Mapping[str, Limit] = field(default_factory=dict)
    nonfinite: NonFinite = NonFinite.ALIKE
    growth: Growth | None = None
    unjudged: Unjudged = Unjudged.SKIPPED
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for limits in (self.default, *(rule.limits for rule in self.rules)):
            for name, limit in limits.items():
                if name not in self.extra:
                    _check(name, limit)
        if self.growth is None and not self.metrics() and self.unjudged is Unjudged.SKIPPED:
            raise UsageError(
                f"tolerance {self.name} has no limit and no growth, so nothing would be judged; "
                "give it one, or say unjudged: pass if that is meant"
            )

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

    def judges(self, subject: Subject) -> bool:
        """Whether any limit, or growth, is for `subject`."""
        return bool(self.limits(subject)) or self.growth_for(subject) is not None

    def without_extra(self) -> Tolerance:
        """The same for pairs whose values of the user's own metrics are not taken; itself, which
        none of these passes but of equal sides, where it has no other limits."""
        known = self.metrics().difference(self.extra)
        if not self.extra or not (known or self.growth):
            return self
        rules = (replace(one, limits=_among(one.limits, known)) for one in self.rules)
        return replace(self, rules=tuple(rules), default=_among(self.default, known))

    def _rule(self, subject: Subject) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(subject)), None)


def _among(limits: Mapping[str, Limit], names: Container[str]) -> dict[str, Limit]:
    return {name: limit for name, limit in limits.items() if name in names}


def _check(name: str, limit: Limit) -> None:
    """Refuse a limit of a metric that there is not, or that cannot tell its values apart."""
    if name not in METRICS:
        raise UsageError(
            f"tolerance: there is no metric {name!r}; choose from {', '.join(METRICS)}, or name "
            f"your own with metrics.extra=[FILE.py:{name}]"
        )
    least, most = METRICS[name].least, METRICS[name].most
    span = f"{name} is {least:g} to {most:g}" if most < math.inf else f"{name} is never below 0"
    if any(not least <= bound <= most for bound in limit.bounds().values()):
        raise UsageError(f"the limit of {name}, {limit}, is beyond what it can be: {span}")
    if limit.min <= least and limit.max >= most:
        raise UsageError(f"the limit of {name}, {limit}, is kept by everything: {span}")
