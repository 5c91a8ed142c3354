"""What a failing pair looks like: hypotheses, each confirmed by measuring under it.

To add one: a module with functions `Sides -> bool` and `Sides -> Iterator[Claim]`, and a row in
`HYPOTHESES`, at the place where it is plainer than those behind it. Where several leave about as
little, the first of them is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ait_cmp.engine.diagnosis import (
    contents,
    exchange,
    relocation,
    rotary,
    rounding,
    softmax,
    values,
)
from ait_cmp.engine.diagnosis.claims import Hypothesis, Measured, measure, simplest
from ait_cmp.engine.diagnosis.naming import number, part
from ait_cmp.engine.diagnosis.nonfinite import not_numbers
from ait_cmp.engine.diagnosis.place import Place, wrong_places
from ait_cmp.engine.diagnosis.relatives import find_relative
from ait_cmp.engine.diagnosis.sides import Sides, open_sides
from ait_cmp.engine.diagnosis.unrelated import unrelated
from ait_cmp.source import Source
from ait_cmp.values.diagnosis import Diagnosis

__all__ = ["HYPOTHESES", "Diagnosis", "diagnose", "find_relative"]

_FEW = 2  # elements, of which fewer have no order and no part
_NEXT_TO_NOTHING = 1e-4  # of the error's squares is no size to name it by
_ROUNDINGS = 2.0  # that the rest of a tensor may have where a part alone is called wrong

# What is nothing of golden's; one rule for every element; the elements at other places.
_FILLED = (
    Hypothesis("filled", contents.is_paired, contents.filled),
    Hypothesis("dropout", contents.is_paired, contents.dropped_out),
)
_RULES = (
    Hypothesis("sign", values.are_floats, values.signs_changed),
    Hypothesis("scale", values.are_floats, values.scaled),
    Hypothesis("offset", values.are_numbers, values.with_offset),
)
_PLACES = (
    Hypothesis("reshaped", relocation.is_rearranged, relocation.reshaped),
    Hypothesis("transposed", relocation.has_order, relocation.permuted),
    Hypothesis("softmax", softmax.is_softmax, softmax.over_another_axis),
    Hypothesis("rotary", rotary.may_be_rotated, rotary.paired_otherwise),
    Hypothesis("layout", relocation.has_order, relocation.laid_out_otherwise),
    Hypothesis("shifted", contents.is_paired, relocation.shifted),
    Hypothesis("cut", exchange.has_other_size, exchange.cut),
)
# With few numbers that are fitted, of the whole tensor or, as the rules, of a part that alone is
# wrong.
_OF_ANY_PART = (
    Hypothesis("saturated", values.are_floats, values.clipped),
    Hypothesis("flushed", values.are_floats, values.flushed),
    Hypothesis("rounded", rounding.is_finer, rounding.rounded),
    Hypothesis("quantised", rounding.is_finer, rounding.quantised),
    Hypothesis("shifted", contents.is_paired, relocation.moved),
    Hypothesis("rotary", rotary.may_be_rotated, rotary.rotated),
    Hypothesis("softmax", softmax.is_softmax, softmax.of_other_scores),
    Hypothesis("affine", values.are_floats, values.affine),
    Hypothesis("exchanged", exchange.has_slices, exchange.exchanged),
)
_OF_ALL = (*_FILLED, *_RULES, *_PLACES, *_OF_ANY_PART)
_BY_AXIS = (Hypothesis("affine", values.are_floats, values.by_axis),)
# What is tried, in this order.
HYPOTHESES: tuple[Hypothesis, ...] = (*_OF_ALL, *_BY_AXIS)


def diagnose(*, golden: Source, my: Source) -> Diagnosis | None:
    """What explains the difference of two tensors, of whatever shapes; None where nothing does.

    Reads at most `sides.MOST` elements of each, and what it takes to find the part that is wrong.
    """
    if min(golden.elements, my.elements) < _FEW or not (golden.shape and my.shape):
        return None
    sides = open_sides(golden, my)
    if sides is None:
        return None
    with np.errstate(all="ignore"):
        found = not_numbers(sides) or _of(sides)
    if found and sides.read:
        words = f"of my{sides.read}, all that was read of it: {found.words}"
        return found._replace(words=words)
    return found


def _of(sides: Sides) -> Diagnosis | None:
    if sides.are_paired and not sides.error:
        return None
    found = simplest(_confirmed(_OF_ALL, sides), sides)
    if found:
        return found.diagnosis()
    if not sides.are_paired:
        return None
    places = [*wrong_places(sides)]
    told = (_in_place(place, sides) for place in places)
    if known := next(filter(None, told), None):
        return known
    found = simplest(_confirmed(_BY_AXIS, sides), sides)
    if found:
        return found.diagnosis()
    alone = next((place for place in places if place.is_all), None)
    return _only(alone, sides) if alone else unrelated(sides)


def _confirmed(hypotheses: Sequence[Hypothesis], sides: Sides) -> Iterator[Measured]:
    """Every claim of these that is confirmed, in their order."""
    for hypothesis in hypotheses:
        if hypothesis.applies(sides):
            for claim in hypothesis.confirm(sides):
                if found := measure(hypothesis.kind, claim, sides):
                    yield found


def _in_place(place: Place, sides: Sides) -> Diagnosis | None:
    """That a part alone is wrong, and how, if that is known."""
    inside = sides.part(place.index)
    found = simplest(_confirmed((*_RULES, *_OF_ANY_PART), inside), inside)
    if found is None:
        return None
    whole = sides.golden.copy()
    whole[place.index] = found.claim.made
    measured = measure(found.kind, replace(found.claim, made=whole), sides)
    where = part(place.axes, sides.shape)
    wrong = _how_alone(place, where, sides)
    return measured.diagnosis(f"{wrong}; there {found.claim.words}") if measured else None


def _only(place: Place, sides: Sides) -> Diagnosis:
    where = part(place.axes, sides.shape)
    words = f"{_how_alone(place, where, sides)}, by {_size(place, sides)}"
    return Diagnosis("place", words, place.share, place.outside, untold=sides.odd)


def _how_alone(place: Place, where: str, sides: Sides) -> str:
    """That the rest is right, but for a rounding or two; or that it has less of the error."""
    if place.outside <= _ROUNDINGS * sides.grain:
        return f"only my{where} is wrong"
    return f"my{where} is most of what is wrong"


def _size(place: Place, sides: Sides) -> str:
    """How wrong the place is, beside golden there; or, where it has next to nothing, anywhere."""
    own, error = sides.sizes[place.index].sum(), sides.squares[place.index].sum()
    if own < _NEXT_TO_NOTHING * error:
        return f"{number(place.inside)} times what golden has on average"
    return f"{number(math.sqrt(error / own))} times what golden has there"
