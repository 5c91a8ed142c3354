"""The order of the computation through the rounds of all models of a process.

Rounds are counted by model, and steps by optimizer, so that round 1 of one model may come before
round 0 of another, and a step behind many rounds. What is computed in a stretch (the forward pass
of a round, its backward pass, a step) stays together, though two backward passes may be one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ait_cmp.mapping.layouts.ranks import DumpedTensor, Identity, RankDump

__all__ = ["places_through_rounds"]

_Stretch = tuple[int | None, str, str]  # round, model, what is done
_DONE = {"grad": "backward", "state": "step", "set": "step"}  # by what a tensor is called


def places_through_rounds(rank: RankDump | None) -> Sequence[int] | None:
    """The place of each tensor of `rank`; None where the dump does not say it of all."""
    if rank is None or not rank.is_ordered or not rank.tensors:
        return None
    began: dict[_Stretch, int] = {}
    stretches: list[_Stretch] = []
    for one in rank.tensors:
        if one.identity is None:
            return None
        stretch = _stretch(one, one.identity)
        began[stretch] = min(began.get(stretch, one.identity.at), one.identity.at)
        stretches.append(stretch)
    places = [0] * len(stretches)
    ordered = sorted(range(len(stretches)), key=lambda number: (began[stretches[number]], number))
    for place, number in enumerate(ordered):
        places[number] = place
    return places


def _stretch(one: DumpedTensor, identity: Identity) -> _Stretch:
    kind = identity.operand.partition(".")[0]
    return one.token_id, identity.root, _DONE.get(kind, "forward")
