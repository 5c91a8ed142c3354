"""What two fingerprints tell of a pair, as if it had been measured; what they cannot is left open.

Counts that are not known are -1, and sums that are not known are NaN: metrics of these are empty.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.evidence import Evidence, make_evidence
from ait_cmp.engine.fingerprinting import fingerprint_of
from ait_cmp.engine.lone import Elements, Tops, standing_out
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.sketches import PairAxis, Sketches, sketches_of
from ait_cmp.engine.slices import Slices, Table
from ait_cmp.engine.stats import Side, Softmax, Stats
from ait_cmp.fingerprint.value import Fingerprint, Floats, Whole
from ait_cmp.source import Source, from_memory, kept_elements
from ait_cmp.values.errors import PairError, Reason

__all__ = ["alike", "estimate", "estimated"]

_HUGE = 16.0  # times the rms of the others makes an element huge
_NAN = math.nan

Chosen = npt.NDArray[np.bool_]

_WHOLE_NUMBERS = 2.0**53  # below which float64 rounds none
_OF_SUMS = 2.0**-46  # of all that is summed up, the rounding of sums in any order
_LESS, _MORE = 0.5, 1.5  # times that bins are set right by the whole, at the most


def alike(
    golden: Source | Fingerprint, my: Source | Fingerprint
) -> tuple[Source, Source] | tuple[Fingerprint, Fingerprint]:
    """Both sides of a pair as tensors, where all elements are known, else as fingerprints that can
    be estimated against each other. Raises as reading does."""
    one, two = (
        kept_elements(side) if isinstance(side, Fingerprint) and side.is_whole else side
        for side in (golden, my)
    )
    if isinstance(one, Fingerprint):
        return one, two if isinstance(two, Fingerprint) else _beside(two, one)
    return (_beside(one, two), two) if isinstance(two, Fingerprint) else (one, two)


def _beside(tensor: Source, kept: Fingerprint) -> Fingerprint:
    """The fingerprint of `tensor`, in the type of the other side where both are exact types and it
    has the same values there: then checksums tell whether all elements are equal."""
    if tensor.dtype != kept.dtype and not (tensor.dtype.is_floating or kept.dtype.is_floating):
        values = tensor.read(0, tensor.elements)
        values = values != 0 if tensor.dtype.name == "bool" else values
        as_kept = values.astype(bool if kept.dtype.name == "bool" else kept.dtype.storage)
        if np.array_equal(as_kept, values):
            bits = as_kept.view(kept.dtype.storage).reshape(tensor.shape)
            tensor = from_memory(kept.dtype, bits)
    return fingerprint_of(tensor, kept)


def estimate(
    *, golden: Fingerprint, my: Fingerprint, wanted: Wanted, kept: Chosen | None = None
) -> Measured:
    """What is known of a pair of fingerprints, neither of which keeps all elements; of the `kept`
    bins of lines alone where not all are.

    Raises PairError where they cannot be compared.
    """
    if golden.shape != my.shape:
        sentence = f"golden has the shape {list(golden.shape)}, my {list(my.shape)}"
        raise PairError(Reason.SHAPE_MISMATCH, f"{sentence}; adapters come before estimates")
    stats = replace(_counted(golden, my), epsilon=wanted.epsilon)
    infos = TensorInfo(golden.dtype, golden.shape), TensorInfo(my.dtype, my.shape)
    if golden.lines is None or my.lines is None:
        return Measured(*infos, _exact(golden, my, stats), stats.nonfinite_index)
    slices, evidence, stats = estimated(golden, my, stats, kept)
    return Measured(
        *infos, stats, stats.nonfinite_index, evidence=evidence, slices=slices.pack_few()
    )


def estimated(
    golden: Fingerprint, my: Fingerprint, stats: Stats, kept: Chosen | None = None
) -> tuple[Slices, Evidence, Stats]:
    """The slices and the evidence of two fingerprints that have axes, and `stats` with sums; of
    the `kept` bins of lines alone where not all are."""
    sketches, exponent = sketches_of(golden, my)
    tops = Tops.of(golden, my, exponent)
    if kept is not None:
        sketches = sketches.of_lines(kept)
        tops = tops.where(lambda indices: kept[sketches.bins(indices)[0]])
    known, beyond = tops.known()
    slices, spread, whole = _slices(sketches, known, beyond, tops)
    usual = None
    if huge := _huge(sketches, known):
        chosen = np.arange(huge)
        rest = sketches.without(known.golden[chosen], known.my[chosen], known.indices[chosen])
        usual = _slices(rest, known.where(np.arange(huge, len(known.golden))), beyond, tops)
    slices = replace(
        slices,
        golden_bits=golden.whole.bits,
        my_bits=my.whole.bits,
        gridded=my.whole.gridded,
        nonfinite_saturated=_saturated_instead(golden.whole, my.whole),
        clipped=_clipped(golden, my),
        exponent=exponent,
    )
    if usual:
        own = usual[0]
        tables = replace(slices, lines=own.lines, channels=own.channels, top=own.top)
        slices = replace(slices, usual=tables)
    stats = _with_sums(stats, golden, my, whole, exponent)
    if kept is not None:
        stats = _of_some(stats, sketches)
    evidence = make_evidence(stats, slices, golden.shape, few=True)
    evidence = replace(evidence, buckets=sketches.buckets, spread=spread)
    if usual and evidence.usual:
        told = replace(evidence.usual, buckets=sketches.buckets, spread=usual[1])
        evidence = replace(evidence, usual=told)
    return slices, evidence, stats


def _slices(
    sketches: Sketches, known: Elements, beyond: Elements, tops: Tops
) -> tuple[Slices, float, float]:
    """The tables and the largest errors, one standard deviation of Σd² as a share, and Σd².

    Elements that are known count as they are; what is estimated is the rest.
    """
    rest = sketches.without(known.golden, known.my, known.indices)
    whole, spread = rest.spread()
    exact = float(((known.my - known.golden) ** 2).sum())
    tables = []
    alike_in_count = rest.lines.count.sum() == rest.channels.count.sum()
    for axis, bins in zip((rest.lines, rest.channels), rest.bins(known.indices), strict=True):
        squares = axis.estimated
        total = float(squares.sum())
        if total > 0 and alike_in_count:  # of the same elements, and the whole is known better
            squares *= min(max(whole / total, _LESS), _MORE)
        np.add.at(squares, bins, (known.my - known.golden) ** 2)
        tables.append(squares)
    lone = standing_out(rest.without(beyond.golden, beyond.my, beyond.indices), tops)
    top = (known + beyond + lone).top()
    made = [
        _table(axis, np.where(axis.count > 0, squares, 0.0))
        for axis, squares in zip((sketches.lines, sketches.channels), tables, strict=True)
    ]
    share = whole / (whole + exact) if whole + exact else 0.0
    lines, channels = made
    if not sketches.tells_channels:  # each as the whole, so that none stands out
        bins = channels.sums.shape[1]
        channels = Table(np.repeat(lines.sums.sum(1, keepdims=True) / bins, bins, axis=1))
    return Slices(lines, channels, top, 0, 0, 0, 0, 0, -1), spread * share, whole + exact


def _table(axis: PairAxis, squares: Floats) -> Table:
    products = (axis.my_squares - axis.golden_squares - squares) / 2
    return Table(np.stack((axis.count, axis.golden_squares, squares, products, axis.total)))


def _of_some(stats: Stats, sketches: Sketches) -> Stats:
    """`stats`, which are of all elements, with the sums and the number of those that are left."""
    lines, pairs = sketches.lines, int(sketches.lines.count.sum())
    squares, others = float(lines.golden_squares.sum()), float(lines.my_squares.sum())
    return replace(
        stats,
        elements=pairs + stats.elements - stats.pairs,
        pairs=pairs,
        equal=pairs if stats.equal == stats.pairs else -1,
        golden_squares=squares,
        my_squares=others,
        products=(squares + others - stats.difference_squares) / 2,
    )


def _huge(sketches: Sketches, known: Elements) -> int:
    """How many of golden's largest elements are huge beside all others; 0 where more may be."""
    axis, sizes = sketches.channels, np.abs(known.golden)
    usual = math.sqrt(float(np.median(axis.golden_squares / np.maximum(axis.count, 1.0))))
    for huge in range(int((sizes > _HUGE * usual / 2).sum()), 0, -1):
        chosen = np.arange(huge)
        rest = sketches.without(known.golden[chosen], known.my[chosen], known.indices[chosen])
        size = math.sqrt(rest.golden_squares / max(float(rest.lines.count.sum()), 1.0))
        if huge < len(sizes) and sizes[huge - 1] > _HUGE * size >= sizes[huge]:
            return huge
    return 0


