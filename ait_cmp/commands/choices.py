"""Choices that differ: what the data say of them, and what can be compared after them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.choices import Choices, Flip
from ait_cmp.engine.measured import Brief, Measured
from ait_cmp.engine.request import Look
from ait_cmp.judging.choices import Choice, Kind, Numbered, choices_of, is_logits, reads_tokens
from ait_cmp.judging.inputs import Inputs, Left
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, Step
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair

__all__ = ["settle_choices"]

# Of a row its kind, what a look at it says, and the row that has its scores.
_Looked = dict[int, tuple[Kind, Choices, int | None]]
_NOTHING = Location(())


def settle_choices(settled: Settled, ask: Ask, globs: tuple[str, ...]) -> Settled:
    """`settled`, with what is known of choices that differ, and without what cannot be compared
    after them."""
    runs: dict[int, list[Numbered]] = defaultdict(list)
    for number, pair in enumerate(settled.pairs):
        brief = settled.measured.brief(number) or Brief(error=pair.error)
        runs[pair.run].append((number, pair, brief))
    measured = settled.measured
    found = {
        run: [*_needed(choices_of(rows, measured, globs), measured)] for run, rows in runs.items()
    }
    settled = replace(settled, references=_reading_alike(runs, settled.references))
    if not any(found.values()):
        return settled
    looked = _looked([one for choices in found.values() for one in choices], settled, ask)
    pairs, known = list(settled.pairs), measured.copy()
    cut: dict[int, str] = {}
    for rows in runs.values():
        cut.update(_follow(rows, looked, globs, pairs, known))
    references = settled.references.copy()
    if cut:
        _measure_again(cut, settled, pairs, known, references, ask)
    remarks = {number: one for number, one in settled.remarks.items() if not pairs[number].error}
    return replace(settled, pairs=pairs, measured=known, remarks=remarks, references=references)


def _measure_again(
    cut: Mapping[int, str],
    settled: Settled,
    pairs: list[Pair],
    known: MeasuredRows,
    references: MeasuredRows,
    ask: Ask,
) -> None:
    """Measure what is left of the rows `cut`; one of which nothing can be left out stays whole, and
    its error is excused by what that row has in `cut`."""
    with_reference = [*filter(references.is_compared, cut)]
    asked = [pairs[number] for number in cut]
    asked += [one for number in with_reference if (one := pairs[number].reference)]
    again = ask(asked)
    stay = {number for place, number in enumerate(cut) if _lacks_elements(again[place])}
    for place, (number, excuse) in enumerate(cut.items()):
        if number in stay:
            chosen_from = pairs[number].chosen_from
            whole = settled.pairs[number]
            pairs[number] = whole._replace(chosen_from=chosen_from, excused=excuse)
        else:
            known.take_again(number, again, place)
            pairs[number] = _without_bins(pairs[number], again[place])
    for place, number in enumerate(with_reference, start=len(cut)):
        if number not in stay:
            references.take(number, again, place)


def _without_bins(pair: Pair, measured: Measured) -> Pair:
    """`pair`, which says how much was left out of fingerprints."""
    stats, golden = measured.stats, measured.golden
    if not (stats and golden and golden.shape and stats.equal < 0):
        return pair
    lines, kept = math.prod(golden.shape[:-1]), stats.elements // golden.shape[-1]
    return pair.also_by(f"of fingerprints without all of their bins, by {kept} of {lines} lines")


def _reading_alike(
    runs: Mapping[int, Sequence[Numbered]], references: MeasuredRows
) -> MeasuredRows:
    """Without those of rounds in which the trusted run reads other tokens than golden, and of all
    that come after."""
    if not references:
        return references
    kept = references.copy()
    for rows in runs.values():
        since = ""
        for number, pair, brief in _in_order(rows, {}):
            one = kept.brief(number)
            if not since and one and one.is_compared and reads_tokens(pair, brief):
                since = pair.name if one.differs else ""
            if since and one:
                error = PairError(
                    Reason.INPUTS_DIFFER, f"the reference reads other tokens since {since}"
                )
                kept.put_made(number, Measured(error=error))
    return kept


def _needed(choices: Iterable[Choice], measured: MeasuredRows) -> Iterator[Choice]:
    """Those up to the first after which nothing can be compared."""
    for one in choices:
        yield one
        stats = measured[one.number].stats
        if one.kind is Kind.FED and stats and stats.elements == 1:
            return


def _looked(choices: Sequence[Choice], settled: Settled, ask: Ask) -> _Looked:
    """What a look at each row says, and the row that has its scores, if one has."""
    pairs = settled.pairs
    asked = [(one, scores) for one in choices for scores in one.scores or (None,)]
    looks = [_look(one.kind, None if scores is None else pairs[scores]) for one, scores in asked]
    best: _Looked = {}
    lacking: dict[int, tuple[Kind, int]] = {}
    answers = ask([pairs[one.number] for one, _ in asked], looks) if asked else ()
    for place, (one, scores) in enumerate(asked):
        choice, known = answers[place].choices, best.get(one.number)
        least = _explained(known[1].flips) if known else -1
        if choice and _explained(choice.flips) > least:
            best[one.number] = one.kind, choice, scores
        elif scores is not None and _lacks_elements(answers[place]):
            lacking.setdefault(one.number, (one.kind, scores))
    open_ = [
        (number, kind, scores)
        for number, (kind, scores) in lacking.items()
        if number not in best or not _explained(best[number][1].flips)
    ]
    return best | _without_scores(open_, pairs, ask)


def _without_scores(
    choices: Sequence[tuple[int, Kind, int]], pairs: Sequence[Pair], ask: Ask
) -> _Looked:
    """What is known of rows whose scores, or they themselves, are but fingerprints."""
    found: _Looked = {}
    if not choices:
        return found
    looks = [_look(kind, None) for _, kind, _ in choices]
    answers = ask([pairs[number] for number, _, _ in choices], looks)
    for place, (number, kind, scores) in enumerate(choices):
        known = answers[place].choices or Choices(0, ())
        found[number] = kind, replace(known, told=False), scores
    return found


def _lacks_elements(looked: Measured) -> bool:
    """Whether a look could not be taken at what is but a fingerprint."""
    return looked.error is not None and looked.error.reason is Reason.NEEDS_TENSORS


def _look(kind: Kind, scores: Pair | None) -> Look:
    others = (scores.golden, scores.my) if scores else (_NOTHING, _NOTHING)
    return Look("experts" if kind is Kind.ROUTED else "tokens", others)


def _explained(flips: Sequence[Flip]) -> int:
    """In how many lines golden chose the largest of these scores."""
    return sum(flip.golden_top for flip in flips)


def _follow(
    rows: Sequence[Numbered],
    looked: _Looked,
    globs: tuple[str, ...],
    pairs: list[Pair],
    known: MeasuredRows,
) -> Iterator[tuple[int, str]]:
    """Go through the rows of a run in their order, and leave out what has other inputs; the rows
    that are to be measured again, with what is left of them, and what excuses those that cannot."""
    inputs = Inputs()
    rows = _in_order(rows, looked)
    shared = {pair.token_id for _, pair, one in rows if one.is_compared}
    fed = {pair.token_id for _, pair, one in rows if reads_tokens(pair, one)}
    for number, pair, brief in rows:
        inputs.enter(pair)
        if brief.golden and reads_tokens(pair, brief):
            inputs.read(brief.golden.shape)
        left = _left(inputs, pair, brief, alone=pair.token_id not in shared)
        if left.error:
            pairs[number] = pair._replace(error=left.error)
            known.put_made(number, Measured(brief.golden, brief.my, error=left.error))
            continue
        excuse = inputs.excuse_of(pair, chooses=number in looked)
        pairs[number] = pair._replace(excused=excuse)
        if left.steps:
            pairs[number] = _stepped(pairs[number], left.steps).also_by(inputs.said())
            yield number, inputs.excuse()
        if number in looked:
            kind, choices, scores = looked[number]
            of_tokens = scores is not None and is_logits(pairs[scores].data_id, globs)
            flips = tuple(one for one in choices.flips if one.line not in left.positions)
            choices = replace(choices, flips=flips)
            known.add(number, choices=choices)
            if scores is not None:
                origin = pairs[scores].data_id, pairs[scores].token_id
                pairs[number] = pairs[number]._replace(chosen_from=origin)
            # Where the next round says what is fed, that will tell.
            if kind is not Kind.PICKED or (of_tokens and not fed - {pair.token_id}):
                _affect(inputs, kind, choices, pair)


def _affect(inputs: Inputs, kind: Kind, choices: Choices, pair: Pair) -> None:
    """What choices that differ in a row do to the inputs of those behind it."""
    lines = [one.line for one in choices.flips]
    if not choices.lines:
        inputs.doubt(pair, experts=kind is Kind.ROUTED)
    elif kind is Kind.ROUTED:
        inputs.move(lines, choices.lines, pair)
    else:
        inputs.lose(lines, choices.lines, pair, now=kind is Kind.FED)


def _stepped(pair: Pair, steps: tuple[Step, ...]) -> Pair:
    """`pair` with further adapters, and its reference as well."""
    reference = pair.reference and _stepped(pair.reference, steps)
    return pair._replace(
        golden=pair.golden.then(steps), my=pair.my.then(steps), reference=reference
    )


def _in_order(rows: Sequence[Numbered], looked: _Looked) -> Sequence[Numbered]:
    """Of each round first what decides on its inputs, where nothing says what came first."""
    if all(pair.order_by is not OrderBy.NAMES for _, pair, _ in rows):
        return rows
    rounds = {pair.token_id: place for place, (_, pair, _) in reversed([*enumerate(rows)])}
    ranks = {Kind.FED: 0, Kind.ROUTED: 1, Kind.PICKED: 2}

    def key(row: Numbered) -> tuple[int, int]:
        number, pair, brief = row
        if reads_tokens(pair, brief):
            return rounds[pair.token_id], 0
        return rounds[pair.token_id], ranks[looked[number][0]] if number in looked else 3

    return sorted(rows, key=key)


def _left(inputs: Inputs, pair: Pair, brief: Brief, *, alone: bool) -> Left:
    shape = brief.golden.shape if brief.golden and brief.is_compared else None
    return inputs.left(pair, shape, brief.error, equal=brief.is_equal, alone=alone)
