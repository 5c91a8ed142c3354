"""The tensors of a run of which each is made by one module alone, and golden's of the same.

A tensor that a module gave back is that module's own; one that it was given is of the module
around it, which made it of what others gave back. Golden's is what its module makes of the same.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ait_cmp.dump_tree import is_wrapper
from ait_cmp.isolating.grids import Grid
from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.recording import Call, Operands, Recording
from ait_cmp.isolating.replaying import Casting, NotReplayedError, Replayed, replay
from ait_cmp.isolating.structure import Held, mapped
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Alone, Pair

__all__ = ["PRECISIONS", "Isolation", "Kinded", "OwnTensor", "Settled", "pair_of", "settled"]

PRECISIONS = {"float64": torch.float64, "float32": torch.float32}  # that golden is run in
_FAR, _MANY = 8.0, 0.2  # roundings, and the share of modules that are so far where it is no fault
_SHELL = re.compile(r"@(\w+)")
_NOTHING = "golden's module gives back nothing that is called so"
# Of one tensor of several, the rest of which golden gives: no other can be meant.
_MORE = f"{_NOTHING}, only the others here; it is not compared"
_NO_BUFFER = "golden's module has no buffer of this name; it is not compared"
_BESIDE = "a module inside changes this buffer, and is not given it; it is not compared"
_SKIPPED = (_MORE, _NO_BUFFER, _BESIDE)


@dataclass(frozen=True, slots=True)
class OwnTensor:
    """One tensor of my's run: how a dump calls it, its place in the order, and three sides: my's,
    `golden` of golden's module on what my's was given, `reference` of the same in my's types.

    `why` says why there is no golden, and `by` what is not my's of what golden's was given.
    """

    data_id: str
    token_id: int
    at: int
    alone: Alone
    my: Held
    golden: Held | None = None
    reference: Held | None = None
    why: str = ""
    by: str = ""

    def empty(self) -> OwnTensor:
        """The same without golden's tensors."""
        return replace(self, golden=None, reference=None)


@dataclass(frozen=True, slots=True)
class _Pass:
    """Golden's answers to one call, in its own types and in my's, and what was taken from golden's
    own run for them."""

    golden: Replayed
    reference: Replayed
    by: str


_Stated = tuple[Call, dict[str, Held]]  # with the state that its module was in
_Cast = tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]
Kinded = tuple[str, OwnTensor]  # with the peers of my's module


@dataclass(frozen=True, slots=True)
class Isolation:
    """Golden's modules as they stand for my's, how they are run, and both runs as they were."""

    golden: torch.nn.Module
    partners: Partners
    recording: Recording
    run: Recording = field(default_factory=Recording)
    precision: torch.dtype = torch.float64

    def tensors(self) -> Iterator[Kinded]:
        """Those of all calls, module by module, with the peers of my's module; `settled` says in
        which order they were made."""
        in_run = {(one, _unwrapped(name)): it for (one, name), it in self.run.tensors().items()}
        own = {(call.token_id, _unwrapped(call.name)): call for call in self.run.calls}
        calls: dict[int, list[_Stated]] = defaultdict(list)  # of each of golden's modules
        for stated in self.recording.states():
            module = self.partners.of(stated[0])
            if module is not None:  # whose length one that is compiled does not tell
                calls[id(module)].append(stated)
        for module in self.golden.modules():
            cast: _Cast = ({}, {})  # of one module at a time
            for stated in calls[id(module)]:
                call, _ = stated
                why = self.partners.why(call)
                its = own.get((call.token_id, _unwrapped(call.name)))
                for one in self._of_call(stated, module, cast, its):
                    golden = in_run.get((one.token_id, _unwrapped(one.data_id)))
                    level = _distance(golden, one.my) if golden else None
                    by = "; ".join(filter(None, (why, one.by)))
                    yield call.peers, replace(one, alone=one.alone._replace(in_run=level), by=by)

    def _of_call(
        self, stated: _Stated, module: torch.nn.Module, cast: _Cast, own: Call | None
    ) -> Iterator[OwnTensor]:
        """What a call is judged by: what it gave back, what it changed, and what it handed on."""
        call, _ = stated
        inside = [*self.partners.inside(call)]
        try:
            found = self._replayed(stated, module, inside, cast, own)
        except NotReplayedError as exc:
            said = f"golden's {call.owner} cannot be run on what my's was given: {exc}"
            why = call.why or said
            found = _Pass(Replayed(), Replayed(), "")
        else:
            why = ""
        sides = found.golden, found.reference

        both = [_by_name(call.outputs, side.outputs) for side in sides]
        nothing = _nothing(call.outputs, found.golden.outputs)
        for (name, my), *pair in zip(call.outputs, *both, strict=True):
            yield _own(call, call.under(name), call.ended, my, pair, why, found.by, nothing)
        for name, my in call.changed:
            pair = [side.changed.get(name) for side in sides]
            yield _own(call, call.under(f"left.{name}"), call.ended, my, pair, why, found.by)
        yield from _left_in_buffers(stated, found, why)
        for one, _ in inside:
            skipped = not why and one.began not in found.golden.given
            said = f"golden's {call.owner} does not call {one.name}" if skipped else why
            given = [side.given.get(one.began, {}) for side in sides]
            both = [_by_name(one.inputs, its) for its in given]
            nothing = _nothing(one.inputs, given[0])
            for (name, my), *pair in zip(one.inputs, *both, strict=True):
                yield _own(call, one.under(name), one.began, my, pair, said, found.by, nothing)

    def _replayed(
        self,
        stated: _Stated,
        module: torch.nn.Module,
        inside: Sequence[tuple[Call, torch.nn.Module]],
        cast: _Cast,
        own: Call | None,
    ) -> _Pass:
        call, state = stated
        if call.why or call.arguments is None or call.ended < 0:
            raise NotReplayedError(call.why or "it was not called as a module, or did not return")
        device = _device_of(module) or _device_of(self.golden) or torch.device("cpu")
        arguments, by = _completed(call, own)
        castings = (
            Casting(self.precision, device, None, cast[0], self.partners.named),
            Casting(None, device, _usual(call), cast[1], self.partners.named, self._grid_of),
        )
        golden, reference = (
            replay(call, arguments, module, inside, one, self._types_of, state) for one in castings
        )
        return _Pass(golden, reference, by)

    def _grid_of(self, module: torch.nn.Module) -> Grid | None:
        my = self.partners.my_of(module)
        return self.recording.grids.get(my) if my else None

    def _types_of(self, module: torch.nn.Module) -> dict[str, torch.dtype]:
        my = self.partners.my_of(module)
        return self.recording.types.get(my, {}) if my else {}


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of a tensor once all are there: its place among them, and how many modules of
    its class have golden's bits in all that they did. No reference judges one that is `coarse`:
    float32 of which products have tf32 inputs, of which golden's own float32 shows nothing."""

    place: int
    alone: Alone
    is_coarse: bool


