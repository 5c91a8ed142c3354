"""My's modules run on what golden's were given: where a fault leaves nothing that the modules
behind it could be judged by, as NaN does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.recording import FLOATING, Call, Recording, grids_of, types_of
from ait_cmp.isolating.replaying import Casting, NotReplayedError, replay
from ait_cmp.isolating.structure import Held, mapped

__all__ = ["on_goldens"]


def on_goldens(run: Recording, my: torch.nn.Module) -> Recording:
    """A recording as of my's run, of which every call has the arguments of golden's `run`, in my's
    type, the modules inside answer what golden's gave back, and my's own modules the rest."""
    dtypes = Counter(one.dtype for one in my.parameters() if one.dtype in FLOATING)
    dtype = dtypes.most_common(1)[0][0] if dtypes else None
    device = next((one.device for one in my.parameters()), torch.device("cpu"))
    partners, made, states = Partners(my), dict[int, Call](), dict[int, Mapping[str, Any]]()
    rounding = _Rounding(dtype)
    for call, state in run.states():
        made[call.began] = rounding.call(call, made.get(call.around.began) if call.around else None)
        states[call.began] = state
    casting = Casting(None, device, named=partners.named)
    for one in made.values():
        module = partners.of(one)
        if module is not None and one.arguments is not None:
            _run((one, states[one.began]), module, partners, casting)
    return Recording([*made.values()], types_of(my), grids_of(my))


class _Rounding:
    """Golden's tensors in my's type, each once."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self._dtype = dtype
        self._made: dict[int, tuple[Held, Held]] = {}

    def call(self, call: Call, around: Call | None) -> Call:
        """The same call of my's."""
        arguments, result, left = map(self._of, (call.arguments, call.result, call.left))
        made = replace(
            call, around=around, arguments=arguments, result=result, left=left, inside=[]
        )
        made.inputs = self._of(call.inputs)
        if around:
            around.inside.append(made)
        return made

    def _of(self, value: Any) -> Any:
        return mapped(value, self._held, kinds=self._kind)

    def _held(self, held: Held) -> Held:
        if self._dtype is None or held.dtype not in FLOATING:
            return held
        if id(held) not in self._made:
            tensor = held.tensor.to(self._dtype)
            rounded = Held(tensor, held.device, self._dtype, number=held.number)
            self._made[id(held)] = held, rounded
        return self._made[id(held)][1]

    def _kind(self, kind: Any) -> Any:
        return self._dtype if self._dtype and kind in FLOATING else kind


def _run(
    stated: tuple[Call, Mapping[str, Any]],
    module: torch.nn.Module,
    partners: Partners,
    casting: Casting,
) -> None:
    """Have my's module answer a call in a state, and hand on what it does."""
    call, state = stated
    inside = [*partners.inside(call)]
    try:
        found = replay(call, call.arguments, module, inside, casting, _as_they_are, state)
    except NotReplayedError as exc:
        call.why = f"my's module cannot be run on what golden's was given: {exc}"
        return
    call.outputs = tuple(found.outputs.items())
    call.changed = tuple(found.changed.items())
    call.moved = tuple((name, found.own[name]) for name in sorted(found.moved))
    for one, _ in inside:
        if one.began in found.given:
            one.inputs = tuple(found.given[one.began].items())


def _as_they_are(module: torch.nn.Module) -> Mapping[str, torch.dtype]:
    return {}
