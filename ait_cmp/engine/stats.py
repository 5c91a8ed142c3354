"""The stats of a pair: sums, counts and extrema that merge.

Stats of `[0, n)` equal the merge of the stats of its ranges, in any split (floating sums up
to rounding). Metrics are computed from them, last.

The classes below are the table of fields: what each declares says how it is merged and scaled and
which part asks for it. All else follows it (`FIELDS`): the layout in bytes, the merge, the
slots that the compiled loops add to. The loops alone name a sum once more.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum, auto
from typing import Any

from ait_cmp.engine.records import Record
from ait_cmp.engine.slices import Slices, first_index

__all__ = [
    "EMPTY",
    "FIELDS",
    "SLOTS",
    "UNITS",
    "Field",
    "Merge",
    "Side",
    "Softmax",
    "Stats",
    "agreement",
]


class Merge(Enum):
    """How two ranges' numbers become one."""

    SUM = auto()
    LEAST = auto()
    MOST = auto()
    FIRST = auto()  # the lower index; -1 is none
    EXPONENT = auto()  # of a unit: the sums are brought to a common one
    SAME = auto()
    TOGETHER = auto()  # with others of its class, by the class itself


def _declare(empty: float, merge: Merge, part: str = "", units: tuple[str, ...] = ()) -> Any:
    return field(default=empty, metadata={"merge": merge, "part": part, "units": units})


def _count(part: str = "") -> Any:
    return _declare(0, Merge.SUM, part)


def _total(*units: str, part: str = "") -> Any:
    """A sum of products of so many quantities, each in units of two to its exponent."""
    return _declare(0.0, Merge.SUM, part, units)


def _most(empty: float = 0.0, part: str = "") -> Any:
    return _declare(empty, Merge.MOST, part)


@dataclass(frozen=True, slots=True)
class Side:
    """One tensor over its own finite elements; `total` is in units of 2**exponent."""

    finite: int = _count()
    minimum: float = _declare(math.inf, Merge.LEAST)
    maximum: float = _most(-math.inf)
    total: float = _total("")
    exponent: int = _declare(0, Merge.EXPONENT)

    @property
    def has_nonzero(self) -> bool:
        """Whether any finite element differs from zero."""
        return self.maximum > 0 or self.minimum < 0

    @property
    def mean(self) -> float | None:
        """The mean of the finite elements; None where there is none."""
        return math.ldexp(self.total / self.finite, self.exponent) if self.finite else None


