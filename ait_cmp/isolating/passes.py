"""Golden's module run for one call of my's, in golden's own types and in my's.

Where it takes no float64 it runs in float32. Where it chooses otherwise than my's did, both runs
are made again with the choices of my's types, or with my's own where these are as near.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ait_cmp.isolating.choosing import Choice, Choosing, near_ties
from ait_cmp.isolating.grids import Grid
from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.recording import Call, ModuleName, Operands
from ait_cmp.isolating.replaying import Casting, NotReplayedError, Replayed, replay
from ait_cmp.isolating.structure import Held, mapped

__all__ = ["Cast", "Pass", "Passes", "Stated", "by_name"]

Stated = tuple[Call, dict[str, Any]]  # with the state that its module was in
Cast = dict[torch.dtype | None, dict[int, torch.Tensor]]  # weights, by the type that a run is in
_Inside = Sequence[tuple[Call, torch.nn.Module]]  # the calls inside one, with golden's modules


@dataclass(frozen=True, slots=True)
class Pass:
    """Golden's answers to one call, in the types that it is run in, `precision` at best, and in
    my's; `by` says what of it is not as in golden's own."""

    golden: Replayed = field(default_factory=Replayed)
    reference: Replayed = field(default_factory=Replayed)
    precision: torch.dtype = torch.float64
    by: str = ""


@dataclass(frozen=True, slots=True)
class Passes:
    """How the modules of a golden model are run for my's: which types and grids these have."""

    golden: torch.nn.Module
    partners: Partners
    types: Mapping[ModuleName, Mapping[str, torch.dtype]]
    grids: Mapping[ModuleName, Grid]
    precision: torch.dtype

    def of(
        self,
        stated: Stated,
        module: torch.nn.Module,
        inside: _Inside,
        cast: Cast,
        own: Stated | None,
    ) -> Pass:
        """Both answers of `module` to a call, which golden's `own` run made as well, or did not.
        Raises NotReplayedError."""
        call, state = stated
        if call.why or call.arguments is None or call.ended < 0:
            raise NotReplayedError(call.why or "it was not called as a module, or did not return")
        arguments, by = _completed(call, own[0] if own else None)
        if own:
            state, more = _completed_state(stated, own[1])
            by = "; ".join(filter(None, (by, more)))
        found = _Running(self, call, state, module, inside, arguments, cast).found()
        return replace(found, by="; ".join(filter(None, (by, found.by))))

    def casting(self, dtype: torch.dtype | None, call: Call, cast: Cast, at: Any) -> Casting:
        """To `dtype`, or to the types of my's."""
        device = _device_of(at) or _device_of(self.golden) or torch.device("cpu")
        known = cast.setdefault(dtype, {})
        if dtype is not None:
            return Casting(dtype, device, None, known, self.partners.named)
        return Casting(None, device, _usual(call), known, self.partners.named, self._grid_of)

    def types_of(self, module: torch.nn.Module) -> Mapping[str, torch.dtype]:
        """Those of what my's of a golden module has of its own."""
        my = self.partners.my_of(module)
        return self.types.get(my, {}) if my else {}

    def _grid_of(self, module: torch.nn.Module) -> Grid | None:
        my = self.partners.my_of(module)
        return self.grids.get(my) if my else None


@dataclass(frozen=True, slots=True)
class _Running:
    """One call, and all that golden's module is run with for it."""

    passes: Passes
    call: Call
    state: Mapping[str, Any]
    module: torch.nn.Module
    inside: _Inside
    arguments: Any
    cast: Cast

    def found(self) -> Pass:
        """Both answers. Raises NotReplayedError."""
        reference = self._run(None)
        try:
            found = self._beside(reference)
        except NotReplayedError:
            if chosen := self._chosen():
                return chosen
            raise
        return (_is_other(self._operands(found.golden)) and self._chosen()) or found

    def _run(self, dtype: torch.dtype | None, choosing: Choosing | None = None) -> Replayed:
        passes, call = self.passes, self.call
        casting = passes.casting(dtype, call, self.cast, self.module)
        return replay(
            *(call, self.arguments, self.module, self.inside, casting),
            *(passes.types_of, self.state, choosing),
        )

    def _beside(self, reference: Replayed, choosing: Choosing | None = None) -> Pass:
        """With golden's own answer, as fine as its module takes it. Raises NotReplayedError."""
        precision = self.passes.precision
        try:
            return Pass(self._run(precision, choosing), reference, precision)
        except NotReplayedError as exc:
            if precision is torch.float32:
                raise
            try:
                golden = self._run(torch.float32, choosing)
            except NotReplayedError:
                raise exc from None
            by = f"golden's in float32, since its module does not run in float64 ({exc})"
            return Pass(golden, reference, torch.float32, by)

    def _chosen(self) -> Pass | None:
        """Both answers with the choices of my's types, and with my's own where these are as near;
        None where golden's own are these."""
        theirs = Choosing()
        try:
            reference = self._run(None, theirs)
            if not theirs.made:
                return None
            own = Choosing([one.chosen for one in theirs.made])
            found = self._beside(reference, own)
            mine = self._choices_of_my(theirs.made, reference)
            chosen = [*map(near_ties, own.made, theirs.made, mine)]
            instead = Choosing(chosen)
            if any(map(Choice.turned, theirs.made, chosen)):
                found = self._beside(self._run(None, instead), instead)
        except NotReplayedError:
            return None
        turned = [one.turned(other) for one, other in zip(own.made, chosen, strict=True)]
        if not any(turned):
            return None
        lines = sum(one.lines for one, count in zip(own.made, turned, strict=True) if count)
        near = f"near ties: {sum(turned)} of {lines} choices as in my's types, not as in float64"
        return replace(found, by="; ".join(filter(None, (near, found.by))))

    def _choices_of_my(
        self, choices: Sequence[Choice], reference: Replayed
    ) -> Iterator[torch.Tensor]:
        """What my's chose for each, where it gives that back or hands it on, which is what is that
        choice for golden's module in my's types; else that one's."""
        both = [(my.tensor, its.tensor) for my, its in self._operands(reference) if its]
        exact = [
            (my, its)
            for my, its in both
            if my.shape == its.shape and not (my.is_floating_point() or its.is_floating_point())
        ]
        for one in choices:
            chosen = one.chosen
            shown = (
                my.reshape(chosen.shape).to(chosen)
                for my, its in exact
                if its.numel() == chosen.numel()
                and torch.equal(its.reshape(chosen.shape).to(chosen), chosen)
            )
            yield next(shown, chosen)

    def _operands(self, found: Replayed) -> Iterator[tuple[Held, Held | None]]:
        """What my's gave back and handed on, with what golden's did."""
        outputs = self.call.outputs
        yield from zip((my for _, my in outputs), by_name(outputs, found.outputs), strict=True)
        for one, _ in self.inside:
            given = by_name(one.inputs, found.given.get(one.began, {}))
            yield from zip((my for _, my in one.inputs), given, strict=True)


