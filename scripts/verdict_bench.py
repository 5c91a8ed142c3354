"""The benchmark of verdicts: benign rows must pass, planted faults must be found and placed.

    python scripts/verdict_bench.py [--half train|held-out] [--brief] [--jobs N] [--json FILE]
                                    [MODEL ...]

Golden is every operation of a float32 model. My is the same model run another way: benignly, or
with one operation's output made faulty and everything after it computed from that. For the
default tolerance and for six rules in use it prints the false alarms on benign rows, the recall on
the faulty operation's row, and localisation: the run's first failing row is the faulty one.

A fault is distinguishable if, against the benign error of the same row,
  rho = rms of the change / benign rms error of the elements that it changes >= 3, and
  snr = norm of the change / benign error of one element >= 20;
those below are counted apart. MODEL is by default every model of the half; what it needs is in
the dependency group `verdict`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from verdict.faults import FAULTS, ROUNDED, Kind, Site
from verdict.models import (
    BATCH,
    FAULTY_VARIANTS,
    HELD_OUT,
    TRAIN,
    VARIANTS,
    Call,
    Key,
    Rows,
    Variant,
    build,
    golden_rows,
    pair_of,
    run,
)
from verdict.models import Subject as Model

from ait_cmp.engine import Parts
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Case, Growth, Status, Subject, Tolerance, judge
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES, DType, coarser

HALVES = {"train": TRAIN, "held-out": HELD_OUT}
RHO, SNR = 3.0, 20.0
OURS = "ours"


# ---- the rules in use today ----------------------------------------------------------------------

RELATIVE = {"float32": 2.0**-13, "float16": 2.0**-10, "bfloat16": 2.0**-7}
EPSILON = 2.0**-23  # relative errors are of elements above it
SATURATED = 0.99  # of the largest finite value: -65504 and -3.4e38 both mean "masked"

Values = NDArray[np.float64]
Fails = Callable[[Values, Values, DType], bool]  # of golden, the difference, the coarser type


def _elementwise(g: Values, d: Values, _: DType) -> bool:
    size = np.abs(d)
    return bool(((size > 1e-5) & (size > 1e-5 * np.abs(g))).any())


def _assert_close(g: Values, d: Values, dtype: DType) -> bool:
    return bool((np.abs(d) > dtype.atol + dtype.rtol * np.abs(g)).any())


def _relative(g: Values, d: Values, dtype: DType) -> bool:
    if not d.any():
        return False
    large = np.abs(g) > EPSILON
    if not large.any():
        return True
    ratio, limit = np.abs(d[large] / g[large]), RELATIVE.get(dtype.name, 0.0)
    return bool(ratio.mean() >= limit or ratio.max() >= 10 * limit)


def _similarity(g: Values, d: Values, _: DType) -> bool:
    m = g + d
    total = float(g @ g + m @ m)
    return total > 0 and 1 - 2 * float(g @ m) / total > 1e-3


def _cosine(limit: float) -> Fails:
    def fails(g: Values, d: Values, _: DType) -> bool:
        m = g + d
        size = math.sqrt(float(g @ g) * float(m @ m))
        return bool(d.any()) if size == 0 else float(g @ m) / size < limit

    return fails


OTHERS: dict[str, Fails] = {
    "elementwise atol/rtol 1e-5, both exceeded": _elementwise,
    "`assert_close` tolerances of the coarser type": _assert_close,
    "mean rel < T and max rel < 10T": _relative,
    "1 − 2Σxy/Σ(x²+y²) ≤ 1e-3": _similarity,
    "cosine ≥ 0.999": _cosine(0.999),
    "cosine ≥ 0.99": _cosine(0.99),
}


def broken_rules(*, golden: Tensor, my: Tensor) -> frozenset[str]:
    """The rules in use that this pair breaks, masked elements (alike at their end) left out."""
    g, m = (t.detach().double().numpy().ravel() for t in (golden, my))
    floating = [t.dtype for t in (golden, my) if t.is_floating_point()]
    end = SATURATED * min((torch.finfo(dtype).max for dtype in floating), default=np.inf)
    with np.errstate(invalid="ignore"):
        masked = (np.abs(g) >= end) & (np.abs(m) >= end) & (np.sign(g) == np.sign(m))
    masked |= np.isnan(g) & np.isnan(m)
    g, m = g[~masked], m[~masked]
    if not (np.isfinite(g).all() and np.isfinite(m).all()):
        return frozenset(OTHERS)
    dtype = coarser(dtype_of(golden), dtype_of(my))
    return frozenset(name for name, fails in OTHERS.items() if fails(g, m - g, dtype))


# ---- ours ----------------------------------------------------------------------------------------

DEFAULT, INT8 = load_tolerance("dtype"), load_tolerance("int8")
LIMITS = ("level", "channel", "line", "element", "lone_element", "scale", "offset")


def changed(tolerance: Tolerance, **limits: Any) -> Tolerance:
    """`tolerance` with other numbers of growth."""
    return replace(tolerance, growth=replace(tolerance.growth or Growth(), **limits))


def times(factor: float) -> dict[str, float]:
    """Every limit so many times."""
    return {name: factor * getattr(Growth(), name) for name in LIMITS}


# What each part of the verdict is worth: the same with the part left out, or changed.
CHANGES: dict[str, dict[str, float]] = {
    **{f"no check of {name}": {name: math.inf} for name in LIMITS if "element" not in name},
    "no check of element": {"element": math.inf, "lone_element": math.inf},
    "E from the type alone": {"window": 0, "history": 0.0},
    "E without the history of the data_id": {"history": math.inf},
    "every limit × 0.8": times(0.8),
    "every limit × 1.3": times(1.3),
}
WANTED = Wanted(EPSILON, Parts(slices=True))


def dtype_of(tensor: Tensor) -> DType:
    """The tensor's row in the table of types."""
    return DTYPES[str(tensor.dtype).removeprefix("torch.")]


