"""The rounds of my as those of golden that they answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ait_cmp.engine.adapters import open_location
from ait_cmp.mapping.finding_rounds import find_rounds, partners
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.name_rule import NameRules
from ait_cmp.mapping.named_pair import NamedPairs
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location, Step
from ait_cmp.values.rounds import Rounds, Span

__all__ = ["RankPair", "in_rounds"]

_LOGGER = logging.getLogger(__name__)
RankPair = tuple[RankDump | None, RankDump | None]
Shape = tuple[int, ...]
Shapes = Callable[[str, int], Shape | None]  # of a name in a round


def in_rounds(
    ranks: Sequence[RankPair], given: Rounds | None, rules: NameRules | NamedPairs
) -> tuple[list[RankPair], list[str]]:
    """The ranks with the rounds of my called as those of golden, and of each pair what was found
    rather than said."""
    found: Rounds | None = None
    paired, said, sentences = [], [], dict[str, None]()
    for golden, my in ranks:
        rounds = given
        if given is None and golden and my:
            finding = find_rounds(golden, my, rules)
            rounds = found = finding.rounds if finding else None
            sentences |= {finding.sentence: None} if finding else {}
        elif given is None:
            rounds = found  # a rank alone is of the run of the others
        if rounds is None or rounds.is_plain:
            paired.append((golden, my))
            said.append("")
            continue
        if given and golden:
            golden = _answered(golden, given)
        paired.append(_called(golden, my, rounds, rules))
        said.append("" if given else f"rounds={rounds.text}")
    if given:
        _refuse_none(ranks, given)
    for sentence in sentences:
        _LOGGER.warning("%s", sentence)
    return paired, said


def _refuse_none(ranks: Sequence[RankPair], given: Rounds) -> None:
    """Raises UsageError where no round of my answers one of golden as the user says."""
    golden, my = (
        sorted(
            {
                one.token_id
                for pair in ranks
                if (rank := pair[side])
                for one in rank.tensors
                if one.token_id is not None
            }
        )
        for side in (0, 1)
    )
    spans = [(span, one) for one in my if (span := given.span_of(one))]
    answered = {span.golden_of(one) for span, one in spans if not span.joins_golden}
    answered |= {one for span, _ in spans if span.joins_golden for one in span.golden}
    if golden and my and answered.isdisjoint(golden):
        raise UsageError(
            f"rounds={given.text}: no round of my answers one of golden so, which has "
            f"{_numbers(golden)}, and my {_numbers(my)}; an offset from {my[0] - golden[-1]:+} to "
            f"{my[-1] - golden[0]:+} would bring some together"
        )


def _numbers(rounds: Sequence[int]) -> str:
    many = f"rounds {rounds[0]} to {rounds[-1]}"
    return many if len(rounds) > 1 else f"round {rounds[0]}"


def _answered(golden: RankDump, given: Rounds) -> RankDump:
    """`golden`, what no round of my answers left out, as the user says; where that was found, and
    not said, it is missing."""
    tensors = [
        one
        if one.token_id is None or any(one.token_id in span.golden for span in given.spans)
        else replace(
            one,
            error=one.error
            or PairError(
                Reason.LEFT_OUT,
                f"no round of my answers round {one.token_id} of golden (rounds={given.text})",
            ),
        )
        for one in golden.tensors
    ]
    return replace(golden, tensors=tensors)


def _called(
    golden: RankDump | None, my: RankDump | None, rounds: Rounds, rules: NameRules | NamedPairs
) -> RankPair:
    joins = any(one.joins_golden or one.joins_my for one in rounds.spans)
    names = [one.name for one in golden.tensors] if golden and joins else []
    named = partners(names, my, rules) if my else {}
    goldens, mys = _by_place(golden), _by_place(my)

    def my_shape(name: str, token: int) -> Shape | None:
        return _shape(mys.get((named.get(name, ""), token)))

    backwards = {called: name for name, called in named.items()}

    def golden_shape(name: str, token: int) -> Shape | None:
        return _shape(goldens.get((backwards.get(name, ""), token)))

    if golden:
        parts = [_Part(one.golden, one.my[0]) for one in rounds.spans if one.joins_golden]
        golden = replace(golden, tensors=_joined(golden.tensors, parts, my_shape))
    if my:
        parts = [_Part(one.my, one.golden[0]) for one in rounds.spans if one.joins_my]
        tensors = _joined(my.tensors, parts, golden_shape)
        my = replace(my, tensors=_renamed(tensors, rounds))
    return golden, my


def _by_place(rank: RankDump | None) -> dict[tuple[str, int | None], DumpedTensor]:
    return {(one.name, one.token_id): one for one in (rank.tensors if rank else ())}


def _renamed(tensors: Iterable[DumpedTensor], rounds: Rounds) -> list[DumpedTensor]:
    """My tensors with the golden rounds; those that answer none are left out, and count down to
    -1, so that they stand before all others and are none of golden's."""
    listed = list(tensors)
    spans = {one.token_id: _span(rounds, one.token_id) for one in listed}
    alone = sorted(token for token, span in spans.items() if token is not None and span is None)
    renamed = []
    for one in listed:
        span = spans[one.token_id]
        if one.token_id is None:
            renamed.append(one)
        elif span:
            renamed.append(replace(one, token_id=span.golden_of(one.token_id)))
        else:
            error = PairError(
                Reason.LEFT_OUT,
                f"round {one.token_id} of my answers no round of golden (rounds={rounds.text})",
            )
            token = alone.index(one.token_id) - len(alone)
            renamed.append(replace(one, token_id=token, error=one.error or error))
    return renamed


