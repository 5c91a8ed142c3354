"""A run that is not over: rows judged as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run
from ait_cmp.commands.live_choices import LiveChoices, source_of
from ait_cmp.commands.say import remark
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.looks import look_at
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Request
from ait_cmp.judging import Sketch, Status, Subject
from ait_cmp.judging.comparison import LiveJudge, Row
from ait_cmp.judging.verdicts import Verdicts
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.row import pack_row
from ait_cmp.report import facts_since
from ait_cmp.settings.values import Settings
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.dtypes import DType
from ait_cmp.values.pair import Pair
from ait_cmp.watching.kept import Golden
from ait_cmp.watching.outputs import Sides

__all__ = ["LiveRun", "StopWatchingError", "expected_of"]


class StopWatchingError(BaseException):
    """The model need not go on; nothing in it takes this for an error of its own."""


class LiveRun:
    """The rows so far of what is watched; `first_divergence` is there as soon as there is one, and
    `stopped` says that the model was stopped at it."""

    def __init__(
        self, settings: Settings, expected: Callable[[], Iterable[Sketch]], *, stops: bool
    ) -> None:
        self.first_divergence: Row | None = None
        self.stopped = False
        self._settings, self._expected, self._stops = settings, expected, stops
        self._judges: dict[int, LiveJudge] = {}  # of each process
        self._choices: dict[int, LiveChoices] = {}
        self._started = datetime.now(UTC)
        self._pairs: list[Pair] = []
        self._measured: list[bytes | Measured] = []
        self._verdicts = Verdicts()
        self._diagnoses: dict[int, Diagnosis] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def run(self) -> Run:
        """All so far, judged as they appeared."""
        measured = MeasuredRows(len(self._pairs))
        for number, one in enumerate(self._measured):
            if isinstance(one, bytes):
                measured.put(number, one)
            else:
                measured.put_made(number, one)
        settled = Settled(list(self._pairs), measured, MeasuredRows(0))
        chosen = self._settings.tolerance, self._settings.metrics
        verdicts = Verdicts()
        for verdict in self._verdicts:  # those to come are of another result
            verdicts.append(verdict)
        rows = JudgedRows(settled, *chosen, dict(self._diagnoses), verdicts)
        facts = facts_since(self._started, self._settings.in_force)
        return Run(settled, *chosen, rows, facts)

    def take(self, pair: Pair, measured: Measured, tensors: Sides | None) -> None:
        """One more pair; a model that is to stop leaves by an exception, again where it caught
        one."""
        if self.stopped:
            raise StopWatchingError
        if pair.run not in self._judges:
            chosen = self._settings.tolerance, self._settings.metrics
            self._judges[pair.run] = LiveJudge(*chosen, self._expected())
            self._choices[pair.run] = LiveChoices(self._settings.wanted)
        pair, measured = self._choices[pair.run].settle(pair, measured, tensors)
        row = self._judges[pair.run].row(pair, measured)
        self._verdicts.append(row.verdict)
        self._pairs.append(pair)
        request = Request(pair.golden, pair.my, self._settings.wanted)
        self._measured.append(measured if measured.error else pack_row(request, measured))
        if row.verdict.status is not Status.FAIL or row.verdict.follows:
            return
        if tensors and len(self._diagnoses) < self._settings.diagnosed:
            self._explain(pair, tensors)
        if self.first_divergence is None:
            self.first_divergence = row = self.run.rows[len(self) - 1]
            remark(f"ait_cmp: it goes wrong {row.verdict.divergence or row.verdict.sentence}")
            if self._stops:
                self.stopped = True
                raise StopWatchingError

    def _explain(self, pair: Pair, tensors: Sides) -> None:
        """Say what the last row looks like, while its tensors are there."""
        golden, my = source_of(tensors.golden, pair.golden), source_of(tensors.my, pair.my)
        if diagnosis := look_at("diagnosis", golden, my).diagnosis:
            self._diagnoses[len(self) - 1] = diagnosis


def expected_of(golden: Golden, types: Iterable[DType]) -> Iterator[Sketch]:
    """What a call is thought to give of which golden was dumped."""
    for name in golden.outputs:
        for dtype in types:
            yield Sketch(Subject(name, 0, dtype, dtype))
