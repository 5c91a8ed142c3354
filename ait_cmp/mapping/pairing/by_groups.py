"""A fused q, k and v of two libraries: one keeps q, k and v behind each other, the other those of
each group of heads together. Only contents tell how many groups there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ait_cmp.mapping.pairing.contents import AGREES, CLEAR
from ait_cmp.mapping.pairing.match import Match, State, shapes_of, then
from ait_cmp.mapping.pairing.names import Name
from ait_cmp.mapping.pairing.shapes import Fit, fits
from ait_cmp.mapping.pairing.sides import Tensor

__all__ = ["pair_regrouped"]

_FUSED, _LAYERS = 0.95, 0.9
_LEAST = 4  # elements of a head
_HEADS = 64  # of q in a group, at most
_TRIED = 256  # ways of one tensor


def pair_regrouped(state: State) -> None:
    """Pair a fused q, k and v with the one that has them group by group; behind a fault, as in
    other layers of this width."""
    if state.contents is None:
        return
    learned: dict[int, set[str]] = {}
    left = []
    for golden, my, straight in _couples(state):
        found = _best(state, golden, my, straight)
        if found is None:
            left.append((golden, my, straight))
            continue
        steps, fit, apart = found
        learned.setdefault(_width(straight), set()).add(steps)
        _add(state, (golden, my), fit, apart, _FUSED, "q, k and v, group by group")
    for golden, my, straight in left:
        known = learned.get(_width(straight), set())
        if len(known) == 1:
            for fit, near in _with(state, golden, my, straight, next(iter(known))):
                _add(state, (golden, my), fit, near, _LAYERS, "group by group as in other layers")
                break


def _couples(state: State) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Golden and my tensors that are such, and the one that has q, k and v behind each other."""
    mine = {_plain(one.name).key: one for one in state.left_my() if _is_fused(one)}
    for golden in state.left_golden():
        my = mine.get(_plain(golden.name).key) if _is_fused(golden) else None
        if my is not None and golden.name.role != my.name.role:
            yield golden, my, my if golden.name.role.endswith("mixed") else golden


def _is_fused(one: Tensor) -> bool:
    known = one.name.role.rpartition(".")[2] in ("qkv", "qkv_mixed") and one.name.kind != "in"
    return known and one.ranks == 1 and bool(one.shape)


def _plain(name: Name) -> Name:
    return replace(name, role=name.role.removesuffix("_mixed"))


def _width(one: Tensor) -> int:
    return (one.shape or (0,))[0 if one.name.kind == "param" else -1]


def _best(
    state: State, golden: Tensor, my: Tensor, straight: Tensor
) -> tuple[str, Fit, float] | None:
    """The adapter, and how the two then fit, where contents agree so and in no other way."""
    tried = [
        (apart, steps, fit)
        for steps in _ways(straight)
        for fit, apart in _with(state, golden, my, straight, steps)
        if apart is not None
    ]
    tried.sort(key=lambda one: one[0])
    if not tried or tried[0][0] > AGREES:
        return None
    (apart, steps, fit), *others = tried
    if any(one[0] <= CLEAR * apart for one in others):
        return None
    return steps, fit, apart


def _ways(straight: Tensor) -> list[str]:
    """The adapters that may put its parts group by group."""
    width, axis = _width(straight), 0 if straight.name.kind == "param" else -1
    found = []
    for groups in (count for count in range(2, width // 2) if width % count == 0):
        each = width // groups
        for heads in range(1, _HEADS + 1):
            size, odd = divmod(each, heads + 2)
            if not odd and size >= _LEAST and size % 2 == 0:
                keys = groups * size
                found.append(f"regroup({axis}, {groups}, {heads * keys}, {keys}, {keys})")
    return found[:_TRIED]


def _with(
    state: State, golden: Tensor, my: Tensor, straight: Tensor, steps: str
) -> Iterator[tuple[Fit, float | None]]:
    """How the two fit once the straight one is regrouped, which keeps its shape."""
    for fit in fits(shapes_of(golden, my)):
        if fit.sure:
            one, other = (steps, "") if straight is golden else ("", steps)
            made = replace(fit, golden=then(one, fit.golden), my=then(other, fit.my))
            yield made, state.apart((golden,), (my,), made.golden, made.my)
            return


def _add(
    state: State,
    both: tuple[Tensor, Tensor],
    fit: Fit,
    apart: float | None,
    confidence: float,
    how: str,
) -> None:
    golden, my = both
    why = f"names: {golden.name.role} is {my.name.role}, {how}"
    state.add(Match((golden,), (my,), confidence, why, fit.golden, fit.my, apart))