def _span(rounds: Rounds, token: int | None) -> Span | None:
    return None if token is None else rounds.span_of(token)


# -- rounds that are parts of one


@dataclass(frozen=True, slots=True)
class _Part:
    """Rounds of one side that are one together, and the round of the other side that it is."""

    rounds: range
    other: int


def _joined(
    tensors: Iterable[DumpedTensor], parts: Sequence[_Part], shape: Shapes
) -> list[DumpedTensor]:
    """Tensors that several rounds of a part have as one; others stay."""
    joined = list(tensors)
    for part in parts:
        by_name: dict[str, list[DumpedTensor]] = {}
        for one in joined:
            if one.token_id in part.rounds:
                by_name.setdefault(one.name, []).append(one)
        count = len({one.token_id for ones in by_name.values() for one in ones})
        whole = {
            id(ones[0]): _one(ones, count, shape(name, part.other))
            for name, ones in by_name.items()
            if len(ones) > 1
        }
        taken = {id(one) for ones in by_name.values() if id(ones[0]) in whole for one in ones[1:]}
        joined = [whole.get(id(one), one) for one in joined if id(one) not in taken]
    return joined


def _one(ones: Sequence[DumpedTensor], count: int, other: Shape | None) -> DumpedTensor:
    """The tensor of which `ones` are the parts, in order, where it is in all `count` rounds."""
    first = ones[0]
    error = next((one.error for one in ones if one.error), None)
    files = tuple(file for one in ones for file in one.files)
    try:
        if not error and any(one.steps != first.steps or one.more for one in ones):
            raise PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"the rounds of {first.name!r} are parts of one, and joined of shards as well; "
                "join them in a list of pairs",
            )
        if len(ones) < count and other:
            raise PairError(
                Reason.MAPPING_AMBIGUOUS,
                f"{first.name!r} is in {len(ones)} of {count} rounds that are parts of one, so "
                "that something of it is missing; join what belongs together in a list of pairs",
            )
        steps = () if error else (Step("concat", (str(_dimension(ones, other)),)),)
    except PairError as exc:
        error, steps = exc, ()
    return replace(first, more=files[1:], steps=(*first.steps, *steps), error=error)


def _dimension(ones: Sequence[DumpedTensor], other: Shape | None) -> int:
    """The one in which the parts are joined: that in which they differ, else that in which they
    are shorter than the whole. Raises PairError where that does not tell."""
    shapes = [_shape(one) for one in ones]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return 0  # what is wrong with them is found, and told, where they are measured
    shown = ", ".join(str(list(shape)) for shape in dict.fromkeys(known))
    if len({len(shape) for shape in known}) == 1:
        dims = [at for at, sizes in enumerate(zip(*known, strict=True)) if len(set(sizes)) > 1]
        dims = dims or (_longer(known, other) if other else [])
        if len(dims) == 1:
            return dims[0]
    if other is None:
        return 0  # nothing belongs to them, so that they are not compared
    whole = f", and the whole {list(other)}" if other else ""
    raise PairError(
        Reason.MAPPING_AMBIGUOUS,
        f"{len(ones)} rounds of {ones[0].name!r} are parts of one, but their shapes are {shown}"
        f"{whole}, which does not tell along which dimension; join them in a list of pairs",
    )


def _longer(parts: Sequence[Shape], other: Shape) -> list[int]:
    """Where equal parts, joined, have the sizes of `other`, apart from dimensions of 1."""
    shape, wanted = parts[0], [size for size in other if size != 1]
    joined = [(*shape[:at], len(parts) * shape[at], *shape[at + 1 :]) for at in range(len(shape))]
    return [at for at, one in enumerate(joined) if [size for size in one if size != 1] == wanted]


def _shape(one: DumpedTensor | None) -> Shape | None:
    if one is None or one.error:
        return None
    try:
        return open_location(Location(one.files, one.steps)).shape
    except (PairError, OSError):
        return None
