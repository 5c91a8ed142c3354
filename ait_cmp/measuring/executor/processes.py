"""Worker processes: one that dies takes one row with it, at most."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker, spawn
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import TYPE_CHECKING, Any, TypeVar

from ait_cmp.measuring.executor.base import Answer, Execute, WorkerLimits, measured_rows
from ait_cmp.measuring.executor.supervision import Failure, Workers, supervise
from ait_cmp.measuring.plan import Task
from ait_cmp.values.errors import Reason

if TYPE_CHECKING:
    from pebble import ProcessPool

__all__ = ["WorkerPool", "prepare", "run_in_processes", "worker_count", "worker_pool"]

T = TypeVar("T")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def run_in_processes(limits: WorkerLimits, rows: int = 0) -> Iterator[Execute]:
    """Worker processes of this machine."""
    del rows
    with worker_pool(limits) as pool:

        def execute(tasks: Sequence[Task]) -> Iterator[Answer]:
            yield from supervise(pool, tasks, limits)

        yield execute


@contextmanager
def worker_pool(limits: WorkerLimits) -> Iterator[WorkerPool]:
    """A pool of workers, each with one thread, forked from a server that has imported all."""
    from pebble import ProcessPool  # not where this process does the work: it takes long

    prepare()
    with _one_thread_each():
        pool = ProcessPool(worker_count(limits), 0, _begin, (limits.memory,), _Context())
        try:
            yield WorkerPool(pool, limits)
            pool.close()  # type: ignore[no-untyped-call]
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.join()


def prepare() -> None:
    """Start the server that forks the workers, which imports for a second, if it does not run."""
    # What reads buckets takes a second to import, and was imported where there are any.
    far = [name for name in ("s3fs", "fsspec.implementations.http") if name in sys.modules]
    forkserver.set_forkserver_preload(["ait_cmp.measuring.executor.worker", *far])
    resource_tracker.ensure_running()  # before, since it lets interrupts through when it starts
    with _one_thread_each(), _interrupts_wait():
        forkserver.ensure_running()


def worker_count(limits: WorkerLimits) -> int:
    """How many workers there are."""
    return limits.workers or len(os.sched_getaffinity(0))


class WorkerPool(Workers):
    """Workers that answer in the order in which they are asked, each one task at a time."""

    def __init__(self, pool: ProcessPool, limits: WorkerLimits) -> None:
        self._pool, self._limits = pool, limits

    @property
    def width(self) -> int:
        return 2 * worker_count(self._limits)

    def submit(self, task: Task) -> Future[list[bytes]]:
        return self.run(measured_rows, task.requests, not task.alone)

    def run(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """What `work` gives of `arguments`, in a worker."""
        future: Future[T] = self._pool.schedule(work, arguments, timeout=self._limits.row_timeout)
        return future

    def failure(self, error: BaseException) -> Failure | None:
        from pebble import ProcessExpired

        if isinstance(error, TimeoutError):
            return Failure(Reason.ROW_TIMEOUT)
        if not isinstance(error, ProcessExpired):
            return None
        if error.exitcode == -signal.SIGBUS:
            return Failure(Reason.IN_TRUNCATED)
        return Failure(Reason.ROW_KILLED, _cause(error.exitcode))


def _cause(exitcode: int) -> str:
    return f"by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit status {exitcode}"


def _begin(memory: int | None) -> None:
    """What a worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


class _Worker(ForkServerProcess):
    """A process that does not import the script that started it, which may lack a main guard."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  the name is multiprocessing's
        with _main_hidden():
            return ForkServerProcess._Popen(process_obj)


class _Context(ForkServerContext):
    Process = _Worker


@contextmanager
def _main_hidden() -> Iterator[None]:
    """What multiprocessing tells the processes that this thread starts says nothing of __main__."""
    original, thread = spawn.get_preparation_data, threading.get_ident()

    def prepared(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        if threading.get_ident() == thread:
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = original


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C comes after this; processes that are started by it never see one.

    The server that forks the workers would die of it while it imports, with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
