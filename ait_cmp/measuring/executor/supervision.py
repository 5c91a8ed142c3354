"""What becomes of a task whose worker fails: asked again, row by row, then given up with a reason.

An executor says how a task is submitted and how a failure looks; all else is the same for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Protocol

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.measuring.executor.base import Answer, WorkerLimits
from ait_cmp.measuring.plan import Task
from ait_cmp.measuring.row import pack_row
from ait_cmp.values.errors import PairError, Reason

__all__ = ["Failure", "Workers", "supervise"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What happened to a worker: ROW_TIMEOUT, ROW_KILLED or IN_TRUNCATED, and what killed it; or
    NODE_NO_FILE, and which node sees no such file."""

    reason: Reason
    cause: str = ""


class Workers(Protocol):
    """Where an executor sends tasks."""

    @property
    def width(self) -> int:
        """How many tasks to hand out ahead, so that no worker waits for one."""

    def submit(self, task: Task, /) -> Future[list[bytes]]:
        """The packed rows to come; of a task that is `alone`, files are read and not mapped."""

    def failure(self, error: BaseException, /) -> Failure | None:
        """What `error` of a future says of the worker; None: it is of the task itself."""

    def again(self, task: Task, error: BaseException, /) -> Sequence[Task]:
        """What of `task` is sent once more, since `error` is no fault of it; nothing: it may be."""
        del task, error
        return ()

    def node(self, future: Future[list[bytes]], /) -> str:
        """Where `future` was answered; of one machine nobody asks."""
        del future
        return ""


def supervise(workers: Workers, tasks: Sequence[Task], limits: WorkerLimits) -> Iterator[Answer]:
    """Answers as they come, one for each request of `tasks`, whatever happens."""
    waiting = list(reversed(tasks))
    running: dict[Future[list[bytes]], Task] = {}
    while waiting or running:
        while waiting and len(running) < workers.width:
            task = waiting.pop()
            running[workers.submit(task)] = task
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            error = future.exception()
            if error is None:
                yield Answer(task, future.result(), workers.node(future))
            elif again := workers.again(task, error):
                waiting += again
            elif task.alone:
                yield _given_up(task, _reason(error, workers.failure(error), task, limits))
            else:
                waiting += task.one_by_one()


def _given_up(task: Task, error: PairError) -> Answer:
    return Answer(task, [pack_row(one, Measured(error=error)) for one in task.requests])


def _reason(
    error: BaseException, failure: Failure | None, task: Task, limits: WorkerLimits
) -> PairError:
    request = task.requests[0]
    where = f"comparing {request.golden} with {request.my}"
    if failure is None:
        assert isinstance(error, Exception)
        return as_pair_error(error, where)
    sentences = {
        Reason.ROW_TIMEOUT: f"{where} took longer than executor.row_timeout="
        f"{limits.row_timeout or 0:g} seconds, twice; raise it if the files are just slow to read",
        Reason.IN_TRUNCATED: f"a file was truncated while it was read, {where}; dump it again",
        Reason.ROW_KILLED: f"the worker died {where}, twice ({failure.cause}); if memory ran out, "
        "use fewer workers (executor.workers)",
        Reason.NODE_NO_FILE: f"{failure.cause}, {where}; every node must have the same storage at "
        "the same place: mount it there",
    }
    return PairError(failure.reason, sentences[failure.reason])
