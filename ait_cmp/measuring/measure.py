"""All pairs of a compare measured: planned, what is known left out, run, put together."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ait_cmp.engine.measure import Measured, Request, Wanted, merged
from ait_cmp.measuring.executor import EXECUTORS, Limits
from ait_cmp.measuring.plan import Plan, Task, make_plan
from ait_cmp.measuring.store import Journal
from ait_cmp.report.console import track
from ait_cmp.values.pair import Pair

__all__ = ["measure_pairs"]

_LOGGER = logging.getLogger(__name__)


def measure_pairs(
    pairs: Sequence[Pair],
    wanted: Wanted,
    *,
    roots: tuple[str, ...] | None = None,
    executor: str,
    limits: Limits,
    journal: Journal,
) -> dict[int, Measured]:
    """What was measured, by the number of the pair; nothing for pairs that have an error."""
    plan = make_plan(
        [
            (number, Request(pair.golden, pair.my, wanted, roots=roots))
            for number, pair in enumerate(pairs)
            if pair.error is None
        ]
    )
    collected = _Collected(plan)
    tasks = [rest for task in plan.tasks if (rest := collected.recall(task, journal)).requests]
    if collected.done:
        _LOGGER.info("going on from an earlier run, which did %d pairs", len(collected.whole()))
    with EXECUTORS[executor](limits, plan.size, len(plan.parts)) as execute:
        try:
            for answer in track(execute(tasks), sum(len(task.requests) for task in tasks)):
                collected.add(answer.task, answer.measured)
                journal.add(list(zip(answer.task.requests, answer.measured, strict=True)))
        except KeyboardInterrupt:
            _LOGGER.warning(
                "interrupted with %d of %d pairs done; the same command goes on from there",
                len(collected.whole()),
                len(plan.parts),
            )
            raise
    return collected.whole()


@dataclass(slots=True)
class _Collected:
    """The answers so far, by pair and place."""

    plan: Plan
    done: dict[int, dict[int, Measured]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, task: Task, measured: Sequence[Measured]) -> None:
        """Take what `task` gave."""
        for number, request, one in zip(task.pairs, task.requests, measured, strict=True):
            self.done[number][request.span[0] if request.span else 0] = one

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

    def whole(self) -> dict[int, Measured]:
        """The pairs all parts of which are there, put together in order."""
        return {
            number: merged([parts[start] for start in sorted(parts)])
            for number, parts in self.done.items()
            if len(parts) == self.plan.parts[number]
        }
