"""Jobs of a sweep that other processes run: one that dies takes no other with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

__all__ = ["jobs_may_die"]

_GO_ON = "the same command goes on from what it did"
Numbers = Callable[[], Collection[int]]


@contextmanager
def jobs_may_die(launcher: str, ended: Numbers, dead: list[str]) -> Iterator[None]:
    """Meanwhile `launcher` runs each job to its end, and `dead` takes what is said of those that
    died; `ended` tells the numbers of those that did not."""
    with ExitStack() as meanwhile:
        if "submitit" in launcher:
            meanwhile.enter_context(_of_submitit(dead))
        elif "joblib" in launcher:
            meanwhile.enter_context(_of_joblib(ended, dead))
        yield


@contextmanager
def _of_submitit(dead: list[str]) -> Iterator[None]:
    """By itself it waits for no job behind the first that died."""
    from submitit.core.core import Job
    from submitit.core.utils import FailedJobError, UncompletedJobError

    original = Job.results

    def results(job: Any) -> list[Any]:
        try:
            return list(original(job))
        except (FailedJobError, UncompletedJobError):
            number = job.submission().args[2]
            dead.append(
                f"job {number} of the sweep died, in state {job.state}, without a report; "
                f"{job.paths.stderr} says more, and {_GO_ON}"
            )
            return [_told()]

    Job.results = results
    try:
        yield
    finally:
        Job.results = original


@contextmanager
def _of_joblib(ended: Numbers, dead: list[str]) -> Iterator[None]:
    """By itself it ends all jobs with the first that dies, and runs one at a time in this process,
    which then dies with it."""
    from hydra_plugins.hydra_joblib_launcher import _core
    from joblib import effective_n_jobs

    original = _core.launch

    def launch(launcher: Any, job_overrides: Sequence[Any], initial_job_idx: int) -> list[Any]:
        if effective_n_jobs(launcher.joblib["n_jobs"]) > 1:
            try:
                return list(original(launcher, job_overrides, initial_job_idx))
            except BrokenProcessPool:
                pass
        launcher.joblib["n_jobs"] = 2  # with which one job has a process of its own
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if number in ended():
                continue
            try:
                original(launcher, [overrides], number)
            except BrokenProcessPool:
                dead.append(
                    f"job {number} of the sweep died without a report, with no other beside it; "
                    f"{_GO_ON}"
                )
        return [_told() for _ in job_overrides]

    _core.launch = launch
    try:
        yield
    finally:
        _core.launch = original


def _told() -> JobReturn:
    """What a launcher gives back of a job of which the sweep's folder, or `dead`, tells more."""
    return JobReturn(status=JobStatus.COMPLETED, _return_value=None)
