"""How the work is cut: tasks of about equal bytes, whatever the sizes of the pairs.

A large pair becomes several ranges, small pairs go together. The ranges depend on the sizes
of a pair alone, so that every executor adds up the same numbers in the same order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ait_cmp.engine.pairwise import spans
from ait_cmp.engine.request import Request
from ait_cmp.files import confined_to, planned, planned_state
from ait_cmp.source import split_name, tensor_bytes
from ait_cmp.values.errors import PairError
from ait_cmp.values.paths import is_url

__all__ = ["Plan", "Task", "make_plan", "seen_now", "watched"]

TASK_BYTES = 64 << 20  # some tens of milliseconds: enough to hide a task's own cost
TASK_PAIRS = 64  # and so many openings take about as long


@dataclass(frozen=True, slots=True)
class Task:
    """Requests that one worker answers in a row, the pair that each belongs to, and the bytes of
    all; `alone`: asked again, one by one, since a worker failed; `lost`: so often did what answers
    it go, through no fault of the task; `here`: no other machine is asked."""

    pairs: tuple[int, ...]
    requests: tuple[Request, ...]
    size: int = 0
    alone: bool = False
    lost: int = 0
    here: bool = False

    def one_by_one(self) -> list[Task]:
        """The requests of this task as tasks of their own, of as many bytes together."""
        sizes = _shares(self.size, len(self.pairs))
        return [
            Task((pair,), (request,), size, alone=True)
            for pair, request, size in zip(self.pairs, self.requests, sizes, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks, and of the pairs that are cut how many requests each has in them."""

    tasks: tuple[Task, ...]
    parts: Mapping[int, int]


def make_plan(requests: Iterable[tuple[int, Request]]) -> Plan:
    """Tasks for (pair, request); ranges of a pair follow each other, in order."""
    tasks: list[Task] = []
    batch: list[tuple[int, Request]] = []
    filled = 0
    parts: dict[int, int] = {}
    measure = _Sizes()
    for pair, bare in requests:
        size = measure.tensors(bare)
        request = replace(bare, size=measure.files(bare), seen=measure.seen(bare))
        if size > 2 * TASK_BYTES and not bare.look:
            split = list(_split(request))
            sizes = _shares(size, len(split))
            tasks += [Task((pair,), *both) for both in zip(zip(split), sizes, strict=True)]
            parts[pair] = len(split)
            continue
        batch.append((pair, request))
        filled += size
        if filled >= TASK_BYTES or len(batch) == TASK_PAIRS:
            tasks.append(_task(batch, filled))
            batch, filled = [], 0
    if batch:
        tasks.append(_task(batch, filled))
    planned()
    return Plan(tuple(tasks), parts)


def _shares(size: int, count: int) -> list[int]:
    """`size` in so many parts that are as good as equal."""
    return [size * (one + 1) // count - size * one // count for one in range(count)]


def watched(request: Request) -> list[str]:
    """The files whose states `Request.seen` tells; those of URLs are the same everywhere."""
    others = request.look.others if request.look else ()
    files = (file for side in (request.golden, request.my, *others) for file in side.files)
    return [split_name(file)[0] for file in files if not is_url(file)]


def seen_now(requests: Iterable[Request]) -> list[int]:
    """In which state the files of each are, as this machine sees them: what `Request.seen` was when
    the work was planned."""
    return [*map(_Sizes().seen, requests)]


class _Sizes:
    """Bytes of files and of the tensors in them; 0 of what is not there. Each file is asked once,
    however many tensors are in it."""

    def __init__(self) -> None:
        self._of_files: dict[str, tuple[int, int]] = {}  # bytes, and a number for the state

    def files(self, request: Request) -> int:
        """Of the files of `request`."""
        named = (*request.golden.files, *request.my.files)
        return sum(self._file(split_name(one)[0])[0] for one in named)

    def seen(self, request: Request) -> int:
        """The states of its `watched` files as one number."""
        mark = 1
        for path in watched(request):
            mark = (31 * mark + self._file(path)[1]) & 0xFFFFFFFF
        return mark

    def tensors(self, request: Request) -> int:
        """Of its tensors: what measuring it reads."""
        with confined_to(request.roots):
            named = (*request.golden.files, *request.my.files)
            return sum(self._tensor(one) for one in named)

    def _file(self, path: str) -> tuple[int, int]:
        if path not in self._of_files:
            try:
                state = planned_state(path)
                self._of_files[path] = state.size, zlib.crc32(state.version.encode())
            except (OSError, PairError):
                self._of_files[path] = 0, 0
        return self._of_files[path]

    def _tensor(self, location: str) -> int:
        path, name = split_name(location)
        if name is None:
            return self._file(path)[0]
        try:
            return tensor_bytes(location)
        except (OSError, PairError):
            return 0


def _task(batch: Sequence[tuple[int, Request]], size: int) -> Task:
    pairs, requests = zip(*batch, strict=True)
    return Task(pairs, requests, size)


def _split(request: Request) -> Iterator[Request]:
    try:
        found = spans(request)
    except Exception:
        found = []  # what is wrong with it is found again, and told, where it is measured
    if not found:
        yield request
    for span in found:
        yield replace(request, span=span)