def _counted(golden: Fingerprint, my: Fingerprint) -> Stats:
    """What is known of any pair: counts, and both sides by themselves."""
    elements = math.prod(golden.shape)
    one, two = golden.whole, my.whole
    instead = _saturated_instead(one, two)
    alike = min(one.nonfinite, two.nonfinite)
    more, fewer = one.nonfinite - alike, two.nonfinite - alike
    different = 0
    if one.places != two.places and not (more or fewer) and alike:
        different, alike = 1, alike - 1  # at the least
    if instead and not (more or fewer):
        more = instead
    firsts = {
        one.first,
        two.first,
    }  # where that is one place, the first that is unlike may be later
    unlike = more or fewer or different
    equal = golden.dtype == my.dtype and golden.checksum == my.checksum
    pairs = elements - max(one.nonfinite, two.nonfinite) - different
    stats = Stats(
        elements,
        nonfinite_golden=more,
        nonfinite_my=fewer,
        nonfinite_alike=alike,
        nonfinite_different=different,
        nonfinite_index=min(firsts - {-1}) if unlike and len(firsts) > 1 else -1,
        golden=_side(golden, elements),
        my=_side(my, elements),
        pairs=pairs,
        equal=pairs if equal else -1,
        mismatched=0 if equal else -1,
        difference_max=0.0 if equal else _NAN,
        difference_total=0.0 if equal else _NAN,
    )
    return _of_equal(stats) if equal else stats


