"""What several ranks have of one tensor: the way that shapes leave open, decided by numbers.

Taking the best of several ways could turn a fault into a pass, so little is chosen:

- Replicas are measured against each other first. Alike, they are replicas, whatever else would
  fit: halves of the whole on two ranks are two wrong replicas, though their sum is right.
- Unlike, every copy of every way is measured against the other side. Another way than the first
  is taken only where it is ten times nearer than every single copy of the first, and the sum
  only where the ranks have little in common, with each other and with the whole, as partial
  results have. So a rank of zeros beside a right one is a wrong replica, and no sum.
- Of a way with several copies the worst stands in the row, so that a fault of any fails it; and
  copies that are unlike fail it in any case, `REPLICAS_DIFFER`.
- Where no way stands out, the row cannot pass: it shows the nearest, and says what each gives.

Verdicts are those of the tolerance; the factors here decide only which reading it judges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ait_cmp.commands.asking import Ask
from ait_cmp.engine.measured import Measured
from ait_cmp.judging import Finding, Status, Tolerance, Verdict
from ait_cmp.judging.comparison import MetricChoice, conclude_rows
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.shards import Shards, named_ranks

__all__ = ["Remark", "Settled", "distance", "remarked", "settle_shards", "shown_distance"]

_CLEARLY = 0.1  # a way stands out whose error is at most this share of that of any other
_UNLIKE = 0.1  # partial results differ by more than this, from each other and from the whole
_NEAR = 0.25  # a copy of a larger error is not said to be the right one

_Copy = tuple[int, int]  # the number of a way, and of a copy of it


@dataclass(frozen=True, slots=True)
class Remark:
    """What keeps a row from passing, whatever its numbers say of it; `differ` where copies that
    should be alike are `apart`. One that `explains` says so of a row that fails, and keeps none
    from passing."""

    sentence: str
    apart: float
    differ: bool
    explains: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Pairs, each with the locations that were found to belong together, and what was measured of
    them, by the number of the pair; `references` is what was measured of golden and the trusted
    run."""

    pairs: list[Pair]
    measured: MeasuredRows
    references: MeasuredRows
    remarks: Mapping[int, Remark] = field(default_factory=dict)


def settle_shards(
    pairs: Sequence[Pair], ask: Ask, tolerance: Tolerance, choice: MetricChoice
) -> Settled:
    """Measure `pairs` and their references, and what else is asked of those that shapes leave
    open."""
    referring = [number for number, pair in enumerate(pairs) if pair.reference]
    others = [one for pair in pairs if (one := pair.reference)]
    found = _settled([*pairs, *others], ask, tolerance, choice)
    pairs_, rest = found.pairs[: len(pairs)], found.pairs[len(pairs) :]
    references = found.measured.empty(len(pairs) if referring else 0)
    for place, (number, one) in enumerate(zip(referring, rest, strict=True), len(pairs)):
        if one.golden == pairs_[number].golden and place not in found.remarks:
            if place in found.measured:
                references.take(number, found.measured, place)
            else:
                references.put_made(number, Measured(error=one.error))
    remarks = {place: one for place, one in found.remarks.items() if place < len(pairs)}
    return Settled(pairs_, found.measured.copy(len(pairs)), references, remarks)


def _settled(
    pairs: Sequence[Pair], ask: Ask, tolerance: Tolerance, choice: MetricChoice
) -> Settled:
    opened = {
        number: pair
        for number, pair in enumerate(pairs)
        if pair.shards and not pair.error and not pair.shards.is_settled
    }
    if not opened:
        return Settled(list(pairs), ask(pairs), MeasuredRows(0))
    mutual = [(number, pair) for number, one in opened.items() for pair in _mutual(one)]
    found = ask([*pairs, *(pair for _, pair in mutual)])
    measured = found.copy(len(pairs))
    between = _Between(found, {number: [] for number in opened})
    for place, (number, _) in enumerate(mutual, start=len(pairs)):
        between.places[number].append(place)
    alike = _alike(opened, between, tolerance, choice)
    for number in opened:
        failed = between.failed(number)
        if failed is not None and not _error(measured, number):
            measured.take(number, found, failed)
    unlike = {
        number: pair
        for number, pair in opened.items()
        if not alike[number] and not _error(measured, number)
    }
    return _uniform(pairs, _decided(pairs, measured, unlike, between, ask), between)


def _error(measured: MeasuredRows, number: int) -> PairError | None:
    brief = measured.brief(number)
    return brief and brief.error