def settled(tensors: Sequence[Kinded]) -> list[Settled]:
    """All `tensors` of a run, in the order in which they were made."""
    modules: dict[str, dict[str, float]] = defaultdict(dict)  # how far each module is, at most
    far: dict[str, float] = defaultdict(float)  # of those in float32
    for kind, one in tensors:
        name, moved = one.alone.module, one.alone.moved or 0.0
        modules[kind][name] = max(modules[kind].get(name, 0.0), moved)
        if one.my.dtype is torch.float32:
            far[name] = max(far[name], moved)
    counts = {
        kind: (sum(not moved for moved in of_kind.values()), len(of_kind))
        for kind, of_kind in modules.items()
    }
    coarse = sum(moved > _FAR for moved in far.values()) > _MANY * len(far)
    order = []
    for place in sorted(range(len(tensors)), key=lambda place: tensors[place][1].at):
        kind, one = tensors[place]
        alike, count = counts[kind]
        alone = one.alone._replace(alike=alike, kind=count)
        order.append(Settled(place, alone, coarse and one.my.dtype is torch.float32))
    return order


def pair_of(
    data_id: str, token_id: int, alone: Alone, sides: tuple[str, str, str], *, why: str, by: str
) -> Pair:
    """The row of a tensor whose golden, my and reference are where `sides` say: "" for a reference
    that it is not judged by; `why` and `by` are those of an OwnTensor."""
    golden, my, reference = map(Location.of, sides)
    pair = Pair(data_id, token_id, golden, my, paired_by=by, alone=alone)
    if why:
        reason = Reason.UNPAIRED if why in _SKIPPED else Reason.NOT_REPLAYED
        return pair._replace(error=PairError(reason, why))
    if not sides[2]:
        return pair
    return pair._replace(reference=Pair(data_id, token_id, golden, reference))


def _unwrapped(name: str) -> str:
    """How a run calls it whose modules are in no wrappers."""
    return _SHELL.sub(lambda found: "" if is_wrapper(found[1]) else found[0], name)


def _distance(golden: Held, my: Held) -> float | None:
    """How far my's is from golden's, relative to golden; None where they are no such pair."""
    one, other = golden.tensor, my.tensor
    if not (_are_alike(one, other) and other.is_floating_point()):
        return None
    return _relative(other.double() - one.double(), one.double())