def case_of(key: Key, *, golden: Tensor, my: Tensor) -> Case:
    """The pair as a verdict sees it, measured by the engine."""
    sources = [from_memory(*as_array(tensor, "tensor")) for tensor in (golden, my)]
    measured = measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)
    assert measured.stats is not None, measured.error
    subject = Subject(key.data_id, key.token, dtype_of(golden), dtype_of(my))
    stats = replace(measured.stats, slices=None)  # many cases are kept
    return Case(subject, tuple(golden.shape), stats, measured.evidence)


# ---- benign runs ---------------------------------------------------------------------------------


@dataclass
class Judged:
    """One run: its rows in dump order, and the rules in use that each breaks."""

    keys: list[Key] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    broken: list[frozenset[str]] = field(default_factory=list)

    def add(self, key: Key, case: Case, broken: frozenset[str]) -> None:
        """The next row."""
        self.keys.append(key)
        self.cases.append(case)
        self.broken.append(broken)

    def copy_from(self, other: Judged) -> None:
        """The next row as in `other`, a run that has been the same so far."""
        at = len(self.cases)
        self.add(other.keys[at], other.cases[at], other.broken[at])

    def first_breaking(self, name: str) -> Key | None:
        """The first row that breaks a rule in use."""
        broken = zip(self.keys, self.broken, strict=True)
        return next((key for key, names in broken if name in names), None)


@dataclass
class Clean:
    """A variant's run without a fault, and what faults make use of."""

    subject: Model
    golden: Rows
    variant: Variant
    model: nn.Module
    judged: Judged = field(default_factory=Judged)
    outs: Rows = field(default_factory=dict)
    weights: Rows = field(default_factory=dict)

    def run(self) -> None:
        """Fills in the rows."""
        subject = self.subject.single() if self.variant.single else self.subject
        run(subject, self.variant, self.model, self._keep)

    def _keep(self, call: Call) -> None:
        pair = pair_of(self.golden, call, self.variant.single)
        if not pair:
            return
        golden, my = pair
        self.judged.add(
            call.key, case_of(call.key, golden=golden, my=my), broken_rules(golden=golden, my=my)
        )
        if self.variant.name in FAULTY_VARIANTS:
            self.outs[call.key] = call.out.clone()
            if call.key.op in ("mm", "addmm"):
                self.weights[call.key] = call.args[-1].clone()