def _of_equal(stats: Stats) -> Stats:
    """What follows of relative errors, and of what a softmax makes of both."""
    reached = max(stats.golden.maximum, -stats.golden.minimum)
    relative = int(stats.pairs > 0 and reached > stats.epsilon)
    return replace(
        stats,
        relative_count=relative,
        within_thousandth=relative,
        within_five_thousandths=relative,
        softmax=Softmax(0.0, 1.0, 0.0, 1.0, 0.0),
    )


def _side(fingerprint: Fingerprint, elements: int) -> Side:
    whole = fingerprint.whole
    finite = elements - whole.nonfinite
    return Side(finite, whole.minimum, whole.maximum, whole.total, whole.exponent)


def _saturated_instead(golden: Whole, my: Whole) -> int:
    """Elements that are infinite on one side and at the end of its range on the other."""
    if golden.places != my.places:
        return 0
    pairs = (golden.positive - my.positive, golden.negative - my.negative)
    return sum(map(abs, pairs))


def _clipped(golden: Fingerprint, my: Fingerprint) -> int:
    """Elements of my at the end of its range, where golden reaches beyond it, and more than stand
    for infinity in golden; at the least."""
    one, two = golden.whole, my.whole
    if not my.dtype.largest < max(one.maximum, -one.minimum) < math.inf:
        return 0
    more = (
        two.saturated_positive - one.saturated_positive - one.positive,
        two.saturated_negative - one.saturated_negative - one.negative,
    )
    return sum(max(count, 0) for count in more)


def _exact(golden: Fingerprint, my: Fingerprint, stats: Stats) -> Stats:
    """Of a pair that is not rounded: whether all are equal is all that is known.

    Raises PairError where that is not known.
    """
    one, two = stats.golden, stats.my
    if (
        golden.dtype != my.dtype
        and (one.minimum, one.maximum) == (two.minimum, two.maximum)
        and abs(one.total - two.total) <= _rounding(stats)
    ):
        are_exact = not (golden.dtype.is_floating or my.dtype.is_floating)
        raise PairError(
            Reason.NOT_SUPPORTED,
            f"fingerprints of {golden.dtype} and {my.dtype} tell that the least element, the "
            "largest and the sum are equal, and not whether each element is; dump the tensors of "
            f"{'one side' if are_exact else 'both sides'}, or both in one type",
        )
    return stats if stats.equal == stats.pairs else replace(stats, difference_squares=_NAN)


def _rounding(stats: Stats) -> float:
    """What two sums of the same whole numbers may differ by."""
    most = stats.elements * max(abs(stats.golden.minimum), abs(stats.golden.maximum))
    return most * _OF_SUMS if most >= _WHOLE_NUMBERS else 0.0


def _with_sums(
    stats: Stats, golden: Fingerprint, my: Fingerprint, whole: float, exponent: int
) -> Stats:
    """`stats` with Σg², Σm², Σgm and Σd², in units of 2**exponent."""
    squares = [
        math.ldexp(one.whole.squares, 2 * (one.whole.exponent - exponent)) for one in (golden, my)
    ]
    sides = (
        replace(
            side,
            total=math.ldexp(side.total, side.exponent - exponent),
            exponent=exponent,
        )
        for side in (stats.golden, stats.my)
    )
    one, two = sides
    return replace(
        stats,
        golden=one,
        my=two,
        golden_squares=squares[0],
        my_squares=squares[1],
        products=(squares[0] + squares[1] - whole) / 2,
        difference_squares=whole,
        difference_exponent=exponent,
    )
