"""Pairs by what the names say: the same, the same thing in other words, parts that were fused."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

from ait_cmp.mapping.padded import Finding
from ait_cmp.mapping.pairing.contents import AGREES
from ait_cmp.mapping.pairing.match import (
    Match,
    State,
    joined_shape,
    may_be,
    shapes_of,
    then,
)
from ait_cmp.mapping.pairing.shapes import Fit, Shape, fits, shape_after
from ait_cmp.mapping.pairing.sides import Tensor

__all__ = ["pair_by_names", "pair_fused", "pair_operands", "pair_same_names"]

_SAME, _TABLES, _WORDS, _OPERAND, _FUSED = 1.0, 0.98, 0.95, 0.93, 0.95
_Key = tuple[tuple[tuple[int, ...], str, int, str], str, str]  # module, kind, operand
# What is one tensor in some families and several in others, in the order of the join.
_FUSIONS = {
    "qkv": ("q", "k", "v"),
    "qkv_mixed": ("q", "k", "v"),
    "gate_up": ("gate", "up"),
    "fc1": ("gate", "up"),
}


def pair_same_names(state: State) -> None:
    """What is called alike."""
    my = {one.name.text: one for one in state.left_my()}
    for golden in state.left_golden():
        other = my.get(golden.name.text)
        if other is None:
            continue
        if golden.name.layer == other.name.layer or other.name.stem not in state.miscounted:
            _add(state, golden, other, _SAME, "same name")


def pair_by_names(state: State) -> None:
    """What the names say is the same tensor of the same module, in other words."""
    for golden, my in _unique(state, lambda one: one.name.key):
        if not may_be(golden, my):
            continue
        said = _WORDS if not (golden.name.known and my.name.known) else _TABLES
        _add(state, golden, my, said, f"names: {_of_module(golden)}")


def pair_operands(state: State) -> None:
    """Of one module, the tensors that are the only ones of their shape."""
    open_modules = {one.name.module for one in state.left_golden()}
    open_modules &= {one.name.module for one in state.left_my()}
    for module in sorted(open_modules):
        golden, my = state.golden.modules[module], state.my.modules[module]
        fitting = {
            (one, other)
            for one in golden
            for other in my
            if _kinds_fit(one, other) and state.best_fit(one, other)
        }
        for one, other in fitting:
            if one.paired or other.paired:
                continue
            rivals = [pair for pair in fitting if (pair[0] is one) != (pair[1] is other)]
            if not rivals:
                _add(state, one, other, _OPERAND, f"the only such tensor of {_of_module(one)}")
            else:
                why = f"several tensors of {_of_module(one)} have this shape"
                state.doubt("golden", [one], why)
                state.doubt("my", [other], why)


def pair_fused(state: State) -> None:
    """q, k and v of one side against a fused qkv of the other, gate and up likewise."""
    for fused_is_my in (True, False):
        parts = state.left_golden() if fused_is_my else state.left_my()
        whole = state.left_my() if fused_is_my else state.left_golden()
        of_parts = _one_each(parts)
        for key, one in _one_each(whole).items():
            (layer, role, occurrence, when), kind, which = key
            *before, last = role.split(".")
            names = _FUSIONS.get(last, ())
            keys: list[_Key] = [
                ((layer, ".".join([*before, name]), occurrence, when), kind, which)
                for name in names
            ]
            joined = [of_parts[key] for key in keys if key in of_parts]
            if len(joined) < len(names) or not names:
                continue
            if kind != "in":
                _join(state, joined, one, fused_is_my=fused_is_my)
                continue
            why = f"names: what {' and '.join(names)} take is what {last} takes"
            golden, my = (joined[0], one) if fused_is_my else (one, joined[0])
            if may_be(golden, my):
                _add(state, golden, my, _FUSED, why)


def _join(state: State, parts: Sequence[Tensor], whole: Tensor, *, fused_is_my: bool) -> None:
    """Pair the whole with the join of its parts, where that has its shape and nothing speaks
    against it."""
    why = f"names: {' + '.join(one.name.role for one in parts)} is {whole.name.role}"
    why += _recounted(parts[0]) or _recounted(whole)
    joins = state.joins(whole) if all(one.ranks == 1 for one in parts) else ()
    if whole.ranks > 1:  # without a join of its ranks, nothing says how these lie in it
        joins = tuple(filter(None, joins))
    ways = ((join, *way) for join in joins for way in _joins(parts, whole, join))
    for join, steps, fit in ways:
        golden, my = (parts, [whole]) if fused_is_my else ([whole], parts)
        parts_steps, whole_steps = then(steps, fit.golden), then(join, fit.my)
        golden_steps = parts_steps if fused_is_my else whole_steps
        my_steps = whole_steps if fused_is_my else parts_steps
        apart = state.apart(golden, my, golden_steps, my_steps)
        unsure = whole.name.role.endswith("mixed") or not fit.sure or "unflatten" in steps
        if (unsure or whole.ranks > 1) and (apart is None or apart > AGREES):
            continue
        state.add(Match(tuple(golden), tuple(my), _FUSED, why, golden_steps, my_steps, apart))
        return
    said = "how its parts lie in the fused tensor is not known; see the adapters concat and slice"
    state.doubt("golden" if not fused_is_my else "my", [whole], said)
    state.doubt("my" if not fused_is_my else "golden", parts, said)


def _joins(parts: Sequence[Tensor], whole: Tensor, join: str) -> Iterator[tuple[str, Fit]]:
    """The adapters that join the parts, and how what they make fits the whole, which is what its
    ranks have once they are joined."""
    rounds = [token for token in whole.rounds if all(token in one.rounds for one in parts)]
    shapes: list[tuple[list[Shape], Shape]] = []
    for token in rounds[:2] or [None]:
        ones = [*((part, "") for part in parts), (whole, join)]
        several = [joined_shape(*one, token if rounds else one[0].first) for one in ones]
        found = [shape for shape in several if shape is not None]
        if len(found) < len(several):
            return
        shapes.append((found[:-1], found[-1]))
    axes = (0, 1) if whole.name.kind == "param" else (-1,)
    for steps in (*(f"concat({axis})" for axis in axes), *_mixed(parts, whole)):
        after = [(shape_after(several, steps), one) for several, one in shapes]
        known = [(one, other) for one, other in after if one is not None]
        if len(known) == len(after):
            for fit in fits(known):
                yield steps, fit


def _mixed(parts: Sequence[Tensor], whole: Tensor) -> Iterator[str]:
    """Adapters that join q, k and v group by group of heads: as many as k has heads, or all of a
    width that k's is a multiple of. What ranks have fused, each of its own, is joined so too: as
    many groups as ranks."""
    axis = 0 if whole.name.kind == "param" else -1
    sizes = [one.shape[axis] for one in parts if one.shape]
    common = math.gcd(*sizes)
    of_heads = len(parts) == len(_FUSIONS["qkv"]) and whole.name.role.endswith(("qkv", "mixed"))
    for groups in range(2, common + 1):
        if common % groups == 0 and (of_heads or groups == whole.ranks):
            inner = "0, 1" if axis == 0 else "-2, -1"
            joined = "concat(1)" if axis == 0 else "concat(-1)"
            yield f"unflatten({axis}, {groups}, -1) | {joined} | flatten({inner})"


def _add(state: State, golden: Tensor, my: Tensor, confidence: float, why: str) -> None:
    """Pair two tensors with the adapters that they need; without, where none makes them fit."""
    found = state.best_fit(golden, my)
    fit, apart = found or (Fit(), None)
    if (apart is None or apart > AGREES) and _is_doubtful(state, golden, my):
        return
    if found is None and len(shapes_of(golden, my)) > 0:
        if state.padding:
            state.doubt("golden", [golden], _no_row(state.padding))
            state.doubt("my", [my], _no_row(state.padding))
            return
        why = f"{why}; shapes differ"
    why += _recounted(my)
    why = f"{why}; {fit.why}" if fit.why else why
    state.add(Match((golden,), (my,), confidence, why, fit.golden, fit.my, apart))


def _no_row(padding: Finding) -> str:
    """Why a tensor is not cut out of a batch."""
    padded = padding.padded
    if padded is None:
        return padding.sentence
    return f"no adapters make one shape of it and of row {padded.row} of the batch in all rounds"


def _is_doubtful(state: State, golden: Tensor, my: Tensor) -> bool:
    """Whether something speaks against what the names say; then it is said."""
    if state.is_crowded(golden, my):
        why = f"{_of_module(golden)} has more tensors of this shape on one side"
    elif not state.does_the_same(golden, my):
        why = f"{_of_module(golden)} does not do the same on both sides"
    else:
        return False
    state.doubt("golden", [golden], why)
    state.doubt("my", [my], why)
    return True


def _unique(state: State, key: Callable[[Tensor], Hashable]) -> Iterator[tuple[Tensor, Tensor]]:
    """The golden and my tensors that alone have a key, on both sides."""
    sides = []
    for ones in (state.left_golden(), state.left_my()):
        groups: dict[Hashable, list[Tensor]] = defaultdict(list)
        for one in ones:
            groups[key(one)].append(one)
        sides.append(groups)
    for found, golden in sides[0].items():
        my = sides[1].get(found, [])
        if len(golden) == len(my) == 1:
            yield golden[0], my[0]
        elif my:
            why = f"{len(golden)} golden and {len(my)} my tensors are {_of_module(golden[0])}"
            state.doubt("golden", golden, why)
            state.doubt("my", my, why)


def _one_each(ones: Sequence[Tensor]) -> dict[_Key, Tensor]:
    """Tensors by module, kind and operand; those that share all of it are left out."""
    groups: dict[_Key, list[Tensor]] = defaultdict(list)
    for one in ones:
        groups[(one.name.module, one.name.kind, one.name.which)].append(one)
    return {key: found[0] for key, found in groups.items() if len(found) == 1}


def _kinds_fit(golden: Tensor, my: Tensor) -> bool:
    kinds = golden.name.kind, my.name.kind
    return kinds[0] == kinds[1] or "" in kinds


def _of_module(one: Tensor) -> str:
    layer = _dotted(one.name.layer)
    return f"{one.name.role} of layer {layer}" if layer else one.name.role


def _recounted(one: Tensor) -> str:
    """How its side calls its layer, where that is not as golden counts."""
    if one.name.numbers == one.name.layer:
        return ""
    return f", by contents layer {_dotted(one.name.numbers)} of my"


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(map(str, numbers))