@dataclass(frozen=True, slots=True)
class _Between:
    """What copies of a row give beside each other, by its number; made anew when it is asked for,
    since it may be of a million rows."""

    found: MeasuredRows
    places: dict[int, list[int]]

    def of(self, number: int) -> list[Measured]:
        """Of the first copy beside each other one."""
        return [self.found[place] for place in self.places[number]]

    def failed(self, number: int) -> int | None:
        """The place of the first that could not be compared."""
        places = self.places[number]
        return next((place for place in places if _error(self.found, place)), None)


# -- what is asked


def _mutual(pair: Pair) -> list[Pair]:
    """The first copy of the likeliest way beside each other one."""
    assert pair.shards is not None
    first, *others = pair.shards.ways[0].copies
    return [pair._replace(golden=first, my=other, shards=None) for other in others]


def _with(pair: Pair, location: Location) -> Pair:
    assert pair.shards is not None
    if pair.shards.side == "golden":
        return pair._replace(golden=location)
    return pair._replace(my=location)


def _taking(pair: Pair, way: int) -> Pair:
    """`pair`, which says of its ways that which was taken."""
    assert pair.shards is not None
    taken = replace(pair.shards, ways=(pair.shards.ways[way],))
    by = pair.paired_by.replace(pair.shards.said, taken.said)
    return pair._replace(shards=taken, paired_by=by)


def _alike(
    opened: Mapping[int, Pair], between: _Between, tolerance: Tolerance, choice: MetricChoice
) -> dict[int, bool]:
    """Whether all copies of each row are equal, or pass as such: judged as a run of their own,
    which learns nothing of golden's distance."""
    pairs, numbers, places = list[Pair](), list[int](), list[int]()
    for number, pair in opened.items():
        for copy, place in enumerate(between.places[number], start=1):
            pairs.append(pair._replace(run=copy, error=None))
            numbers.append(number)
            places.append(place)
    measured = between.found.empty(len(pairs))
    for one, place in enumerate(places):
        measured.take(one, between.found, place)
    verdicts = conclude_rows(pairs, measured, tolerance.without_extra(), choice)
    alike = dict.fromkeys(opened, True)
    for number, row in zip(numbers, verdicts, strict=True):
        stats = row.comparison.measured.stats
        passed = row.verdict.status is Status.PASS
        alike[number] &= passed or (stats is not None and stats.is_equal)
    return alike


# -- what is decided


def _decided(
    pairs: Sequence[Pair],
    measured: MeasuredRows,
    unlike: Mapping[int, Pair],
    between: _Between,
    ask: Ask,
) -> Settled:
    asked = [
        (number, (way, copy), _with(pair, location))
        for number, pair in unlike.items()
        if pair.shards
        for way, one in enumerate(pair.shards.ways)
        for copy, location in enumerate(one.copies)
        if (way, copy) != (0, 0)  # which stands in the row itself
    ]
    found = ask([pair for _, _, pair in asked]) if asked else measured.empty(0)
    copies: dict[int, dict[_Copy, tuple[MeasuredRows, int]]] = {
        number: {(0, 0): (measured, number)} for number in unlike
    }
    for place, (number, copy, _) in enumerate(asked):
        copies[number][copy] = found, place
    settled, remarks = list(pairs), dict[int, Remark]()
    for number, pair in enumerate(pairs):
        if pair.shards and not pair.error and number not in unlike:
            settled[number] = _taking(pair, 0)
    for number, pair in unlike.items():
        assert pair.shards is not None
        answers = {copy: rows[place] for copy, (rows, place) in copies[number].items()}
        way, remark = _decide(pair.shards, answers, between.of(number))
        of_way = [copy for copy in answers if way in (None, copy[0])]
        pick = min if way is None else max
        shown = pick(of_way, key=lambda copy: distance(answers[copy]))
        taken = _with(pair, pair.shards.ways[shown[0]].copies[shown[1]])
        settled[number] = taken if way is None else _taking(taken, way)
        measured.take(number, *copies[number][shown])
        if remark:
            remarks[number] = remark
    return Settled(settled, measured, MeasuredRows(0), remarks)


