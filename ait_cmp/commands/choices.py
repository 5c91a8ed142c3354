"""Choices that differ: what the data say of them, and what can be compared after them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ait_cmp.commands.shards import Settled
from ait_cmp.engine.choices import Choices, Flip
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Look
from ait_cmp.judging.choices import Choice, Kind, Numbered, choices_of, is_fed
from ait_cmp.judging.inputs import Inputs, Left
from ait_cmp.values.location import Location
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair

__all__ = ["settle_choices"]

# Measures pairs, or takes a look at each.
Measure = Callable[[Sequence[Pair], Sequence[Look] | None], dict[int, Measured]]
# Of a row its kind, what a look at it says, and the row that has its scores.
_Looked = dict[int, tuple[Kind, Choices, int | None]]
_NOTHING = Location(())


def settle_choices(settled: Settled, measure: Measure, globs: tuple[str, ...]) -> Settled:
    """`settled`, with what is known of choices that differ, and without what cannot be compared
    after them."""
    runs: dict[int, list[Numbered]] = defaultdict(list)
    for number, pair in enumerate(settled.pairs):
        measured = settled.measured.get(number) or Measured(error=pair.error)
        runs[pair.run].append((number, pair, measured))
    found = {run: [*_needed(choices_of(rows, globs), rows)] for run, rows in runs.items()}
    if not any(found.values()):
        return settled
    looked = _looked([one for choices in found.values() for one in choices], settled, measure)
    pairs, known = list(settled.pairs), dict(settled.measured)
    cut = [number for rows in runs.values() for number in _follow(rows, looked, pairs, known)]
    again = measure([pairs[number] for number in cut], None) if cut else {}
    for place, number in enumerate(cut):
        known[number] = replace(again[place], choices=known[number].choices)
    remarks = {number: one for number, one in settled.remarks.items() if not pairs[number].error}
    return replace(settled, pairs=pairs, measured=known, remarks=remarks)


def _needed(choices: Iterable[Choice], rows: Sequence[Numbered]) -> Iterator[Choice]:
    """Those up to the first after which nothing can be compared."""
    measured = {number: one for number, _, one in rows}
    for one in choices:
        yield one
        stats = measured[one.number].stats
        if one.kind is Kind.FED and stats and stats.elements == 1:
            return


def _looked(choices: Sequence[Choice], settled: Settled, measure: Measure) -> _Looked:
    """What a look at each row says, and the row that has its scores, if one has."""
    pairs = settled.pairs
    asked = [(one, scores) for one in choices for scores in one.scores or (None,)]
    looks = [_look(one.kind, None if scores is None else pairs[scores]) for one, scores in asked]
    answers = measure([pairs[one.number] for one, _ in asked], looks) if asked else {}
    best: _Looked = {}
    for place, (one, scores) in enumerate(asked):
        choice = answers[place].choices
        if choice is None:
            continue
        known = best.get(one.number)
        if known is None or _explained(choice.flips) > _explained(known[1].flips):
            best[one.number] = one.kind, choice, scores
    return best


def _look(kind: Kind, scores: Pair | None) -> Look:
    others = (scores.golden, scores.my) if scores else (_NOTHING, _NOTHING)
    return Look("experts" if kind is Kind.ROUTED else "tokens", others)


def _explained(flips: Sequence[Flip]) -> int:
    """In how many lines golden chose the largest of these scores."""
    return sum(flip.golden_top for flip in flips)


def _follow(
    rows: Sequence[Numbered], looked: _Looked, pairs: list[Pair], known: dict[int, Measured]
) -> Iterator[int]:
    """Go through the rows of a run in their order, and leave out what has other inputs; the rows
    that are to be measured again, with what is left of them."""
    inputs = Inputs()
    rows = _in_order(rows, looked)
    fed = {pair.token_id for _, pair, one in rows if _reads(pair, one)}
    for number, pair, measured in rows:
        inputs.enter(pair)
        if measured.golden and _reads(pair, measured):
            inputs.read(measured.golden.shape)
        left = _left(inputs, pair, measured)
        if left.error:
            pairs[number] = pair._replace(error=left.error)
            known[number] = Measured(measured.golden, measured.my, error=left.error)
            continue
        if left.steps:
            both = pair.golden.then(left.steps), pair.my.then(left.steps)
            pairs[number] = pair._replace(golden=both[0], my=both[1]).also_by(inputs.said())
            yield number
        if number in looked:
            kind, choices, scores = looked[number]
            flips = [one for one in choices.flips if one.line not in left.positions]
            known[number] = replace(measured, choices=Choices(choices.lines, tuple(flips)))
            if scores is not None:
                origin = pairs[scores].data_id, pairs[scores].token_id
                pairs[number] = pairs[number]._replace(chosen_from=origin)
            lines = [one.line for one in flips]
            if kind is Kind.ROUTED:
                inputs.move(lines, choices.lines, pair)
            elif kind is Kind.FED:
                inputs.lose(lines, choices.lines, pair, now=True)
            elif not fed - {pair.token_id}:  # else what is fed will tell
                inputs.lose(lines, choices.lines, pair, now=False)


def _in_order(rows: Sequence[Numbered], looked: _Looked) -> Sequence[Numbered]:
    """Of each round first what decides on its inputs, where nothing says what came first."""
    if all(pair.order_by is not OrderBy.NAMES for _, pair, _ in rows):
        return rows
    rounds = {pair.token_id: place for place, (_, pair, _) in reversed([*enumerate(rows)])}
    ranks = {Kind.FED: 0, Kind.ROUTED: 1, Kind.PICKED: 2}

    def key(row: Numbered) -> tuple[int, int]:
        number, pair, measured = row
        if _reads(pair, measured):
            return rounds[pair.token_id], 0
        return rounds[pair.token_id], ranks[looked[number][0]] if number in looked else 3

    return sorted(rows, key=key)


def _reads(pair: Pair, measured: Measured) -> bool:
    """Whether a row is of token ids that the round reads."""
    golden = measured.golden
    return golden is not None and not golden.dtype.is_floating and is_fed(pair.data_id)


def _left(inputs: Inputs, pair: Pair, measured: Measured) -> Left:
    stats = measured.stats
    shape = measured.golden.shape if measured.golden and stats else None
    equal = bool(stats and stats.equal == stats.pairs and not stats.nonfinite_disagreeing)
    return inputs.left(pair, shape, measured.error, equal)
