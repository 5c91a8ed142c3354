"""The rows of a run: judged in one pass, and made anew whenever one is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, overload

from ait_cmp.commands.shards import Settled, remarked
from ait_cmp.engine.measured import Brief, Measured
from ait_cmp.engine.mismatch import explained
from ait_cmp.judging import Status, Tolerance, Verdict
from ait_cmp.judging.comparison import MetricChoice, Row, comparison_of, conclude_rows
from ait_cmp.judging.verdicts import Verdicts
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import Reason
from ait_cmp.values.pair import Pair

__all__ = ["Judged", "JudgedRows"]


class Judged(NamedTuple):
    """A row without its numbers."""

    pair: Pair
    verdict: Verdict


class JudgedRows(Sequence[Row]):
    """All rows of a run, in order. Of a million only the verdicts are kept, packed: going through
    them for the first time judges them, and any row is made of what was measured.

    Of those that fail, `diagnoses` say what explains them, by their numbers. Rows that were judged
    as they came have their `verdicts`.
    """

    def __init__(
        self,
        settled: Settled,
        tolerance: Tolerance,
        choice: MetricChoice,
        diagnoses: Mapping[int, Diagnosis] | None = None,
        verdicts: Verdicts | None = None,
    ) -> None:
        self.settled = settled
        self.diagnoses = diagnoses or {}
        self._tolerance, self._choice = tolerance, choice
        self._verdicts = verdicts

    def explained(self, diagnoses: Mapping[int, Diagnosis]) -> JudgedRows:
        """The same, of which these explain those that fail."""
        settled, verdicts = self.settled, self._verdicts
        return JudgedRows(settled, self._tolerance, self._choice, diagnoses, verdicts)

    def __len__(self) -> int:
        return len(self.settled.pairs)

    def __iter__(self) -> Iterator[Row]:
        if self._verdicts is None:
            return self._judge()
        return map(self._row, range(len(self)))

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, number: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(number, slice):
            return tuple(map(self._row, range(len(self))[number]))
        return self._row(range(len(self))[number])

    def judged(self) -> Iterator[Judged]:
        """Each without its numbers."""
        verdicts = self._judged()
        for number, pair in enumerate(self.settled.pairs):
            verdict = verdicts[number]
            diagnosis = self._explaining(number, verdict)
            yield Judged(pair, self._told(number, verdict, diagnosis) if diagnosis else verdict)

    def fails(self, number: int, verdict: Verdict) -> bool:
        """Whether there are two tensors, and they differ."""
        if verdict.status is Status.FAIL:
            brief = self.brief(number)
            return brief is not None and brief.is_compared
        return verdict.reason is Reason.SHAPE_MISMATCH and self.settled.pairs[number].error is None

    def brief(self, number: int) -> Brief | None:
        """What is known of a row without its numbers."""
        return self.settled.measured.brief(number)

    def _judged(self) -> Verdicts:
        if self._verdicts is None:
            for _ in self._judge():
                pass
        assert self._verdicts is not None
        return self._verdicts

    def _judge(self) -> Iterator[Row]:
        verdicts, settled = Verdicts(), self.settled
        rows = conclude_rows(
            settled.pairs, settled.measured, self._tolerance, self._choice, settled.references
        )
        for number, row in enumerate(rows):
            remark = settled.remarks.get(number)
            if remark:
                verdict = remarked(row.verdict, remark)
                row = replace(row, comparison=replace(row.comparison, verdict=verdict))
            verdicts.append(row.verdict)
            yield self._explained(number, row)
        self._verdicts = verdicts

    def _row(self, number: int) -> Row:
        pair = self.settled.pairs[number]
        measured = self.settled.measured.get(number) or Measured(error=pair.error)
        verdict = self._judged()[number]
        return self._explained(
            number, Row(pair, comparison_of(pair, measured, verdict, self._choice))
        )

    def _explaining(self, number: int, verdict: Verdict) -> Diagnosis | None:
        """What explains a row, if it fails."""
        diagnosis = self.diagnoses.get(number)
        return diagnosis if diagnosis and self.fails(number, verdict) else None

    def _explained(self, number: int, row: Row) -> Row:
        diagnosis = self._explaining(number, row.verdict)
        if diagnosis is None:
            return row
        verdict = self._told(number, row.verdict, diagnosis)
        comparison = replace(row.comparison, verdict=verdict, diagnosis=diagnosis)
        return replace(row, comparison=comparison)

    def _told(self, number: int, verdict: Verdict, diagnosis: Diagnosis) -> Verdict:
        """`verdict` with what explains the row, which takes the place of what checks say of where
        it began, and of the adapters that would fit by the shapes alone."""
        brief = self.brief(number)
        if verdict.began:
            verdict = verdict._replace(divergence=f"{verdict.began}; {diagnosis.sentence}")
        if verdict.reason is Reason.SHAPE_MISMATCH and brief and brief.golden and brief.my:
            shapes = brief.golden.shape, brief.my.shape
            verdict = verdict._replace(sentence=explained(*shapes, diagnosis))
        return verdict
