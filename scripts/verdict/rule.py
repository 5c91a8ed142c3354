"""The verdict: stats of rows in dump order -> pass or fail for each, and where it began. Pure.

One idea: every error is read against E, the error that the rows before explain. Rounding moves
E smoothly (its energy at most doubles or trebles from one row to the next); a fault lifts the
whole tensor, one slice or one element far above it, or shifts everything the same way, which
rounding does not do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ait_cmp.dtypes import DType
from verdict.stats import Mask, RowStats, Table, Values

__all__ = [
    "DTYPE",
    "INT8",
    "Failure",
    "Limits",
    "Row",
    "RunVerdict",
    "Verdict",
    "judge_run",
    "level",
]

TINY = 1e-300  # added to what is divided by

# The relative error that one honest operation makes, as the benchmark saw it, where that is not
# the type's unit roundoff. In float32 matmuls may truncate their inputs to tf32, which the
# declared type hides.
GRAIN = {"bfloat16": 2.0**-9, "float32": 2.0**-10}
# That of a float32 run which has shown that it does not use tf32: no error reached PROVEN.
FLOAT32_GRAIN, PROVEN = 2.0**-18, 2.0**-17


@dataclass(frozen=True)
class Limits:
    """Limits of the checks, in multiples of E; beside each the largest benign value in training."""

    level: float = 4.0  # the whole tensor (2.9)
    channel: float = 8.0  # one index of the last axis (5.6)
    line: float = 14.0  # one run of the last axis (10.7: a softmax row that is nearly one-hot)
    element: float = 30.0  # one element (16.7; 20.2 on the held-out half)
    lone_element: float = 16.0  # one element that stands alone (12.6)
    alone: float = 3.0  # this many times the second largest is alone
    scale: float = 1.1  # a factor that the slices share, less 1: this, or where it is more
    scale_floor: float = 2.5  # so many floors of E (0.84 of the limit: tf32 inputs, squared)
    offset: float = 0.8  # an offset that the slices share, over golden's rms: this or
    offset_floor: float = 1.5  # so many floors of E (0.53 of the limit)
    floor: float = 2.0  # E is at least so many grains of the row's coarser type
    grain: float = 0.0  # no grain is less, whatever the type
    history: float = 2.0  # E is at most so many times the same data's error in earlier tokens
    window: int = 40  # rows before that E looks at
    enough: int = 16  # elements from which a row's error says something of the next ones'
    many: int = 64  # elements from which scale and offset are read
    proof: int = 24  # rows with some, but a tiny error that prove a float32 run free of tf32


DTYPE = Limits()
INT8 = Limits(grain=2.0**-6)  # rounding of weights to 8 bits is what is expected


@dataclass(frozen=True)
class Row:
    """One compared pair."""

    token: int
    data_id: str
    stats: RowStats


@dataclass(frozen=True)
class Failure:
    """One check that a row fails, with what a person would say of it."""

    check: str
    value: float
    limit: float
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What is said of one row."""

    row: Row
    expected: float  # E
    level: float
    failures: tuple[Failure, ...]
    follows: Row | None  # the first divergence of the run, where this row only comes after it

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures


@dataclass(frozen=True)
class RunVerdict:
    """The verdicts of a run in dump order, and its first divergence."""

    rows: list[Verdict]
    first: Verdict | None


@dataclass(frozen=True)
class _Yardstick:
    """What one row is measured with."""

    expected: float  # E
    floor: float  # what E cannot fall below, for this row's types
    digits: int  # of the coarsest grid that is honest in this run
    limits: Limits


def judge_run(rows: Sequence[Row], limits: Limits = DTYPE) -> RunVerdict:
    """The verdicts of one run, each row against those before it."""
    digits = _coarsest_digits(rows)
    background = _Background(limits)
    verdicts: list[Verdict] = []
    first: Verdict | None = None
    for row in rows:
        expected, floor = background.expect(row)
        failures = tuple(_judge_row(row.stats, _Yardstick(expected, floor, digits, limits)))
        follows = first.row if first and failures else None
        verdict = Verdict(row, expected, level(row.stats), failures, follows)
        if verdict.passed:
            background.learn(verdict)
        else:
            first = first or verdict
        verdicts.append(verdict)
    return RunVerdict(verdicts, first)


