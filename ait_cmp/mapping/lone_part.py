"""What one rank alone of several has of a tensor: the whole, or a shard that the others lack.

A stage of a pipeline, an embedding or a head lives on one rank, and is whole there: it has the
shape of the other side. What is one dimension's second, third, … part looks like a shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ait_cmp.mapping.shards import Shape, shape_of
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.shards import named_ranks

__all__ = ["lone_shard"]


def lone_shard(
    name: str,
    *,
    whole: Location,
    part: Location,
    rank: str,
    ranks: Sequence[str],
    side: Literal["golden", "my"],
) -> PairError | None:
    """Why what `rank` alone of `ranks` has of a tensor on `side` is no whole one, where that shows;
    what else shapes may be is said where they are compared."""
    try:
        shape, cut = shape_of(whole), shape_of(part)
    except PairError:  # which measuring says
        return None
    dim = _dim(shape, cut)
    if dim is None or not (times := _times(shape[dim], cut[dim], len(ranks))):
        return None
    others = tuple(one for one in ranks if one != rank)
    other = "my" if side == "golden" else "golden"
    meant = ""
    if cut[dim] * len(ranks) == shape[dim]:  # else nobody knows where its shard begins
        first = ranks.index(rank) * cut[dim]
        places = ", ".join([*[":"] * dim, f"{first}:{first + cut[dim]}"])
        meant = (
            f", or, to compare this part alone, cut {other} in a rule or a list "
            f"({other}_adapters: slice({places}))"
        )
    return PairError(
        Reason.GOLDEN_MISSING if side == "golden" else Reason.MY_MISSING,
        f"{side} has {name!r} on {named_ranks((rank,))} alone, {list(cut)} where {other} is "
        f"{list(shape)}: it looks like one of {times} shards along dimension {dim}, of which "
        f"{named_ranks(others)} lack the rest; dump it again on all{meant}",
    )


def _dim(whole: Shape, part: Shape) -> int | None:
    """The one dimension in which they differ."""
    if len(whole) != len(part):
        return None
    dims = [dim for dim, sizes in enumerate(zip(whole, part, strict=True)) if len(set(sizes)) > 1]
    return dims[0] if len(dims) == 1 else None


def _times(whole: int, part: int, ranks: int) -> int | None:
    """How many shards of about this size are the whole: as many as ranks at most."""
    fitting = (
        times for times in range(ranks, 1, -1) if part in (whole // times, -(-whole // times))
    )
    return next(fitting, None) if part else None
