"""E, the error that the rows before a row explain.

Rounding moves E smoothly: its energy at most doubles or trebles from one row to the next. A
fault lifts the whole tensor, one slice or one element far above it, or shifts everything the
same way, which rounding does not do.
"""

from __future__ import annotations

import functools
import operator
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ait_cmp.engine.evidence import Evidence
from ait_cmp.judging.gradients import Sums, setting
from ait_cmp.judging.measure import Measure
from ait_cmp.judging.sizes import Sizes, bounded_by_one, is_distribution, of_bins, sizes_of, widened
from ait_cmp.judging.tolerance import Growth, Subject
from ait_cmp.values.dtypes import DTYPES

if TYPE_CHECKING:
    from ait_cmp.judging.case import Case

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

# That of float32 weights: buffers among them, as tables of angles, are computed on other devices.
_OF_BUFFERS = 2.0**-14

_SETTING = 2.0**-23  # what a number that a script sets is off by, in float32 or as a script has it

_FLOAT16_QUANTUM = 2.0**-24  # float16 rounds to no less, however small the tensor is
_OF_ROWS = 4.0  # rows of a distribution move as a whole, so many times as much as one element
_LEAST = 1e-300  # errors are divided by E, and a tolerance may have a floor of 0


class Expectation(NamedTuple):
    """What one row's errors are measured with: E, and what E cannot fall below; `granted` is what E
    is whatever rows came before. `parts` are what is expected of each part, and `limits` what each
    may have.

    `shown` is what they are in multiples of those of a trusted run, where one judges the row: E is
    then its error, and `grown` what growth expects, where that tells.
    """

    error: float
    floor: float
    granted: float
    parts: Sizes
    limits: Sizes
    has_peers: bool = False
    shown: Measure | None = None
    grown: Expectation | None = None

    def times(self, factor: float) -> Expectation:
        """The same with so many times every limit."""
        limits = self.limits.each(lambda one: one * factor)
        return self._replace(error=self.error * factor, floor=self.floor * factor, limits=limits)

    @classmethod
    def alone(cls, error: float, floor: float, growth: Growth) -> Expectation:
        """That of a row of which E is all that is known."""
        parts = Sizes(*(error,) * 5)
        return cls(error, floor, error, parts, parts.each(operator.mul, _full(growth)))


class _Peers(NamedTuple):
    """How a row is read against its peers: each part may have `times` of its limit in E; E is
    the largest that any peer had, or `recent` times the largest of the rows just before."""

    times: Sizes
    recent: Sizes


# Peers are the same operation in earlier tokens, in earlier layers of this token, and both: no two
# operations amplify rounding alike, but one does much the same in every layer and every token.
_BOTH = _Peers(Sizes(0.9, 0.75, 0.5, 0.29, 0.36), Sizes(0.67, 0.5, 0.375, 0.375, 0.5))
_LAYERS = _Peers(Sizes(0.625, 0.625, 0.5, 0.29, 0.46), Sizes(1.2, 1.2, 1.05, 0.75, 0.31))
_TOKENS = _Peers(Sizes(0.875, 1.0, 0.69, 0.36, 0.29), Sizes(0.43, 0.375, 0.27, 0.3, 0.19))
_OF_FLOOR = Sizes(1.0, 1.0, 1.3, 1.3, 5.0)  # what rounding once does to each part, in floors
_LAYERS_BEFORE, _FEWEST_LAYERS = 6, 2
_ROWS_BEFORE, _MOST_GROWTH = 6, 8.0  # of a token, whose growth over the layers before explains some
_FEW_ELEMENTS, _OF_FEW = 64, 2.0  # where there are fewer, a part may have so many times as much
# A number that stands alone in a data_id is that of a layer, an expert, a stage.
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])")


@functools.lru_cache(maxsize=1 << 16)
def _numberless(data_id: str) -> str:
    """What is the same of a name in every layer."""
    return _NUMBER.sub("#", data_id)


def _full(growth: Growth) -> Sizes:
    return Sizes(growth.level, growth.level, growth.channel, growth.line, growth.lone_element)


