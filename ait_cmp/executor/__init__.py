"""Where the work runs. An executor is a context manager that yields a `map`.

To add an executor: one module with a context manager, one row in `EXECUTORS`, one file in
`conf/executor/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

__all__ = ["EXECUTORS", "Map"]

T = TypeVar("T")
R = TypeVar("R")


class Map(Protocol):
    """Results of a function over tasks, in the order of the tasks, as they come."""

    def __call__(self, function: Callable[[T], R], tasks: Iterable[T], /) -> Iterator[R]: ...


@contextmanager
def serial() -> Iterator[Map]:
    """Everything in this process: the builtin `map`, so that debugging needs no pool."""
    yield map


EXECUTORS: dict[str, Callable[[], AbstractContextManager[Map]]] = {"serial": serial}
