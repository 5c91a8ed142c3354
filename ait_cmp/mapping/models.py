"""Which model of a golden process is which of a my process, where each called several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ait_cmp.mapping.layouts.ranks import RankDump

__all__ = ["counterparts"]


@dataclass(slots=True)
class _Model:
    """One that a process called: how its tensors' names begin, and the modules inside it."""

    root: str
    inside: set[str] = field(default_factory=set)


def counterparts(*, golden: RankDump | None, my: RankDump | None) -> dict[str, str | None]:
    """For each golden model, how names of the my one begin; None where my called none like it.

    It is the one of the same class, else the one with most modules of the same names: that two
    scripts each gave something to a module does not make both the same model.
    """
    ours, theirs = (_models(rank) if rank else {} for rank in (golden, my))
    if not theirs:  # an older dump does not say
        return {}
    found: dict[str, str | None] = {name: theirs[name].root for name in ours if name in theirs}
    rest = {name: model for name, model in theirs.items() if name not in found}
    likeness = [
        (len(model.inside & other.inside), name, called)
        for name, model in ours.items()
        if name not in found
        for called, other in rest.items()
    ]
    for alike, name, called in sorted(likeness, key=lambda one: -one[0]):
        if name not in found and called in rest and (alike or _are_bare(ours, theirs)):
            found[name] = rest.pop(called).root
    return {name: found.get(name) for name in ours}


def _models(rank: RankDump) -> dict[str, _Model]:
    models: dict[str, _Model] = {}
    for one in rank.tensors:
        if one.identity:
            model = models.setdefault(one.identity.model, _Model(one.identity.root))
            if one.identity.module:
                model.inside.add(one.identity.module)
    return models


def _are_bare(*sides: dict[str, _Model]) -> bool:
    """Whether either process called one module alone, with none inside."""
    return all(len(models) == 1 and not _inside(models.values()) for models in sides)


def _inside(models: Iterable[_Model]) -> bool:
    return any(model.inside for model in models)
