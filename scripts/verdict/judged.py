"""What a verdict makes of recorded runs, for dumps of every density, beside the rules in use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ait_cmp.engine.slices import Slices
from ait_cmp.judging import (
    Ahead,
    Case,
    Growth,
    RunJudge,
    Sketch,
    Status,
    Tolerance,
    Verdict,
)
from ait_cmp.judging.yardstick import Reference, Shown
from ait_cmp.settings.tolerances import load_tolerance
from verdict.faults import ROUNDED
from verdict.recording import Faulty, Row, Unit, layer_of
from verdict.rules import MSPROBE, OTHERS, RATIO, breaks_ratio, close_share

__all__ = [
    "BY_REFERENCE",
    "DEFAULT",
    "DENSITIES",
    "EVERY",
    "GROWTH",
    "INT8",
    "OURS",
    "PEERS",
    "REFERENCE",
    "Benign",
    "Found",
    "calibrated",
    "judge_unit",
]

RHO, SNR = 3.0, 20.0
OURS, EVERY = "ours", "every operation"
GROWTH, REFERENCE = "growth", "a reference"
WINDOW = 45  # rows before a fault that tell a reference how loud my is; more change nothing
PEERS = (*OTHERS, MSPROBE, RATIO)
DEFAULT, INT8 = load_tolerance("dtype"), load_tolerance("int8")
CLOSE, CLOSE_INPUTS = 0.6, 0.9  # msprobe's shares


# ---- what is dumped ------------------------------------------------------------------------------

Dumped = list[tuple[int, str]]  # the rows, and what the dump calls them


def _every(unit: Unit) -> Dumped:
    return [(at, row.key.data_id) for at, row in enumerate(unit.rows)]


def _modules(unit: Unit) -> Dumped:
    return [(place.row, place.name) for place in unit.places]


def _points(unit: Unit) -> Dumped:
    return [(place.row, place.name) for place in unit.places if place.point]


def _layers(unit: Unit) -> Dumped:
    return [(place.row, place.name) for place in unit.places if place.layer]


BY_REFERENCE = (EVERY, "points", "layers")
DENSITIES: dict[str, Callable[[Unit], Dumped]] = {
    EVERY: _every,
    "modules": _modules,
    "points": _points,
    "layers": _layers,
}


# ---- what is found -------------------------------------------------------------------------------


@dataclass
class Benign:
    """A run without a fault, dumped in one density, judged by growth or by a reference."""

    subject: str
    variant: str
    scheme: str
    dtype: str
    density: str
    by: str
    rows: int
    alarms: list[str]  # ours, in words
    peers: dict[str, int] = field(default_factory=dict)
    calibrated: list[str] | None = None  # ours with another input's noise
    seconds: float = 0.0  # that it took to record, faults and all


@dataclass
class Found:
    """What became of a fault in a dump of one density."""

    subject: str
    variant: str
    scheme: str
    dtype: str
    density: str
    by: str
    kind: str
    where: str
    rho: float  # of the first dumped row that the fault changed
    snr: float
    found: bool  # that row fails
    first: bool  # and none before it; or the first that fails is of its layer
    later: bool  # some row from there on fails
    moved: str  # the row before it that fails, if any
    sentence: str
    level: float
    expected: float
    peers: list[str]  # the rules that the faulty row breaks
    peers_first: list[str]

    @property
    def distinguishable(self) -> bool:
        """Whether the fault stands above rounding; a grid is told exactly, however fine."""
        exact = self.kind == ROUNDED and self.density == "every operation"
        return exact or (self.rho >= RHO and self.snr >= SNR)


@dataclass
class _Dump:
    """A benign run in one density: its cases by their dumped names."""

    unit: Unit
    density: str
    by: str
    dumped: Dumped
    cases: list[Case]
    failing: list[int] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, Any]:
        """What its results are sorted by."""
        unit = self.unit
        names = ("subject", "variant", "scheme", "dtype")
        told = {"density": self.density, "by": self.by}
        return {**{name: getattr(unit, name) for name in names}, **told}


def _judge(cases: Sequence[Case], tolerance: Tolerance) -> list[Verdict]:
    ahead = (
        Sketch(one.subject, one.chosen_from, one.reference and Shown.of(one.reference))
        for one in cases
    )
    has_references = any(one.reference for one in cases)
    run = RunJudge(Ahead(ahead, tolerance, has_references=has_references), tolerance)
    return [run.verdict(number, case) for number, case in enumerate(cases)]


def _named(case: Case, name: str) -> Case:
    return case._replace(subject=case.subject._replace(data_id=name))


def judge_unit(
    unit: Unit,
    tolerance: Tolerance,
    *,
    reference: Unit | None = None,
    noise: Unit | None = None,
    densities: Iterable[str] = tuple(DENSITIES),
) -> tuple[list[Benign], list[Found]]:
    """Every density; `reference` is a run of the same type, `noise` one on another input.

    Where the slices of both were read, all is judged once more by the reference.
    """
    cases = unit.cases()
    faulty = [*unit.faulty()]
    passes: list[Benign] = []
    found: list[Found] = []
    peers = _Peers(unit, cases, reference)
    runs = [(GROWTH, cases, [changed for _, changed, _ in faulty], densities)]
    if reference and reference.slices and unit.slices:
        runs.append((REFERENCE, *_referenced(unit, reference), BY_REFERENCE))
    for by, shown, changes, some in runs:
        for density in some:
            dumped = DENSITIES[density](unit)
            if not dumped:
                continue
            named = [_named(shown[at], name) for at, name in dumped]
            dump = _Dump(unit, density, by, dumped, named)
            passes.append(_benign(dump, tolerance, peers, noise))
            for (fault, *_), changed in zip(faulty, changes, strict=True):
                if one := _found(dump, tolerance, peers, fault, changed):
                    found.append(one)
    return passes, found


def _referenced(unit: Unit, reference: Unit) -> tuple[list[Case], list[dict[int, Case]]]:
    """The cases of the benign run, and of each faulty one, with what the reference shows."""
    kept = zip(reference.rows, reference.cases(), reference.slices, strict=False)
    shown = {row.key: (case, packed) for row, case, packed in kept if packed}

    def told(row: Row, case: Case, mine: bytes) -> Case:
        found = shown.get(row.key)
        if found is None or found[0].shape != case.shape or not mine:
            return case._replace(reference=Reference(lacks="has no such tensor"))
        other, packed = found
        saturated = other.evidence.nonfinite_saturated if other.evidence else 0
        return case._replace(
            reference=Reference(
                other.subject.my,
                other.evidence,
                _few(packed),
                _few(mine),
                other.stats.nonfinite_disagreeing - saturated,
            )
        )

    cases = zip(unit.rows, unit.cases(), unit.slices, strict=False)
    return [told(*one) for one in cases], [
        {at: told(unit.rows[at], case, slices[at]) for at, case in changed.items()}
        for _, changed, slices in unit.faulty()
    ]


def _few(packed: bytes) -> bytes:
    """The slices as the command keeps them."""
    return Slices.unpack(packed).pack_few()


def _benign(dump: _Dump, tolerance: Tolerance, peers: _Peers, noise: Unit | None) -> Benign:
    verdicts = _judge(dump.cases, tolerance)
    dump.failing = [at for at, one in enumerate(verdicts) if one.status is Status.FAIL]
    made = Benign(
        **dump.labels,
        rows=len(dump.cases),
        alarms=[f"{dump.cases[at].subject}: {verdicts[at].sentence}" for at in dump.failing],
    )
    if dump.density == EVERY and dump.by == GROWTH:
        made.seconds = dump.unit.seconds
        made.peers = {name: len(rows) for name, rows in peers.broken.items()}
        if noise:
            again = _judge(dump.cases, calibrated(noise))
            made.calibrated = [
                f"{case.subject}: {one.sentence}"
                for case, one in zip(dump.cases, again, strict=True)
                if one.status is Status.FAIL
            ]
    return made


def calibrated(unit: Unit) -> Tolerance:
    """The default with the noise that the same variant has on another input."""
    noise: dict[str, float] = {}
    cases = unit.cases()
    for case, verdict in zip(cases, _judge(cases, DEFAULT), strict=True):
        if verdict.noise is not None:
            data_id = case.subject.data_id
            noise[data_id] = max(noise.get(data_id, 0.0), verdict.noise)
    return replace(DEFAULT, growth=Growth(noise=noise))


def _found(
    dump: _Dump, tolerance: Tolerance, peers: _Peers, fault: Faulty, changed: dict[int, Case]
) -> Found | None:
    """None where the dump has no row that the fault changed."""
    kept = {one.at: one for one in fault.changed}
    token = dump.unit.rows[fault.at].key.token
    places = [number for number, (at, _) in enumerate(dump.dumped) if at in changed]
    if not places:
        return None
    here = places[0]
    start = max(0, here - WINDOW) if dump.by == REFERENCE else 0
    cases = [
        _named(changed[at], name) if at in changed else case
        for (at, name), case in zip(dump.dumped[start:], dump.cases[start:], strict=True)
        if dump.unit.rows[at].key.token <= token
    ]
    if dump.by == REFERENCE:  # which takes its time: no further than the fault's layer
        cases = cases[: _last(dump, places) - start + 1]
    verdicts = _judge(cases, tolerance)
    failing = [at for at in dump.failing if at < start]
    failing += [start + at for at, one in enumerate(verdicts) if one.status is Status.FAIL]
    evidence, verdict = cases[here - start].evidence, verdicts[here - start]
    row = dump.dumped[here][0]
    at_it = dump.density == EVERY and dump.by == GROWTH and row == fault.at
    told, told_first = peers.of(kept[row].row, row, changed[row]) if at_it else ([], [])
    return Found(
        **dump.labels,
        kind=fault.kind,
        where=str(dump.cases[here].subject),
        rho=kept[row].rho,
        snr=kept[row].snr,
        found=here in failing,
        first=bool(failing) and _is_right(dump, failing[0], here),
        later=any(at >= here for at in failing),
        moved=str(dump.cases[failing[0]].subject) if failing and failing[0] < here else "",
        sentence=verdict.sentence or "passes",
        level=evidence.level if evidence else math.inf,
        expected=verdict.expected or 0.0,
        peers=told,
        peers_first=told_first,
    )


def _last(dump: _Dump, places: Sequence[int]) -> int:
    """The last row of those that a fault changed which may be its first failing one."""
    if dump.density == EVERY:
        return places[0]
    layer = layer_of(dump.dumped[places[0]][1])
    return max(at for at in places if layer_of(dump.dumped[at][1]) == layer)


def _is_right(dump: _Dump, first: int, here: int) -> bool:
    """Whether the first failing row is the faulty one, or, where few are dumped, of its layer."""
    if first <= here or dump.density == EVERY:
        return first == here
    layer = layer_of(dump.dumped[here][1])
    return layer is not None and layer == layer_of(dump.dumped[first][1])


class _Peers:
    """The rules in use on a run of which every operation is dumped."""

    def __init__(self, unit: Unit, cases: Sequence[Case], reference: Unit | None) -> None:
        self._unit, self._cases = unit, cases
        pairs = zip(reference.rows, reference.cases(), strict=True) if reference else ()
        self._reference = {row.key: case for row, case in pairs}
        self.broken: dict[str, list[int]] = {
            name: [at for at, row in enumerate(unit.rows) if row.breaks(name)] for name in OTHERS
        }
        for name in (MSPROBE, RATIO):
            self.broken[name] = [
                at for at, case in enumerate(cases) if name in self._more(at, case)
            ]

    def of(self, faulty: Row, at: int, case: Case) -> tuple[list[str], list[str]]:
        """The rules that a faulty row breaks, and those that break none before it."""
        told = [name for name in OTHERS if faulty.breaks(name)] + [*self._more(at, case)]
        return told, [name for name in told if not [row for row in self.broken[name] if row < at]]

    def _more(self, at: int, case: Case) -> Iterator[str]:
        inputs = (close_share(self._cases[one].stats) for one in self._unit.rows[at].feeds)
        if close_share(case.stats) < CLOSE and all(one > CLOSE_INPUTS for one in inputs):
            yield MSPROBE
        reference = self._reference.get(self._unit.rows[at].key)
        if reference and breaks_ratio(case.stats, reference.stats):
            yield RATIO
