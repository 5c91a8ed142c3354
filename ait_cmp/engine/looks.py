"""Second looks: at the data of a pair beside other tensors, for the few rows that need it.

To add one: a function of the two sources and of those of the request's own locations, a row in
`LOOKS`, and a field of `Measured` that it fills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ait_cmp.engine.choices import look_at_choices
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.positions import look_at_positions
from ait_cmp.engine.stats import Stats
from ait_cmp.source import Source

__all__ = ["LOOKS", "look_at"]

Others = Sequence[Source | None]


def _tokens(golden: Source, my: Source, others: Others) -> Measured:
    """Of ids each of which was chosen by itself."""
    return _choices(golden, my, 1, others)


def _experts(golden: Source, my: Source, others: Others) -> Measured:
    """Of ids that were chosen together, those of the last dimension."""
    return _choices(golden, my, golden.shape[-1] if golden.shape else 1, others)


def _choices(golden: Source, my: Source, width: int, others: Others) -> Measured:
    found = look_at_choices(
        golden=golden, my=my, width=width, golden_scores=others[0], my_scores=others[1]
    )
    return Measured(_info(golden), _info(my), Stats(), choices=found)


def _positions(golden: Source, my: Source, others: Others) -> Measured:
    """Of logits, beside the tokens that golden read in this round and in the next."""
    found = look_at_positions(golden=golden, my=my, ids=others[0], next_ids=others[1])
    return Measured(_info(golden), _info(my), Stats(), positions=found)


LOOKS: dict[str, Callable[[Source, Source, Others], Measured]] = {
    "tokens": _tokens,
    "experts": _experts,
    "positions": _positions,
}


def look_at(kind: str, golden: Source, my: Source, others: Others) -> Measured:
    """What a look of this kind finds: no stats, but what its row in `LOOKS` fills."""
    return LOOKS[kind](golden, my, others)


def _info(source: Source) -> TensorInfo:
    return TensorInfo(source.dtype, source.shape)