def _decide(
    shards: Shards, answers: Mapping[_Copy, Measured], between: Sequence[Measured]
) -> tuple[int | None, Remark | None]:
    """The way that is taken, None where none is, and what keeps the row from passing."""
    errors = [
        [distance(answers[number, copy]) for copy in range(len(way.copies))]
        for number, way in enumerate(shards.ways)
    ]
    best = [min(of_way) for of_way in errors]
    likely = best.index(min(best))
    stands_out = all(
        best[likely] <= _CLEARLY * other for way, other in enumerate(best) if way != likely
    )
    taken = errors[likely]
    one_is_right = best[likely] < min(_NEAR, _CLEARLY * max(taken))
    if likely and stands_out and not one_is_right:
        distances = [*errors[0], *map(distance, between)]
        if len(taken) > 1 or min(distances) > _UNLIKE:
            return likely, None
    given = "; ".join(
        f"{way.name}: {', '.join(map(shown_distance, of_way))}"
        for way, of_way in zip(shards.ways, errors, strict=True)
    )
    where = f"{shards.side} {named_ranks(shards.ranks)}"
    if len(taken) > 1 and (one_is_right or (stands_out and best[likely] < _NEAR)):
        apart = max(distance(one) for one in between) if not likely else max(taken)
        by = "" if math.isinf(apart) else f", by up to {apart:.3g} of it"
        said = f"what {where} have of it should be equal and is not{by}"
        return likely, Remark(f"{said} (errors: {given})", apart, differ=True)
    said = f"no way to take what {where} have of it fits and stands out"
    return None, Remark(f"{said} (errors: {given})", min(best), differ=False)


def _uniform(pairs: Sequence[Pair], settled: Settled, between: _Between) -> Settled:
    """`settled`, with a remark where a data_id is taken otherwise than in most of its rounds: what
    is replicas in some and fits as a sum in others was not reduced in some of them."""
    remarks = dict(settled.remarks)
    for of in _by_way(pairs, settled, between):
        usual = max(of, key=lambda name: len(of[name]))
        for name, numbers in of.items():
            for number in numbers if name != usual else ():
                remarks.setdefault(
                    number,
                    Remark(
                        f"what {_ranks_of(settled.pairs[number])} have of it is {name} in this "
                        f"round and {usual} in {len(of[usual])} others: one of them is not what "
                        "it should be",
                        max(map(distance, between.of(number)), default=0.0),
                        differ=True,
                    ),
                )
    return replace(settled, remarks=remarks)


def _ranks_of(pair: Pair) -> str:
    assert pair.shards is not None
    return f"{pair.shards.side} {named_ranks(pair.shards.ranks)}"


def _by_way(
    pairs: Sequence[Pair], settled: Settled, between: _Between
) -> list[dict[str, list[int]]]:
    """The rows of each data_id that had several ways, by the way that was taken; of zeros, which
    every way gives, none."""
    taken: dict[tuple[int, str, tuple[str, ...]], dict[str, list[int]]] = {}
    for number in between.places:
        pair, shards = pairs[number], settled.pairs[number].shards
        stats = settled.measured[number].stats
        if pair.shards and shards and stats and len(shards.ways) == 1 and stats.golden.has_nonzero:
            ways = tuple(way.name for way in pair.shards.ways)
            of = taken.setdefault((pair.run, pair.data_id, ways), {})
            of.setdefault(shards.ways[0].name, []).append(number)
    return list(taken.values())


def distance(measured: Measured) -> float:
    """The error of a whole tensor, in golden's own size; infinite where nothing was measured."""
    stats, evidence = measured.stats, measured.evidence
    if stats is None:
        return math.inf
    if stats.nonfinite_disagreeing:
        return math.inf
    if evidence is not None:
        return evidence.level
    return 1.0 - max(stats.equal, 0) / stats.pairs if stats.pairs else 0.0


def shown_distance(error: float) -> str:
    """As a sentence has it."""
    return "not comparable" if math.isinf(error) else f"{error:.3g}"


def remarked(verdict: Verdict, remark: Remark) -> Verdict:
    """`verdict` with what is to be said of it, which keeps it from passing or explains why it does
    not."""
    if verdict.status is Status.ERROR or (remark.explains and verdict.status is not Status.FAIL):
        return verdict
    sentence = "; ".join(filter(None, (remark.sentence, verdict.sentence)))
    if not remark.differ:
        if verdict.status is Status.FAIL:
            return verdict._replace(sentence=sentence)
        error = PairError(Reason.MAPPING_AMBIGUOUS, f"{sentence}; say in a rule how to join them")
        return verdict._replace(
            status=Status.of(error), reason=error.reason, sentence=error.sentence
        )
    finding = Finding("replicas", remark.apart, 0.0, remark.sentence)
    return verdict._replace(
        status=Status.FAIL,
        reason=Reason.REPLICAS_DIFFER,
        sentence=sentence,
        findings=(finding, *verdict.findings),
        divergence=_also(verdict.divergence, remark),
        began=_also(verdict.began, remark),
    )


def _also(told: str, remark: Remark) -> str:
    """What a person reads of where it began, with what explains it."""
    return f"{told}; {remark.sentence}" if told and remark.explains else told
