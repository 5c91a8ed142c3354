"""Jobs of a sweep that other processes run: one that dies takes no other with it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from ait_cmp.values.errors import ReportError

__all__ = ["died", "jobs_may_die"]

_GO_ON = "the same command goes on from what it did"


@contextmanager
def jobs_may_die(launcher: str, dead: list[str]) -> Iterator[None]:
    """Meanwhile a `launcher` of submitit waits for each job, and `dead` takes what is said of those
    that died: by itself it waits for none behind the first of them."""
    if "submitit" not in launcher:
        yield
        return
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
            return [JobReturn(status=JobStatus.COMPLETED, _return_value=None)]

    Job.results = results
    try:
        yield
    finally:
        Job.results = original


def died(error: Exception) -> ReportError | None:
    """What `error` says of a job that died; None where it says nothing of one."""
    if not isinstance(error, BrokenProcessPool):  # joblib's, which ends them all
        return None
    return ReportError(
        "a process of the sweep died without a report, and the jobs behind it with it; if memory "
        f"ran out, run fewer at a time (hydra.launcher.n_jobs); {_GO_ON}"
    )
