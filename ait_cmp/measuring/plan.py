"""How the work is cut: tasks of about equal bytes, whatever the sizes of the pairs.

A large pair becomes several ranges, small pairs go together. The ranges depend on the sizes
of a pair alone, so that every executor adds up the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ait_cmp.engine.pairwise import file_bytes, spans
from ait_cmp.engine.request import Request

__all__ = ["Plan", "Task", "make_plan"]

TASK_BYTES = 64 << 20  # some tens of milliseconds: enough to hide a task's own cost
TASK_PAIRS = 64  # and so many openings take about as long


@dataclass(frozen=True, slots=True)
class Task:
    """Requests that one worker answers in a row, each with the pair that it belongs to."""

    pairs: tuple[int, ...]
    requests: tuple[Request, ...]

    def alone(self, mapped: bool) -> list[Task]:
        """The requests of this task as tasks of their own."""
        return [
            Task((pair,), (replace(request, mapped=mapped),))
            for pair, request in zip(self.pairs, self.requests, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks, how many requests each pair has in them, and the bytes of all."""

    tasks: tuple[Task, ...]
    parts: dict[int, int]
    size: int


def make_plan(requests: Sequence[tuple[int, Request]]) -> Plan:
    """Tasks for (pair, request); ranges of a pair follow each other, in order."""
    tasks: list[Task] = []
    batch: list[tuple[int, Request]] = []
    filled = 0
    parts: dict[int, int] = {}
    total = 0
    for pair, bare in requests:
        request = replace(bare, size=file_bytes(bare) or 0)
        size = request.size
        total += size
        if size > 2 * TASK_BYTES:
            split = list(_split(request))
            tasks += [Task((pair,), (part,)) for part in split]
            parts[pair] = len(split)
            continue
        parts[pair] = 1
        batch.append((pair, request))
        filled += size
        if filled >= TASK_BYTES or len(batch) == TASK_PAIRS:
            tasks.append(_task(batch))
            batch, filled = [], 0
    if batch:
        tasks.append(_task(batch))
    return Plan(tuple(tasks), parts, total)


def _task(batch: Sequence[tuple[int, Request]]) -> Task:
    pairs, requests = zip(*batch, strict=True)
    return Task(pairs, requests)


def _split(request: Request) -> Iterator[Request]:
    try:
        for span in spans(request):
            yield replace(request, span=span)
    except Exception:
        # What is wrong with it is found again, and told, where it is measured.
        yield request
