"""`train()` and `eval()`, which a script does to my and means for both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ait_cmp.dump.identity import module_identities

__all__ = ["TrainingFlags"]


@dataclass(slots=True)
class _Pair:
    """A module of golden, and that of my whose flag it follows; and how both were at first."""

    golden: torch.nn.Module
    my: torch.nn.Module
    golden_first: bool
    my_first: bool
    seen: bool  # of my
    given: bool | None = None  # to golden by us


class TrainingFlags:
    """Golden's modules follow what changes of my's from now on; what was unlike before stays."""

    def __init__(self, golden: torch.nn.Module, my: torch.nn.Module) -> None:
        self._pairs = [
            _Pair(one, other, one.training, other.training, other.training)
            for one, other in _followed(golden, my)
        ]

    def follow(self) -> None:
        """Do to golden what was done to my since the last time."""
        for pair in self._pairs:
            if pair.my.training is pair.seen:
                continue
            pair.seen = pair.my.training
            flag = pair.golden_first if pair.seen is pair.my_first else pair.seen
            if pair.golden.training is not flag:  # else the script did it to both
                pair.golden.training = pair.given = flag

    def put_back(self) -> None:
        """Leave golden as it was, but for what the script did to it."""
        for pair in self._pairs:
            if pair.golden.training is pair.given:
                pair.golden.training = pair.golden_first


def _followed(
    golden: torch.nn.Module, my: torch.nn.Module
) -> Iterator[tuple[torch.nn.Module, torch.nn.Module]]:
    """Each module of golden, with that of my that is called alike, or else what is around it is."""
    known, of_my = module_identities(golden), module_identities(my)
    mine = {of_my[id(one)]: one for one in reversed([*my.modules()])}
    waiting, seen = [(golden, my)], set()
    while waiting:
        one, around = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        partner = mine.get(known[id(one)], around)
        yield one, partner
        waiting += [(child, partner) for child in one.children()]
