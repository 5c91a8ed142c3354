"""All pairs of a compare measured: what is known left out, the rest planned, run, put together."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import merged_ranges
from ait_cmp.engine.request import Look, Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, Answer, WorkerLimits
from ait_cmp.measuring.plan import Plan, Task, make_plan
from ait_cmp.measuring.progress import Progress, ShowProgress, show_nothing
from ait_cmp.measuring.row import pack_row, unpack_row
from ait_cmp.measuring.store import Store
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
    store: Store | None = None,
    progress: ShowProgress = show_nothing,
    looks: Sequence[Look] | None = None,
    slices: bool = False,
) -> dict[int, Measured]:
    """What was measured, by the number of the pair; nothing for pairs that have an error.

    What `store` knows is not measured again, and what is measured is kept in it. With `looks`, one
    of each pair, these are taken instead. Only with `slices` do the answers have those that are
    kept of a pair: some thousand bytes each.
    """
    requests = [
        (
            number,
            Request(
                pair.golden, pair.my, wanted, roots=roots, look=looks[number] if looks else None
            ),
        )
        for number, pair in enumerate(pairs)
        if pair.error is None and pair.statistics is None
    ]
    collected = _Collected(store, len(pairs), slices)
    left = collected.left_of(requests)
    start = EXECUTORS[executor if left else "serial"].start  # no workers for nothing
    try:
        with start(limits, len(left)) as execute:
            tasks = collected.begin(make_plan(left), len(pairs) - len(requests))
            progress(collected.progress())
            for answer in execute(tasks):
                collected.add(answer)
                progress(collected.progress())
    except KeyboardInterrupt:
        _LOGGER.warning(
            "interrupted with %d of %d pairs done%s",
            len(collected.whole),
            len(requests),
            "; the same command goes on from there" if store else "",
        )
        raise
    return collected.whole


class _Collected:
    """The answers so far: whole pairs, and ranges of those that are not whole yet."""

    def __init__(self, store: Store | None, rows: int, slices: bool) -> None:
        self.whole: dict[int, Measured] = {}
        self._store, self._rows, self._slices = store, rows, slices
        self._ranges: dict[int, dict[int, Measured]] = defaultdict(dict)
        self._nodes: dict[str, int] = {}
        self._plan = Plan((), {}, {})
        self._unmeasured = self._bytes_done = self._bytes = 0

    def left_of(self, requests: Sequence[tuple[int, Request]]) -> list[tuple[int, Request]]:
        """Those of which an earlier run does not know the answer; the others are taken from it."""
        left = []
        for number, request in requests:
            known = self._store.known(request, whole=self._slices) if self._store else None
            if known is None:
                left.append((number, request))
            else:
                self.whole[number] = known
                self._bytes_done += _bytes(known)
        # Second looks are of pairs that were told already.
        if self.whole and requests[0][1].look is None:
            _LOGGER.info("going on from an earlier run, which did %d pairs", len(self.whole))
        return left

    def begin(self, plan: Plan, unmeasured: int) -> list[Task]:
        """What of `plan` is to be done: all but the ranges that an earlier run did."""
        self._plan, self._unmeasured = plan, unmeasured
        self._bytes = self._bytes_done + sum(plan.sizes.values())
        return [task for task in plan.tasks if not self._recall(task)]

    def add(self, answer: Answer) -> None:
        """Take what a task gave."""
        task, rows = answer.task, answer.rows
        if answer.node:
            self._nodes[answer.node] = self._nodes.get(answer.node, 0) + len(rows)
        if self._store:
            self._store.add(rows)
        for number, request, row in zip(task.pairs, task.requests, rows, strict=True):
            whole = self._slices or request.span is not None
            self._take(number, request, unpack_row(row, whole=whole))

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            rows_done=self._unmeasured + len(self.whole),
            rows=self._rows,
            bytes_done=self._bytes_done,
            bytes=self._bytes,
            nodes=dict(self._nodes),
        )

    def _recall(self, task: Task) -> bool:
        """Whether an earlier run did the range that `task` is."""
        request = task.requests[0]
        known = self._store.known(request) if self._store and request.span else None
        if known is None:
            return False
        self._take(task.pairs[0], request, known)
        return True

    def _take(self, number: int, request: Request, measured: Measured) -> None:
        size, parts = self._plan.sizes[number], self._plan.parts[number]
        self._bytes_done += size // parts
        if request.span is None:
            self.whole[number] = measured
            return
        ranges = self._ranges[number]
        ranges[request.span[0]] = measured
        if len(ranges) == parts:
            self._bytes_done += size % parts
            self._finish(number, request, [ranges[start] for start in sorted(ranges)])
            del self._ranges[number]

    def _finish(self, number: int, request: Request, ranges: Sequence[Measured]) -> None:
        """The last range of a pair has come: it is whole."""
        pair = Request(request.golden, request.my, request.wanted)
        row = pack_row(pair, merged_ranges(request, ranges))
        if self._store:
            self._store.add([row])
        self.whole[number] = unpack_row(row, whole=self._slices)


def _bytes(measured: Measured) -> int:
    """What the elements of a pair take, for progress."""
    sides = filter(None, (measured.golden, measured.my))
    elements = measured.stats.elements if measured.stats else 0
    return elements * sum(side.dtype.itemsize for side in sides)
