"""Runs of the benchmark, measured once and kept, so that a verdict can be tried without a model.

A unit is one way to run one subject: its benign run, row by row, and runs with a fault each, of
which the rows up to the fault are the benign ones. Of what comes after it the outputs of modules
are kept, as far as some dump's first failing row may be among them.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import pickle
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import ait_cmp
from ait_cmp.engine import Parts
from ait_cmp.engine.estimating import estimate
from ait_cmp.engine.evidence import Evidence, make_evidence
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.stats import Stats
from ait_cmp.fingerprint.make import sketch
from ait_cmp.fingerprint.value import Fingerprint, is_small
from ait_cmp.judging import Case
from ait_cmp.judging import Subject as Pair
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES, DType, coarser
from verdict.faults import FAULTS, Kind, Site, strength
from verdict.models import Call, Key, Output, Rows, Subject, Variant, pair_of, run
from verdict.rules import EPSILON, OTHERS, broken_rules

__all__ = [
    "BUCKETS",
    "Changed",
    "Estimate",
    "Faulty",
    "Place",
    "Row",
    "Unit",
    "layer_of",
    "read",
    "read_estimated",
    "record_unit",
    "seed",
    "unit_path",
    "units",
    "write",
]

BUCKETS = (2, 4, 8, 16, 32)  # of fingerprints, each of which is tried
WANTED = Wanted(EPSILON, Parts(relative=True, slices=True))
PROBED = 10_000_000  # elements of a run on all of whose rows every kind of fault is tried
TRIED = 12  # rows of a larger one, in the prompt and in what comes after it
COARSE = frozenset({
    "one head zero", "one channel zero", "one row zero", "all-reduce missing",
    "dequantisation scales transposed", "last shard of the channels zero",
})  # fmt: skip


class Row(NamedTuple):
    """One compared pair: its sums, the rules in use that it breaks, the rows that it reads."""

    key: Key
    shape: tuple[int, ...]
    golden: str
    my: str
    stats: bytes
    broken: int  # a bit for each of OTHERS
    feeds: tuple[int, ...]

    def case(self, evidence: bytes) -> Case:
        """As a verdict sees it."""
        pair = Pair(self.key.data_id, self.key.token, DTYPES[self.golden], DTYPES[self.my])
        told = Evidence.unpack(evidence) if evidence else None
        return Case(pair, self.shape, Stats.unpack(self.stats), told)

    def breaks(self, name: str) -> bool:
        """Whether it breaks one of OTHERS."""
        return bool(self.broken >> list(OTHERS).index(name) & 1)


class Estimate(NamedTuple):
    """What fingerprints tell of a row: its sums, its evidence and its slices."""

    stats: bytes
    evidence: bytes
    slices: bytes


class Place(NamedTuple):
    """A module's output and the row that it is."""

    name: str
    point: bool
    layer: bool
    row: int


class Changed(NamedTuple):
    """A row of a faulty run, and how far it is from the benign one: see `strength`."""

    at: int
    row: Row
    rho: float
    snr: float


@dataclass
class Faulty:
    """A run with a fault in row `at`: the rows that it changed, of those that are kept."""

    kind: str
    at: int
    changed: list[Changed] = field(default_factory=list)


@dataclass
class Unit:
    """Everything of one subject run one way; `slices` and `evidence` are of its rows, and then of
    the rows of each faulty run."""

    subject: str
    variant: str
    scheme: str
    dtype: str
    rows: list[Row] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    faults: list[Faulty] = field(default_factory=list)
    seconds: float = 0.0
    slices: list[bytes] = field(default_factory=list)
    evidence: list[bytes] = field(default_factory=list)
    estimates: dict[int, list[Estimate]] = field(default_factory=dict)  # by buckets

    def all_rows(self) -> Iterator[Row]:
        """In the order of `slices`."""
        yield from self.rows
        for fault in self.faults:
            yield from (changed.row for changed in fault.changed)

    def cases(self) -> list[Case]:
        """Those of the benign run."""
        return [row.case(packed) for row, packed in zip(self.rows, self.evidence, strict=False)]

    def faulty(self) -> Iterator[tuple[Faulty, dict[int, Case], dict[int, bytes]]]:
        """Each faulty run with the cases of its rows that are kept, by their number, and their
        slices, where those were read."""
        start = len(self.rows)
        for fault in self.faults:
            stop = start + len(fault.changed)
            packed = zip(fault.changed, self.evidence[start:stop], strict=True)
            cases = {one.at: one.row.case(evidence) for one, evidence in packed}
            slices = zip(cases, self.slices[start:stop], strict=False)
            yield fault, cases, dict(slices)
            start = stop


def layer_of(name: str) -> int | None:
    """The number of the layer that a module's name has."""
    found = re.search(r"\.(\d+)(?=\.|$)", name)
    return int(found[1]) if found else None


