"""Logits, position by position: how far apart the two distributions are, and whether they say the
same token.

Each position's divergence is that of the compiled loops, over its own line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine import BLOCK, ENGINES, pair_options
from ait_cmp.engine.kernel import widen
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.slices import Bins
from ait_cmp.engine.stats import Softmax
from ait_cmp.source import Source

__all__ = ["Positions", "look_at_positions"]

TOP = 5
_SOFTMAX = Parts(softmax=True)
_BLOCK = 256  # values of which the largest is looked for at first
_MOST_IDS = 1 << 24  # that are held in memory

Shape = tuple[int, ...]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Values = npt.NDArray[np.float32] | _Floats


@dataclass(frozen=True, slots=True)
class Positions:
    """What the `lines` of two rows of logits say; nan where no line says it.

    The divergences are KL(golden, my) of a position: mean, 99th percentile and largest. `same_top`
    is the share of lines in which golden's first choice is one of my's, `top_overlap` that of
    golden's first five which are among my's. Over the `tokens` that are known to come next in
    golden, `golden_surprise` and `my_surprise` are the mean of -ln p.
    """

    lines: int
    kl_mean: float
    kl_high: float
    kl_most: float
    same_top: float
    top_overlap: float
    tokens: int
    golden_surprise: float
    my_surprise: float

    def packed(self) -> list[Any]:
        """All of it as plain values."""
        return list(astuple(self))

    @staticmethod
    def unpacked(packed: Sequence[Any]) -> Positions:
        """What `packed` gave."""
        return Positions(*packed)


def look_at_positions(
    *, golden: Source, my: Source, ids: Source | None, next_ids: Source | None
) -> Positions:
    """The positions of two rows of logits of one shape; `ids` are the tokens that golden read in
    this round, `next_ids` those of the next."""
    *places, size = golden.shape
    targets = _targets(tuple(places), _read(ids), _read(next_ids))
    found = np.array(
        [
            _position(golden, my, line * size, (line + 1) * size, target)
            for line, target in enumerate(targets.tolist())
        ]
    ).reshape(-1, 5)
    divergences = found[:, 0][~np.isnan(found[:, 0])]
    surprises = found[:, 1:3][~np.isnan(found[:, 1:3]).any(axis=1)]
    mean, high, most = _spread(divergences)
    same, overlap = found[:, 3:].mean(axis=0).tolist() if len(found) else (math.nan, math.nan)
    one, two = surprises.mean(axis=0).tolist() if len(surprises) else (math.nan, math.nan)
    return Positions(len(found), mean, high, most, same, overlap, len(surprises), one, two)


def _position(
    golden: Source, my: Source, start: int, stop: int, target: int
) -> tuple[float, float, float, float, float]:
    """The divergence of one line, -ln p of its target on both sides, whether both have the same
    first choice, and the share of the first choices that they have in common."""
    sums = _softmax(golden, my, start, stop)
    one, two = (_values(side, start, stop) for side in (golden, my))
    surprises = math.nan, math.nan
    if 0 <= target < len(one):
        surprises = _surprises(sums, one, two, target)
    tops = _tops(one), _tops(two)
    common = len({*tops[0]} & {*tops[1]}) / len(tops[0])
    return _divergence(sums), *surprises, float(two[tops[0][0]] == two[tops[1][0]]), common


def _softmax(golden: Source, my: Source, start: int, stop: int) -> Softmax:
    options = pair_options(golden=golden, my=my, epsilon=0.0, parts=_SOFTMAX)
    accumulation = ENGINES["numba"](golden.dtype, my.dtype, options, Bins.of((stop - start,)))
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        accumulation.add(golden.read(begin, end), my.read(begin, end), begin)
    return accumulation.stats().softmax


def _divergence(sums: Softmax) -> float:
    if not (sums.golden_weight and sums.my_weight):
        return math.nan
    spread = math.log(sums.my_weight / sums.golden_weight)
    return max(0.0, sums.cross / sums.golden_weight + spread)


def _surprises(sums: Softmax, golden: _Values, my: _Values, target: int) -> tuple[float, float]:
    """-ln p of a token, on both sides."""
    if not (sums.golden_weight and sums.my_weight):
        return math.nan, math.nan
    return (
        sums.golden_peak + math.log(sums.golden_weight) - float(golden[target]),
        sums.my_peak + math.log(sums.my_weight) - float(my[target]),
    )


def _values(source: Source, start: int, stop: int) -> _Values:
    """A line as floats that hold it exactly; as narrow ones as do, which takes half the time."""
    bits = source.read(start, stop)
    if source.dtype.name == "bfloat16":
        singles: _Values = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return singles
    return bits if source.dtype.name == "float32" else widen(bits, source.dtype)


def _tops(values: _Values) -> list[int]:
    """The places of the largest, in their order: those of the few blocks whose own largest are."""
    if len(values) <= TOP * _BLOCK:
        places = np.arange(len(values))
    else:
        whole = len(values) // _BLOCK * _BLOCK
        largest = values[:whole].reshape(-1, _BLOCK).max(axis=1)
        blocks = np.argpartition(largest, -TOP)[-TOP:]
        inside = (blocks[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1)
        places = np.concatenate([inside, np.arange(whole, len(values))])
    order = np.argsort(-values[places], kind="stable")
    return [*places[order[:TOP]].tolist()]


def _spread(told: _Floats) -> tuple[float, float, float]:
    if not told.size:
        return math.nan, math.nan, math.nan
    return float(told.mean()), float(np.percentile(told, 99)), float(told.max())


def _read(source: Source | None) -> _Ints | None:
    if source is None or source.dtype.is_floating or source.elements > _MOST_IDS:
        return None
    return np.asarray(source.read(0, source.elements)).astype(np.int64).reshape(source.shape)


def _targets(places: Shape, ids: _Ints | None, next_ids: _Ints | None) -> _Ints:
    """The token that comes next at each position, -1 where it is not known."""
    found = np.full(places, -1, np.int64)
    batch = places[0] if len(places) > 1 else 1
    after = None if next_ids is None else next_ids.reshape(-1)
    if after is not None and after.size == found.size:  # one position a sequence
        return after
    alone = len(places) < 2 and after is not None and after.size == 1
    if ids is not None and ids.size == found.size and (alone or ids.shape == places):
        found.reshape(batch, -1)[:, :-1] = ids.reshape(batch, -1)[:, 1:]
    if after is not None and after.size == batch:
        found.reshape(batch, -1)[:, -1] = after
    return found.reshape(-1)
