"""The errors of one row in golden's own size: those that are read against other rows' errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ait_cmp.engine.evidence import FULL_CHANNEL, FULL_LINE, Evidence
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Side, Stats

__all__ = [
    "Sizes",
    "bounded_by_one",
    "is_distribution",
    "line_sum",
    "of_bins",
    "sizes_of",
    "telling",
    "varying",
    "widened",
]

_TAIL, _TAIL_FROM = 1 / 6, 4096  # of more elements the largest error is larger, by this power
_BOUND = 1e-3  # what rounding does to a largest value of 1
_SUM = 0.01  # and to sums of 1
_FEWEST_USUAL = 64  # elements that may be hidden


class Sizes(NamedTuple):
    """An error, or a limit, of each part of a tensor: the whole, three quarters of the lines, one
    channel, one line, one element."""

    level: float
    typical: float
    channel: float
    line: float
    element: float

    def each(self, function: Callable[..., float], *others: Sizes) -> Sizes:
        """`function` of each part of this and the others."""
        return Sizes(*map(function, self, *others))


def telling(evidence: Evidence, stats: Stats, lines: int) -> Evidence:
    """What is judged, and taught to later rows: the usual elements, where huge ones hide them.

    Of a distribution the few large shares are what counts, and of few elements the largest.
    """
    usual = evidence.usual
    if usual is None or usual.count < _FEWEST_USUAL or is_distribution(stats, lines):
        return evidence
    return usual


def sizes_of(evidence: Evidence) -> Sizes:
    """The errors of each part; those of parts of many elements without a lone one, which is told
    by itself."""
    tail = max(1.0, evidence.count / _TAIL_FROM) ** _TAIL
    channel, line, element = evidence.channel, evidence.line, evidence.peak.error
    if evidence.buckets:  # of elements that do not stand out the largest is by chance as large
        element = max(element, evidence.rest * math.sqrt(2 * math.log(max(evidence.count, 2))))
    return Sizes(
        evidence.rest,
        evidence.typical,
        evidence.channel_rest if channel.total > 1 else 0.0,
        evidence.line_rest if line.total > 1 else 0.0,
        element / tail,
    )


def widened(evidence: Evidence, deviations: int = 1) -> Sizes:
    """How many times its limit each part may have for being estimated: two deviations of the whole,
    so many of one channel, line and element, and one where most lines have to agree.

    Growth's limits have room for more than one: they are those of the worst of many slices.
    """
    one = math.sqrt(2 / evidence.buckets) / 2
    part = 1 + deviations * one
    return Sizes(1 + evidence.spread, 1 + one, part, part, part)


def of_bins(limits: Sizes, parts: Sizes, evidence: Evidence, shape: tuple[int, ...]) -> Sizes:
    """`limits` of one channel and of one line as those of bins of several: what a bin has where one
    of these is at its limit, and the others are at that of the whole.

    Peers' bins may have been honestly worse than the whole: as many times their error, `parts`,
    as the whole may have of its own, a bin may always have. Slices of few elements have the errors
    of single ones, of which a bin may have many.
    """
    bins = Bins.of(shape, few=evidence.buckets > 0)
    lines = bins.line_width if bins.channels >= FULL_LINE else 1
    channels = bins.channel_width if bins.lines >= FULL_CHANNEL else 1
    most = limits.level / parts.level

    def shared(limit: float, part: float, width: int) -> float:
        one, others = limit**2, limits.level**2
        return min(limit, max(math.sqrt((one + (width - 1) * others) / width), most * part))

    return limits._replace(
        channel=shared(limits.channel, parts.channel, channels),
        line=shared(limits.line, parts.line, lines),
    )


def bounded_by_one(stats: Stats) -> bool:
    """Whether golden reaches 1 and not more: what gives such values (a sine, a softmax) may turn
    an absolute error of what it is given into a relative one."""
    golden = stats.golden
    return abs(max(golden.maximum, -golden.minimum) - 1) <= _BOUND


def is_distribution(stats: Stats, lines: int) -> bool:
    """Whether golden is nowhere negative and its lines add up to 1."""
    golden = stats.golden
    if not golden.finite or golden.minimum < 0 or golden.maximum > 1 + _BOUND:
        return False
    return abs(line_sum(golden, lines) - 1) < _SUM


def line_sum(side: Side, lines: int) -> float:
    """What one of so many lines adds up to, on average."""
    return math.ldexp(side.total, side.exponent) / max(lines, 1)


def varying(stats: Stats, evidence: Evidence) -> float:
    """The part of golden's rms that is not its mean, 0 to 1."""
    mean = stats.golden.mean
    if mean is None or not 0 < evidence.rms < math.inf:
        return 1.0
    return math.sqrt(max(1 - (mean / evidence.rms) ** 2, 0.0))
