"""A trusted run of my's type as the measure: how far golden and it differ, my may differ too.

What is compared is the energy of the errors in bins of lines and of channels, and the largest
elements, of both pairs: each row keeps these. `bins` has what is expected of a bin. A reference
that is itself wrong must pass nothing: where it is far off, not finite or of a coarser type, the
row is judged by growth, and says why.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, Protocol

import numpy as np

from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.stats import Stats
from ait_cmp.judging.bins import Steps
from ait_cmp.judging.growth import Expectation, Recent
from ait_cmp.judging.measure import Side, measure
from ait_cmp.judging.tolerance import Growth, Subject
from ait_cmp.values.dtypes import DTYPES, DType

__all__ = ["BY_REFERENCE", "TOO_FAR", "Reference", "Shown", "Sketch", "Yardsticks"]

BY_REFERENCE = "reference"

FAR_OFF = 0.5  # a reference whose typical line has such an error is no measure
_KNOWN, _LOUDEST, _UNKNOWN = 8, 3.0, 1.25  # rows that tell how loud my is; at most; until then
_WINDOW = 40  # rows
_NEARLY = 1e-3  # by how much shares may miss 1
_TOKENS = 3  # that tell what is usual of a place
_ENOUGH = 16  # elements from which a row tells of others
_COMMON = 10  # a type that one row in so many has is a type of the run
_GRAINS = {name: dtype.roundoff for name, dtype in DTYPES.items()} | {"float32": 2.0**-18}
# Of float32 runs whose reference errs by more than PROVEN: their matmuls take tf32 inputs, which my
# may truncate where the reference rounds.
_TF32, _PROVEN, _TRUNCATED = 2.0**-9, 2.0**-17, 1.6
_QUANTA = {"float16": 2.0**-25}  # half of the steps below its smallest normal number


class Reference(NamedTuple):
    """What a trusted run shows of a row: the evidence and the kept slices of golden and it,
    beside those of golden and my; or why it shows nothing.

    `nonfinite` counts its elements that are not finite and not alike in golden.
    """

    dtype: DType | None = None
    evidence: Evidence | None = None
    slices: bytes | None = None
    mine: bytes | None = None
    nonfinite: int = 0
    lacks: str = ""


TOO_FAR = "is too far off"  # a reference, in most of its lines


class Shown(NamedTuple):
    """What is known ahead of a case that a reference was named for: its type, and its error, where
    that tells of others."""

    dtype: DType | None
    told: float | None

    @classmethod
    def of(cls, reference: Reference) -> Shown:
        """Of this reference."""
        shown = reference.evidence
        tells = shown and shown.count >= _ENOUGH and shown.level < FAR_OFF
        return cls(reference.dtype, shown.level if shown and tells else None)


class Sketch(NamedTuple):
    """What must be known of a case before the first one is judged."""

    subject: Subject
    chosen_from: tuple[str, int | None] | None = None
    shown: Shown | None = None
    is_own: bool = False  # and inherited from no row before


class Row(Protocol):
    """What of a case a yardstick is made for."""

    @property
    def subject(self) -> Subject: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def stats(self) -> Stats: ...

    @property
    def evidence(self) -> Evidence | None: ...

    @property
    def reference(self) -> Reference | None: ...


class Yardsticks:
    """What the reference lets one expect of the rows of one run, in dump order; `sparse` where few
    data_ids were dumped, of which growth cannot tell much."""

    def __init__(self, rows: Sequence[Sketch], growth: Growth, *, sparse: bool) -> None:
        self._growth = growth
        self._sparse = sparse
        self._wider = _type_ratio(rows)
        tf32 = _takes_tf32(rows)
        self._grains = _GRAINS | ({"float32": _TF32} if tf32 else {})
        self._least_loud = _TRUNCATED if tf32 else 1.0
        self._loudness: deque[float] = deque(maxlen=_WINDOW)
        self._errors = _errors_around(rows)

    def instead(self, number: int, row: Row, expected: Expectation) -> tuple[Expectation, str]:
        """What the reference lets one expect of the row `number`, and that it does so; or
        `expected`, by growth, and why it is that."""
        subject, reference = row.subject, row.reference
        if reference is None:
            return expected, ""
        if lacks := reference.lacks or self._lacks(reference):
            return expected, f"growth: the reference {lacks}"
        name = subject.my.name
        steps = Steps(self._errors[number], self._grains[name], _QUANTA.get(name, 0.0))
        found = measure(
            _side(reference.mine, row.evidence),
            _side(reference.slices, reference.evidence),
            row.shape,
            steps,
            allowed=self._allowed(subject, reference),
            is_softmax=_is_softmax(row.stats, row.shape),
        )
        said = BY_REFERENCE
        if self._wider > 1.0:
            said += f", {self._wider:g} times as wide: of a finer type"
        if found.off:
            said += f", which is off itself in some {found.off}"
        error, grown = found.error, None if self._sparse else expected
        return expected._replace(error=error, granted=error, shown=found, grown=grown), said

    def learn(self, expected: Expectation | None) -> None:
        """Take a row that passes into account: how much louder my is than the reference."""
        shown = expected.shown if expected else None
        if shown and 0.0 < shown.common < math.inf:
            self._loudness.append(shown.common)

    def _allowed(self, subject: Subject, reference: Reference) -> float:
        """How much louder my may be: as it was so far, as its type makes it, as was calibrated."""
        assert reference.evidence is not None
        noise = self._growth.margin * self._growth.noise.get(subject.data_id, 0.0)
        error = max(reference.evidence.level, self._grains[subject.my.name])
        return max(self._loud() * max(1.0, self._wider), noise / error)

    def _loud(self) -> float:
        if len(self._loudness) < _KNOWN:
            return max(_UNKNOWN, self._least_loud)
        return min(_LOUDEST, max(self._least_loud, median(self._loudness)))

    def _lacks(self, reference: Reference) -> str:
        shown = reference.evidence
        if shown is None or reference.slices is None or reference.mine is None:
            return "is not of a floating type"
        if reference.nonfinite:
            return "is not finite where golden is"
        if not (shown.count and math.isfinite(shown.level)):
            return "has nothing to measure by"
        if self._wider < 1.0:
            return "is of a coarser type"
        lines = Slices.unpack(reference.slices).lines
        off = lines.squares > FAR_OFF**2 * lines.golden_squares
        return TOO_FAR if np.count_nonzero(off) * 2 > len(off) else ""


def _errors_around(rows: Sequence[Sketch]) -> list[float]:
    """Of each row what the reference errs by before it, in the same token: at most twice what it
    errs by in the same place of any token, where there are enough of these. Nothing of what
    inherits nothing."""
    of_place: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (shown := _told(row)) is not None:
            of_place[row.subject.data_id].append(shown)
    found, recent, token = [], Recent(_WINDOW), None
    for row in rows:
        subject = row.subject
        if subject.token_id != token:
            recent, token = Recent(_WINDOW), subject.token_id
        levels = of_place[subject.data_id]
        if row.is_own:
            found.append(0.0)
            continue
        found.append(
            min(recent.largest, 2.0 * max(levels)) if len(levels) >= _TOKENS else recent.largest
        )
        if (shown := _told(row)) is not None:
            recent.add(shown)
    return found


def _told(row: Sketch) -> float | None:
    """The reference's error, where it tells of others."""
    return row.shown.told if row.shown else None


