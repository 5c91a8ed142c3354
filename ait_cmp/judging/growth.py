"""E, the error that the rows before a row explain.

Rounding moves E smoothly: its energy at most doubles or trebles from one row to the next. A
fault lifts the whole tensor, one slice or one element far above it, or shifts everything the
same way, which rounding does not do.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ait_cmp.engine.evidence import Evidence
from ait_cmp.judging.measure import Measure
from ait_cmp.judging.tolerance import Growth, Subject
from ait_cmp.values.dtypes import DTYPES

__all__ = ["Background", "Expectation", "Recent", "noise"]

# The relative error that one honest operation makes, by type: the type's unit roundoff, or more.
# Results in float32 may come of inputs truncated to tf32, which the declared type hides.
_GRAINS = {name: dtype.roundoff for name, dtype in DTYPES.items()} | {
    "float32": 2.0**-10,
    "bfloat16": 2.0**-9,
    "float8_e4m3fn": 2.0**-5,
    "float8_e5m2": 2.0**-4,
    "float8_e4m3fnuz": 2.0**-5,
    "float8_e5m2fnuz": 2.0**-4,
    "float8_e8m0fnu": 2.0**-4,
}
# That of a float32 run which has shown that it does not use tf32: no error reached PROVEN.
_FLOAT32_GRAIN, _PROVEN = 2.0**-18, 2.0**-17

_LEAST = 1e-300  # errors are divided by E, and a tolerance may have a floor of 0


class Expectation(NamedTuple):
    """What one row's errors are measured with: E, and what E cannot fall below; `granted` is what E
    is whatever rows came before.

    `shown` is what they are in multiples of those of a trusted run, where one judges the row: E is
    then its error.
    """

    error: float
    floor: float
    granted: float = math.inf
    shown: Measure | None = None


class Background:
    """The error that the rows so far explain; `sparse` where few data_ids were dumped."""

    def __init__(self, growth: Growth, *, sparse: bool) -> None:
        self._growth = growth
        self._sparse = sparse
        self._recent = Recent(int(growth.window))
        self._of_data: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._tiny_errors = 0
        self._coarse = False

    def expect(self, subject: Subject, evidence: Evidence) -> Expectation:
        """E and its floor for this row."""
        growth = self._growth
        floor = growth.floor * max(self._grain(subject), growth.grain)
        error = self._recent.largest
        if subject.data_id in self._of_data:
            error = min(error, growth.history * self._of_data[subject.data_id])
        error = min(error, self._held.get(subject.data_id, error))
        granted = min(growth.sparse * floor, growth.sparse_most)
        if self._sparse:
            error = max(error, granted)
        error = min(error, growth.most)
        if subject.data_id in growth.noise:
            calibrated = growth.margin * growth.noise[subject.data_id]
            error = calibrated if evidence.count >= growth.enough else max(error, calibrated)
            granted = max(granted, calibrated)
        return Expectation(max(error, floor, _LEAST), floor, max(granted, floor, _LEAST))

    def learn(self, subject: Subject, evidence: Evidence) -> None:
        """Take a row that passed into account; one that failed must not raise E."""
        known = self._of_data.get(subject.data_id, 0.0)
        self._of_data[subject.data_id] = max(known, evidence.level)
        if evidence.count >= self._growth.enough:
            self._recent.add(evidence.level)
            self._tiny_errors += 0 < evidence.level < _PROVEN
            self._coarse |= evidence.level >= _PROVEN

    def hold(self, subject: Subject, expected: Expectation) -> None:
        """Expect no more of a data_id that diverged: what its error did to later rows, which
        pass or not, must not explain it in the next token."""
        self._held[subject.data_id] = expected.error

    def _grain(self, subject: Subject) -> float:
        proven = not self._coarse and self._tiny_errors >= self._growth.proof
        if proven and subject.golden.name == subject.my.name == "float32":
            return _FLOAT32_GRAIN
        return max(_GRAINS[subject.golden.name], _GRAINS[subject.my.name])


class Recent:
    """The largest of the last `window` values; each step costs the same, however many these are."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._seen = 0
        # (place, value): those that are larger than all after them, the largest first.
        self._peaks: deque[tuple[int, float]] = deque()

    def add(self, value: float) -> None:
        """Take one more."""
        while self._peaks and self._peaks[-1][1] <= value:
            self._peaks.pop()
        self._peaks.append((self._seen, value))
        self._seen += 1
        if self._peaks[0][0] < self._seen - self._window:
            self._peaks.popleft()

    @property
    def largest(self) -> float:
        """0.0 where there is none."""
        return self._peaks[0][1] if self._peaks else 0.0


def noise(evidence: Evidence, growth: Growth, expected: Expectation | None = None) -> float:
    """The level, or the least E with which no check fails that is read in multiples of E,
    whichever is more; where a trusted run judges, as much of its error as no check fails with."""
    peak = evidence.peak
    shown = expected.shown if expected else None
    alone = peak.error > growth.alone * peak.runner_up
    return max(
        evidence.level,
        evidence.channel.error / growth.channel,
        evidence.line.error / growth.line,
        peak.error / (growth.lone_element if alone else growth.element),
        abs(evidence.scale) / growth.scale if evidence.count >= growth.many else 0.0,
        abs(evidence.offset) / growth.offset if evidence.count >= growth.many else 0.0,
        shown.error * shown.worst if shown else 0.0,
    )
