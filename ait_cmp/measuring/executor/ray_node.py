"""What runs on a node of a Ray cluster: worker processes, held to limits as on one machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ait_cmp.engine.request import Request
from ait_cmp.files import exists
from ait_cmp.measuring.executor.base import WorkerLimits, measured_rows
from ait_cmp.measuring.executor.processes import worker_pool
from ait_cmp.measuring.executor.supervision import Failure
from ait_cmp.measuring.plan import seen_now, watched

__all__ = ["NodeWorkers", "Reply", "Unseen"]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Of a task the requests, by their places, of which this node sees other files, or none; the
    first such file, and whether there is one."""

    places: tuple[int, ...]
    path: str
    there: bool


Reply = list[bytes] | Unseen | Failure | Exception


class NodeWorkers:
    """The workers of one node, and their answers as values: nothing is raised on the way home."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(worker_pool(limits))

    async def measure(self, requests: Sequence[Request], mapped: bool) -> Reply:
        """The packed rows, or what became of the worker."""
        try:
            return await asyncio.wrap_future(self._pool.run(_rows_if_seen, requests, mapped))
        except Exception as exc:
            return self._pool.failure(exc) or exc

    def stop(self) -> None:
        """End all workers, whatever they do."""
        with suppress(SystemExit):
            self._stack.__exit__(SystemExit, SystemExit(), None)


def _rows_if_seen(requests: Sequence[Request], mapped: bool) -> list[bytes] | Unseen:
    """The rows, if all are of the files that were planned for: a folder of the same name on this
    node may hold another run, whose rows would look right."""
    rows = measured_rows(requests, mapped)
    now = seen_now(requests)
    places = tuple(
        place for place, one in enumerate(requests) if one.seen and one.seen != now[place]
    )
    return _unseen(places, requests[places[0]]) if places else rows


def _unseen(places: tuple[int, ...], request: Request) -> Unseen:
    paths = watched(request)
    missing = next((path for path in paths if not exists(path)), None)
    return Unseen(places, missing or paths[0], there=missing is None)
