"""The checks of one row: each gives a finding where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ait_cmp.engine.choices import Choices
from ait_cmp.engine.evidence import Evidence, Span
from ait_cmp.engine.stats import Stats
from ait_cmp.judging.growth import Expectation
from ait_cmp.judging.metrics import compute
from ait_cmp.judging.places import name_index, name_span
from ait_cmp.judging.tolerance import Growth, Limit, NonFinite, Subject
from ait_cmp.judging.yardstick import Reference
from ait_cmp.values.dtypes import DType

__all__ = [
    "Case",
    "Finding",
    "exact_finding",
    "grid_finding",
    "growth_findings",
    "limit_findings",
    "nonfinite_finding",
    "saturation_finding",
]

_GRIDDED = 16  # elements that share no bit by chance


class Case(NamedTuple):
    """One compared pair, as a verdict sees it; evidence only where both sides are floating.

    `reference` is what a trusted run shows of golden, where one was named.
    """

    subject: Subject
    shape: tuple[int, ...]
    stats: Stats
    evidence: Evidence | None = None
    choices: Choices | None = None  # of ids that differ, chosen by the scores of another row
    chosen_from: tuple[str, int | None] | None = None
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that fails: its value, its limit, and what that means, in words.

    `extent` is the share of the tensor that it names, 0.0 for what is true of every element.
    """

    check: str
    value: float
    limit: float
    meaning: str
    extent: float = 0.0


def nonfinite_finding(case: Case, allowed: NonFinite, *, saturated: bool) -> Finding | None:
    """Elements that are NaN or infinite where `allowed` does not let them be.

    With `saturated` an infinity is alike to the end of the other side's own range: both mask.
    """
    stats, evidence = case.stats, case.evidence
    disagreeing = stats.nonfinite_disagreeing
    if saturated and evidence:
        disagreeing -= evidence.nonfinite_saturated
    if allowed is NonFinite.ANY or not (disagreeing or stats.nonfinite_alike):
        return None
    if disagreeing:
        meaning = (
            f"non-finite elements differ: {stats.nonfinite_my} in my only, "
            f"{stats.nonfinite_golden} in golden only, {stats.nonfinite_different} different in "
            f"both, of {stats.elements}; the metrics leave them out{_overflow(case)}"
        )
        return Finding("nonfinite", disagreeing, 0, meaning)
    if allowed is NonFinite.NONE:
        alike = stats.nonfinite_alike
        meaning = f"{alike} of {stats.elements} elements are non-finite on both sides"
        return Finding("nonfinite", alike, 0, meaning)
    return None


def _overflow(case: Case) -> str:
    """Whether golden's finite values are beyond the range of my's type."""
    side, my = case.stats.golden, case.subject.my
    reached = max(side.maximum, -side.minimum)
    if not (case.stats.nonfinite_my and my.is_floating and my.largest < reached < math.inf):
        return ""
    return f"; golden reaches {reached:.6g}, and {my.name} ends at {my.largest:.6g}: overflow"


def saturation_finding(case: Case, allowed: NonFinite) -> Finding | None:
    """Elements of my that were clipped to the end of its type's range."""
    evidence, my = case.evidence, case.subject.my
    if allowed is NonFinite.ANY or not (evidence and evidence.clipped):
        return None
    meaning = (
        f"saturation: {evidence.clipped} of {case.stats.elements} elements of my are at the end of "
        f"the range of {my.name}, {my.largest:.6g}, and golden is beyond it, the first at "
        f"{_spot(evidence.clipped_first, case.shape)}"
    )
    return Finding("saturation", evidence.clipped, 0, meaning)


def limit_findings(stats: Stats, limits: Mapping[str, Limit]) -> Iterator[Finding]:
    """The limits of metrics that `stats` break.

    They judge the standard definitions, whatever definitions the report shows, so that the same
    limits always mean the same.
    """
    if not limits:
        return
    values = compute(stats, limits)
    unknown = [name for name, value in values.items() if value is None]
    if unknown and stats.equal < stats.pairs:
        # Nothing has shown that this difference is allowed (a golden of zeros has no relative
        # error), whatever the other limits say.
        names = " and ".join(unknown)
        meaning = (
            f"{names} cannot be told, since golden has no element above "
            f"{stats.epsilon:.3g}, and my differs by up to {stats.difference_max!r}"
        )
        yield Finding(names, math.nan, math.nan, meaning)
    for name, value in values.items():
        if value is not None and limits[name].excess(value) > 0:
            yield _broken(name, value, limits[name])