def seed(*parts: object) -> int:
    """A seed that depends on the parts alone."""
    return zlib.crc32(repr(parts).encode()) % 2**31


def dtype_of(tensor: Tensor) -> DType:
    """The tensor's row in the table of types."""
    return DTYPES[str(tensor.dtype).removeprefix("torch.")]


# ---- files ---------------------------------------------------------------------------------------


def unit_path(folder: Path, subject: str, variant: str) -> Path:
    """Where that unit lies."""
    return folder / subject / f"{re.sub('[^a-z0-9]+', '_', variant.lower())}.unit"


def write(unit: Unit, path: Path) -> None:
    """Keep a unit, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _dump(path.with_suffix(".slices"), unit.slices)
    for buckets, estimates in unit.estimates.items():
        _dump(path.with_suffix(f".estimates-{buckets}"), estimates)
    _dump(path, replace(unit, slices=[], evidence=[], estimates={}))


def _dump(path: Path, what: object) -> None:
    made = path.with_suffix(".new")
    made.write_bytes(pickle.dumps(what, protocol=5))
    made.replace(path)


def read(path: Path, *, slices: bool = False) -> Unit:
    """A unit with its evidence, made again where the engine that makes it has changed."""
    unit: Unit = pickle.loads(path.read_bytes())
    kept = path.with_suffix(f".evidence-{_engine()}")
    if slices or not kept.exists():
        unit.slices = pickle.loads(path.with_suffix(".slices").read_bytes())
    if not kept.exists():
        for old in path.parent.glob(f"{path.stem}.evidence-*"):
            old.unlink(missing_ok=True)
        _dump(kept, [_evidence(*both) for both in zip(unit.all_rows(), unit.slices, strict=True)])
    unit.evidence = pickle.loads(kept.read_bytes())
    return unit


def read_estimated(path: Path, buckets: int) -> Unit:
    """The same unit as fingerprints of so many buckets tell of it."""
    unit: Unit = pickle.loads(path.read_bytes())
    told: list[Estimate] = pickle.loads(path.with_suffix(f".estimates-{buckets}").read_bytes())
    unit.evidence = [one.evidence for one in told]
    unit.slices = [one.slices for one in told]
    stats = iter(told)
    unit.rows = [row._replace(stats=next(stats).stats) for row in unit.rows]
    for fault in unit.faults:
        fault.changed = [
            one._replace(row=one.row._replace(stats=next(stats).stats)) for one in fault.changed
        ]
    return unit


def _evidence(row: Row, packed: bytes) -> bytes:
    if not packed:
        return b""
    return make_evidence(Stats.unpack(row.stats), Slices.unpack(packed), row.shape).pack()


def _engine() -> str:
    """Of what makes evidence of slices."""
    room = Path(ait_cmp.__file__).parent / "engine"
    files = [room / "evidence.py", *sorted((room / "kernel").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


# ---- a benign run --------------------------------------------------------------------------------


def measured(golden: Tensor, my: Tensor) -> Stats:
    """The pair's sums, and slices where both sides are rounded, as the engine takes them."""
    sources = [from_memory(*as_array(tensor, "tensor")) for tensor in (golden, my)]
    made = measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)
    assert made.stats is not None, made.error
    return made.stats


