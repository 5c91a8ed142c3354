"""My errors of one row in multiples of what a trusted run shows: whole, line, channel, element."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ait_cmp.engine.evidence import Evidence, Peak, Span
from ait_cmp.engine.slices import Bins, Slices, Table, Top, alike
from ait_cmp.judging.bins import (
    OF_A_LINE,
    PRIOR,
    TINY,
    Expected,
    Steps,
    Sums,
    Values,
    bin_widths,
    expected_of,
    slack,
)
from ait_cmp.judging.sizes import widened

__all__ = ["LIMITS", "Measure", "Side", "measure"]

# Errors in multiples of what is expected, chance allowed for: from here on a check fails.
LIMITS = {"scale": 1.7, "offset": 1.7, "level": 1.9, "line": 3.4, "channel": 4.0, "element": 3.2}
_LONE = 2.0  # the limit of an element that stands alone
_ALONE = 4.0  # so many times the second largest is alone
# Times these limits, in a softmax, and in rows of one or two lines, which are one token's state.
_SOFT = {"level": 1.3, "channel": 2.0, "element": 3.0}
_SINGLE = {"offset": 0.85, "level": 0.85}
_FEW, _MANY = 3, 64  # lines that are no single ones; elements from which factors are read
_HEAVIEST = 3.0  # times the reference's own peak that a long tail may reach
_HEAVY = 1.5  # where there are too few elements to tell
_SHARED = 2.0  # times the errors around a row that a whole line may be off by one factor
_SHARING = 16  # channels from which a line has a factor
_COARSE, _TELLING = 2.0**-12, 16  # steps of a 16-bit type; elements that tell of them
_DEVIATIONS = 2  # of a slice's estimate, of which there are up to 64
_NEAR = 0.25  # bins with this share of the worst one's error are named with it


@dataclass(frozen=True, slots=True)
class Side:
    """What was measured of golden and one run: the slices that are kept, and the evidence."""

    slices: Slices
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Measure:
    """The errors of one row, in multiples of what is expected: of each check its value and limit.
    `off` names where the reference is wrong itself, so that it cannot tell of my.

    `error` is the reference's, relative to golden, and `bits` of its significands are in use;
    `common` is how much louder my is where the tensor is like most of it.
    """

    error: float
    bits: int
    common: float
    values: Mapping[str, tuple[float, float]]
    worst_line: Span
    worst_channel: Span
    peak: Peak
    is_alone: bool
    off: str

    def broken(self) -> Iterator[tuple[str, float, float]]:
        """Each check that fails, with its value and its limit."""
        for check, (value, limit) in self.values.items():
            if value > limit:
                yield check, value, limit

    @property
    def worst(self) -> float:
        """The largest share of a limit that a check reaches."""
        return max(value / limit for value, limit in self.values.values())


def measure(
    my: Side,
    reference: Side,
    shape: tuple[int, ...],
    steps: Steps,
    *,
    allowed: float,
    is_softmax: bool,
) -> Measure:
    """My row by that of a trusted run; `allowed` is how much louder my may be."""
    mine, shown = alike(my.slices, reference.slices)
    plain = _Row.of(mine, shown, shape, steps)
    peaks, of_reference = plain.peaks(mine.top), plain.peaks(shown.top)
    count = float(plain.lines.count.sum())
    row = plain.with_tail(_tail(of_reference, count))
    level, common = row.level()
    line = row.line_errors(mine.lines, shown.lines)
    channel = row.errors(row.channels, row.by_channel)
    peak = _peak(mine.top, peaks)
    is_alone = peak.error > _ALONE * peak.runner_up
    values = {
        **row.shared(my.evidence, reference.evidence),
        "level": level,
        "line": _worst(line),
        "channel": _worst(channel),
        "element": peak.error / _highest(of_reference, count),
    }
    limits = LIMITS | ({"element": _LONE} if is_alone else {})
    for factors in (
        _SOFT if is_softmax else {},
        _SINGLE if row.bins.lines < _FEW else {},
        _estimated(my.evidence, reference.evidence),
    ):
        limits |= {check: limits[check] * factor for check, factor in factors.items()}
    return Measure(
        error=row.error(shown),
        bits=shown.my_bits,
        common=common,
        values={check: (value / allowed, limits[check]) for check, value in values.items()},
        worst_line=_span(line, row.lines.my, row.widths[0], row.bins.lines),
        worst_channel=_span(channel, row.channels.my, row.widths[1], row.bins.channels),
        peak=peak,
        is_alone=is_alone,
        off=" and ".join(
            name
            for name, sums in (("lines", plain.lines), ("channels", plain.channels))
            if sums.is_off
        ),
    )


def _estimated(*sides: Evidence) -> dict[str, float]:
    """Times the limits, for what each side that is estimated may be off by."""
    wide = [widened(one, _DEVIATIONS) for one in sides if one.buckets]
    return {
        check: math.prod(getattr(one, check) for one in wide)
        for check in ("level", "channel", "line", "element")
    }


class _Row(NamedTuple):
    """The sums of a row, and what is expected of them; `tail` elements tell as much as one."""

    lines: Sums
    channels: Sums
    by_line: Expected
    by_channel: Expected
    bins: Bins
    widths: tuple[int, int]
    steps: Steps
    of_a_line: float  # its parts at most
    tail: float

    @staticmethod
    def of(mine: Slices, shown: Slices, shape: tuple[int, ...], steps: Steps) -> _Row:
        """As the reference has it, whatever that may be."""
        lines, channels = Sums.of(mine.lines, shown.lines), Sums.of(mine.channels, shown.channels)
        widths = bin_widths(mine, shape)
        of_a_line = OF_A_LINE
        if all(_is_rounded_once(sums, steps.grain) for sums in (lines, channels)):
            of_a_line, steps = math.inf, replace(steps, error=0.0)
        by_line = expected_of(lines, channels, steps, most=of_a_line * widths[0])
        by_channel = expected_of(channels, lines, steps)
        bins = Bins.of(shape)
        return _Row(lines, channels, by_line, by_channel, bins, widths, steps, of_a_line, 1.0)

    def with_tail(self, tail: float) -> _Row:
        """The same, where the error has a long tail."""
        most, steps = self.of_a_line * self.widths[0], self.steps
        by_line = expected_of(self.lines, self.channels, steps, tail=tail, most=most)
        by_channel = expected_of(self.channels, self.lines, steps, tail=tail)
        return self._replace(by_line=by_line, by_channel=by_channel, tail=tail)

    def error(self, shown: Slices) -> float:
        """Of the reference, relative to golden."""
        golden = max(float(shown.lines.golden_squares.sum()), TINY)
        return max(self.steps.grain, math.sqrt(float(shown.lines.squares.sum()) / golden))

    def shared(self, my: Evidence, reference: Evidence) -> dict[str, float]:
        """The factor, less 1, and the shift that all slices share, and the reference's do not."""
        around = max(self.by_line.ratio, self.by_channel.ratio, reference.level**2)
        if self.bins.lines < _FEW:
            around = max(around, self.steps.error**2)
        error = math.sqrt(around + self.steps.grain**2)
        if my.count < _MANY:
            return {}
        pairs = {"scale": (my.scale, reference.scale), "offset": (my.offset, reference.offset)}
        return {
            check: min(abs(mine), abs(mine - shown)) / error
            for check, (mine, shown) in pairs.items()
        }

    def level(self) -> tuple[float, float]:
        """The error of all bins that are like most, over chance, and as it is."""
        over, plain = [0.0], [math.inf]
        for sums, expected in ((self.lines, self.by_line), (self.channels, self.by_channel)):
            bulk = expected.common
            if not bulk.any():
                continue
            parts = min(float(sums.count[bulk].sum()) / self.tail, self.of_a_line * self.bins.lines)
            if self.has_outlying:
                parts = min(parts, float(expected.parts[bulk].sum()))
            parts = max(parts, 1.0)
            shown = float((sums.reference + expected.floor)[bulk].sum())
            typical = float(expected.typical[bulk].sum())
            energy = (parts * shown + PRIOR * typical) / (parts + PRIOR)
            plain.append(math.sqrt(float(sums.my[bulk].sum()) / energy))
            over.append(plain[-1] / float(slack(np.array(parts))))
        return max(over), min(plain)

    @property
    def has_outlying(self) -> bool:
        """Whether a few huge elements hold much of golden."""
        pairs = ((self.lines, self.by_line), (self.channels, self.by_channel))
        return any(bool((sums.live & ~expected.common).any()) for sums, expected in pairs)

    def errors(self, sums: Sums, expected: Expected, my: Values | None = None) -> Values:
        """The error of each bin, over chance."""
        energy = sums.my if my is None else my
        found: Values = np.sqrt(energy / expected.energy) / slack(expected.parts)
        return np.where(sums.live, found, 0.0)

    def line_errors(self, mine: Table, shown: Table) -> Values:
        """The same of lines: the factor that a line is off by as a whole apart from the rest, since
        one huge element of its state, of one part, moves all of the line."""
        if self.widths[0] > 1 or self.bins.channels < _SHARING:
            return self.errors(self.lines, self.by_line)
        steps, golden = self.steps, np.maximum(mine.golden_squares, TINY)
        factor = mine.products / golden
        of_reference = shown.products / np.maximum(shown.golden_squares, TINY)
        may_be = of_reference**2 + max(steps.error**2, self.by_line.ratio / 4.0) + steps.grain**2
        shared = np.minimum(factor**2, (6.0**2) * may_be) * golden
        rest = self.errors(self.lines, self.by_line, np.maximum(mine.squares - shared, 0.0))
        as_whole: Values = np.sqrt(factor**2 / may_be) / _SHARED
        return np.where(self.lines.live, np.maximum(rest, as_whole), 0.0)

    def peaks(self, top: Top) -> Values:
        """The errors of the largest elements over what is expected around them."""
        lines = top.indices // self.bins.channels // self.widths[0]
        channels = top.indices % self.bins.channels // self.widths[1]
        whole = float(self.by_line.energy.sum()) / max(float(self.lines.count.sum()), 1.0)
        of_line = (self.by_line.energy / np.maximum(self.lines.count, 1.0))[lines]
        of_channel = (self.by_channel.energy / np.maximum(self.channels.count, 1.0))[channels]
        around = np.maximum(
            of_line * of_channel / max(whole, TINY), np.minimum(of_line, of_channel)
        )
        own = self.steps.grain**2
        if self.bins.lines < _FEW:  # nothing else tells how large the error of a large one may be
            own = max(own, self.by_line.ratio, self.by_channel.ratio)
        around = np.maximum(around, own * top.golden**2)
        found: Values = np.abs(top.differences) / np.sqrt(np.maximum(around, TINY))
        return found


