"""Second looks: at the data of a pair beside other tensors, for the few rows that need it.

To add one: a function of the two sources and of what it has beside them, a row in `LOOKS`, and a
field of `Measured` that it fills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ait_cmp.engine import align
from ait_cmp.engine.choices import look_at_choices
from ait_cmp.engine.detail import look_in_detail
from ait_cmp.engine.extra import look_at_extra
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.positions import look_at_positions
from ait_cmp.engine.request import ExtraMetric
from ait_cmp.engine.stats import Stats
from ait_cmp.source import Source

__all__ = ["LOOKS", "Beside", "look_at"]


class Beside(NamedTuple):
    """What a look has beside the pair: the tensors at the request's own locations, and metrics of
    the user's own."""

    others: Sequence[Source | None] = ()
    metrics: Sequence[ExtraMetric] = ()


_ALONE = Beside()


def _tokens(golden: Source, my: Source, beside: Beside) -> Measured:
    """Of ids each of which was chosen by itself."""
    return _choices(*align(golden=golden, my=my), 1, beside)


def _experts(golden: Source, my: Source, beside: Beside) -> Measured:
    """Of ids that were chosen together, those of the last dimension."""
    golden, my = align(golden=golden, my=my)
    return _choices(golden, my, golden.shape[-1] if golden.shape else 1, beside)


def _choices(golden: Source, my: Source, width: int, beside: Beside) -> Measured:
    scores, my_scores = beside.others
    found = look_at_choices(
        golden=golden, my=my, width=width, golden_scores=scores, my_scores=my_scores
    )
    return Measured(_info(golden), _info(my), Stats(), choices=found)


def _positions(golden: Source, my: Source, beside: Beside) -> Measured:
    """Of logits, beside the tokens that golden read in this round and in the next."""
    golden, my = align(golden=golden, my=my)
    ids, next_ids = beside.others
    found = look_at_positions(golden=golden, my=my, ids=ids, next_ids=next_ids)
    return Measured(_info(golden), _info(my), Stats(), positions=found)


def _diagnosis(golden: Source, my: Source, _: Beside) -> Measured:
    """What explains the difference, of whatever shapes."""
    from ait_cmp.engine.diagnosis import diagnose  # seldom needed

    shaped = golden.shaped_like(my.shape), my.shaped_like(golden.shape)
    found = diagnose(golden=shaped[0], my=shaped[1])
    return Measured(_info(golden), _info(my), Stats(), diagnosis=found)


def _relatives(golden: Source, my: Source, beside: Beside) -> Measured:
    """Which of golden's other tensors my is, or has too much or too little."""
    from ait_cmp.engine.diagnosis import find_relative

    golden, my = align(golden=golden, my=my)
    found = find_relative(golden=golden, my=my, others=beside.others)
    return Measured(_info(golden), _info(my), Stats(), diagnosis=found)


def _detail(golden: Source, my: Source, _: Beside) -> Measured:
    """Of what a person wants to see of the pair alone."""
    golden, my = align(golden=golden, my=my)
    found = look_in_detail(golden=golden, my=my)
    return Measured(_info(golden), _info(my), Stats(), detail=found)


def _extra(golden: Source, my: Source, beside: Beside) -> Measured:
    """Of the user's own metrics. Without stats it is not kept: what failed may be mended outside
    of its file, by a library that is installed, say."""
    golden, my = align(golden=golden, my=my)
    found = look_at_extra(golden=golden, my=my, metrics=beside.metrics)
    stats = None if found.problems else Stats()
    return Measured(_info(golden), _info(my), stats, extra=found)


LOOKS: dict[str, Callable[[Source, Source, Beside], Measured]] = {
    "tokens": _tokens,
    "experts": _experts,
    "positions": _positions,
    "diagnosis": _diagnosis,
    "relatives": _relatives,
    "detail": _detail,
    "extra": _extra,
}


def look_at(kind: str, golden: Source, my: Source, beside: Beside = _ALONE) -> Measured:
    """What a look of this kind finds: no stats, but what its row in `LOOKS` fills."""
    return LOOKS[kind](golden, my, beside)


def _info(source: Source) -> TensorInfo:
    return TensorInfo(source.dtype, source.shape)
