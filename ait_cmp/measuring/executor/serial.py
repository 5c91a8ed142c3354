"""Everything in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits, measured_rows
from ait_cmp.measuring.executor.supervision import Failure, Workers, supervise
from ait_cmp.measuring.plan import Task

__all__ = ["ThisProcess", "run_serially"]


class ThisProcess(Workers):
    """A worker that answers before it is asked again, so that debugging needs no pool."""

    width = 1

    def submit(self, task: Task) -> Future[list[bytes]]:
        future: Future[list[bytes]] = Future()
        try:
            # Read, not mapped: a file truncated while it is mapped would kill this process.
            future.set_result(measured_rows(task.requests, mapped=False))
        except Exception as exc:
            future.set_exception(exc)
        return future

    def failure(self, error: BaseException) -> Failure | None:
        del error
        return None


@contextmanager
def run_serially(limits: WorkerLimits, rows: int = 0) -> Iterator[Execute]:
    """One task after the other."""
    del rows

    def execute(tasks: Sequence[Task]) -> Iterator[Answer]:
        yield from supervise(ThisProcess(), tasks, limits)

    yield execute
