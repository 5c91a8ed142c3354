"""What the fork server imports before it forks workers, so that none of them waits for it."""

from __future__ import annotations

import sys
from types import TracebackType

from ait_cmp.engine import pairwise
from ait_cmp.engine.kernel.compiled import load
from ait_cmp.source import npy, pth

__all__ = ["npy", "pairwise", "pth"]


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Why a worker could not begin; one whose compare is over meanwhile has nothing to say."""
    if not isinstance(error, FileNotFoundError | ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)


# With this the server tells what happens before a worker takes its first task.
sys.excepthook = _tell

# Loaded, or compiled, once and here, so that no row's time is spent on it.
load()