def level(s: RowStats) -> float:
    """The relative error of the whole tensor, sqrt(Σd² / Σg²)."""
    if s.g2 > 0:
        return math.sqrt(s.d2 / s.g2)
    return math.inf if s.d2 > 0 else 0.0


def _coarsest_digits(rows: Sequence[Row]) -> int:
    """Digits of the coarsest type of my side: any row of the run may honestly be on its grid."""
    return min((row.stats.my.digits for row in rows if row.stats.my.is_floating), default=24)


class _Background:
    """The error that the rows so far explain."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.levels: list[float] = []
        self.of_data: dict[str, float] = {}
        self.tiny_errors = 0
        self.coarse = False

    def expect(self, row: Row) -> tuple[float, float]:
        """E and its floor for this row."""
        limits = self.limits
        floor = limits.floor * max(self._grain(row.stats), limits.grain)
        expected = max(self.levels[-limits.window :], default=0.0)
        if row.data_id in self.of_data:
            expected = min(expected, limits.history * self.of_data[row.data_id])
        return max(expected, floor), floor

    def learn(self, verdict: Verdict) -> None:
        """Takes a row that passed into account; one that failed must not raise E."""
        data_id, stats = verdict.row.data_id, verdict.row.stats
        if not stats.is_floating:
            return
        self.of_data[data_id] = max(self.of_data.get(data_id, 0.0), verdict.level)
        if stats.n >= self.limits.enough:
            self.levels.append(verdict.level)
            self.tiny_errors += 0 < verdict.level < PROVEN
            self.coarse |= verdict.level >= PROVEN

    def _grain(self, s: RowStats) -> float:
        proven = not self.coarse and self.tiny_errors >= self.limits.proof
        if proven and s.golden.name == s.my.name == "float32":
            return FLOAT32_GRAIN
        return max(_grain_of(s.golden), _grain_of(s.my))


def _grain_of(dtype: DType) -> float:
    return GRAIN.get(dtype.name, dtype.roundoff)


def _judge_row(s: RowStats, by: _Yardstick) -> Iterator[Failure]:
    """The checks that one row fails, the plainest first."""
    if not s.is_floating:
        if s.mismatch:
            yield Failure("exact", s.mismatch, 0, f"{s.mismatch} integer elements differ")
        return
    lim = by.limits
    for failure in (
        _nonfinite(s),
        _grid(s, by.digits),
        _scale(s, by),
        _offset(s, by),
        _slice("channel", s.channels, s, by.expected, lim.channel),
        _slice("line", s.lines, s, by.expected, lim.line),
        _element(s, by),
        _level(s, by),
    ):
        if failure:
            yield failure


def _nonfinite(s: RowStats) -> Failure | None:
    if not s.nonfinite:
        return None
    text = f"{s.nonfinite} elements are NaN or infinite, and not alike on both sides"
    return Failure("nonfinite", s.nonfinite, 0, text)


def _grid(s: RowStats, digits: int) -> Failure | None:
    """Whether my lies on a grid coarser than any type of the run explains, and golden does not."""
    limit = min(digits, s.golden_bits)
    if s.gridded < 16 or s.my_bits >= limit:  # 16 elements: so many share no bit by chance
        return None
    text = f"all are rounded to {s.my_bits} significand bits, where {s.my.name} has {s.my.digits}"
    return Failure("grid", s.my_bits, limit, text)


def _scale(s: RowStats, by: _Yardstick) -> Failure | None:
    """The factor, less 1, that the slices share: the regression of d on g in each."""
    if s.n < by.limits.many:
        return None
    tables = (s.channels, s.lines)
    value = _consensus([(t.gd / np.maximum(t.g2, TINY), t.g2, t.n > 0) for t in tables])
    limit = max(by.limits.scale * by.expected, by.limits.scale_floor * by.floor)
    if abs(value) <= limit:
        return None
    return Failure("scale", abs(value), limit, f"scaled by {1 + value:.4g}")


def _offset(s: RowStats, by: _Yardstick) -> Failure | None:
    """The offset that the slices share, in units of golden's rms."""
    if s.n < by.limits.many:
        return None
    unit = math.sqrt(s.g2 / s.n) or TINY
    tables = (s.channels, s.lines)
    value = _consensus([(t.d1 / np.maximum(t.n, 1) / unit, t.n, t.n > 0) for t in tables])
    limit = max(by.limits.offset * by.expected, by.limits.offset_floor * by.floor)
    if abs(value) <= limit:
        return None
    return Failure("offset", abs(value), limit, f"offset by {value * unit:.4g}")


