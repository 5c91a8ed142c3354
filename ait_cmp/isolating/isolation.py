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
from ait_cmp.isolating.leaving import is_same
from ait_cmp.isolating.own_state import as_held, leaves
from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.passes import Cast, Pass, Passes, Stated, by_name
from ait_cmp.isolating.recording import Call, Operands, Recording
from ait_cmp.isolating.replaying import NotReplayedError
from ait_cmp.isolating.structure import Held
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
_NO_BUFFER = "golden's module has no buffer or attribute of this name; it is not compared"
_BESIDE = "a module inside changes it, and is not given it; it is not compared"
_ALL_OTHER = (
    "golden's module gives the same in my's types, which is another thing than in float64 in most "
    "lines; nothing tells whether that is as it should be"
)
_LEFT_NONE = "my's module leaves nothing in this place of an attribute, where golden's does"
_REASONS = {_ALL_OTHER: Reason.UNJUDGED, _LEFT_NONE: Reason.MY_MISSING}
_REASONS |= dict.fromkeys((_MORE, _NO_BUFFER, _BESIDE), Reason.UNPAIRED)


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
        own = {
            (stated[0].token_id, _unwrapped(stated[0].name)): stated for stated in self.run.states()
        }
        passes = Passes(
            self.golden, self.partners, self.recording.types, self.recording.grids, self.precision
        )
        calls: dict[int, list[Stated]] = defaultdict(list)  # of each of golden's modules
        for stated in self.recording.states():
            module = self.partners.of(stated[0])
            if module is not None:  # whose length one that is compiled does not tell
                calls[id(module)].append(stated)
        for module in self.golden.modules():
            cast: Cast = {}  # of one module at a time
            for stated in calls[id(module)]:
                call, _ = stated
                why = self.partners.why(call)
                its = own.get((call.token_id, _unwrapped(call.name)))
                inside = [*self.partners.inside(call)]
                try:
                    found, said = passes.of(stated, module, inside, cast, its), ""
                except NotReplayedError as exc:
                    found, said = Pass(), call.why or _not_run(call, exc)
                for one in _of_call(stated, inside, found, said):
                    golden = in_run.get((one.token_id, _unwrapped(one.data_id)))
                    level = _distance(golden, one.my) if golden else None
                    by = "; ".join(filter(None, (why, one.by)))
                    yield call.peers, replace(one, alone=one.alone._replace(in_run=level), by=by)


def _of_call(
    stated: Stated, inside: Sequence[tuple[Call, torch.nn.Module]], found: Pass, why: str
) -> Iterator[OwnTensor]:
    """What a call is judged by: what it gave back, what it changed, and what it handed on."""
    call, _ = stated
    sides = found.golden, found.reference
    both = [by_name(call.outputs, side.outputs) for side in sides]
    nothing = _nothing(call.outputs, found.golden.outputs)
    for (name, my), *pair in zip(call.outputs, *both, strict=True):
        yield _own(call, call.under(name), call.ended, my, pair, why, found, nothing)
    for name, my in call.changed:
        pair = [side.changed.get(name) for side in sides]
        yield _own(call, call.under(f"left.{name}"), call.ended, my, pair, why, found)
    yield from _left_of_its_own(stated, found, why)
    for one, _ in inside:
        skipped = not why and one.began not in found.golden.given
        said = f"golden's {call.owner} does not call {one.name}" if skipped else why
        given = [side.given.get(one.began, {}) for side in sides]
        both = [by_name(one.inputs, its) for its in given]
        nothing = _nothing(one.inputs, given[0])
        for (name, my), *pair in zip(one.inputs, *both, strict=True):
            yield _own(call, one.under(name), one.began, my, pair, said, found, nothing)


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
        return pair._replace(error=PairError(_REASONS.get(why, Reason.NOT_REPLAYED), why))
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


def _not_run(call: Call, error: NotReplayedError) -> str:
    return f"golden's {call.owner} cannot be run on what my's was given: {error}"


def _own(
    call: Call,
    data_id: str,
    at: int,
    my: Held,
    both: Sequence[Held | None],
    why: str,
    found: Pass,
    nothing: str = _NOTHING,
) -> OwnTensor:
    golden, reference = both
    said, by = why or ("" if golden else nothing), found.by
    if golden and reference and not said and _is_rounding(golden, reference, my):
        golden, said, by = _of_my_types(golden, reference, by)
    if found.precision is my.dtype:  # in which golden's module shows no rounding
        reference = None
    moved = _moved(golden, reference, my) if golden and reference else None
    alone = Alone(call.owner, None, moved)
    return OwnTensor(data_id, call.token_id, at, alone, my, golden, reference, said, by)


def _is_rounding(golden: Held, reference: Held, my: Held) -> bool:
    """Whether golden's module gives the very numbers of my's that are not as in float64, in an
    exact type: what it made whole numbers of, or yes and no, differs by rounding alone."""
    one, other, mine = golden.tensor, reference.tensor, my.tensor
    exact = not any(each.is_floating_point() or each.is_nested for each in (one, other, mine))
    return exact and torch.equal(other, mine) and not torch.equal(one, mine)


def _of_my_types(golden: Held, reference: Held, by: str) -> tuple[Held, str, str]:
    """Golden's as its module gives it in my's types, and what is said of that; or why it is no
    golden, where rounding makes another thing of most lines."""
    one, other = golden.tensor, reference.tensor
    if one.shape != other.shape:
        return golden, _ALL_OTHER, by
    differ = one != other
    lines = differ.any(-1) if differ.dim() else differ
    if 2 * int(lines.sum()) > lines.numel():
        return golden, _ALL_OTHER, by
    near = f"{int(differ.sum())} of {differ.numel()} elements as in my's types, not as in float64"
    return reference, "", "; ".join(filter(None, (by, near)))


def _left_of_its_own(stated: Stated, found: Pass, why: str) -> Iterator[OwnTensor]:
    """What a call left in buffers and attributes of its own module, where that or golden's changed
    them."""
    call, _ = stated
    before = leaves(call.state)
    left = before | leaves(call.moved)
    moved = {name for name, one in left.items() if not is_same(one, before.get(name))}
    beside = {name for one in call.inside for name in one.beside}
    for name, value in left.items():
        my = as_held(value)
        pair = [side.own.get(name) for side in (found.golden, found.reference)]
        golden = pair[0] if name in found.golden.moved else None
        if name not in moved and not (golden and _are_alike(golden.tensor, my.tensor)):
            continue
        said = why
        if name.partition(".")[0] in beside:
            pair, said = [None, None], _BESIDE
        place = call.under(f"left.{name}")
        yield _own(call, place, call.ended, my, pair, said, found, _NO_BUFFER)
    known = {name for name, _ in (*call.state, *call.moved)} - beside
    for name in sorted(found.golden.moved - left.keys()):
        if name.partition(".")[0] in known:
            golden = found.golden.own[name]
            place = call.under(f"left.{name}")
            yield _own(call, place, call.ended, golden, [None, None], _LEFT_NONE, found)


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


def _nothing(mine: Operands, golden: Mapping[str, Held]) -> str:
    """What is said of one of my operands of which golden has none: it may be called otherwise there
    where golden has any that my has not."""
    return _MORE if golden and golden.keys() <= {name for name, _ in mine} else _NOTHING
