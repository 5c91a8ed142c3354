"""The checks of one row: each gives a finding where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ait_cmp.engine.evidence import Dead, Evidence, Span
from ait_cmp.engine.stats import Side, Stats
from ait_cmp.judging.case import Case
from ait_cmp.judging.growth import Expectation
from ait_cmp.judging.masks import masks_agree
from ait_cmp.judging.metrics import METRICS, Metric, compute
from ait_cmp.judging.places import name_element, name_index, name_span, name_spot
from ait_cmp.judging.sizes import is_distribution, line_sum, sizes_of, telling, varying
from ait_cmp.judging.tolerance import Growth, Limit, NonFinite
from ait_cmp.values.dtypes import DType

__all__ = [
    "Finding",
    "exact_finding",
    "grid_finding",
    "growth_findings",
    "limit_findings",
    "nonfinite_finding",
    "saturation_finding",
    "untold_limits",
]

_GRIDDED = 64  # elements that share no bit by chance
_LINES, _CHANNELS = 4, 8  # of fewer, most lines and their sums say no more than the whole
_HUGE = 3.0  # times its limit may have what is huge, and a slice or an element beside it
_FEW_LINES = ((4, 4.0), (32, 2.0))  # below so many lines, so many times the limit
_ANYTHING = Metric(lambda _: None, least=-math.inf)  # what the user's own can be
_STILL_MEANT = 9.0  # times the room that a limit left may be wanted in addition
_VOCABULARY, _VARYING = 4096, 0.25  # channels from which they are scores; least part that varies
_EXPLAINED = 0.5  # of what all parts share may remain where that explains the error

# Of the modules of a class so many, and this share, have the bits of golden's where the same
# kernels run; how far one may be from them, in roundings, in a type of which sums are taken in a
# finer one, and in any other.
_FEWEST_ALIKE, _ALIKE = 4, 0.75
_MOVED_NARROW, _MOVED, _WIDE = 0.03, 3.0, 4


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
            f"non-finite elements differ: {_unlike(case)}, of {stats.elements}; the metrics leave "
            f"them out{_overflow(case)}"
        )
        return Finding("nonfinite", disagreeing, 0, meaning)
    if allowed is NonFinite.NONE:
        alike = stats.nonfinite_alike
        meaning = f"{alike} of {stats.elements} elements are non-finite on both sides"
        return Finding("nonfinite", alike, 0, meaning)
    return None


def _unlike(case: Case) -> str:
    """How many elements are not finite on which side; fingerprints do not tell which are alike."""
    stats, evidence = case.stats, case.evidence
    both = stats.nonfinite_alike + stats.nonfinite_different
    if evidence and evidence.buckets and both:
        return (
            f"{stats.nonfinite_my + both} in my, {stats.nonfinite_golden + both} in golden, not "
            "all of them alike"
        )
    return (
        f"{stats.nonfinite_my} in my only, {stats.nonfinite_golden} in golden only, "
        f"{stats.nonfinite_different} different in both"
    )


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
        f"the range of {my.name}, {my.largest:.6g}, and golden is beyond it"
    )
    if evidence.clipped_first >= 0:  # which fingerprints do not tell
        meaning += f", the first at {name_spot(evidence.clipped_first, case.shape)}"
    return Finding("saturation", evidence.clipped, 0, meaning)


def limit_findings(
    stats: Stats, limits: Mapping[str, Limit], extra: Mapping[str, float | None]
) -> Iterator[Finding]:
    """The limits of metrics that `stats`, and the values of the user's own, break.

    They judge the standard definitions, whatever definitions the report shows, so that the same
    limits always mean the same.
    """
    if not limits:
        return
    known = compute(stats, (name for name in limits if name in METRICS))
    values = {name: known[name] if name in known else extra.get(name) for name in limits}
    unknown = [name for name, value in values.items() if value is None]
    if unknown and 0 <= stats.equal < stats.pairs:
        # Nothing has shown that this difference is allowed (a golden of zeros has no relative
        # error), whatever the other limits say.
        names = " and ".join(unknown)
        meaning = f"{names} cannot be told, since golden has no element above {stats.epsilon:.3g}"
        if any(name not in METRICS for name in unknown):
            meaning = f"{names} cannot be told: metrics.extra gave no value"
        meaning += f", and my differs by up to {stats.difference_max!r}"
        yield Finding(names, math.nan, math.nan, meaning)
    for name, value in values.items():
        if value is not None and limits[name].excess(value) > 0:
            yield _broken(name, value, limits[name])


def untold_limits(case: Case, limits: Mapping[str, Limit]) -> list[str]:
    """The limits of metrics that an estimated pair does not tell."""
    known = compute(case.stats, (name for name in limits if name in METRICS))
    return [name for name in limits if known.get(name, case.extra.get(name)) is None]


def _broken(name: str, value: float, limit: Limit) -> Finding:
    below = value < limit.min
    bound, side = (limit.min, "min") if below else (limit.max, "max")
    excess = limit.excess(value)
    meaning = (
        f"{name} is {value!r}, {'below' if below else 'above'} its {side} {bound!r} by {excess:.6g}"
    )
    metric = METRICS.get(name, _ANYTHING)
    slack = metric.most - bound if below else bound - metric.least
    if excess <= _STILL_MEANT * slack:  # a bound that is far from what was meant is no way out
        meaning += f"; {side}={value!r} would pass"
    return Finding(name, value, bound, meaning)


def exact_finding(case: Case) -> Finding | None:
    """Elements that differ, of a pair that is not rounded; of masks, positions."""
    agree = masks_agree(case)
    if agree is not None:
        meaning = "one side adds a mask, the other chooses by one, and they let others be seen"
        return None if agree else Finding("exact", 1, 0, meaning)
    differing = case.stats.pairs - case.stats.equal
    if not differing:
        return None
    told = f"{differing} of {case.stats.elements}"
    if case.stats.equal < 0:  # of fingerprints, whose checksums tell no more
        differing, told = 1, f"some of {case.stats.elements}"
    meaning = f"{told} elements differ, where none may"
    return Finding("exact", differing, 0, meaning)


def replay_finding(case: Case) -> Finding | None:
    """A module that does not give the bits of golden's in my's types, where others of its class do:
    then no other kernels are at work, and what differs is a change of the module.

    Of a type whose sums are taken in a finer one other orders of a sum move few elements.
    """
    alone = case.alone
    if alone is None or not alone.moved or alone.alike < _ALIKE * alone.kind:
        return None
    if alone.alike < _FEWEST_ALIKE or not case.subject.is_floating:
        return None
    limit = _MOVED_NARROW if case.subject.my.itemsize < _WIDE else _MOVED
    if alone.moved <= limit:
        return None
    meaning = (
        f"{alone.alike} of {alone.kind} modules of its class give the very bits of golden's in "
        f"my's types, and this differs from them by {alone.moved:.3g} times their rounding"
    )
    return Finding("replay", alone.moved, limit, meaning, 1.0)


def growth_findings(
    case: Case, evidence: Evidence, growth: Growth, expected: Expectation, digits: int
) -> list[Finding]:
    """The checks of growth that fail, that which tells most first.

    `digits` is the precision of the coarsest grid that any row of the run may honestly be on.
    """
    told = telling(evidence, case.stats, case.lines)
    beside = _HUGE if told is not evidence else 1.0  # in lines with huge elements, or near the cut
    sizes = sizes_of(told)
    found = [
        grid_finding(told, case.subject.my, digits),
        _dead("channel", told.dead_channels, case.shape[-1:]),
        _dead("line", told.dead_lines, case.shape[:-1]),
        _level(told, growth, expected),
        _slice("channel", told.channel, sizes.channel, expected, (), beside),
        _slice("line", told.line, sizes.line, expected, case.shape[:-1], beside),
        _element(told, growth, expected, case, beside),
        _typical(told, case, expected),
        _sum(case, growth, expected),
        _scores(told, case, expected),
    ]
    fewness = 1.0 if any(found) else _fewness(case.lines)  # what fails anyway is explained at least
    found += [_scale(told, growth, expected, fewness, case.stats.my)]
    found += [_offset(told, growth, expected, fewness)]
    if told is not evidence:
        huge = evidence.count - told.count
        found = [one and replace(one, meaning=_beside(huge, one.meaning)) for one in found]
        found += [_huge(evidence, expected), _element(evidence, growth, expected, case)]
    return sorted(filter(None, found), key=_telling_most)


def _telling_most(finding: Finding) -> tuple[float, bool]:
    """What names least of the tensor comes first; of these, what is true of every element."""
    return finding.extent, finding.check not in ("grid", "scale", "offset")


def _beside(huge: int, meaning: str) -> str:
    return f"beside {huge} huge element{'s' * (huge != 1)}, {meaning}"


def grid_finding(evidence: Evidence, my: DType, digits: int) -> Finding | None:
    """Whether my lies on a grid coarser than any type of the run explains, and golden does not."""
    limit = min(digits, evidence.golden_bits)
    if evidence.gridded < _GRIDDED or evidence.my_bits >= limit or evidence.level < my.roundoff:
        return None
    meaning = (
        f"every value has at most {evidence.my_bits} significand bits, where {my.name} has "
        f"{my.digits}: it was rounded to a coarser type on its way"
    )
    return Finding("grid", evidence.my_bits, limit, meaning)


def _dead(check: str, dead: Dead, shape: tuple[int, ...]) -> Finding | None:
    """Slices that are zero in my alone, which no rounding does, however coarse."""
    if not dead.count:
        return None
    first = name_index(dead.first, shape) if check == "line" else str(dead.first)
    which = f"{check} {first} is" if dead.count == 1 else f"{dead.count} {check}s, from {first} on,"
    meaning = f"{which} {'' if dead.count == 1 else 'are '}zero in my, and not in golden"
    return Finding(check, math.inf, 0, meaning, dead.count / max(math.prod(shape), dead.count))


def _scale(
    evidence: Evidence, growth: Growth, expected: Expectation, fewness: float, my: Side
) -> Finding | None:
    limit = max(growth.scale * fewness * expected.error, growth.scale_floor * expected.floor)
    size = abs(evidence.scale)
    if evidence.count < growth.many or size <= limit:
        return None
    rest = _left(evidence, size)
    if size == 1 == -evidence.scale and rest <= _EXPLAINED:  # else my lies across golden
        most = max(my.maximum, -my.minimum)
        what = f"next to nothing, at most {most:.3g}," if my.has_nonzero else "zero"
        return Finding("scale", size, limit, f"my is {what} in every part of the tensor")
    factor = f"{1 + evidence.scale:.4g}"
    plain, vague = f"a factor of {factor}", f"my follows golden with a slope of {factor}"
    return _shared("scale", (size, limit), evidence, plain, vague)


def _sum(case: Case, growth: Growth, expected: Expectation) -> Finding | None:
    """Whether my's lines add up to 1 as golden's do: no error of what a softmax was given, however
    large, makes its sums another."""
    my, limit = case.stats.my, growth.scale_floor * expected.floor
    few = not case.shape or case.shape[-1] < _CHANNELS  # which are near 1 by chance
    if few or not is_distribution(case.stats, case.lines) or my.finite < case.stats.golden.finite:
        return None
    mean = line_sum(my, case.lines)
    if abs(mean - 1) <= limit:
        return None
    meaning = f"the lines add up to {mean:.3g} on average, golden's to 1"
    return Finding("scale", abs(mean - 1), limit, meaning)


def _scores(evidence: Evidence, case: Case, expected: Expectation) -> Finding | None:
    """Scores of a vocabulary by what of them varies: a softmax makes nothing of what all of a line
    share, in golden or in the error, and rows before, which lack it, do not tell of it."""
    if expected.has_peers or not case.shape or case.shape[-1] < _VOCABULARY:
        return None
    share = varying(case.stats, evidence)
    size, part = _left(evidence, abs(evidence.offset)), expected.parts.level
    limit = max(share, _VARYING) * expected.limits.level
    if size <= limit:
        return None
    meaning = f"beside what all share the error is {size / share:.2%} of what of golden varies"
    return Finding("level", size / part, limit / part, meaning, 1.0)


def _offset(
    evidence: Evidence, growth: Growth, expected: Expectation, fewness: float
) -> Finding | None:
    limit = max(growth.offset * fewness * expected.error, growth.offset_floor * expected.floor)
    size = abs(evidence.offset)
    if evidence.count < growth.many or size <= limit:
        return None
    shift = f"{evidence.offset * evidence.rms:+.4g}, {size:.3g} times golden's rms"
    plain, vague = f"a shift of {shift}", f"my is {shift}, on average"
    return _shared("offset", (size, limit), evidence, plain, vague)


def _shared(
    check: str, sizes: tuple[float, float], evidence: Evidence, plain: str, vague: str
) -> Finding:
    """What all parts share, where that explains the error; else it is there beside a larger one.

    What remains is told, so that nobody takes for an explanation what a diagnosis has not
    confirmed.
    """
    size, limit = sizes
    rest = _left(evidence, size)
    if rest <= _EXPLAINED * size:
        meaning = f"all parts share {plain}, without which the error is {rest:.2%} of golden"
        if evidence.buckets:  # a small difference of two estimates is none
            meaning = f"all parts share {plain}, as estimated"
        return Finding(check, size, limit, meaning)
    meaning = f"{vague}, and is off by {rest:.2%} of golden beside that"
    return Finding(check, size, limit, meaning, 1.0)


def _left(evidence: Evidence, size: float) -> float:
    """The level without what all parts share."""
    return math.sqrt(max(evidence.level**2 - size**2, 0.0))


def _fewness(lines: int) -> float:
    """How much more of what is shared few lines may have: they share much by chance."""
    return next((times for below, times in _FEW_LINES if lines < below), 1.0)


def _slice(
    check: str,
    span: Span,
    size: float,
    expected: Expectation,
    shape: tuple[int, ...],
    times: float,
) -> Finding | None:
    limit, part = times * getattr(expected.limits, check), getattr(expected.parts, check)
    if size <= limit or span.total == 1:
        return None
    value = size / part
    meaning = f"the error in {name_span(check, span, shape)} is {value:.3g} times the expected one"
    return Finding(check, value, limit / part, meaning, span.count / span.total)


def _element(
    evidence: Evidence, growth: Growth, expected: Expectation, case: Case, times: float = 1.0
) -> Finding | None:
    peak, size = evidence.peak, sizes_of(evidence).element
    alone = peak.error > growth.alone * peak.runner_up
    limit = times * expected.limits.element
    if not alone and not expected.has_peers:
        limit *= growth.element / growth.lone_element
    if size <= limit:
        return None
    value = size / expected.parts.element
    told = name_element(peak, case.shape, case.stats.my, is_near=evidence.buckets > 0)
    meaning = f"{told}: {value:.3g} times the expected error"
    extent = 0.0 if alone else 1.0
    return Finding("element", value, limit / expected.parts.element, meaning, extent)


def _level(evidence: Evidence, growth: Growth, expected: Expectation) -> Finding | None:
    limit, part = expected.limits.level, expected.parts.level
    # At the end of what E can be a tensor of zeros stands, all of which counts.
    end = growth.most * growth.level
    size = evidence.level if evidence.level >= end else evidence.rest
    if size < limit:
        return None
    meaning = (
        f"the error of the whole tensor, {evidence.level:.2%} of golden, is {size / part:.3g} "
        "times the expected one"
    )
    return Finding("level", size / part, limit / part, meaning, 1.0)


def _typical(evidence: Evidence, case: Case, expected: Expectation) -> Finding | None:
    """The error of most lines, which a few huge ones do not hide."""
    limit, part, size = expected.limits.typical, expected.parts.typical, evidence.typical
    if case.lines < _LINES or case.shape[-1] < _CHANNELS or size <= limit:
        return None
    meaning = (
        f"the error of a quarter of the lines is at least {size:.2%} of their golden, "
        f"{size / part:.3g} times the expected one"
    )
    return Finding("line", size / part, limit / part, meaning, 1.0)


def _huge(evidence: Evidence, expected: Expectation) -> Finding | None:
    """The level of all, where that is the level of the few huge elements."""
    limit, part = _HUGE * expected.limits.level, expected.parts.level
    if evidence.level < limit:
        return None
    meaning = (
        f"the error of the few huge elements, {evidence.level:.2%} of golden, is "
        f"{evidence.level / part:.3g} times the expected one"
    )
    return Finding("level", evidence.level / part, limit / part, meaning, 1.0)