def _consensus(views: list[tuple[Values, Values, Mask]]) -> float:
    """What three quarters of the slices agree on, by channels and by lines alike; else 0.

    A view is the slices' values, their weights, and which of them have any elements.
    """
    agreed = []
    for values, weights, used in views:
        values, weights = values[used], weights[used]
        # Slices that are nearly zero have an error, but no scale of their own.
        values = values[weights > 0.05 * weights.mean()] if len(weights) else values
        if len(values) < 4:
            continue
        low, high = np.quantile(values, [0.25, 0.75])
        agreed.append(0.0 if low * high <= 0 else float(low if low > 0 else high))
    if not agreed or min(agreed) * max(agreed) <= 0:
        return 0.0
    return min(agreed, key=abs)


def _slice(check: str, table: Table, s: RowStats, expected: float, limit: float) -> Failure | None:
    """The worst slice's error, relative to the slice's and the tensor's own size."""
    if not s.n:
        return None
    n = np.maximum(table.n, 1)
    values = np.sqrt(table.d2 / n / (table.g2 / n + s.g2 / s.n + TINY)) / expected
    worst = int(values.argmax())
    if values[worst] <= limit or table.n[worst] < 2:
        return None
    where = _span(check, np.flatnonzero(values > max(limit, values[worst] / 4)), len(values))
    text = f"the error is {values[worst]:.3g} times that of the rows before {where}"
    return Failure(check, float(values[worst]), limit, text)


def _span(check: str, bins: NDArray[np.intp], of: int) -> str:
    if len(bins) == 1:
        return f"in {check} {bins[0]}"
    if len(bins) > of / 2:
        return f"in most {check}s"
    return f"in {check}s {bins[0]} to {bins[-1]} ({len(bins)} of {of})"


def _element(s: RowStats, by: _Yardstick) -> Failure | None:
    """The worst element's error, relative to the largest of itself, its slices and the tensor."""
    if not s.n:
        return None
    values = np.abs(s.top_d) / np.sqrt(s.top_g**2 + _surroundings(s) + TINY) / by.expected
    worst = int(values.argmax())
    others = np.delete(values, worst).max(initial=0.0)
    alone = values[worst] > by.limits.alone * others
    limit = by.limits.lone_element if alone else by.limits.element
    if values[worst] <= limit:
        return None
    spot = [int(index) for index in np.unravel_index(int(s.top_at[worst]), s.shape or (1,))]
    g, d = s.top_g[worst], s.top_d[worst]
    text = (
        f"element {spot} is {g + d:.6g}, golden {g:.6g}: "
        f"{values[worst]:.3g} times the error of the rows before"
    )
    return Failure("element", float(values[worst]), limit, text)


def _surroundings(s: RowStats) -> Values:
    """Of each element kept, the mean square of its channel, its line or the tensor."""
    size = max(s.shape[-1], 1) if s.shape else 1
    lines = max(math.prod(s.shape) // size, 1)
    power = np.full(len(s.top_at), s.g2 / s.n)
    for table, index, total in (
        (s.channels, s.top_at % size, size),
        (s.lines, s.top_at // size, lines),
    ):
        bins = index * len(table.n) // total
        power = np.maximum(power, table.g2[bins] / np.maximum(table.n[bins], 1))
    return power


def _level(s: RowStats, by: _Yardstick) -> Failure | None:
    value = level(s) / by.expected
    if value <= by.limits.level:
        return None
    text = f"the error is {value:.3g} times that of the rows before"
    return Failure("level", value, by.limits.level, text)
