"""All pairs of a compare measured: what is known left out, the rest planned, run, put together."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from ait_cmp.engine.measured import Brief, Measured
from ait_cmp.engine.pairwise import merged_ranges
from ait_cmp.engine.request import Look, Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, Answer, WorkerLimits
from ait_cmp.measuring.measured_rows import MeasuredRows
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
) -> MeasuredRows:
    """What was measured, by the number of the pair; nothing for pairs that have an error.

    What `store` knows is not measured again, and what is measured is kept in it. With `looks`, one
    of each pair, these are taken instead. Only with `slices` do the answers have those that are
    kept of a pair: some thousand bytes each.
    """

    def request(number: int) -> Request:
        golden, my = pairs[number].golden, pairs[number].my
        return Request(golden, my, wanted, roots=roots, look=looks[number] if looks else None)

    numbers = [
        number
        for number, pair in enumerate(pairs)
        if pair.error is None and pair.statistics is None
    ]
    collected = _Collected(store, len(pairs), slices)
    left = collected.left_of(numbers, request)
    start = EXECUTORS[executor if left else "serial"].start  # no workers for nothing
    try:
        with start(limits, len(left)) as execute:
            plan = make_plan((number, request(number)) for number in left)
            tasks = collected.begin(plan, len(pairs) - len(numbers))
            progress(collected.progress())
            for answer in execute(tasks):
                collected.add(answer)
                progress(collected.progress())
    except KeyboardInterrupt:
        _LOGGER.warning(
            "interrupted with %d of %d pairs done%s",
            collected.done,
            len(numbers),
            "; the same command goes on from there" if store else "",
        )
        raise
    return collected.whole


class _Collected:
    """The answers so far: whole pairs, and ranges of those that are not whole yet."""

    def __init__(self, store: Store | None, rows: int, slices: bool) -> None:
        self.whole = MeasuredRows(rows, store.rows if store else None, slices=slices)
        self.done = 0  # whole pairs
        self._store, self._rows = store, rows
        self._ranges: dict[int, dict[int, Measured]] = defaultdict(dict)
        self._nodes: dict[str, int] = {}
        self._parts: Mapping[int, int] = {}
        self._unmeasured = self._bytes_done = self._bytes = 0

    def left_of(self, numbers: Sequence[int], request: Callable[[int], Request]) -> Sequence[int]:
        """Those of which an earlier run does not know the answer; the others are taken from it."""
        if self._store is None or self._store.is_new:
            return numbers
        left = []
        for number in numbers:
            known = self._store.find(request(number))
            if known is None:
                left.append(number)
            else:
                self._put(number, *known)
                self._bytes_done += _bytes(self.whole.brief(number))
        # Second looks are of pairs that were told already.
        if self.done and request(numbers[0]).look is None:
            _LOGGER.info("going on from an earlier run, which did %d pairs", self.done)
        return left

    def begin(self, plan: Plan, unmeasured: int) -> list[Task]:
        """What of `plan` is to be done: all but the ranges that an earlier run did."""
        self._parts, self._unmeasured = plan.parts, unmeasured
        self._bytes = self._bytes_done + sum(task.size for task in plan.tasks)
        return [task for task in plan.tasks if not self._recall(task)]

    def add(self, answer: Answer) -> None:
        """Take what a task gave."""
        task, rows = answer.task, answer.rows
        if answer.node:
            self._nodes[answer.node] = self._nodes.get(answer.node, 0) + len(rows)
        places: Sequence[int | None] = self._store.add(rows) if self._store else [None] * len(rows)
        self._bytes_done += task.size
        for number, request, row, place in zip(
            task.pairs, task.requests, rows, places, strict=True
        ):
            if request.span is None:
                self._put(number, row, place)
            else:
                self._take(number, request, unpack_row(row, whole=True))

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            rows_done=self._unmeasured + self.done,
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
        self._bytes_done += task.size
        self._take(task.pairs[0], request, known)
        return True

    def _put(self, number: int, row: bytes, place: int | None) -> None:
        self.whole.put(number, row, place)
        self.done += 1

    def _take(self, number: int, request: Request, measured: Measured) -> None:
        """A range of a pair has come; with the last of them it is whole."""
        assert request.span is not None
        ranges = self._ranges[number]
        ranges[request.span[0]] = measured
        if len(ranges) < self._parts[number]:
            return
        pair = Request(request.golden, request.my, request.wanted)
        of_pair = merged_ranges(request, [ranges[start] for start in sorted(ranges)])
        row = pack_row(pair, of_pair)
        (place,) = self._store.add([row]) if self._store else (None,)
        self._put(number, row, place)
        del self._ranges[number]


def _bytes(known: Brief | None) -> int:
    """What the elements of a pair take, for progress."""
    sides = filter(None, (known.golden, known.my)) if known else ()
    return sum(math.prod(side.shape) * side.dtype.itemsize for side in sides)
