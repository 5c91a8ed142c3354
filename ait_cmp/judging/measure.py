"""My errors of one row in multiples of what a trusted run shows: whole, line, channel, element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ait_cmp.engine.evidence import Peak, Span
from ait_cmp.engine.slices import Bins, Slices, Table, Top
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

__all__ = ["LIMITS", "Measure", "measure"]

# Errors in multiples of what is expected, chance allowed for: from here on a check fails.
LIMITS = {"level": 1.9, "line": 2.8, "channel": 2.8, "element": 3.2}
_PEAK = 5.0  # times its surroundings: what the largest of many elements reaches by chance
_HEAVIEST = 3.0  # times the reference's own peak that a long tail may reach
_HEAVY = 1.5  # where there are too few elements to tell
_SHARED = 2.0  # times the errors around a row that a whole line may be off by one factor
_SHARING = 16  # channels from which a line has a factor
_ALONE = 3.0  # so many times the second largest element is alone
_NEAR = 0.25  # bins with this share of the worst one's error are named with it


@dataclass(frozen=True, slots=True)
class Measure:
    """The errors of one row, in multiples of what is expected.

    `error` is the reference's, relative to golden, and `bits` of its significands are in use;
    `common` is how much louder my is where the tensor is like most of it.
    """

    error: float
    bits: int
    common: float
    level: float
    line: float
    channel: float
    element: float
    worst_line: Span
    worst_channel: Span
    peak: Peak

    def broken(self) -> Iterator[tuple[str, float, float]]:
        """Each check that fails, with its value and its limit."""
        for check, limit in LIMITS.items():
            value: float = getattr(self, check)
            if value > limit:
                yield check, value, limit

    @property
    def is_alone(self) -> bool:
        """Whether the worst element stands far above the next."""
        return self.peak.error > _ALONE * self.peak.runner_up

    @property
    def worst(self) -> float:
        """The largest share of a limit that a check reaches."""
        shares = (float(getattr(self, check)) / limit for check, limit in LIMITS.items())
        return max(shares)


def measure(
    mine: Slices, shown: Slices, shape: tuple[int, ...], steps: Steps, allowed: float
) -> Measure:
    """The kept slices of golden and my by those of golden and a trusted run; `allowed` is how
    much louder my may be."""
    plain = _Row.of(mine, shown, shape, steps)
    peaks, of_reference = plain.peaks(mine.top), plain.peaks(shown.top)
    row = plain.capped(_tail(of_reference, float(plain.lines.count.sum())))
    level, common = row.level()
    line, channel = (
        row.line_errors(mine.lines, shown.lines),
        row.errors(row.channels, row.by_channel),
    )
    golden = max(float(shown.lines.golden_squares.sum()), TINY)
    largest = float(peaks.max()) if len(peaks) else 0.0
    return Measure(
        error=max(steps.grain, math.sqrt(float(shown.lines.squares.sum()) / golden)),
        bits=shown.my_bits,
        common=common,
        level=level / allowed,
        line=_worst(line) / allowed,
        channel=_worst(channel) / allowed,
        element=largest / _highest(of_reference) / allowed,
        worst_line=_span(line, row.lines.my, row.widths[0], row.bins.lines),
        worst_channel=_span(channel, row.channels.my, row.widths[1], row.bins.channels),
        peak=_peak(mine.top, peaks),
    )


class _Row(NamedTuple):
    """The sums of a row, and what is expected of them; `tail` elements tell as much as one."""

    lines: Sums
    channels: Sums
    by_line: Expected
    by_channel: Expected
    bins: Bins
    widths: tuple[int, int]
    steps: Steps
    tail: float

    @staticmethod
    def of(mine: Slices, shown: Slices, shape: tuple[int, ...], steps: Steps) -> _Row:
        """As the reference has it, whatever that may be."""
        lines, channels = Sums.of(mine.lines, shown.lines), Sums.of(mine.channels, shown.channels)
        widths = bin_widths(mine, shape)
        by_line = expected_of(lines, channels, steps, most=OF_A_LINE * widths[0])
        by_channel = expected_of(channels, lines, steps)
        bins = Bins.of(shape)
        return _Row(lines, channels, by_line, by_channel, bins, widths, steps, 1.0)

    def capped(self, tail: float) -> _Row:
        """The same with a long tail, and channels that the reference has wrong alone explain
        nothing."""
        most, steps = OF_A_LINE * self.widths[0], self.steps
        by_line = expected_of(self.lines, self.channels, steps, tail=tail, most=most)
        by_channel = expected_of(self.channels, self.lines, steps, tail=tail, capped=True)
        return self._replace(by_line=by_line, by_channel=by_channel, tail=tail)

    def level(self) -> tuple[float, float]:
        """The error of all bins that are like most, over chance, and as it is."""
        over, plain = [0.0], [math.inf]
        for sums, expected in ((self.lines, self.by_line), (self.channels, self.by_channel)):
            bulk = expected.common
            if not bulk.any():
                continue
            parts = min(float(sums.count[bulk].sum()) / self.tail, OF_A_LINE * self.bins.lines)
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
        around = np.maximum(around, (self.steps.grain * top.golden) ** 2)
        found: Values = np.abs(top.differences) / np.sqrt(np.maximum(around, TINY))
        return found


def _tail(peaks: Values, count: float) -> float:
    """How many elements tell as much as one would of an error without a long tail, going by the
    largest of the reference's."""
    if len(peaks) < 8 or count <= 8:
        return 1.0
    return max(1.0, float(peaks.min()) ** 2 / (2.0 * math.log(count / 4.0) + 1.0))


def _highest(peaks: Values) -> float:
    """How far above its surroundings an element may be, going by the reference's."""
    if not len(peaks):
        return _PEAK * _HEAVY
    largest, least = float(peaks.max()), float(peaks.min())
    heavy = min(_HEAVIEST, largest / least) if len(peaks) == 8 and least > 0 else _HEAVY
    return max(largest, _PEAK) * heavy


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
