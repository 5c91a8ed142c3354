"""Many requests to stores at a time, each again until it succeeds or its time is over."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ait_cmp.values.errors import PairError

__all__ = ["TransientError", "in_background", "persistent"]

# So many requests at a time fill a link of 10 Gbit/s where each takes 100 ms and asks for 8 MiB.
_AT_ONCE = 16
_STACK = 512 << 10  # bytes of a thread: its share of executor.memory_limit
_DEADLINE = 60.0  # seconds from the first try of a request to the start of its last
_FIRST_DEADLINE = 15.0  # the same where a store never answered: its name may be wrong
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds between two tries

Answer = TypeVar("Answer")


class TransientError(Exception):
    """A request that may succeed when it is made again; `error` is what to say when it does not."""

    def __init__(self, error: PairError) -> None:
        super().__init__(error)
        self.error = error


class _Patience:
    """Which stores are waited for: one that did not answer within a deadline is asked once for each
    request from then on, until it answers, so that ten thousand rows do not wait one by one."""

    def __init__(self) -> None:
        self._answers: dict[str, bool] = {}

    def deadline(self, store: str) -> float:
        """How many seconds to wait for it."""
        answers = self._answers.get(store)
        if answers is None:
            return min(_FIRST_DEADLINE, _DEADLINE)
        return _DEADLINE if answers else 0.0

    def note(self, store: str, *, answered: bool) -> None:
        """Whether it answered."""
        self._answers[store] = answered


_PATIENCE = _Patience()


def persistent(store: str, request: Callable[[], Answer]) -> Answer:
    """What `request` to `store` answers, asked again while that may help. Raises what it raises,
    and in the end the PairError of its TransientError."""
    end, wait = time.monotonic() + _PATIENCE.deadline(store), _FIRST_WAIT
    while True:
        try:
            answer = request()
        except TransientError as exc:
            if time.monotonic() + wait > end:
                _PATIENCE.note(store, answered=False)
                raise exc.error from exc
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - not all at once
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            _PATIENCE.note(store, answered=True)
            return answer


def in_background(request: Callable[[], Answer]) -> Future[Answer]:
    """The answer to come of `request`, which waits while many others are under way."""
    return _threads(os.getpid()).submit(request)


@functools.cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Those of this process: a fork has none."""
    del process
    before = threading.stack_size(_STACK)
    try:
        threads = ThreadPoolExecutor(_AT_ONCE, "ait_cmp-fetch")
        together = threading.Barrier(_AT_ONCE)  # else the first would do it all, and start no other
        for one in [threads.submit(together.wait) for _ in range(_AT_ONCE)]:
            one.result()
        return threads
    finally:
        threading.stack_size(before)
