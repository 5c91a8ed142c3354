"""All pairs of a compare measured: planned, what is known left out, run, put together."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import merged
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.measuring.plan import Plan, Task, make_plan
from ait_cmp.measuring.progress import Progress, ShowProgress, show_nothing
from ait_cmp.measuring.store import Journal
from ait_cmp.values.pair import Pair

__all__ = ["measure_pairs"]

_LOGGER = logging.getLogger(__name__)


def measure_pairs(
    pairs: Sequence[Pair],
    wanted: Wanted,
    *,
    roots: tuple[str, ...] | None = None,
    executor: str,
    limits: WorkerLimits,
    journal: Journal,
    progress: ShowProgress = show_nothing,
) -> dict[int, Measured]:
    """What was measured, by the number of the pair; nothing for pairs that have an error."""
    plan = make_plan(
        [
            (number, Request(pair.golden, pair.my, wanted, roots=roots))
            for number, pair in enumerate(pairs)
            if pair.error is None
        ]
    )
    collected = _Collected(plan, unmeasured=len(pairs) - len(plan.parts))
    tasks = [rest for task in plan.tasks if (rest := collected.recall(task, journal)).requests]
    if collected.whole:
        _LOGGER.info("going on from an earlier run, which did %d pairs", len(collected.whole))
    progress(collected.progress())
    with EXECUTORS[executor](limits, plan.size, len(plan.parts)) as execute:
        try:
            for answer in execute(tasks):
                collected.add(answer.task, answer.measured)
                journal.add(list(zip(answer.task.requests, answer.measured, strict=True)))
                progress(collected.progress())
        except KeyboardInterrupt:
            _LOGGER.warning(
                "interrupted with %d of %d pairs done; the same command goes on from there",
                len(collected.whole),
                len(plan.parts),
            )
            raise
    return collected.whole


class _Collected:
    """The answers so far: whole pairs, and ranges of those that are not whole yet."""

    def __init__(self, plan: Plan, unmeasured: int) -> None:
        self.whole: dict[int, Measured] = {}
        self._plan, self._unmeasured = plan, unmeasured
        self._ranges: dict[int, dict[int, Measured]] = defaultdict(dict)
        self._bytes_done = 0

    def add(self, task: Task, measured: Sequence[Measured]) -> None:
        """Take what `task` gave."""
        for number, request, one in zip(task.pairs, task.requests, measured, strict=True):
            parts = self._plan.parts[number]
            self._bytes_done += request.size // parts
            if request.span is None:
                self.whole[number] = one
                continue
            ranges = self._ranges[number]
            ranges[request.span[0]] = one
            if len(ranges) == parts:
                self.whole[number] = merged([ranges[start] for start in sorted(ranges)])
                self._bytes_done += request.size % parts
                del self._ranges[number]

    def recall(self, task: Task, journal: Journal) -> Task:
        """Take what an earlier run knows of `task`; the rest of it."""
        known = [journal.known(request) for request in task.requests]
        rest = [index for index, one in enumerate(known) if one is None]
        for number, request, one in zip(task.pairs, task.requests, known, strict=True):
            if one is not None:
                self.add(Task((number,), (request,)), [one])
        return Task(
            tuple(task.pairs[index] for index in rest),
            tuple(task.requests[index] for index in rest),
        )

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            rows_done=self._unmeasured + len(self.whole),
            rows=self._unmeasured + len(self._plan.parts),
            bytes_done=self._bytes_done,
            bytes=self._plan.size,
        )
