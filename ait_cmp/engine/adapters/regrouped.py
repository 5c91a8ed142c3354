"""Parts of a tensor that stand one behind the other, as they stand group by group: a fused q, k and
v, of which some libraries keep those of each group of heads together."""

from __future__ import annotations

from dataclasses import replace

from ait_cmp.engine.adapters.joins import JOINERS
from ait_cmp.engine.adapters.views import viewed
from ait_cmp.source import Source
from ait_cmp.values.location import Step

__all__ = ["regroup"]


def regroup(source: Source, step: Step) -> Source:
    """Of one dimension the parts of the given sizes, each cut into as many groups: the first group
    of every part, then the second of every part, and so on."""
    asked, groups, *sizes = step.numbers()
    dims = len(source.shape)
    if not -dims <= asked < dims:
        raise ValueError(f"there is no dimension {asked}")
    axis = asked % dims
    if sum(sizes) != source.shape[axis] or min(sizes) < 1:
        raise ValueError(f"parts of {sizes} are not those of a dimension of {source.shape[axis]}")
    if groups < 1 or any(size % groups for size in sizes):
        raise ValueError(f"parts of {sizes} are not {groups} groups each")
    parts, start = [], 0
    for size in sizes:
        cut = Step("slice", (*[":"] * axis, f"{start}:{start + size}"))
        each = Step("unflatten", (f"{axis}", f"{groups}", f"{size // groups}"))
        parts.append(viewed(viewed(source, cut), each))
        start += size
    joined = JOINERS["concat"](parts, Step("concat", (f"{axis + 1}",)))
    joined = replace(joined, states=source.states)
    return viewed(joined, Step("flatten", (f"{axis}", f"{axis + 1}")))
