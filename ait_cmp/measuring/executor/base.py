"""What every executor takes and yields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ait_cmp.engine.pairwise import measure_requests
from ait_cmp.engine.request import Request
from ait_cmp.measuring.plan import Task
from ait_cmp.measuring.row import pack_row

__all__ = ["Answer", "Execute", "WorkerLimits", "measured_rows"]


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a task may take: seconds and bytes; None is no limit. `workers` None: all cores.
    `address` is where a cluster is joined; None: everything runs on this machine."""

    workers: int | None = None
    row_timeout: float | None = None
    memory: int | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task gave: one packed row for each of its requests; of a cluster, on which node."""

    task: Task
    rows: Sequence[bytes]
    node: str = ""


class Execute(Protocol):
    """Answers to tasks, as they come: each request is answered once, whatever happens."""

    def __call__(self, tasks: Sequence[Task], /) -> Iterator[Answer]: ...


def measured_rows(requests: Sequence[Request], mapped: bool) -> list[bytes]:
    """What `requests` ask for, measured in this process and packed."""
    measured = measure_requests(requests, mapped=mapped)
    return [pack_row(*both) for both in zip(requests, measured, strict=True)]
