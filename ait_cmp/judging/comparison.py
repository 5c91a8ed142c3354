"""One comparison, judged: what `ait_cmp.compare` returns and what a report row shows."""

from __future__ import annotations

import functools
import html
import operator
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.measured import Answers, Brief, Measured, TensorInfo
from ait_cmp.engine.parts import Parts
from ait_cmp.judging import (
    Ahead,
    Case,
    RunJudge,
    Sketch,
    Status,
    Subject,
    Tolerance,
    Verdict,
)
from ait_cmp.judging.gradients import is_summed
from ait_cmp.judging.metrics import DEFINITIONS, METRICS, compute
from ait_cmp.judging.places import index_at
from ait_cmp.judging.statistics import judge_statistics
from ait_cmp.judging.yardstick import Reference, Shown
from ait_cmp.mapping.former import former_name
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import DOUBTED, Pair
from ait_cmp.values.text import printable

__all__ = [
    "Comparison",
    "Known",
    "LiveJudge",
    "MetricChoice",
    "Row",
    "comparison_of",
    "conclude",
    "conclude_rows",
    "conclude_run",
]

_SHOWN = ("cosine_similarity", "relative_euclidean_distance", "max_absolute_error", "kl_divergence")


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """Which metrics are shown, by which definition (`standard` or `ait`); `extra` are the user's
    own."""

    definition: str = "standard"
    names: tuple[str, ...] = tuple(METRICS)
    extra: tuple[str, ...] = ()

    def needs(self, tolerance: Tolerance) -> Parts:
        """The parts of the stats that are needed to show these and judge by `tolerance`."""
        wanted = [DEFINITIONS[self.definition][name] for name in self.names]
        wanted += [METRICS[name] for name in tolerance.metrics() if name in METRICS]
        return functools.reduce(operator.or_, (one.needs for one in wanted), Parts(slices=True))


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Stats, metrics and verdict of one pair.

    `metrics` maps names to numbers (None where a metric has no value); it is empty when the
    pair could not be compared. `diagnosis` is what explains the difference, where that was asked
    and something does.
    """

    measured: Measured
    metrics: Mapping[str, float | None]
    verdict: Verdict
    diagnosis: Diagnosis | None = None

    @property
    def passed(self) -> bool:
        """Whether the verdict is `pass`."""
        return self.verdict.status is Status.PASS

    def __bool__(self) -> bool:
        """As `passed`, so that `assert compare(...)` says what it seems to."""
        return self.passed

    @property
    def worst_index(self) -> tuple[int, ...] | None:
        """The index of the element that tells most; None where the sides are equal."""
        measured = self.measured
        if measured.worst < 0 or measured.golden is None:
            return None
        return index_at(measured.worst, measured.golden.shape)

    def __repr__(self) -> str:
        said = [f"  {name}: {value}" if name else f"  {value}" for name, value in self._said()]
        return "\n".join([self._answer, *said])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        lines = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(printable(value))}</td></tr>"
            for name, value in self._said()
        )
        return f"<p><b>{html.escape(self._answer)}</b></p><table>{lines}</table>"

    @property
    def _answer(self) -> str:
        return " ".join(filter(None, (self.verdict.status.upper(), self.verdict.reason)))

    def _said(self) -> Iterator[tuple[str, str]]:
        """What is shown of it, under what name; of a sentence, none."""
        for side, info in (("golden", self.measured.golden), ("my", self.measured.my)):
            if info is not None:
                yield side, f"{info.dtype} {list(info.shape)}"
        names = (*_SHOWN, *_extra_of(self.measured))
        yield from ((name, str(self.metrics[name])) for name in names if name in self.metrics)
        if self.worst_index is not None:
            sides = (self.measured.worst_golden, self.measured.worst_my)
            told = None not in sides  # no fingerprint tells
            said = "golden {}, my {}".format(*sides) if told else "not finite on one side alone"
            yield f"worst element {list(self.worst_index)}", said
        if self.verdict.sentence:
            yield "", self.verdict.sentence
        if self.diagnosis:
            yield "diagnosis", self.diagnosis.sentence


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """What the report says of one pair."""

    pair: Pair
    comparison: Comparison

    @property
    def verdict(self) -> Verdict:
        """The verdict of the comparison."""
        return self.comparison.verdict

    def __repr__(self) -> str:
        return f"{printable(self.pair.name)}: {self.comparison!r}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{html.escape(printable(self.pair.name))}</p>{self.comparison._repr_html_()}"


def conclude_rows(
    pairs: Sequence[Pair],
    measured: Answers,
    tolerance: Tolerance,
    choice: MetricChoice,
    references: Answers | None = None,
) -> Iterator[Row]:
    """A row for each pair, in their order, from what was measured of it, by its number, and of
    golden and a trusted run; each is made when it is asked for, and none is kept."""
    runs: dict[int, array[int]] = defaultdict(lambda: array("q"))
    for number, pair in enumerate(pairs):
        runs[pair.run].append(number)
    verdicts = {
        run: _judged(numbers, pairs, measured, tolerance, references)
        for run, numbers in runs.items()
    }
    for pair in pairs:
        one, verdict = next(verdicts[pair.run])
        yield Row(pair, comparison_of(pair, one, verdict, choice))


def conclude_run(
    measured: Sequence[tuple[Pair, Measured]],
    tolerance: Tolerance,
    choice: MetricChoice,
    references: Sequence[Measured | None] = (),
) -> list[Comparison]:
    """Metrics and verdicts of the pairs of one dump, in its order: each is read against the
    pairs before it, or against its reference."""
    pairs = [pair for pair, _ in measured]
    known = Known(enumerate(one for _, one in measured))
    shown = Known((number, one) for number, one in enumerate(references) if one)
    judged = _judged(range(len(pairs)), pairs, known, tolerance, shown)
    return [
        comparison_of(pair, one, verdict, choice)
        for pair, (one, verdict) in zip(pairs, judged, strict=True)
    ]


def _judged(
    numbers: Sequence[int],
    pairs: Sequence[Pair],
    measured: Answers,
    tolerance: Tolerance,
    references: Answers | None,
) -> Iterator[tuple[Measured, Verdict]]:
    """What was measured of each pair of a run, and its verdict."""
    run = _Run(pairs, measured, references)
    is_ordered = all(pairs[number].order_by is not OrderBy.NAMES for number in numbers)
    compared = array("q", filter(run.is_compared, numbers))
    ahead = Ahead(map(run.sketch, compared), tolerance, has_references=bool(references))
    judge = RunJudge(ahead, tolerance, is_ordered=is_ordered)
    early: dict[int, Verdict] = {}
    if not is_ordered and any(map(run.has_choices, compared)):
        # Scores before what was chosen by them.
        for place, number in sorted(enumerate(compared), key=lambda one: run.has_choices(one[1])):
            early[number] = judge.verdict(place, run.case(number, run.measured(number)))
    recorded = [pairs[number] for number in numbers if run.is_recorded(number)]
    by_statistics = iter(
        judge_statistics(recorded, tolerance, is_ordered=is_ordered) if recorded else ()
    )
    place = 0
    for number in numbers:
        pair, one = pairs[number], run.measured(number)
        if one.error:
            yield one, _not_compared(judge, pair, one)
        elif one.stats:
            verdict = early.get(number) or judge.verdict(place, run.case(number, one))
            place += 1
            yield one, _doubted(pair, verdict)
        else:
            yield one, _doubted(pair, next(by_statistics))


def _not_compared(judge: RunJudge, pair: Pair, one: Measured) -> Verdict:
    error = one.error
    assert error
    if pair.alone and error.reason is Reason.SHAPE_MISMATCH and one.golden and one.my:
        shapes = one.golden.shape, one.my.shape
        return judge.misshapen(_subject(pair, one), pair.alone.module, *shapes)
    return Verdict(Status.of(error), error.reason, error.sentence)


class LiveJudge:
    """Judges pairs of a run as they come, each read against those before it. What a judge of all
    rows knows of those to come, `expected` says: what the rows of one call are thought to be."""

    def __init__(
        self, tolerance: Tolerance, choice: MetricChoice, expected: Iterable[Sketch]
    ) -> None:
        self._tolerance, self._choice = tolerance, choice
        self._ahead = Ahead(expected, tolerance)
        self._judge = RunJudge(self._ahead, tolerance)

    def row(self, pair: Pair, measured: Measured) -> Row:
        """The row of the next pair, or of one that could not be compared."""
        if measured.error:
            verdict = _not_compared(self._judge, pair, measured)
        else:
            assert measured.golden
            assert measured.stats
            subject = _subject(pair, measured)
            number = self._ahead.take(Sketch(subject, None, None))
            if subject.is_floating:  # something to come may be chosen by it
                self._ahead.wanted.add((pair.data_id, pair.token_id))
            case = Case(
                subject,
                measured.golden.shape,
                measured.stats,
                measured.evidence,
                measured.choices,
                pair.chosen_from,
                excused=pair.excused,
            )
            verdict = self._judge.verdict(number, case)
        return Row(pair, comparison_of(pair, measured, verdict, self._choice))


class Known(dict[int, Measured]):
    """Answers that are few enough to be kept."""

    def brief(self, number: int, /) -> Brief | None:
        """What can be said of one without its numbers."""
        one = self.get(number)
        return one.brief() if one else None


@dataclass(frozen=True, slots=True)
class _Run:
    """The pairs of one run, by their numbers, and what is known of them."""

    pairs: Sequence[Pair]
    answers: Answers
    references: Answers | None

    def measured(self, number: int) -> Measured:
        """What was measured, or why nothing was."""
        return self.answers.get(number) or Measured(error=self.pairs[number].error)

    def is_compared(self, number: int) -> bool:
        """Whether there are stats."""
        brief = self.answers.brief(number)
        return brief is not None and brief.is_compared

    def has_choices(self, number: int) -> bool:
        """Whether choices that differ were looked at."""
        brief = self.answers.brief(number)
        return brief is not None and brief.has_choices

    def is_recorded(self, number: int) -> bool:
        """Whether statistics are all that there is."""
        pair = self.pairs[number]
        return pair.statistics is not None and not self.measured(number).error

    def sketch(self, number: int) -> Sketch:
        """What a judge must know ahead of a row that was compared."""
        pair, brief = self.pairs[number], self.answers.brief(number)
        assert brief
        assert brief.golden
        subject = _subject(pair, brief)
        shown = self._reference(pair, number, brief.golden, None)
        told = Shown.of(shown) if shown else None
        return Sketch(subject, pair.chosen_from, told, pair.alone is not None)

    def case(self, number: int, one: Measured) -> Case:
        """What the verdict of a row that was compared is made of."""
        pair = self.pairs[number]
        assert one.stats
        assert one.golden
        reference = self._reference(pair, number, one.golden, one.slices)
        return Case(
            _subject(pair, one),
            one.golden.shape,
            one.stats,
            _evidence(pair, one),
            one.choices,
            pair.chosen_from,
            reference,
            _extra_of(one),
            pair.alone,
            pair.order_by is OrderBy.WEIGHTS,
            pair.excused,
        )

    def _reference(
        self, pair: Pair, number: int, golden: TensorInfo, slices: bytes | None
    ) -> Reference | None:
        if not pair.reference:
            return None
        found = self.references.get(number) if self.references else None
        return _reference(pair.reference, golden, slices, found)


def _subject(pair: Pair, sides: Measured | Brief) -> Subject:
    assert sides.golden
    assert sides.my
    types = sides.golden.dtype, sides.my.dtype
    return Subject(pair.data_id, pair.token_id, *types, former_name(pair))


def _evidence(pair: Pair, one: Measured) -> Evidence | None:
    """What is to be judged: of a sum small elements tell nothing that the whole does not."""
    assert one.golden
    if one.evidence and is_summed(pair.data_id, one.golden.shape):
        return replace(one.evidence, usual=None)
    return one.evidence


def _doubted(pair: Pair, verdict: Verdict) -> Verdict:
    """`verdict`, which says of a divergence where perhaps nothing went wrong."""
    if not verdict.divergence or DOUBTED not in pair.paired_by:
        return verdict
    doubt = f"{verdict.divergence}; if it is the same tensor: the sides may count otherwise"
    return verdict._replace(divergence=doubt)


def _recorded(pair: Pair) -> Measured:
    """What the report says of the sides of a pair of which only statistics are there."""
    golden, my = (
        TensorInfo(one.dtype, one.shape) if one.dtype and one.shape is not None else None
        for one in pair.statistics or ()
    )
    return Measured(golden, my)


def conclude(measured: Measured, tolerance: Tolerance, choice: MetricChoice) -> Comparison:
    """Metrics and verdict of a pair that stands alone."""
    alone = Pair(data_id="", token_id=None, golden=Location(()), my=Location(()))
    return conclude_run([(alone, measured)], tolerance, choice)[0]


def comparison_of(
    pair: Pair, measured: Measured, verdict: Verdict, choice: MetricChoice
) -> Comparison:
    """What a person gets of a pair that was judged."""
    if measured.error:
        return Comparison(measured, {}, verdict)
    if measured.stats is None:
        return Comparison(_recorded(pair), {}, verdict)
    metrics = compute(measured.stats, choice.names, definition=choice.definition)
    extra = _extra_of(measured)
    metrics |= {name: extra.get(name) for name in choice.extra}
    return Comparison(measured, metrics, verdict)


def _reference(
    pair: Pair, golden: TensorInfo, slices: bytes | None, found: Measured | None
) -> Reference:
    """What a trusted run, which `pair` is of, shows of a row, or why it shows nothing; `slices` are
    those of golden and my."""
    error = pair.error or (found and found.error)
    if error and error.reason is Reason.MY_MISSING:
        return Reference(lacks="has no such tensor")
    if error or found is None or found.stats is None or found.my is None:
        return Reference(lacks="cannot be compared with golden")
    if found.golden != golden:
        return Reference(lacks="has another shape")
    saturated = found.evidence.nonfinite_saturated if found.evidence else 0
    return Reference(
        found.my.dtype,
        found.evidence,
        found.slices,
        slices,
        found.stats.nonfinite_disagreeing - saturated,
    )


def _extra_of(measured: Measured) -> Mapping[str, float | None]:
    return measured.extra.values if measured.extra else {}
