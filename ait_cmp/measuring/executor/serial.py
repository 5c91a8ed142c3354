"""Everything in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits, answer
from ait_cmp.measuring.plan import Task

__all__ = ["run_serially"]


@contextmanager
def run_serially(limits: WorkerLimits, size: int, count: int) -> Iterator[Execute]:
    """One request after the other, so that debugging needs no pool."""
    del limits, size, count
    yield _run


def _run(tasks: Sequence[Task]) -> Iterator[Answer]:
    # Read, not mapped: a file truncated while it is mapped would kill this process. One by
    # one, so that progress and journal are never far behind.
    for task in tasks:
        for alone in task.alone(mapped=False):
            yield answer(alone)
