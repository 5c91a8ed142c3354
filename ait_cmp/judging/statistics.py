"""Verdicts of rows of which no tensors are there, only statistics that their dumps recorded.

Rounding moves a maximum, a minimum, a mean or a norm far less than a fault does, but a fault may
move none of them: such a row passes with the reason STATISTICS_ONLY. Half of the digits of the
coarser type must agree, relative to the size of golden's elements; exact types must be equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ait_cmp.judging.checks import Finding
from ait_cmp.judging.tolerance import NonFinite, Subject, Tolerance, Unjudged
from ait_cmp.judging.verdict import Status, Verdict
from ait_cmp.values.dtypes import DType
from ait_cmp.values.errors import Reason
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair
from ait_cmp.values.statistics import Statistics

__all__ = ["judge_statistics"]

_CHECK = "statistics"
_END = 0.99  # of the largest number of its type: there stand masks, whatever the type
_HOW = "no tensor was dumped; dump tensors to compare their elements"


def judge_statistics(
    pairs: Sequence[Pair], tolerance: Tolerance, *, is_ordered: bool = True
) -> list[Verdict]:
    """The verdicts of pairs of one run that have statistics, in dump order."""
    verdicts: list[Verdict] = []
    root = token = None
    for pair in pairs:
        verdict = _verdict(pair, tolerance)
        if verdict.status is Status.FAIL and pair.order_by is OrderBy.WEIGHTS:
            said = f"in {pair.name}; {verdict.findings[0].meaning}"
            verdict = verdict._replace(divergence=said)
        elif verdict.status is Status.FAIL and is_ordered:
            follows = "" if root is None else root
            begins = root is None or pair.token_id != token
            said = f"from {pair.name} on; {verdict.findings[0].meaning}" if begins else ""
            verdict = verdict._replace(follows=follows, divergence=said)
            root, token = root or pair.name, pair.token_id
        verdicts.append(verdict)
    return verdicts


@dataclass(frozen=True, slots=True)
class _Row:
    """Both sides, and what they are held to."""

    golden: Statistics
    my: Statistics
    subject: Subject
    tolerance: Tolerance

    @property
    def is_exact(self) -> bool:
        """Whether nothing may differ."""
        limits = self.tolerance.limits(self.subject)
        strict = "exact_match" in limits and limits["exact_match"].min >= 1
        return strict or not self.subject.is_floating

    @property
    def names(self) -> list[str]:
        """What both sides recorded."""
        return [name for name in self.golden.numbers if name in self.my.numbers]

    @property
    def checksums(self) -> bool | None:
        """Whether the checksums are equal; None where they tell nothing."""
        sums = self.golden.checksum, self.my.checksum
        if None in sums or self.subject.golden != self.subject.my:
            return None
        return sums[0] == sums[1]


def _verdict(pair: Pair, tolerance: Tolerance) -> Verdict:
    assert pair.statistics is not None
    golden, my = pair.statistics
    if golden.shape != my.shape and None not in (golden.shape, my.shape):
        shapes = f"golden is {list(golden.shape or ())}, my is {list(my.shape or ())}"
        return Verdict(Status.ERROR, Reason.SHAPE_MISMATCH, f"the shapes differ: {shapes}; {_HOW}")
    if golden.dtype is None or my.dtype is None:
        kinds = " and ".join(dict.fromkeys(one.kind or "no type" for one in pair.statistics))
        said = f"statistics of {kinds} cannot be compared; {_HOW}"
        return Verdict(Status.ERROR, Reason.DTYPE_UNSUPPORTED, said)
    subject = Subject(pair.data_id, pair.token_id, golden.dtype, my.dtype)
    return _judged(_Row(golden, my, subject, tolerance))


def _judged(row: _Row) -> Verdict:
    reason = Reason.NONFINITE
    findings = [one for name in row.names if (one := _nonfinite(row, name))]
    if not findings:
        reason, findings = Reason.TOLERANCE, list(_differences(row))
    if findings:
        said = "; ".join(one.meaning for one in findings)
        behind = f"by recorded statistics only, tolerance {row.tolerance.name}: {_HOW}"
        return Verdict(Status.FAIL, reason, f"{said} ({behind})", tuple(findings))
    if row.tolerance.unjudged is Unjudged.SKIPPED and (why := _unjudged(row)):
        return Verdict(Status.SKIPPED, Reason.UNJUDGED, f"{why}; {_HOW}")
    by = "their equal checksums" if row.checksums else ", ".join(row.names)
    said = f"compared by recorded statistics only ({by or 'of which none is there'}): {_HOW}"
    return Verdict(Status.PASS, Reason.STATISTICS_ONLY, said)


def _unjudged(row: _Row) -> str:
    """Why nothing shows that a row without findings is right."""
    if not row.tolerance.judges(row.subject):
        return f"nothing judges it: tolerance {row.tolerance.name} has no limit for {row.subject}"
    if row.checksums or any(_is_told(row, name) for name in row.names):
        return ""
    if row.checksums is None:
        return "of what both sides recorded nothing can be compared"
    return "the checksums differ, which does not say by how much, and nothing else was recorded"


def _differences(row: _Row) -> Iterator[Finding]:
    if row.checksums or not row.tolerance.judges(row.subject):
        return
    limit = 0.0 if row.is_exact else math.sqrt(row.subject.coarser.roundoff)
    for name in row.names:
        if _is_told(row, name) and (one := _difference(row, name, limit)):
            yield one
    if row.is_exact and row.checksums is False:
        yield Finding(_CHECK, 1.0, 0.0, "the checksums differ where nothing may")


def _is_told(row: _Row, name: str) -> bool:
    """Whether a number of both sides says anything: of masked elements only where they are."""
    golden, my = row.golden.numbers[name], row.my.numbers[name]
    masked = _is_masked(row, "max") or _is_masked(row, "min")
    if masked and (name in ("mean", "norm") or _is_masked(row, name)):
        return False
    return math.isfinite(golden) and math.isfinite(my)


def _nonfinite(row: _Row, name: str) -> Finding | None:
    golden, my = row.golden.numbers[name], row.my.numbers[name]
    finite = math.isfinite(golden), math.isfinite(my)
    policy = row.tolerance.nonfinite
    if all(finite) or policy is NonFinite.ANY:
        return None
    alike = golden == my or (math.isnan(golden) and math.isnan(my))
    masked = _is_masked(row, "max") or _is_masked(row, "min")
    if policy is NonFinite.ALIKE and (alike or (masked and row.tolerance.growth)):
        return None
    return Finding(_CHECK, 1.0, 0.0, f"the {name} is {golden} in golden and {my} in my")


def _is_masked(row: _Row, name: str) -> bool:
    """Whether an extremum is at the end of each side's own range, as masks are."""
    if name not in ("max", "min") or name not in row.names or not row.subject.is_floating:
        return False
    golden, my = row.golden.numbers[name], row.my.numbers[name]
    ends = _is_end(golden, row.subject.golden), _is_end(my, row.subject.my)
    return all(ends) and (golden > 0) == (my > 0)


def _is_end(number: float, dtype: DType) -> bool:
    return abs(number) >= _END * dtype.largest


def _difference(row: _Row, name: str, limit: float) -> Finding | None:
    golden, my = row.golden.numbers[name], row.my.numbers[name]
    if golden == my:
        return None
    size = _size(row.golden, name)
    relative = abs(golden - my) / size if size else math.inf
    if relative <= limit:
        return None
    of = "its elements' size" if name == "mean" else "its size"
    meaning = (
        f"the {name} is {golden:.6g} in golden and {my:.6g} in my, which differ by "
        f"{relative:.2%} of {of}, more than {limit:.2%}"
    )
    return Finding(_CHECK, relative, limit, meaning)


def _size(golden: Statistics, name: str) -> float:
    """What a difference is relative to: the norm of the norm's, the root mean square of the
    mean's, else the largest element."""
    norm, shape = golden.norm, golden.shape
    if name == "norm" and norm:
        return abs(norm)
    if name == "mean" and norm and math.isfinite(norm) and shape and math.prod(shape):
        return abs(norm) / math.sqrt(math.prod(shape))
    ends = [abs(one) for one in (golden.maximum, golden.minimum) if one is not None]
    return max((one for one in ends if math.isfinite(one)), default=0.0)
