"""Worker processes where they pay, else this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits
from ait_cmp.measuring.executor.processes import prepare, run_in_processes, worker_count
from ait_cmp.measuring.executor.serial import run_serially
from ait_cmp.measuring.plan import Task

__all__ = ["run_where_it_pays", "worth_starting"]

# Measured with scripts/bench.py: what a worker does in a second, and what starting them takes.
_BYTES_PER_SECOND = 2.0e9
_PAIRS_PER_SECOND = 3500
_START_SECONDS = 0.8


@contextmanager
def run_where_it_pays(limits: WorkerLimits, rows: int) -> Iterator[Execute]:
    """Choose by the tasks that are left to do."""
    if worth_starting(limits, 0, rows):  # whatever their size
        prepare()
    with ExitStack() as stack:

        def execute(tasks: Sequence[Task]) -> Iterator[Answer]:
            size = sum(task.size for task in tasks)
            count = sum(len(task.requests) for task in tasks)
            # Only a worker can be held to a limit of memory.
            pays = limits.memory is not None or worth_starting(limits, size, count)
            run = run_in_processes if pays else run_serially
            yield from stack.enter_context(run(limits))(tasks)

        yield execute


def worth_starting(limits: WorkerLimits, size: int, count: int) -> bool:
    """Whether workers save more time on `size` bytes in `count` pairs than they cost."""
    workers = worker_count(limits)
    seconds = size / _BYTES_PER_SECOND + count / _PAIRS_PER_SECOND
    return seconds * (1 - 1 / workers) > _START_SECONDS