def _side(slices: bytes | None, evidence: Evidence | None) -> Side:
    assert slices is not None
    assert evidence is not None
    return Side(Slices.unpack(slices), evidence)


def _is_softmax(stats: Stats, shape: tuple[int, ...]) -> bool:
    """Whether golden's lines are shares that sum to 1: their errors are those of what they are
    made of, times what stands beside them, and so have a long tail."""
    golden = stats.golden
    if not (shape and golden.minimum >= 0.0 and golden.maximum <= 1.0 + _NEARLY):
        return False
    mean = golden.mean
    return mean is not None and abs(mean * shape[-1] - 1.0) < _NEARLY


def _takes_tf32(rows: Sequence[Sketch]) -> bool:
    """Whether all is declared float32, and most of the reference's errors are not so small."""
    types = {row.subject.my.name for row in rows if row.subject.my.is_floating}
    levels = [shown for row in rows if (shown := _told(row)) is not None]
    return types == {"float32"} and bool(levels) and median(levels) > _PROVEN


def _type_ratio(rows: Sequence[Sketch]) -> float:
    """How many times coarser my's type is than the reference's: the coarsest that each run has in
    more than a few rows. 1.0 where nothing tells."""
    both = [
        (row.subject.my.roundoff, one.dtype.roundoff)
        for row in rows
        if (one := row.shown) and one.dtype and one.dtype.is_floating
        if row.subject.is_floating
    ]
    if not both:
        return 1.0
    my, reference = (
        max(one for one, times in Counter(side).items() if _COMMON * times >= len(both))
        for side in zip(*both, strict=True)
    )
    ratio: float = my / reference
    return ratio
