"""The evidence of a pair in plain NumPy: what the compiled reduction must equal bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.evidence import Dead, Evidence, Peak, Span
from ait_cmp.engine.slices import Bins, Indices, Slices, Table, Top
from ait_cmp.engine.stats import Stats

__all__ = ["reference_evidence"]

_TINY, _NEAR, _WEIGHTY = 1e-300, 0.25, 0.05

Values = npt.NDArray[np.float64]


def reference_evidence(stats: Stats, slices: Slices, shape: tuple[int, ...]) -> Evidence:
    """The evidence of a whole pair of `shape`: its stats, and the slices among them.

    Where golden is zero, or squares are out of float64's reach, only the level tells.
    """
    lines, channels = slices.lines, slices.channels
    count = float(lines.count.sum())
    squares, golden_squares = float(lines.squares.sum()), float(lines.golden_squares.sum())
    told = math.isfinite(squares) and 0.0 < golden_squares < math.inf
    rms = math.sqrt(golden_squares / count) if told else 0.0
    bins = Bins.of(shape)
    return Evidence(
        count=int(count),
        level=_ratio(squares, golden_squares) if 0 < count < stats.pairs else _level(stats),
        rms=rms,
        scale=_consensus(*(_slopes(table) for table in (channels, lines))) if told else 0.0,
        offset=_consensus(*(_shifts(table, rms) for table in (channels, lines))) if told else 0.0,
        channel=_span(channels, rms, bins.channel_width, bins.channels) if told else Span(),
        line=_span(lines, rms, bins.line_width, bins.lines) if told else Span(),
        peak=_peak(slices, bins, rms) if told else Peak(),
        golden_bits=_bits_in_use(slices.golden_bits),
        my_bits=_bits_in_use(slices.my_bits),
        gridded=slices.gridded,
        nonfinite_saturated=slices.nonfinite_saturated,
        clipped=slices.clipped,
        clipped_first=slices.clipped_first,
        **_robust(slices, bins, rms, _level_of(stats, slices)),
    )


def _level_of(stats: Stats, slices: Slices) -> float:
    count = float(slices.lines.count.sum())
    squares, golden = (float(x.sum()) for x in (slices.lines.squares, slices.lines.golden_squares))
    return _ratio(squares, golden) if 0 < count < stats.pairs else _level(stats)


def _robust(slices: Slices, bins: Bins, rms: float, level: float) -> dict[str, Any]:
    """What a lone element, and what a few huge lines, do not change."""
    if not rms:
        dead = {"dead_channels": Dead(), "dead_lines": Dead()}
        return {"rest": level, "typical": level, "channel_rest": 0.0, "line_rest": 0.0, **dead}
    lines, channels, top = slices.lines, slices.channels, slices.top
    count = float(lines.count.sum())
    without = int(count >= 512) + int(count >= 2048)
    squares = float(lines.squares.sum())
    for difference in top.differences[:without].tolist():
        squares -= difference * difference
    columns = top.indices % bins.channels // bins.channel_width
    rows = top.indices // bins.channels // bins.line_width
    return {
        "rest": math.sqrt(max(squares, 0.0) / float(lines.golden_squares.sum())),
        "typical": _typical(lines),
        "channel_rest": _rest_of_worst(channels, rms, 16, top, columns),
        "line_rest": _rest_of_worst(lines, rms, 64, top, rows),
        "dead_channels": _dead(channels, bins.channel_width, bins.channels),
        "dead_lines": _dead(lines, bins.line_width, bins.lines),
    }


def _quantile(values: Values, part: int) -> float:
    some = np.sort(values[values > 0])
    return float(some[len(some) // part]) if len(some) else 0.0


def _typical(lines: Table) -> float:
    kept = lines.golden_squares > 1e-4 * _quantile(lines.golden_squares, 4)
    errors = np.sort(np.sqrt(lines.squares[kept] / lines.golden_squares[kept]))
    return float(errors[-1 - len(errors) // 4]) if len(errors) else 0.0


def _dead(table: Table, width: int, total: int) -> Dead:
    golden = table.golden_squares
    if len(golden) < 4:
        return Dead()
    usual = (golden > 0.1 * _quantile(golden, 2)) & (table.count >= 8)
    dead = np.flatnonzero(usual & (golden + 2 * table.products + table.squares < 1e-3 * golden))
    if not 0 < len(dead) < 0.9 * usual.sum():
        return Dead()
    return Dead(int(dead[0]) * width, min(len(dead) * width, total))


def _rest_of_worst(table: Table, rms: float, full: int, top: Top, places: Indices) -> float:
    error = _span(table, rms, 1, 1).error
    if not error or len(table.count) < 2:
        return error
    squares = table.squares.copy()
    seen: set[int] = set()
    for place, difference in zip(places.tolist(), top.differences.tolist(), strict=True):
        if place not in seen and table.count[place] >= full:
            squares[place] = max(squares[place] - difference * difference, 0.0)
        seen.add(place)
    some = table.count >= 2
    n = table.count[some]
    errors = np.sqrt(squares[some] / n / (table.golden_squares[some] / n + rms * rms))
    return float(errors.max())


def _level(stats: Stats) -> float:
    """Over all finite pairs, from sums that have units of their own."""
    level = _ratio(stats.difference_squares, stats.golden_squares)
    exponent = stats.difference_exponent - stats.golden.exponent
    return level if level in (0.0, math.inf) else math.ldexp(level, exponent)


def _ratio(squares: float, golden_squares: float) -> float:
    if golden_squares > 0:
        return math.sqrt(squares / golden_squares)
    return math.inf if squares > 0 else 0.0


def _slopes(table: Table) -> tuple[Values, Values]:
    """The regression of d on g in each bin, and its weight."""
    return table.products / np.maximum(table.golden_squares, _TINY), table.golden_squares


def _shifts(table: Table, rms: float) -> tuple[Values, Values]:
    """The mean of d in each bin, over golden's rms, and its weight."""
    return table.total / np.maximum(table.count, 1) / rms, table.count