@dataclass
class Benign:
    """The false alarms of one benign run."""

    model: str
    variant: str
    int8: bool
    rows: int
    alarms: dict[str, int]  # of each rule
    details: list[str]  # ours, in words
    calibrated: list[str]  # ours with the noise of another input, of int8 weights
    sparse: dict[int, list[str]]  # ours, where only every n-th operation was dumped
    changed: dict[str, int]  # ours with each of CHANGES


def benign(clean: Clean, other: Model, other_golden: Rows) -> Benign:
    """What the rules make of a run without a fault."""
    variant, judged = clean.variant, clean.judged
    tolerance = INT8 if variant.int8 else DEFAULT
    failing = failures(judged.cases, tolerance)
    alarms = Counter(name for names in judged.broken for name in names)
    alarms[OURS] = len(failing)
    return Benign(
        clean.subject.name,
        variant.name,
        variant.int8,
        len(judged.cases),
        dict(alarms),
        failing,
        failures(judged.cases, calibrated(clean, other, other_golden)) if variant.int8 else [],
        {step: failures(thinned(judged.cases, step), tolerance) for step in SPARSE},
        {
            name: len(failures(judged.cases, changed(tolerance, **limits)))
            for name, limits in CHANGES.items()
        },
    )


SPARSE = (10, 40)


def thinned(cases: Sequence[Case], step: int) -> list[Case]:
    """The rows of a model in which every `step`-th operation is dumped."""
    data_ids = list(dict.fromkeys(case.subject.data_id for case in cases))[step - 1 :: step]
    return [case for case in cases if case.subject.data_id in data_ids]


def failures(cases: Sequence[Case], tolerance: Tolerance) -> list[str]:
    """The rows that fail, in words."""
    verdicts = zip(cases, judge(cases, tolerance), strict=True)
    return [
        f"{case.subject}: {verdict.sentence}"
        for case, verdict in verdicts
        if verdict.status is Status.FAIL
    ]


def calibrated(clean: Clean, other: Model, other_golden: Rows) -> Tolerance:
    """The default with the noise that the same variant has on another input."""
    run_ = Clean(other, other_golden, clean.variant, clean.model)
    run_.run()
    cases = run_.judged.cases
    noise: dict[str, float] = {}
    for case, verdict in zip(cases, judge(cases, DEFAULT), strict=True):
        if verdict.noise is not None:
            data_id = case.subject.data_id
            noise[data_id] = max(noise.get(data_id, 0.0), verdict.noise)
    return replace(DEFAULT, growth=Growth(noise=noise))


# ---- faulty runs ---------------------------------------------------------------------------------


@dataclass
class Planted:
    """What became of one planted fault."""

    model: str
    variant: str
    kind: str
    where: str
    rho: float
    snr: float
    recalled: list[str]  # the rules that fail the faulty row
    placed: list[str]  # the rules whose first failing row it is
    sentence: str
    divergence: str
    expected: float
    level: float
    after: int  # failing rows after it
    following: int  # of these, those that our rule marks as its consequence
    changed: dict[str, tuple[bool, bool]]  # found and placed with each of CHANGES

    @property
    def distinguishable(self) -> bool:
        """Whether the fault stands above rounding; a grid is told exactly, however fine."""
        return (self.rho >= RHO and self.snr >= SNR) or self.kind == ROUNDED

    @property
    def found(self) -> bool:
        """Whether our rule fails the faulty row."""
        return OURS in self.recalled

    @property
    def found_first(self) -> bool:
        """Whether the faulty row is the first that our rule fails."""
        return OURS in self.placed


def seed(*parts: object) -> int:
    """A seed that depends on the parts alone."""
    return zlib.crc32(repr(parts).encode()) % 2**31


def strength(faulty: Tensor, true: Tensor, golden: Tensor) -> tuple[float, float]:
    """(rho, snr) of a fault against the benign error of the same row."""
    f, t, g = (x.detach().double().ravel() for x in (faulty, true, golden))
    masked = t.abs() > 1e30
    if not bool(torch.isfinite(f).all()) or bool((f[masked].abs() < 1e30).any()):
        return math.inf, math.inf
    plain = torch.isfinite(t) & ~masked & (g.abs() < 1e30)
    change, noise, g = (f - t)[plain], (t - g)[plain], g[plain]
    share = float(noise.pow(2).sum() / g.pow(2).sum().clamp(min=1e-300))
    variance = torch.maximum(noise.pow(2).mean(), share * g * g) + 1e-300
    hit = change != 0
    if not bool(hit.any()):
        return 0.0, 0.0
    rho = float((change[hit].pow(2).sum() / variance[hit].sum()).sqrt())
    return rho, float((change.pow(2) / variance).sum().sqrt())


