"""Rows of a run whose modules are each judged by themselves.

A tensor that a module gave back is that module's own; one that it was given is of the module
around it, which made it of what others gave back. Golden's is what its module makes of the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.recording import Call, ModuleName, Recording
from ait_cmp.isolating.replaying import Answer, Casting, NotReplayedError, Replayed, replay
from ait_cmp.isolating.structure import Held
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Alone, Pair

__all__ = ["IsolatedRow", "Isolation"]


@dataclass(frozen=True, slots=True)
class IsolatedRow:
    """A tensor of my's run: whose own it is, what was measured of it and golden's, and of golden's
    and what golden's module makes of the same in my's types."""

    pair: Pair
    measured: Measured | None = None
    reference: Measured | None = None


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One that is to be judged: its name, its place in the order, and both sides."""

    call: Call
    data_id: str
    at: int
    my: Held | None
    golden: Held | None = None
    reference: Held | None = None
    why: str = ""


_Cast = tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Isolation:
    """Golden's modules as they stand for my's, and how they are run; `run` is what golden's own run
    had, by round and name."""

    golden: torch.nn.Module
    partners: Partners
    types: Mapping[ModuleName, Mapping[str, torch.dtype]]
    wanted: Wanted
    precision: torch.dtype = torch.float64
    run: Mapping[tuple[int, str], Held] = field(default_factory=dict)

    def rows(self, recording: Recording) -> list[IsolatedRow]:
        """Those of all calls, in the order of the run."""
        made: list[tuple[int, IsolatedRow]] = []
        calls: dict[int, list[Call]] = defaultdict(list)  # of each of golden's modules
        for call in recording.calls:
            if module := self.partners.of(call):
                calls[id(module)].append(call)
        for module in self.golden.modules():
            cast: _Cast = ({}, {})  # of one module at a time
            for call in calls[id(module)]:
                tensors = self._tensors(call, module, cast)
                made += [(tensor.at, self._row(tensor)) for tensor in tensors]
        made.sort(key=lambda one: one[0])
        return [
            replace(row, pair=row.pair._replace(order=number))
            for number, (_, row) in enumerate(made)
        ]

    def _tensors(self, call: Call, module: torch.nn.Module, cast: _Cast) -> Iterator[_Tensor]:
        """What a call is judged by: what it gave back, what it changed, and what it handed on."""
        inside = [*self._inside(call)]
        try:
            golden, reference = self._replayed(call, module, inside, cast)
        except NotReplayedError as exc:
            why = f"golden's {call.name or call.kind} cannot be run on what my's was given: {exc}"
            golden = reference = Replayed()
            for name, my in call.outputs:
                yield _Tensor(call, call.under(name), call.ended, my, why=why)
            for one in inside:
                for name, my in one.inputs:
                    yield _Tensor(call, one.under(name), one.began, my, why=why)
            return
        for name, my in call.outputs:
            sides = golden.outputs.get(name), reference.outputs.get(name)
            yield _Tensor(call, call.under(name), call.ended, my, *sides)
        for name, my in call.changed:
            sides = golden.changed.get(name), reference.changed.get(name)
            yield _Tensor(call, call.under(f"left.{name}"), call.ended, my, *sides)
        for one in inside:
            known = one.began in golden.given
            why = "" if known else f"golden's {call.name or call.kind} does not call {one.name}"
            given, by_reference = (side.given.get(one.began, {}) for side in (golden, reference))
            for name, my in one.inputs:
                sides = given.get(name), by_reference.get(name)
                yield _Tensor(call, one.under(name), one.began, my, *sides, why)

    def _inside(self, call: Call) -> Iterator[Call]:
        """The calls inside that have a partner, through those that have none."""
        for one in call.inside:
            if self.partners.of(one) is not None:
                yield one
            else:
                yield from self._inside(one)

    def _replayed(
        self, call: Call, module: torch.nn.Module, inside: Sequence[Call], cast: _Cast
    ) -> tuple[Replayed, Replayed]:
        if call.arguments is None or call.ended < 0:
            raise NotReplayedError("it was not called as a module, or did not return")
        calls: dict[int, list[Call]] = {}
        modules: dict[int, torch.nn.Module] = {}
        for one in inside:
            other = self.partners.of(one)
            assert other is not None
            if other is module:
                raise NotReplayedError("it calls itself")
            modules[id(other)] = other
            calls.setdefault(id(other), []).append(one)
        answers = [Answer(modules[one], found) for one, found in calls.items()]
        device = _device_of(module) or _device_of(self.golden) or torch.device("cpu")
        usual = _usual(call)
        castings = (
            Casting(self.precision, device, None, cast[0]),
            Casting(None, device, usual, cast[1]),
        )
        golden, reference = (replay(call, module, answers, one, self._types_of) for one in castings)
        return golden, reference

    def _types_of(self, module: torch.nn.Module) -> Mapping[str, torch.dtype]:
        return self.types.get(self.partners.my_of(module), {})

    def _row(self, tensor: _Tensor) -> IsolatedRow:
        call = tensor.call
        place = f"{tensor.data_id} of round {call.token_id}"
        golden = Location.of(f"{place}, golden on my's inputs")
        my = Location.of(f"{place}, my")
        alone = Alone(call.name or call.kind, self._in_run(tensor))
        pair = Pair(tensor.data_id, call.token_id, golden, my, alone=alone)
        if tensor.why or tensor.golden is None or tensor.my is None:
            why = tensor.why or "golden's module gives back nothing that is called so"
            return IsolatedRow(pair._replace(error=PairError(Reason.NOT_REPLAYED, why)))
        measured = self._measured(tensor.golden, tensor.my)
        if tensor.reference is None:
            return IsolatedRow(pair, measured)
        other = Location.of(f"{place}, golden in my's types")
        pair = pair._replace(reference=Pair(tensor.data_id, call.token_id, golden, other))
        return IsolatedRow(pair, measured, self._measured(tensor.golden, tensor.reference))

    def _in_run(self, tensor: _Tensor) -> float | None:
        """How far golden's own run is from my's there, with all that was inherited."""
        golden = self.run.get((tensor.call.token_id, tensor.data_id))
        if golden is None or tensor.my is None:
            return None
        evidence = self._measured(golden, tensor.my).evidence
        return evidence.level if evidence else None

    def _measured(self, golden: Held, my: Held) -> Measured:
        try:
            one, other = (
                from_memory(*as_array(held.tensor, what))
                for held, what in ((golden, "golden"), (my, "my"))
            )
        except PairError as exc:
            return Measured(error=exc)
        return measure_sources(golden=one, my=other, wanted=self.wanted)


def _device_of(module: torch.nn.Module) -> torch.device | None:
    held = next(iter([*module.parameters(), *module.buffers()]), None)
    return held.device if held is not None else None


def _usual(call: Call) -> torch.dtype | None:
    """The floating type of what a call gave back, or was given."""
    for _, held in (*call.outputs, *call.inputs):
        if held.tensor.is_floating_point():
            return held.tensor.dtype
    return None
