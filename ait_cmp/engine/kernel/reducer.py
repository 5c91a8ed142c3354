"""The slices of a whole pair in, the numbers of its evidence out."""

from __future__ import annotations

from ait_cmp.engine.kernel.abi.arguments import Results, room
from ait_cmp.engine.kernel.abi.flags import Counts, Doubles
from ait_cmp.engine.kernel.compiled import reducer
from ait_cmp.engine.slices import Bins, Slices

__all__ = ["reduce_to"]


def reduce_to(packed: bytes, slices: Slices, bins: Bins) -> tuple[Counts, Doubles, Doubles]:
    """The packed evidence with what the slices show, as whole numbers and as floats; the errors
    of the kept elements, none where they cannot be told. They are valid until the next call."""
    results, scratch, top = Results.of(packed), room(), slices.top
    told = reducer()(
        slices.lines.sums, slices.channels.sums, top.differences, top.golden, top.indices,
        bins.lines, bins.line_width, bins.channels, bins.channel_width, scratch, results,
    )  # fmt: skip
    return *results, scratch.doubles[0, : len(top.indices) if told else 0]
