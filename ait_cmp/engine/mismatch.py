"""What is said of shapes that differ: which adapters would fit, and how to write them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ait_cmp.source import FingerprintSource, Source
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import PairError
from ait_cmp.values.fitting import Cut, Fit, cuts, fits
from ait_cmp.values.location import parse_steps

__all__ = ["explained", "way_out", "way_out_of_kept"]

Shape = tuple[int, ...]

_SHOWN = 2  # proposals of a kind; more would not help


@functools.lru_cache(maxsize=4096)  # rows of few shapes, many of each
def way_out(golden: Shape, my: Shape) -> str:
    """The rest of a sentence that began with these shapes."""
    return _said(golden, my, fits(golden, my), cuts(golden, my))


def way_out_of_kept(golden: Source, my: Source) -> str:
    """The same where a fingerprint is among the two, to which not every adapter applies."""
    shapes = golden.shape, my.shape
    larger = 0 if golden.elements > my.elements else 1
    are_kept = [isinstance(side, FingerprintSource) for side in (golden, my)]
    whole = [fit for fit in fits(*shapes) if _applies(fit, golden, my)]
    parts = [] if are_kept[larger] else cuts(*shapes)
    lost = [*fits(*shapes), *(one.fit for one in cuts(*shapes))]
    if whole or parts or (not lost and not all(are_kept)):
        return _said(*shapes, whole, parts)
    if golden.elements == my.elements:
        if lost:
            fit = f"; {lost[0]} would make them equal, but not of two fingerprints"
        else:
            fit = ": as many elements, but in an order that fingerprints do not tell"
        return f"{fit}; dump the tensors of one side"
    if not lost:
        return _said(*shapes, (), ())
    return (
        ", so elements cannot be paired; map the tensor or the round (rounds=+1) that corresponds, "
        f"or dump the tensors of {('golden', 'my')[larger]}, which can be cut: {lost[0]}"
    )


def _applies(fit: Fit, golden: Source, my: Source) -> bool:
    """Whether two sides, fingerprints or tensors, can be compared after these adapters."""
    from ait_cmp.engine.adapters import adapt  # only of few rows, and these import this module
    from ait_cmp.engine.kept import refuse_other_axes

    try:
        refuse_other_axes(adapt([golden], fit.golden), adapt([my], fit.my))
    except PairError:
        return False
    return True


def _said(golden: Shape, my: Shape, fitting: Sequence[Fit], cutting: Sequence[Cut]) -> str:
    whole, found = fitting[:_SHOWN], cutting[:_SHOWN]
    if whole:
        said = ", or ".join(map(str, whole))
        look = " (look which is meant)" if len(whole) > 1 else ""
        return f"; {said} would make them equal{look}: {_written(whole[0])}"
    if _elements(golden) == _elements(my):
        return (
            ": as many elements, but in an order that cannot be told; say it with adapters, "
            "like reshape(2, -1) | transpose(0, 1), or reshape one side where it is dumped"
        )
    if not found:
        return ", so elements cannot be paired; map the tensor, or the round, that corresponds"
    said = ", or ".join(f"{one.fit} where {one.where}" for one in found)
    return (
        f", so elements cannot be paired; map the tensor or the round (rounds=+1) that "
        f"corresponds, or cut: {said}: {_written(found[0].fit)}"
    )


def explained(golden: Shape, my: Shape, diagnosis: Diagnosis) -> str:
    """The sentence of shapes that differ, where the values say how they belong together."""
    said = f"golden has the shape {list(golden)}, my {list(my)}; {diagnosis.sentence}"
    if not diagnosis.adapters:
        return f"{said}{way_out(golden, my)}"
    return f"{said}; {_written(Fit(golden=parse_steps(diagnosis.adapters)))}"


def _written(fit: Fit) -> str:
    """How `fit` is written, for every pair and for some."""
    sides = {"golden": fit.golden, "my": fit.my}
    texts = {side: " | ".join(map(str, steps)) for side, steps in sides.items() if steps}
    line = " ".join(f"\"mapping.{side}_adapters='{text}'\"" for side, text in texts.items())
    entry = ", ".join(f"{side}_adapters: {text}" for side, text in texts.items())
    return f"write {line} on the command line for every pair, {entry} in a rule or a list for some"


def _elements(shape: Shape) -> int:
    return functools.reduce(int.__mul__, shape, 1)