def places(clean: Clean) -> Iterator[tuple[Kind, Key]]:
    """Where to plant each kind: early, in the middle or late among the operations that it fits."""
    fitting = _fitting(clean)
    for kind in FAULTS:
        keys = fitting[kind.name]
        if not keys:
            continue
        turn = seed(kind.name, clean.subject.name, clean.variant.name)
        third = turn % 3
        part = keys[len(keys) * third // 3 : len(keys) * (third + 1) // 3] or keys
        yield kind, part[seed(turn, 0) % len(part)]


def _fitting(clean: Clean) -> dict[str, list[Key]]:
    """The operations that each kind changes, found by trying every kind on each of them."""
    rows = zip(clean.judged.keys, clean.judged.cases, strict=True)
    data = {key for key, case in rows if case.evidence and case.evidence.count >= 16}
    fitting: dict[str, list[Key]] = defaultdict(list)

    def probe(call: Call) -> None:
        if call.key not in clean.outs:
            return
        for kind in FAULTS:
            random = torch.Generator().manual_seed(0)
            site = Site(call, clean.outs, clean.weights, BATCH, random)
            if (call.key in data or not kind.anywhere) and kind.applied(call.out, site) is not None:
                fitting[kind.name].append(call.key)

    run(clean.subject, clean.variant, clean.model, probe)
    return fitting


class Enough(Exception):  # noqa: N818 - it ends a run, but is no error
    """The faulty row is in, and later rows cannot be the first to fail."""


@dataclass
class Trial:
    """A clean run repeated with a fault at `key`, and at the same operation in later tokens."""

    clean: Clean
    kind: Kind
    key: Key
    brief: bool
    where: Key | None = None  # the first row that the fault changed
    strength: tuple[float, float] = (0.0, 0.0)
    judged: Judged = field(default_factory=Judged)

    def run(self) -> Planted | None:
        """What the rules make of the fault; None if it changed nothing."""
        clean = self.clean
        with contextlib.suppress(Enough):
            run(clean.subject, clean.variant, clean.model, self._keep, self._fault)
        while len(self.judged.cases) < len(clean.judged.cases):  # a brief run has all rows as well
            self.judged.copy_from(clean.judged)
        return self._outcome(self.where) if self.where else None

    def _fault(self, call: Call) -> Tensor | None:
        here, key = call.key, self.key
        same = (here.path, here.op, here.nth) == (key.path, key.op, key.nth)
        if not same or here.token < key.token:
            return None
        random = torch.Generator().manual_seed(seed(self.kind.name, str(here)))
        site = Site(call, self.clean.outs, self.clean.weights, BATCH, random)
        made = self.kind.applied(call.out, site)
        if made is not None and self.where is None:
            self.where = here
            self.strength = strength(made, call.out, self.clean.golden[here])
        return made

    def _keep(self, call: Call) -> None:
        pair = pair_of(self.clean.golden, call, single=False)
        if not pair:
            return
        if self.where is None:
            self.judged.copy_from(self.clean.judged)
            return
        golden, my = pair
        # What the rules in use say of later rows changes neither recall nor the first to fail.
        here = call.key == self.where
        broken = broken_rules(golden=golden, my=my) if here else frozenset()
        self.judged.add(call.key, case_of(call.key, golden=golden, my=my), broken)
        if self.brief:
            raise Enough

    def _outcome(self, where: Key) -> Planted:
        judged, at = self.judged, self.judged.keys.index(where)
        verdicts = judge(judged.cases, DEFAULT)
        verdict, evidence = verdicts[at], judged.cases[at].evidence
        failing = [number for number, one in enumerate(verdicts) if one.status is Status.FAIL]
        after = [number for number in failing if number > at]
        recalled = [name for name in OTHERS if name in judged.broken[at]]
        placed = [name for name in recalled if judged.first_breaking(name) == where]
        rho, snr = self.strength
        return Planted(
            model=self.clean.subject.name,
            variant=self.clean.variant.name,
            kind=self.kind.name,
            where=f"token {where.token} {where.data_id}",
            rho=rho,
            snr=snr,
            recalled=recalled + [OURS] * (at in failing),
            placed=placed + [OURS] * (failing[:1] == [at]),
            sentence=verdict.sentence or "passes",
            divergence=verdict.divergence,
            expected=verdict.expected or 0.0,
            level=evidence.level if evidence else math.inf,
            after=len(after),
            following=sum(bool(verdicts[number].follows) for number in after),
            changed={name: self._told(at, limits) for name, limits in CHANGES.items()},
        )

    def _told(self, at: int, limits: dict[str, float]) -> tuple[bool, bool]:
        """Whether the faulty row fails, and first, with other limits."""
        verdicts = judge(self.judged.cases, changed(DEFAULT, **limits))
        failing = [number for number, one in enumerate(verdicts) if one.status is Status.FAIL]
        return at in failing, failing[:1] == [at]


def bench_model(name: str, brief: bool) -> tuple[list[Benign], list[Planted]]:
    """Every benign variant and every fault of one model."""
    torch.set_num_threads(1)
    subject, other = build(name), build(name, other_inputs=True)
    golden, other_golden = golden_rows(subject), golden_rows(other)
    passes: list[Benign] = []
    faults: list[Planted] = []
    for variant in VARIANTS:
        clean = Clean(subject, golden, variant, variant.model(subject))
        clean.run()
        passes.append(benign(clean, other, other_golden))
        if variant.name in FAULTY_VARIANTS:
            trials = (Trial(clean, kind, key, brief).run() for kind, key in list(places(clean)))
            faults += [planted for planted in trials if planted]
    return passes, faults


# ---- report --------------------------------------------------------------------------------------


def markdown(*rows: Sequence[object]) -> str:
    """A table; the first row is its head."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def by_rule(passes: Sequence[Benign], faults: Sequence[Planted]) -> str:
    """Our rule and those in use, side by side; int8 weights apart, as the default is not for them.

    Ours judges int8 weights with the limits made for them.
    """
    faults = [fault for fault in faults if fault.distinguishable]
    usual, int8 = ([one for one in passes if one.int8 is int8] for int8 in (False, True))
    rows = []
    for name in (OURS, *OTHERS):
        alarms = [sum(one.alarms.get(name, 0) for one in part) for part in (usual, int8)]
        recalled = sum(name in fault.recalled for fault in faults)
        placed = sum(name in fault.placed for fault in faults)
        shares = [f"{count} ({count / max(len(faults), 1):.2%})" for count in (recalled, placed)]
        rows.append((name, *alarms, *shares))
    benign_rows = [sum(one.rows for one in part) for part in (usual, int8)]
    head = (
        "rule",
        f"false alarms of {benign_rows[0]}",
        f"on int8 weights, of {benign_rows[1]}",
        f"recall, of {len(faults)}",
        "localisation",
    )
    return markdown(head, *rows)


EDGES = {
    "snr below 20": -math.inf,
    "below 1": 1.0,
    "1 to 2": 2.0,
    "2 to 3": 3.0,
    "3 to 5": 5.0,
    "5 to 10": 10.0,
    "above 10": math.inf,
}


def by_strength(faults: Iterable[Planted]) -> str:
    """Our recall by how far faults stand above the rounding of what they touch."""
    groups: dict[str, list[Planted]] = {name: [] for name in EDGES}
    for fault in faults:
        lost = fault.snr < SNR and fault.kind != ROUNDED
        rho = -math.inf if lost else fault.rho
        groups[next(name for name, edge in EDGES.items() if rho <= edge)].append(fault)
    rows = [(name, *_counts(some)) for name, some in groups.items()]
    return markdown(("rho", "faults", "found", "placed"), *rows)


def by_kind(faults: Iterable[Planted]) -> str:
    """Our recall for each kind of fault."""
    of_kind: dict[str, list[Planted]] = {kind.name: [] for kind in FAULTS}
    for fault in faults:
        of_kind[fault.kind].append(fault)
    rows = []
    for name, some in of_kind.items():
        above = [fault for fault in some if fault.distinguishable]
        below = [fault for fault in some if not fault.distinguishable]
        found = f"{sum(fault.found for fault in below)} of {len(below)}"
        rows.append((name, *_counts(above), found))
    head = ("kind", "faults", "found", "placed", "below the noise, of these found")
    return markdown(head, *rows)


def _counts(faults: Sequence[Planted]) -> tuple[int, int, int]:
    return len(faults), sum(f.found for f in faults), sum(f.found_first for f in faults)


def by_change(passes: Sequence[Benign], faults: Sequence[Planted]) -> str:
    """What becomes of ours where a part of it is changed."""
    faults = [fault for fault in faults if fault.distinguishable]
    rows = []
    for name in CHANGES:
        told = [fault.changed[name] for fault in faults]
        shares = [f"{sum(part) / max(len(faults), 1):.2%}" for part in zip(*told, strict=True)]
        rows.append((name, sum(one.changed[name] for one in passes), *shares))
    return markdown(("changed", "false alarms", "recall", "localisation"), *rows)


def misses(faults: Iterable[Planted]) -> list[str]:
    """The distinguishable faults that our rule missed or misplaced, the plainest first."""
    some = [fault for fault in faults if fault.distinguishable and not fault.found_first]
    return [
        f"{f.kind}; {f.model}, {f.variant}, {f.where}: rho {f.rho:.3g}, snr {f.snr:.3g}; "
        f"error {f.level / max(f.expected, 1e-300):.2g} times the expected one ({f.expected:.2g}); "
        f"{f.sentence}"
        for f in sorted(some, key=lambda fault: -fault.rho)
    ]


def show(passes: Sequence[Benign], faults: Sequence[Planted]) -> None:
    """Prints the tables, every false alarm and every miss."""
    kinds = len({fault.kind for fault in faults})
    distinguishable = sum(fault.distinguishable for fault in faults)
    alarms = {
        "False alarms": [(one, one.details) for one in passes],
        "False alarms of int8 weights after calibration": [(one, one.calibrated) for one in passes],
        **{
            f"False alarms where every {step}th operation is dumped": [
                (one, one.sparse[step]) for one in passes
            ]
            for step in SPARSE
        },
    }
    print(f"{len(faults)} faults of {kinds} kinds, {distinguishable} of them distinguishable")
    tables = by_rule(passes, faults), by_change(passes, faults), by_strength(faults)
    for table in (*tables, by_kind(faults)):
        print(f"\n{table}")
    listed = {
        title: [f"{one.model}, {one.variant}, {line}" for one, lines in found for line in lines]
        for title, found in alarms.items()
    }
    for title, lines in {**listed, "Missed or misplaced": misses(faults)}.items():
        print(f"\n{title}: {len(lines)}\n")
        print(*(f"- {line}" for line in lines), sep="\n")
    after = sum(fault.after for fault in faults)
    following = sum(fault.following for fault in faults)
    print(f"\nOf {after} failing rows after a fault, {following} are marked as its consequence")


def results(
    names: Sequence[str], brief: bool, jobs: int
) -> Iterator[tuple[list[Benign], list[Planted]]]:
    """What `bench_model` gives for each model."""
    work = partial(bench_model, brief=brief)
    if jobs == 1:
        yield from map(work, names)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(work, names)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `models` is never empty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all of the half")
    parser.add_argument("--half", choices=HALVES, default="held-out")
    parser.add_argument("--brief", action="store_true", help="end a run at its faulty row")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="models at a time")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every result to this file")
    parsed = parser.parse_args(arguments)
    half = HALVES[parsed.half]
    unknown = [name for name in parsed.models if name not in half]
    if unknown:
        parser.error(f"no {unknown[0]} in the {parsed.half} half; it has {', '.join(half)}")
    parsed.models = parsed.models or half
    return parsed


def main() -> None:
    """Run the models that the command line asks for, and print what the rules make of them."""
    arguments = parse()
    passes: list[Benign] = []
    faults: list[Planted] = []
    for some, more in results(arguments.models, arguments.brief, arguments.jobs):
        passes += some
        faults += more
        print(f"{some[0].model}: {len(more)} faults", file=sys.stderr, flush=True)
    show(passes, faults)
    if arguments.json:
        values = {
            "benign": [asdict(one) for one in passes],
            "faults": [asdict(one) for one in faults],
        }
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