def _is_rounded_once(sums: Sums, grain: float) -> bool:
    """Whether the reference's error is no more than what storing golden in a 16-bit type makes, as
    that of weights and tables is, on which no state of a token has worked."""
    if grain < _COARSE or sums.count.sum() < _TELLING:
        return False
    return bool((sums.reference <= grain**2 * sums.golden)[sums.live].all())


def _tail(peaks: Values, count: float) -> float:
    """How many elements tell as much as one would of an error without a long tail, going by the
    largest of the reference's."""
    if len(peaks) < 8 or count <= 8:
        return 1.0
    return max(1.0, float(peaks.min()) ** 2 / (2.0 * math.log(count / 4.0) + 1.0))


def _highest(peaks: Values, count: float) -> float:
    """How far above its surroundings an element may be, going by the reference's, and by how many
    there are."""
    by_chance = 1.0 + math.sqrt(2.0 * math.log(max(count, 2.0)))
    if not len(peaks):
        return by_chance * _HEAVY
    largest, least = float(peaks.max()), float(peaks.min())
    heavy = min(_HEAVIEST, largest / least) if len(peaks) == 8 and least > 0 else _HEAVY
    return max(largest, by_chance) * heavy


def _worst(errors: Values) -> float:
    """The largest; nothing where one bin is all."""
    return float(errors.max()) if len(errors) > 1 else 0.0


def _span(errors: Values, energy: Values, width: int, total: int) -> Span:
    """The worst bin, and those near it."""
    if not len(errors):
        return Span()
    worst = int(errors.argmax())
    near = np.flatnonzero(errors >= max(_NEAR * float(errors[worst]), TINY))
    near = near if len(near) else np.array([worst])
    last = min((int(near[-1]) + 1) * width, total) - 1
    held = float(energy[near].sum()) / max(float(energy.sum()), TINY)
    count = min(len(near) * width, total)
    return Span(float(errors[worst]), int(near[0]) * width, last, count, total, held)


def _peak(top: Top, peaks: Values) -> Peak:
    if not len(peaks):
        return Peak()
    worst = int(peaks.argmax())
    runner_up = float(np.sort(peaks)[-2]) if len(peaks) > 1 else 0.0
    return Peak(
        float(peaks[worst]),
        runner_up,
        int(top.indices[worst]),
        float(top.golden[worst]),
        float(top.differences[worst]),
    )