def _is_other(operands: Iterator[tuple[Held, Held | None]]) -> bool:
    """Whether any of golden's is another choice than my's, or of as many tokens as one makes."""
    for my, golden in operands:
        if golden is None or golden.tensor.shape != my.tensor.shape:
            return True
        if not (my.dtype.is_floating_point or torch.equal(golden.tensor, my.tensor)):
            return True
    return False


def by_name(mine: Operands, golden: Mapping[str, Held]) -> list[Held | None]:
    """What golden gives for each of my operands: of equal name, or, where golden calls as many
    otherwise, in their order."""
    names = [name for name, _ in mine]
    if len(names) == len(golden) and not golden.keys() >= set(names):
        return [*golden.values()]
    return [golden.get(name) for name in names]


def _completed(call: Call, own: Call | None) -> tuple[object, str]:
    """The arguments of a call of my's, with the tensors that golden's own run gave its module where
    my's was given none, or one of another kind: what a mask of None means, or of True and False, is
    not the same in every kernel."""
    args, kwargs = call.arguments
    if own is None or own.arguments is None:
        return call.arguments, ""
    usual = _usual(call)
    others, named = mapped(own.arguments, lambda held: _as_mine(held, usual))
    made = [
        other if _is_missing(mine, other) else mine
        for mine, other in zip(args, others, strict=False)
    ]
    given = {name for name, _ in call.inputs}
    more = {
        name: other
        for name, other in named.items()
        if _is_missing(kwargs.get(name), other) and (name in kwargs or f"in.{name}" not in given)
    }
    taken = [f"argument {place}" for place, one in enumerate(made) if one is not args[place]]
    taken += sorted(more)
    if not taken:
        return call.arguments, ""
    by = f"{', '.join(taken)} of golden's own run, since my's was given none of its kind"
    return ((*made, *args[len(made) :]), {**kwargs, **more}), by


def _completed_state(mine: Stated, golden: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The state of a call of my's, with that of golden's own run where my's module has none; and
    what is said of that."""
    call, state = mine
    own, usual = dict(call.state), _usual(call)
    known = {**{name: own[name] for name in golden if name in own}, **state}
    more = {name: value for name, value in golden.items() if name not in known}
    more = mapped(more, lambda held: _as_mine(held, usual))
    by = f"{', '.join(more)} of golden's own run, since my's module keeps none" if more else ""
    return {**more, **known}, by


def _as_mine(held: Held, usual: torch.dtype | None) -> Held:
    """A tensor of golden's in the type that my's has, whose range a mask does not leave."""
    if usual is None or not held.dtype.is_floating_point or held.dtype is usual:
        return held
    ends = torch.finfo(usual)
    tensor = held.tensor
    inside = torch.where(tensor.isinf(), tensor, tensor.clamp(ends.min, ends.max))
    return Held(inside.to(usual), held.device, usual)


def _is_missing(mine: object, golden: object) -> bool:
    """Whether golden was given a tensor where my was given none, or one that only chooses."""
    if not isinstance(golden, Held) or mine is golden:
        return False
    if mine is None:
        return True
    return isinstance(mine, Held) and mine.dtype.is_floating_point != golden.dtype.is_floating_point


def _device_of(module: torch.nn.Module) -> torch.device | None:
    held = next(iter([*module.parameters(), *module.buffers()]), None)
    return held.device if held is not None else None


def _usual(call: Call) -> torch.dtype | None:
    """The floating type of what a call gave back, or was given."""
    for _, held in (*call.outputs, *call.inputs):
        if held.dtype.is_floating_point:
            return held.dtype
    return None