def _consensus(*views: tuple[Values, Values]) -> float:
    """What three quarters of the bins agree on, in every view that has four of them; else 0."""
    agreed = []
    for values, weights in views:
        kept = np.sort(values[weights > _WEIGHTY / len(weights) * weights.sum()])
        if len(kept) < 4:
            continue
        low, high = kept[len(kept) // 4], kept[-1 - len(kept) // 4]
        agreed.append(0.0 if low <= 0 <= high else float(low if low > 0 else high))
    if not agreed or min(agreed) <= 0 <= max(agreed):
        return 0.0
    return min(agreed, key=abs)


def _span(table: Table, rms: float, width: int, total: int) -> Span:
    n = np.maximum(table.count, 1)
    errors = np.sqrt(table.squares / n / (table.golden_squares / n + rms * rms))
    worst = int(errors.argmax())
    # The error of one element is the peak's; a bin that is nearly empty says no more.
    if not errors[worst] or table.count[worst] < 2:
        return Span(total=total)
    near = np.flatnonzero(errors >= _NEAR * errors[worst])
    first, last = int(near[0]), int(near[-1])
    beyond = max(0, (last + 1) * width - total)  # of the last bin, which may be narrower
    return Span(
        error=float(errors[worst]),
        first=first * width,
        last=(last + 1) * width - beyond - 1,
        count=len(near) * width - beyond,
        total=total,
        share=float(table.squares[near].sum() / table.squares.sum()),
    )


def _peak(slices: Slices, bins: Bins, rms: float) -> Peak:
    top = slices.top
    if not len(top.indices) or not top.differences[0]:
        return Peak()
    power = np.maximum(_around(slices, bins, top), rms * rms)
    errors = np.abs(top.differences) / np.sqrt(top.golden * top.golden + power)
    *others, worst = errors.argsort().tolist()
    return Peak(
        error=float(errors[worst]),
        runner_up=float(errors[others[-1]]) if others else 0.0,
        index=int(top.indices[worst]),
        golden=float(top.golden[worst]),
        difference=float(top.differences[worst]),
    )


def _around(slices: Slices, bins: Bins, top: Top) -> Values:
    """Of each kept element the mean square of its channel or its line, whichever is larger."""
    around = []
    for table, places, width in (
        (slices.channels, top.indices % bins.channels, bins.channel_width),
        (slices.lines, top.indices // bins.channels, bins.line_width),
    ):
        rows = places // width
        around.append(table.golden_squares[rows] / np.maximum(table.count[rows], 1))
    larger: Values = np.maximum(*around)
    return larger


def _bits_in_use(bits: int) -> int:
    """Digits of a float32 significand of which these of the 23 stored bits are in use."""
    return 24 - ((bits & -bits).bit_length() - 1) if bits else 1