def _broken(name: str, value: float, limit: Limit) -> Finding:
    below = value < limit.min
    bound, side = (limit.min, "min") if below else (limit.max, "max")
    meaning = (
        f"{name} is {value!r}, {'below' if below else 'above'} its {side} {bound!r} "
        f"by {limit.excess(value):.6g}; {side}={value!r} would pass"
    )
    return Finding(name, value, bound, meaning)


def exact_finding(case: Case) -> Finding | None:
    """Elements that differ, of a pair that is not rounded."""
    differing = case.stats.pairs - case.stats.equal
    if not differing:
        return None
    meaning = f"{differing} of {case.stats.elements} elements differ, where none may"
    return Finding("exact", differing, 0, meaning)


def growth_findings(
    case: Case, evidence: Evidence, growth: Growth, expected: Expectation, digits: int
) -> list[Finding]:
    """The checks of growth that fail, that which tells most first.

    `digits` is the precision of the coarsest grid that any row of the run may honestly be on.
    """
    found = (
        grid_finding(evidence, case.subject.my, digits),
        _scale(evidence, growth, expected),
        _offset(evidence, growth, expected),
        _slice("channel", evidence.channel, expected, growth.channel, ()),
        _slice("line", evidence.line, expected, growth.line, case.shape[:-1]),
        _element(evidence, growth, expected, case.shape),
        _level(evidence, growth, expected),
    )
    return sorted(filter(None, found), key=lambda one: one.extent)


def grid_finding(evidence: Evidence, my: DType, digits: int) -> Finding | None:
    """Whether my lies on a grid coarser than any type of the run explains, and golden does not."""
    limit = min(digits, evidence.golden_bits)
    if evidence.gridded < _GRIDDED or evidence.my_bits >= limit:
        return None
    meaning = (
        f"every value has at most {evidence.my_bits} significand bits, where {my.name} has "
        f"{my.digits}: it was rounded to a coarser type on its way"
    )
    return Finding("grid", evidence.my_bits, limit, meaning)


def _scale(evidence: Evidence, growth: Growth, expected: Expectation) -> Finding | None:
    limit = max(growth.scale * expected.error, growth.scale_floor * expected.floor)
    if evidence.count < growth.many or abs(evidence.scale) <= limit:
        return None
    meaning = f"my is golden times {1 + evidence.scale:.4g}, in every part of the tensor"
    return Finding("scale", abs(evidence.scale), limit, meaning)


def _offset(evidence: Evidence, growth: Growth, expected: Expectation) -> Finding | None:
    limit = max(growth.offset * expected.error, growth.offset_floor * expected.floor)
    if evidence.count < growth.many or abs(evidence.offset) <= limit:
        return None
    meaning = (
        f"my is golden {evidence.offset * evidence.rms:+.4g}, in every part of the tensor "
        f"({abs(evidence.offset):.3g} times golden's rms)"
    )
    return Finding("offset", abs(evidence.offset), limit, meaning)


def _slice(
    check: str, span: Span, expected: Expectation, limit: float, shape: tuple[int, ...]
) -> Finding | None:
    value = span.error / expected.error
    if value <= limit or span.total == 1:
        return None
    meaning = f"the error in {name_span(check, span, shape)} is {value:.3g} times the expected one"
    return Finding(check, value, limit, meaning, span.count / span.total)


def _element(
    evidence: Evidence, growth: Growth, expected: Expectation, shape: tuple[int, ...]
) -> Finding | None:
    peak = evidence.peak
    value = peak.error / expected.error
    alone = peak.error > growth.alone * peak.runner_up
    limit = growth.lone_element if alone else growth.element
    if value <= limit:
        return None
    meaning = (
        f"element {_spot(peak.index, shape)} is {peak.golden + peak.difference:.6g}, golden "
        f"{peak.golden:.6g}: {value:.3g} times the expected error"
    )
    return Finding("element", value, limit, meaning, 0.0 if alone else 1.0)


def _spot(flat: int, shape: tuple[int, ...]) -> str:
    return name_index(flat, shape) if len(shape) > 1 else f"[{flat}]"


def _level(evidence: Evidence, growth: Growth, expected: Expectation) -> Finding | None:
    value = evidence.level / expected.error
    if value < growth.level:  # at the limit a tensor of zeros stands, where E is all it can be
        return None
    meaning = (
        f"the error of the whole tensor, {evidence.level:.2%} of golden, is {value:.3g} times the "
        "expected one"
    )
    return Finding("level", value, growth.level, meaning, 1.0)