def _own(
    call: Call,
    data_id: str,
    at: int,
    my: Held,
    both: Sequence[Held | None],
    why: str,
    by: str,
    nothing: str = _NOTHING,
) -> OwnTensor:
    golden, reference = both
    moved = _moved(golden, reference, my) if golden and reference else None
    said = why or ("" if golden else nothing)
    alone = Alone(call.owner, None, moved)
    return OwnTensor(data_id, call.token_id, at, alone, my, golden, reference, said, by)


def _left_in_buffers(stated: _Stated, found: _Pass, why: str) -> Iterator[OwnTensor]:
    """What a call left in buffers of its own module, where that or golden's changed them."""
    call, _ = stated
    left = dict(call.state) | dict(call.moved)
    moved = {name for name, _ in call.moved}
    beside = {name for one in call.inside for name in one.beside}
    for name, my in left.items():
        pair = [side.buffers.get(name) for side in (found.golden, found.reference)]
        golden = pair[0] if name in found.golden.moved else None
        if name not in moved and not (golden and _are_alike(golden.tensor, my.tensor)):
            continue
        said = why
        if name in beside:
            pair, said = [None, None], _BESIDE
        place = call.under(f"left.{name}")
        yield _own(call, place, call.ended, my, pair, said, found.by, _NO_BUFFER)


def _moved(golden: Held, reference: Held, my: Held) -> float | None:
    """How far my's is from golden's in my's types, beside how far this is from golden's."""
    one, other, mine = golden.tensor, reference.tensor, my.tensor
    if not (_are_alike(one, other, mine) and mine.is_floating_point()):
        return None
    if mine.dtype == other.dtype and torch.allclose(mine, other, 0.0, 0.0, equal_nan=True):
        return 0.0
    return _relative(mine.double() - other.double(), other.double() - one.double())


def _are_alike(first: torch.Tensor, *others: torch.Tensor) -> bool:
    """Whether one can be taken from another. What is nested has no shape."""
    if any(one.is_nested for one in (first, *others)):
        return False
    kind = first.is_floating_point()
    return all(one.shape == first.shape and one.is_floating_point() is kind for one in others)


def _relative(difference: torch.Tensor, size: torch.Tensor) -> float:
    """The norm of one over that of the other, of what is finite."""
    one, other = (float(each.nan_to_num(0.0, 0.0, 0.0).norm()) for each in (difference, size))
    return one / other if other else math.inf if one else 0.0


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
        other if _is_other(mine, other) else mine for mine, other in zip(args, others, strict=False)
    ]
    given = {name for name, _ in call.inputs}
    more = {
        name: other
        for name, other in named.items()
        if _is_other(kwargs.get(name), other) and (name in kwargs or f"in.{name}" not in given)
    }
    taken = [f"argument {place}" for place, one in enumerate(made) if one is not args[place]]
    taken += sorted(more)
    if not taken:
        return call.arguments, ""
    by = f"{', '.join(taken)} of golden's own run, since my's was given none of its kind"
    return ((*made, *args[len(made) :]), {**kwargs, **more}), by


def _as_mine(held: Held, usual: torch.dtype | None) -> Held:
    """A tensor of golden's in the type that my's has, whose range a mask does not leave."""
    if usual is None or not held.dtype.is_floating_point or held.dtype is usual:
        return held
    ends = torch.finfo(usual)
    tensor = held.tensor
    inside = torch.where(tensor.isinf(), tensor, tensor.clamp(ends.min, ends.max))
    return Held(inside.to(usual), held.device, usual)


def _is_other(mine: object, golden: object) -> bool:
    """Whether golden was given a tensor where my was given none, or one that only chooses."""
    if not isinstance(golden, Held) or mine is golden:
        return False
    if mine is None:
        return True
    return isinstance(mine, Held) and mine.dtype.is_floating_point != golden.dtype.is_floating_point


def _by_name(mine: Operands, golden: Mapping[str, Held]) -> list[Held | None]:
    """What golden gives for each of my operands: of equal name, or, where golden calls as many
    otherwise, in their order."""
    names = [name for name, _ in mine]
    if len(names) == len(golden) and not golden.keys() >= set(names):
        return [*golden.values()]
    return [golden.get(name) for name in names]


def _nothing(mine: Operands, golden: Mapping[str, Held]) -> str:
    """What is said of one of my operands of which golden has none: it may be called otherwise there
    where golden has any that my has not."""
    return _MORE if golden and golden.keys() <= {name for name, _ in mine} else _NOTHING


def _device_of(module: torch.nn.Module) -> torch.device | None:
    held = next(iter([*module.parameters(), *module.buffers()]), None)
    return held.device if held is not None else None


def _usual(call: Call) -> torch.dtype | None:
    """The floating type of what a call gave back, or was given."""
    for _, held in (*call.outputs, *call.inputs):
        if held.dtype.is_floating_point:
            return held.dtype
    return None