@dataclass(frozen=True, slots=True)
class Softmax:
    """Running log-sum-exp sums of both sides, relative to the largest element so far.

    `golden_weight` is Σ exp(g - golden_peak), `my_weight` likewise, and `cross` is
    Σ exp(g - golden_peak) ((g - golden_peak) - (m - my_peak)).
    """

    golden_peak: float = _declare(-math.inf, Merge.TOGETHER, "softmax")
    golden_weight: float = _declare(0.0, Merge.TOGETHER, "softmax")
    my_peak: float = _declare(-math.inf, Merge.TOGETHER, "softmax")
    my_weight: float = _declare(0.0, Merge.TOGETHER, "softmax")
    cross: float = _declare(0.0, Merge.TOGETHER, "softmax")

    def __add__(self, other: Softmax) -> Softmax:
        golden_peak = max(self.golden_peak, other.golden_peak)
        my_peak = max(self.my_peak, other.my_peak)
        one = self._moved(golden_peak, my_peak)
        two = other._moved(golden_peak, my_peak)
        return Softmax(
            golden_peak,
            one.golden_weight + two.golden_weight,
            my_peak,
            one.my_weight + two.my_weight,
            one.cross + two.cross,
        )

    def _moved(self, golden_peak: float, my_peak: float) -> Softmax:
        if self.golden_weight == 0.0:
            return Softmax(golden_peak, 0.0, my_peak, 0.0, 0.0)
        golden_shift, my_shift = self.golden_peak - golden_peak, self.my_peak - my_peak
        scale = math.exp(golden_shift)
        shifted = self.cross + self.golden_weight * (golden_shift - my_shift) if scale else 0.0
        return Softmax(
            golden_peak,
            self.golden_weight * scale,
            my_peak,
            self.my_weight * math.exp(my_shift),
            shifted * scale,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """All that is kept of a range of a pair; g golden, m my, d = m - g.

    Sums are over `pairs`, the elements finite on both sides. Squares and products would
    leave float64's range for float64 data near its ends, so each side's sums are in units
    of 2**exponent (`golden.exponent`, `my.exponent`; d's in 2**difference_exponent),
    0 but for such data. Indices are flat, -1 where there is none. Of a pair that is estimated
    (`engine.estimating`) counts that are not known are -1, and sums and extremes NaN.
    """

    elements: int = _count()
    nonfinite_golden: int = _count()
    nonfinite_my: int = _count()
    nonfinite_alike: int = _count()
    nonfinite_different: int = _count()
    nonfinite_index: int = _declare(-1, Merge.FIRST)
    golden: Side = field(default_factory=Side)
    my: Side = field(default_factory=Side)

    pairs: int = _count()
    equal: int = _count()
    golden_squares: float = _total("golden", "golden")
    my_squares: float = _total("my", "my")
    products: float = _total("golden", "my")
    difference_squares: float = _total("difference", "difference")
    difference_total: float = _total("difference")  # Σ|d|
    difference_exponent: int = _declare(0, Merge.EXPONENT)
    difference_max: float = _most()
    worst_index: int = _declare(-1, Merge.TOGETHER)  # of difference_max
    mismatched: int = _count()  # |d| > atol + rtol |g|

    # Over the pairs with |g| > epsilon.
    epsilon: float = _declare(2.0**-23, Merge.SAME)
    relative_count: int = _count("relative")
    relative_total: float = _total(part="relative")
    relative_max: float = _most(part="relative")
    within_thousandth: int = _count("relative")
    within_five_thousandths: int = _count("relative")
    above_total: float = _total("difference", part="relative")  # Σ|d|
    above_max: float = _most(part="relative")

    softmax: Softmax = field(default_factory=Softmax)
    # None where they are not wanted or a side is of an exact type; stats are equal without them.
    slices: Slices | None = field(default=None, compare=False)

    def __add__(self, other: Stats) -> Stats:
        exponents = {unit: _common_exponent(self, other, unit) for unit in UNITS}
        numbers = [
            _RULES[one.merge](*pair)
            for one, *pair in zip(
                FIELDS, _in_units(self, exponents), _in_units(other, exponents), strict=True
            )
        ]
        return replace(
            _RECORD.made(numbers),
            worst_index=max(self, other, key=_badness).worst_index,
            softmax=self.softmax + other.softmax,
            slices=self.slices + other.slices
            if self.slices and other.slices
            else self.slices or other.slices,
        )

    @property
    def nonfinite_disagreeing(self) -> int:
        """Elements non-finite on one side only, or differently on both."""
        return self.nonfinite_golden + self.nonfinite_my + self.nonfinite_different

    @property
    def is_equal(self) -> bool:
        """Whether both sides have the same elements, those included that are not finite."""
        return self.equal == self.pairs and not self.nonfinite_disagreeing

    def pack(self) -> bytes:
        """All but the slices, exactly."""
        return _RECORD.pack(self)

    @staticmethod
    def unpack(packed: Any, slices: Slices | None = None) -> Stats:
        """The stats of these bytes, or of any buffer of them. Raises struct.error if damaged."""
        return _RECORD.unpack(packed, slices)


@dataclass(frozen=True, slots=True)
class Field:
    """One number of the stats: its dotted name, what it is of no elements, how two become one,
    the units it is a product of, and the part that asks for it ("": always there)."""

    name: str
    empty: float
    merge: Merge
    units: tuple[str, ...]
    part: str

    @property
    def of(self) -> str:
        """The unit whose exponent this is, or the side that it belongs to."""
        return self.name.partition(".")[0].removesuffix("_exponent")


def _table() -> Iterator[Field]:
    for one in fields(Stats):
        if one.metadata:
            yield Field(one.name, one.default, **one.metadata)  # type: ignore[arg-type]
        elif is_dataclass(one.default_factory):
            for inner in fields(one.default_factory):
                units = tuple(unit or one.name for unit in inner.metadata["units"])
                told: dict[str, Any] = {**inner.metadata, "empty": inner.default, "units": units}
                yield Field(f"{one.name}.{inner.name}", **told)


_RECORD = Record(Stats)
FIELDS = tuple(_table())
SLOTS = _RECORD.slots
UNITS = tuple(one.of for one in FIELDS if one.merge is Merge.EXPONENT)


def _mine(one: Any, _: Any) -> Any:
    return one


_RULES: dict[Merge, Callable[[Any, Any], Any]] = {
    Merge.SUM: operator.add,
    Merge.LEAST: min,
    Merge.MOST: max,
    Merge.FIRST: first_index,
    Merge.EXPONENT: _mine,
    Merge.SAME: _mine,
    Merge.TOGETHER: _mine,
}


def _badness(stats: Stats) -> tuple[float, bool, int]:
    return stats.difference_max, stats.pairs > 0, -stats.worst_index


def _exponent(stats: Stats, unit: str) -> tuple[int, bool]:
    """The exponent of a unit, and whether there is a sum in it that is not zero."""
    if unit == "difference":
        return stats.difference_exponent, stats.difference_max > 0
    side: Side = getattr(stats, unit)
    return side.exponent, side.has_nonzero


def _common_exponent(one: Stats, two: Stats, unit: str) -> int:
    """The larger exponent; that of sums of zeros does not count."""
    first, first_counts = _exponent(one, unit)
    second, second_counts = _exponent(two, unit)
    if first_counts and second_counts:
        return max(first, second)
    return second if second_counts else first


def _in_units(stats: Stats, exponents: dict[str, int]) -> Iterator[Any]:
    """The numbers, with sums in units of two to these exponents."""
    moves = {unit: _exponent(stats, unit)[0] - new for unit, new in exponents.items()}
    for one, value in zip(FIELDS, _RECORD.values(stats), strict=True):
        if one.merge is Merge.EXPONENT:
            yield exponents[one.of]
        else:
            move = sum(moves[unit] for unit in one.units)
            yield math.ldexp(value, move) if move and value else value


def agreement(packed: bytes) -> tuple[bool, bool]:
    """Of packed stats whether a finite pair differs, and what `is_equal` says."""
    equal, pairs, *others = (_WHOLE.unpack_from(packed, 8 * slot)[0] for slot in _AGREEING)
    return equal < pairs, equal == pairs and not any(others)


_WHOLE = struct.Struct("<q")
_AGREEING = (
    *(SLOTS.equal, SLOTS.pairs),
    *(SLOTS.nonfinite_golden, SLOTS.nonfinite_my, SLOTS.nonfinite_different),
)

# The bytes of the stats of no elements, which the compiled loops begin with.
EMPTY = Stats().pack()