class Background:
    """The error that the rows so far explain; `sparse` where few data_ids were dumped."""

    def __init__(self, growth: Growth, *, sparse: bool) -> None:
        self._growth = growth
        self._sparse = sparse
        self._full = _full(growth)
        self._most = self._full.each(lambda one: growth.most * one)
        self._recent = [Recent(int(growth.window)) for _ in Sizes._fields]
        self._of_tokens: dict[str, Sizes] = {}
        self._of_layers: dict[str, deque[Sizes]] = {}
        self._held: dict[str, Sizes] = {}
        self._absolute: dict[tuple[int, ...], float] = {}  # the last error of each shape
        self._growing: deque[float] = deque(maxlen=_ROWS_BEFORE)
        self._token: int | None = None
        self._tiny_errors = 0
        self._coarse = False
        self._sums = Sums()

    def expect(self, case: Case, evidence: Evidence) -> Expectation:
        """E, its floor, and what each part of this row may have."""
        growth, subject = self._growth, case.subject
        if setting(subject.data_id):
            floor = growth.floor * _SETTING
            return Expectation.alone(floor, floor, growth)
        if case.is_weight and not subject.token_id:  # later on it may have been trained
            return self._as_loaded(subject, evidence)
        self._enter(subject.token_id)
        self._sums.see(case, evidence)
        floor = self._floor(subject, evidence)
        granted = min(growth.sparse * floor, growth.sparse_most)
        least = max(floor, granted if self._sparse else 0.0)
        amplified = self._amplified(case, floor)
        layers, tokens = self._peers(subject)
        error = self._error(layers, tokens, max(least, amplified))
        limits, parts = self._limits(case, error, max(least, amplified), (layers, tokens))
        few = _FEW_ELEMENTS if layers or tokens else growth.enough
        if evidence.count < few and self._recent[0].largest:
            limits = limits.each(lambda one: one * _OF_FEW)
        limits = of_bins(limits, parts, evidence, case.shape)
        if evidence.buckets:
            limits = limits.each(operator.mul, widened(evidence))
        if held := self._held.get(subject.data_id):
            limits = limits.each(min, held)
        limits = limits.each(min, self._most)
        if subject.data_id in growth.noise:
            calibrated = growth.margin * growth.noise[subject.data_id]
            granted, error = max(granted, calibrated), max(error, calibrated)
            limits = limits.each(lambda one, full: max(one, calibrated * full), self._full)
        has_peers = bool(layers or tokens)
        found = Expectation(error, floor, max(granted, floor, _LEAST), parts, limits, has_peers)
        times = self._sums.times(case, evidence, error)
        return found.times(times)._replace(parts=parts.each(lambda one: one * times))

    def _as_loaded(self, subject: Subject, evidence: Evidence) -> Expectation:
        """That of what no row before it made: it was rounded once, if at all."""
        is_float32 = subject.golden.name == subject.my.name == "float32"
        floor = self._growth.floor * _OF_BUFFERS if is_float32 else 0.0
        floor = floor or self._floor(subject, evidence)
        alone = Expectation.alone(floor, floor, self._growth)
        if not evidence.buckets:
            return alone
        return alone._replace(limits=alone.limits.each(operator.mul, widened(evidence)))

    def learn(self, case: Case, evidence: Evidence) -> None:
        """Take a row that passed into account; one that failed must not raise E."""
        if not evidence.count or case.is_weight or setting(case.subject.data_id):
            return
        if self._sums.cancel(case):
            return
        subject, sizes = case.subject, sizes_of(evidence)
        self._enter(subject.token_id)
        layers, _ = self._peers(subject)
        known = self._of_tokens.get(subject.data_id)
        self._of_tokens[subject.data_id] = known.each(max, sizes) if known else sizes
        if evidence.count < self._growth.enough:
            return
        if layers:
            floor = self._floor(subject, evidence)
            self._growing.append(sizes.level / max(layers.level, floor))
        of_layers = self._of_layers.setdefault(
            _numberless(subject.data_id), deque(maxlen=_LAYERS_BEFORE)
        )
        of_layers.append(sizes)
        for recent, size in zip(self._recent, sizes, strict=True):
            recent.add(size)
        if not is_distribution(case.stats, case.lines):
            self._absolute[case.shape] = evidence.level * evidence.rms
        self._tiny_errors += 0 < evidence.level < _PROVEN
        self._coarse |= evidence.level >= _PROVEN

    def may_truncate(self, subject: Subject) -> bool:
        """Whether matmuls of this run may have cut its float32 inputs to tf32's digits."""
        return self._coarse and subject.golden.name == subject.my.name == "float32"

    def hold(self, subject: Subject, expected: Expectation) -> None:
        """Allow no more of a data_id that diverged: what its error did to later rows, which
        pass or not, must not explain it in the next token."""
        self._held[subject.data_id] = expected.limits

    def _enter(self, token: int | None) -> None:
        if token != self._token:
            self._token = token
            self._of_layers.clear()
            self._absolute.clear()
            self._growing.clear()

    def _peers(self, subject: Subject) -> tuple[Sizes | None, Sizes | None]:
        """The largest errors of the same operation in layers and in tokens before."""
        before = self._of_layers.get(_numberless(subject.data_id), ())
        layers = None
        if len(before) >= _FEWEST_LAYERS:
            layers = Sizes(*map(max, *before))
        return layers, self._of_tokens.get(subject.data_id)

    def _error(self, layers: Sizes | None, tokens: Sizes | None, least: float) -> float:
        """E of the whole tensor."""
        known = [one.level for one in (layers, tokens) if one]
        if len(known) < 2:
            known.append(self._recent[0].largest)
        return max(min(max(known), self._growth.most), least, _LEAST)

    def _limits(
        self, case: Case, error: float, least: float, known: tuple[Sizes | None, Sizes | None]
    ) -> tuple[Sizes, Sizes]:
        """What each part may have, and what is expected of it."""
        layers, tokens = known
        recent = Sizes(*(one.largest for one in self._recent))
        if layers and tokens:
            peers, largest = _BOTH, layers.each(max, tokens)
        elif layers:
            grown = min(max([1.0, *self._growing]), _MOST_GROWTH)
            peers, largest = _LAYERS, layers.each(lambda one: one * grown)
        elif tokens:
            peers, largest = _TOKENS, tokens
        else:
            alone = Expectation.alone(error, least, self._growth)
            parts = alone.parts
            if is_distribution(case.stats, case.lines):  # whose rows move as a whole
                parts = parts._replace(element=max(recent.level, least / _OF_ROWS, _LEAST))
            return parts.each(operator.mul, self._full), parts
        least = max(least, _LEAST)
        floors = Sizes(*[one * least for one in _OF_FLOOR])
        parts = largest.each(max, floors, recent.each(operator.mul, peers.recent))
        full = parts.each(operator.mul, self._full)
        if self._sums.has_learned:
            return full, parts
        return full.each(operator.mul, peers.times), parts

    def _amplified(self, case: Case, floor: float) -> float:
        """What a function bounded by 1 makes of the absolute error of what it was given: that of
        the last row of its shape, or an unknown one."""
        if not (bounded_by_one(case.stats) or is_distribution(case.stats, case.lines)):
            return 0.0
        given = self._absolute.get(case.shape, 0.0)
        return min(max(given, self._growth.sparse * floor), 1.0)

    def _floor(self, subject: Subject, evidence: Evidence) -> float:
        """What E cannot fall below: rounding once, in the pair's coarser type."""
        growth = self._growth
        floor = growth.floor * max(self._grain(subject), growth.grain)
        if evidence.rms > 0 and "float16" in (subject.golden.name, subject.my.name):
            floor = max(floor, min(growth.floor * _FLOAT16_QUANTUM / evidence.rms, growth.most))
        return floor

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
    shown = expected.shown if expected else None
    sizes, full = sizes_of(evidence), _full(growth)
    shared = (abs(evidence.scale) / growth.scale, abs(evidence.offset) / growth.offset)
    return max(
        evidence.level,
        *sizes.each(operator.truediv, full._replace(level=growth.level)),
        *(shared if evidence.count >= growth.many else ()),
        shown.error * shown.worst if shown else 0.0,
    )
