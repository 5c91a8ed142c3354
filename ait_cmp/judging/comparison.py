"""One comparison, judged: what `ait_cmp.compare` returns and what a report row shows."""

from __future__ import annotations

import functools
import html
import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.parts import Parts
from ait_cmp.judging import Case, Status, Subject, Tolerance, Verdict, judge
from ait_cmp.judging.metrics import DEFINITIONS, METRICS, compute
from ait_cmp.judging.places import index_at
from ait_cmp.judging.statistics import judge_statistics
from ait_cmp.judging.yardstick import Reference
from ait_cmp.mapping.former import former_name
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import DOUBTED, Pair
from ait_cmp.values.text import printable

__all__ = [
    "Comparison",
    "MetricChoice",
    "Row",
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
            yield (
                f"worst element {list(self.worst_index)}",
                f"golden {self.measured.worst_golden}, my {self.measured.worst_my}",
            )
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
    measured: Mapping[int, Measured],
    tolerance: Tolerance,
    choice: MetricChoice,
    references: Mapping[int, Measured] | None = None,
) -> list[Row]:
    """A row for each pair, in their order, from what was measured of it, by its number, and of
    golden and a trusted run."""
    runs: dict[int, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        runs[pair.run].append(number)
    rows: dict[int, Row] = {}
    for numbers in runs.values():
        run = [
            (pairs[number], measured.get(number) or Measured(error=pairs[number].error))
            for number in numbers
        ]
        shown = [references.get(number) for number in numbers] if references else ()
        concluded = conclude_run(run, tolerance, choice, shown)
        for number, comparison in zip(numbers, concluded, strict=True):
            rows[number] = Row(pairs[number], comparison)
    return [rows[number] for number in range(len(pairs))]


def conclude_run(
    measured: Sequence[tuple[Pair, Measured]],
    tolerance: Tolerance,
    choice: MetricChoice,
    references: Sequence[Measured | None] = (),
) -> list[Comparison]:
    """Metrics and verdicts of the pairs of one dump, in its order: each is read against the
    pairs before it, or against its reference."""
    is_ordered = all(pair.order_by is not OrderBy.NAMES for pair, _ in measured)
    shown = references or [None] * len(measured)
    cases = [
        _case(pair, one, reference)
        for (pair, one), reference in zip(measured, shown, strict=True)
        if one.stats
    ]
    verdicts = iter(judge(cases, tolerance, is_ordered=is_ordered))
    recorded = [pair for pair, one in measured if pair.statistics and not one.error]
    by_statistics = iter(
        judge_statistics(recorded, tolerance, is_ordered=is_ordered) if recorded else ()
    )
    return [
        failed(one.error, one)
        if one.error
        else _comparison(one, _doubted(pair, next(verdicts)), choice)
        if one.stats
        else Comparison(_recorded(pair), {}, _doubted(pair, next(by_statistics)))
        for pair, one in measured
    ]


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


def failed(error: PairError, measured: Measured | None = None) -> Comparison:
    """The comparison that `error` prevented."""
    verdict = Verdict(Status.of(error), error.reason, error.sentence)
    return Comparison(measured or Measured(error=error), {}, verdict)


def _case(pair: Pair, measured: Measured, reference: Measured | None) -> Case:
    assert measured.stats is not None
    assert measured.golden is not None
    assert measured.my is not None
    types = measured.golden.dtype, measured.my.dtype
    subject = Subject(pair.data_id, pair.token_id, *types, former_name(pair))
    return Case(
        subject,
        measured.golden.shape,
        measured.stats,
        measured.evidence,
        measured.choices,
        pair.chosen_from,
        _reference(pair, measured, reference) if pair.reference else None,
        _extra_of(measured),
    )


def _reference(pair: Pair, measured: Measured, found: Measured | None) -> Reference:
    """What a trusted run shows of a row, or why it shows nothing."""
    assert pair.reference is not None
    error = pair.reference.error or (found and found.error)
    if error and error.reason is Reason.MY_MISSING:
        return Reference(lacks="has no such tensor")
    if error or found is None or found.stats is None or found.my is None:
        return Reference(lacks="cannot be compared with golden")
    if found.golden != measured.golden:
        return Reference(lacks="has another shape")
    saturated = found.evidence.nonfinite_saturated if found.evidence else 0
    return Reference(
        found.my.dtype,
        found.evidence,
        found.slices,
        measured.slices,
        found.stats.nonfinite_disagreeing - saturated,
    )


def _comparison(measured: Measured, verdict: Verdict, choice: MetricChoice) -> Comparison:
    assert measured.stats is not None
    metrics = compute(measured.stats, choice.names, definition=choice.definition)
    extra = _extra_of(measured)
    metrics |= {name: extra.get(name) for name in choice.extra}
    return Comparison(measured, metrics, verdict)


def _extra_of(measured: Measured) -> Mapping[str, float | None]:
    return measured.extra.values if measured.extra else {}