@dataclass
class Clean:
    """A variant's run without a fault, and what faults make use of."""

    subject: Subject
    golden: Rows
    variant: Variant
    model: nn.Module
    keep: bool  # outputs, for faults
    fingerprints: dict[Key, Fingerprint] | None = None  # of golden, where estimates are wanted
    rows: list[Row] = field(default_factory=list)
    slices: list[bytes] = field(default_factory=list)
    estimates: dict[int, list[Estimate]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    outs: Rows = field(default_factory=dict)
    weights: Rows = field(default_factory=dict)
    index: dict[Key, int] = field(default_factory=dict)
    _last: tuple[Tensor, Tensor, Stats] = field(init=False)
    _read: dict[Key, tuple[int, ...]] = field(default_factory=dict)

    def run(self) -> None:
        """Fills in the rows."""
        subject = self.subject.single() if self.variant.single else self.subject
        _, outputs = run(subject, self.variant, self.model, self._keep)
        self.places = [self._place(one) for one in outputs if one.key in self.index]

    def row(self, call: Call) -> tuple[Row, bytes] | None:
        """What is kept of a call; None where golden has none like it."""
        pair = pair_of(self.golden, call, self.variant.single)
        if not pair:
            return None
        golden, my = pair
        stats, types = measured(golden, my), (dtype_of(golden), dtype_of(my))
        broken = broken_rules(golden=golden, my=my, stats=stats, dtype=coarser(*types))
        bits = sum(1 << at for at, name in enumerate(OTHERS) if name in broken)
        packed = stats.slices.pack() if stats.slices else b""
        names = (types[0].name, types[1].name)
        made = Row(call.key, tuple(my.shape), *names, stats.pack(), bits, self._feeds(call))
        self._last = golden, my, stats
        return made, packed

    def estimated(self, key: Key) -> Iterator[tuple[int, Estimate]]:
        """What fingerprints of each number of buckets tell of the row made last, which is exact
        where they keep every element."""
        if self.fingerprints is None:
            return
        golden, my, stats = self._last
        exact = Estimate(stats.pack(), b"", b"")
        if stats.slices:
            made = make_evidence(stats, stats.slices, tuple(my.shape))
            exact = Estimate(stats.pack(), made.pack(), stats.slices.pack_few())
        both: tuple[Fingerprint, Fingerprint] | None = None
        for buckets in BUCKETS:
            small = all(is_small(dtype_of(one), tuple(one.shape), buckets) for one in (golden, my))
            if small or not stats.slices:
                yield buckets, exact
                continue
            if both is None:
                first = self.fingerprints.get(key) or sketch(golden, buckets=max(BUCKETS))
                self.fingerprints[key] = first
                both = first, sketch(my, buckets=max(BUCKETS))
            one, two = (side.folded(buckets) for side in both)
            found = estimate(golden=one, my=two, wanted=WANTED)
            assert found.stats
            assert found.evidence
            yield buckets, Estimate(found.stats.pack(), found.evidence.pack(), found.slices or b"")

    def _place(self, one: Output) -> Place:
        return Place(one.name, one.point, one.layer, self.index[one.key])

    def _feeds(self, call: Call) -> tuple[int, ...]:
        """The rows that it reads, also through operations that are none."""
        return tuple(dict.fromkeys(row for key in call.feeds for row in self._read.get(key, ())))

    def _keep(self, call: Call) -> None:
        made = self.row(call)
        if not made:
            self._read[call.key] = self._feeds(call)
            return
        self.index[call.key] = len(self.rows)
        self._read[call.key] = (len(self.rows),)
        self.rows.append(made[0])
        self.slices.append(made[1])
        for buckets, one in self.estimated(call.key):
            self.estimates.setdefault(buckets, []).append(one)
        if self.keep:
            self.outs[call.key] = call.out.clone()
            weight = _weight(call)
            if weight is not None:
                self.weights[call.key] = weight  # no copy: nothing changes parameters

    def site(self, call: Call, number: int) -> Site:
        """What a fault at this call may use."""
        random = torch.Generator().manual_seed(number)
        return Site(call, self.outs, self.weights, self.subject.batch, random, self.subject.heads)


def _weight(call: Call) -> Tensor | None:
    """A product's, or a norm's."""
    if call.key.op in ("mm", "addmm"):
        return torch.as_tensor(call.args[-1])
    if call.key.op == "mul":
        return next(
            (one for one in call.args[:2] if isinstance(one, Tensor) and one.ndim == 1), None
        )
    return None


# ---- faulty runs ---------------------------------------------------------------------------------


class Enough(Exception):  # noqa: N818 - it ends a run, but is no error
    """No row that is kept comes after this."""


def chosen(clean: Clean, most: int) -> Iterator[tuple[Kind, Key]]:
    """Where to plant each kind: early, in the middle or late among the operations that it fits.

    At most so many, drawn anew for every unit; in a quantised model those of COARSE, in turn in
    every third.
    """
    fitting = _fitting(clean)
    name = clean.subject.name, clean.variant.name
    turns = {kind: seed(kind.name, *name) for kind in FAULTS if fitting[kind.name]}
    kinds = sorted(turns, key=lambda kind: turns[kind])
    if clean.variant.scheme:
        kinds = [kind for kind in kinds if kind.name in COARSE]
    for number in range(min(most, len(kinds) * (3 if clean.variant.scheme else 1))):
        kind, again = kinds[number % len(kinds)], number // len(kinds)
        keys, turn = fitting[kind.name], turns[kind] + again
        third = turn % 3
        part = keys[len(keys) * third // 3 : len(keys) * (third + 1) // 3] or keys
        yield kind, part[seed(turn, 0) % len(part)]


def _fitting(clean: Clean) -> dict[str, list[Key]]:
    """The operations that each kind changes, found by trying it: on all, or on some."""
    data = {row.key for row in clean.rows if DTYPES[row.my].is_floating}
    tried = {kind.name: _tried(clean, kind) for kind in FAULTS}
    fitting: dict[str, list[Key]] = defaultdict(list)

    def probe(call: Call) -> None:
        if call.key not in clean.outs:
            return
        site = clean.site(call, 0)
        for kind in FAULTS:
            if kind.anywhere and (call.key not in data or call.out.numel() < 16):
                continue
            if call.key in tried[kind.name] and kind.applied(call.out, site) is not None:
                fitting[kind.name].append(call.key)

    run(clean.subject, clean.variant, clean.model, probe)
    return fitting


def _tried(clean: Clean, kind: Kind) -> frozenset[Key]:
    elements = sum(math.prod(row.shape) for row in clean.rows)
    keys = [row.key for row in clean.rows]
    if elements <= PROBED or not kind.anywhere:
        return frozenset(keys)
    generator = torch.Generator().manual_seed(seed(kind.name, clean.subject.name))
    first = [key for key in keys if key.token == 0]
    parts = (part for part in (first, keys[len(first) :]) if part)
    some = ((part, torch.randperm(len(part), generator=generator)[:TRIED]) for part in parts)
    return frozenset(part[at] for part, places in some for at in places.tolist())


@dataclass
class Trial:
    """A clean run repeated with a fault at `key`, and after it to the end of that token."""

    clean: Clean
    kind: Kind
    key: Key
    made: Faulty | None = None
    slices: list[bytes] = field(default_factory=list)
    estimates: dict[int, list[Estimate]] = field(default_factory=dict)
    wanted: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """The faulty row; modules' outputs in its layer and the next; then those of layers."""
        first = layer_of(self.key.path) or 0
        wanted = {self.clean.index[self.key]}
        for place in self.clean.places:
            layer = layer_of(place.name)
            if place.layer or layer is None or layer - first in (0, 1):
                wanted.add(place.row)
        self.wanted = frozenset(wanted)

    def run(self) -> Faulty | None:
        """What is kept of it; None if it changed nothing."""
        clean = self.clean
        with contextlib.suppress(Enough):
            run(clean.subject, clean.variant, clean.model, self._keep, self._fault)
        return self.made

    def _fault(self, call: Call) -> Tensor | None:
        if not self._is_here(call.key):
            return None
        number = seed(self.kind.name, str(call.key))
        return self.kind.applied(call.out, self.clean.site(call, number))

    def _is_here(self, here: Key) -> bool:
        """Whether to plant it: at one operation, or from there on at the like of every layer."""
        if here == self.key:
            return True
        layer, first = layer_of(here.path), layer_of(self.key.path)
        if not self.kind.every_layer or layer is None or first is None or layer < first:
            return False
        path = re.sub(r"\.\d+(?=\.|$)", f".{first}", here.path, count=1)
        return replace(here, path=path) == self.key

    def _keep(self, call: Call) -> None:
        clean, at = self.clean, self.clean.index.get(call.key)
        if call.key.token > self.key.token:
            raise Enough
        if at is None or at not in self.wanted or at < clean.index[self.key]:
            return
        true = clean.outs[call.key]
        if true.shape != call.out.shape:  # experts that read other tokens
            return
        rho, snr = strength(call.out, true, clean.golden[call.key])
        kept = clean.row(call) if snr else None
        if not kept:
            return
        if self.made is None:
            self.made = Faulty(self.kind.name, at)
        self.made.changed.append(
            Changed(at, kept[0]._replace(feeds=clean.rows[at].feeds), rho, snr)
        )
        self.slices.append(kept[1])
        for buckets, one in clean.estimated(call.key):
            self.estimates.setdefault(buckets, []).append(one)


def record_unit(
    subject: Subject,
    golden: Rows,
    variant: Variant,
    faults: int,
    fingerprints: dict[Key, Fingerprint] | None = None,
) -> Unit:
    """Run the subject that way, without a fault and with at most so many; where `fingerprints` are
    given, of golden, also by these."""
    start = time.monotonic()
    clean = Clean(
        subject, golden, variant, variant.model(subject), faults > 0, fingerprints=fingerprints
    )
    clean.run()
    types = str(variant.dtype).removeprefix("torch.")
    dtype = "tf32" if variant.name.startswith("tf32") else types
    unit = Unit(subject.name, variant.name, variant.scheme, dtype, clean.rows, clean.places)
    unit.slices, unit.estimates = clean.slices, clean.estimates
    for trial in _trials(clean, faults):
        if made := trial.run():
            unit.faults.append(made)
            unit.slices += trial.slices
            for buckets, estimates in trial.estimates.items():
                unit.estimates[buckets] += estimates
    unit.seconds = time.monotonic() - start
    return unit


def _trials(clean: Clean, faults: int) -> Iterable[Trial]:
    if not faults:
        return []
    return [Trial(clean, kind, key) for kind, key in [*chosen(clean, faults)]]


def units(folder: Path) -> Sequence[Path]:
    """All that are kept."""
    return sorted(folder.glob("*/*.unit"))
