"""The checks of one row by a trusted run: the same findings, in multiples of what it shows."""

from __future__ import annotations

from collections.abc import Iterator

from ait_cmp.engine.evidence import Evidence, Span
from ait_cmp.judging.case import Case
from ait_cmp.judging.checks import Finding, grid_finding
from ait_cmp.judging.measure import Measure
from ait_cmp.judging.places import name_element, name_span

__all__ = ["reference_findings"]


def reference_findings(
    case: Case, evidence: Evidence, found: Measure, digits: int
) -> list[Finding]:
    """What of a row is above its limit, that which tells most first. `digits` as for growth."""
    rounded = None
    if found.bits >= min(digits, evidence.golden_bits):  # else it takes few values, in any run
        rounded = grid_finding(evidence, case.subject.my, digits)
    told = [*([rounded] if rounded else ()), *_broken(case, evidence, found)]
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
        meaning = f"{named[check]} is {value:.3g} times what the reference run shows"
        yield Finding(check, value, limit, meaning, _extent(check, found))


def _element(case: Case, found: Measure) -> str:
    return f"{name_element(found.peak, case.shape, case.stats.my)}: its error"


def _extent(check: str, found: Measure) -> float:
    """The share of the tensor that a check names."""
    if check in ("scale", "offset"):
        return 0.0
    if check == "element":
        return 0.0 if found.is_alone else 1.0
    spans: dict[str, Span] = {"line": found.worst_line, "channel": found.worst_channel}
    span = spans.get(check)
    return span.count / span.total if span and span.total else 1.0
