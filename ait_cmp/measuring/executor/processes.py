"""Supervised worker processes: a worker that dies takes one row with it, at most."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager

from pebble import ProcessExpired, ProcessPool

from ait_cmp.engine.measured import Measured
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits, answer
from ait_cmp.measuring.plan import Task
from ait_cmp.values.errors import PairError, Reason

__all__ = ["run_in_processes", "worth_starting"]

# Measured with scripts/bench.py: what a worker does in a second, and what starting them takes.
_BYTES_PER_SECOND = 2.0e9
_PAIRS_PER_SECOND = 1200
_START_SECONDS = 1.5
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def worth_starting(limits: WorkerLimits, size: int, count: int) -> bool:
    """Whether workers save more time on `size` bytes in `count` pairs than they cost."""
    workers = _workers(limits)
    seconds = size / _BYTES_PER_SECOND + count / _PAIRS_PER_SECOND
    return seconds * (1 - 1 / workers) > _START_SECONDS


@contextmanager
def run_in_processes(limits: WorkerLimits, size: int, count: int) -> Iterator[Execute]:
    """A pool of workers, each with one thread, forked from a server that has imported all."""
    del size, count
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ait_cmp.measuring.executor.worker"])
    with _one_thread_each():
        pool = ProcessPool(_workers(limits), 0, _begin, (limits.memory,), context)

        def run(tasks: Sequence[Task]) -> Iterator[Answer]:
            yield from _supervise(pool, tasks, limits)

        try:
            yield run
            pool.close()  # type: ignore[no-untyped-call]
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.join()


def _supervise(pool: ProcessPool, tasks: Sequence[Task], limits: WorkerLimits) -> Iterator[Answer]:
    """Answers as they come; what a dead worker had is asked again, alone, and then given up."""
    waiting = list(reversed(tasks))
    running: dict[Future[Answer], Task] = {}
    while waiting or running:
        while waiting and len(running) < 2 * _workers(limits):
            task = waiting.pop()
            running[pool.schedule(answer, (task,), timeout=limits.row_timeout)] = task
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            error = future.exception()
            if error is None:
                yield future.result()
            elif _is_second_try(task):
                yield Answer(task, (Measured(error=_reason(error, task, limits)),))
            else:
                waiting += task.alone(mapped=False)


def _is_second_try(task: Task) -> bool:
    return not task.requests[0].mapped


def _reason(error: BaseException, task: Task, limits: WorkerLimits) -> PairError:
    request = task.requests[0]
    where = f"comparing {request.golden} with {request.my}"
    if isinstance(error, TimeoutError):
        return PairError(
            Reason.ROW_TIMEOUT,
            f"{where} took longer than executor.row_timeout={limits.row_timeout:g} seconds, twice; "
            "raise it if the files are just slow to read",
        )
    if isinstance(error, ProcessExpired) and error.exitcode == -signal.SIGBUS:
        return PairError(
            Reason.IN_TRUNCATED, f"a file was truncated while it was read, {where}; dump it again"
        )
    if isinstance(error, ProcessExpired):
        return PairError(
            Reason.ROW_KILLED,
            f"the worker died {where}, twice ({_cause(error.exitcode)}); if memory ran out, use "
            "fewer workers (executor.workers)",
        )
    assert isinstance(error, Exception)
    return as_pair_error(error, where)


def _cause(exitcode: int) -> str:
    return f"by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit status {exitcode}"


def _begin(memory: int | None) -> None:
    """What a worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _workers(limits: WorkerLimits) -> int:
    return limits.workers or len(os.sched_getaffinity(0))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers inherit this environment; one thread each, since there is a worker a core."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
