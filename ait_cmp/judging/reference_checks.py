"""The checks of one row by a trusted run: the same findings, in multiples of what it shows.

One run shows one draw of what rounding does, and what few parts make of it (a massive activation,
the state of one token) is in another draw easily twice as large: then growth has to agree, nearly.
"""

from __future__ import annotations

from collections.abc import Iterator

from ait_cmp.engine.evidence import Evidence, Span
from ait_cmp.judging.case import Case
from ait_cmp.judging.checks import Finding, grid_finding, growth_findings
from ait_cmp.judging.growth import Expectation
from ait_cmp.judging.measure import Measure
from ait_cmp.judging.places import name_element, name_span
from ait_cmp.judging.tolerance import Growth

__all__ = ["reference_findings"]

_CLEAR = 2.0  # times its limit is more than rounding, whatever growth says
_NEARLY = 0.6  # times growth's limits it takes to agree


def reference_findings(
    case: Case, evidence: Evidence, growth: Growth, expected: Expectation, digits: int
) -> list[Finding]:
    """What of a row is above its limit, that which tells most first. `digits` as for growth."""
    found, rounded = expected.shown, None
    assert found is not None
    if found.bits >= min(digits, evidence.golden_bits):  # else it takes few values, in any run
        rounded = grid_finding(evidence, case.subject.my, digits)
    told = [*([rounded] if rounded else ()), *_broken(case, evidence, found)]
    clear = any(one is rounded or one.value > _CLEAR * one.limit for one in told)
    if told and expected.grown and not clear:
        nearly = growth_findings(case, evidence, growth, expected.grown.times(_NEARLY), digits)
        if not {one.check for one in told} & {one.check for one in nearly}:
            return []
    return sorted(told, key=lambda one: one.extent)


def _broken(case: Case, evidence: Evidence, found: Measure) -> Iterator[Finding]:
    for check, value, limit in found.broken():
        named = {
            "scale": f"the factor of {1 + evidence.scale:.4g} that all parts share",
            "offset": f"the shift of {evidence.offset * evidence.rms:+.4g} that all parts share",
            "level": f"the error of the whole tensor, {evidence.level:.2%} of golden,",
            "line": f"the error in {name_span('line', found.worst_line, case.shape[:-1])}",
            "channel": f"the error in {name_span('channel', found.worst_channel)}",
            "element": _element(case, found),
        }
        meaning = f"{named[check]} is {value:.3g} times what {case.shown_by} shows"
        yield Finding(check, value, limit, meaning, _extent(check, found))


def _element(case: Case, found: Measure) -> str:
    is_near = case.evidence is not None and case.evidence.buckets > 0
    told = name_element(found.peak, case.shape, case.stats.my, is_near=is_near)
    return f"{told}: its error"


def _extent(check: str, found: Measure) -> float:
    """The share of the tensor that a check names."""
    if check in ("scale", "offset"):
        return 0.0
    if check == "element":
        return 0.0 if found.is_alone else 1.0
    spans: dict[str, Span] = {"line": found.worst_line, "channel": found.worst_channel}
    span = spans.get(check)
    return span.count / span.total if span and span.total else 1.0
