"""Where the work runs. An executor is a context manager that yields an `Execute` over tasks.

To add an executor: one module that says how a task is submitted and how a failure looks (see
`supervision`), one row in `EXECUTORS`, one file in `conf/executor/`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ait_cmp.measuring.executor.automatic import run_where_it_pays
from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits
from ait_cmp.measuring.executor.cluster import keep_cluster, run_on_cluster
from ait_cmp.measuring.executor.processes import run_in_processes
from ait_cmp.measuring.executor.serial import run_serially

__all__ = ["EXECUTORS", "Answer", "Execute", "Executor", "WorkerLimits"]

_OF_WORKERS = ("workers", "row_timeout", "memory_limit")
_OF_CLUSTER = (*_OF_WORKERS, "address")


@dataclass(frozen=True, slots=True)
class Executor:
    """How it is entered (with how many rows there are to be at least, so that it can begin to
    prepare), and which settings of `executor` it heeds; the others are refused. Within `kept` what
    is dear to start serves every execution, and ends with it."""

    start: Callable[[WorkerLimits, int], AbstractContextManager[Execute]]
    heeds: tuple[str, ...] = ()
    kept: Callable[[], AbstractContextManager[None]] = nullcontext


EXECUTORS: dict[str, Executor] = {
    "auto": Executor(run_where_it_pays, heeds=_OF_WORKERS),
    "serial": Executor(run_serially),
    "processes": Executor(run_in_processes, heeds=_OF_WORKERS),
    "ray": Executor(run_on_cluster, heeds=_OF_CLUSTER, kept=keep_cluster),
}
