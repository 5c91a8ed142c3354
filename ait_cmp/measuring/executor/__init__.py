"""Where the work runs. An executor is a context manager that yields a `run` over tasks.

To add an executor: one module with a context manager, one row in `EXECUTORS`, one file in
`conf/executor/`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits
from ait_cmp.measuring.executor.processes import run_in_processes, worth_starting
from ait_cmp.measuring.executor.serial import run_serially

__all__ = ["EXECUTORS", "Answer", "Execute", "WorkerLimits"]

Executor = Callable[[WorkerLimits, int, int], AbstractContextManager[Execute]]


def _auto(limits: WorkerLimits, size: int, count: int) -> AbstractContextManager[Execute]:
    """Worker processes where they save more than their start costs, else this process."""
    chosen = run_in_processes if worth_starting(limits, size, count) else run_serially
    return chosen(limits, size, count)


EXECUTORS: dict[str, Executor] = {
    "auto": _auto,
    "serial": run_serially,
    "processes": run_in_processes,
}
