"""What the fork server imports before it forks workers, so that none of them waits for it."""

from __future__ import annotations

from ait_cmp.engine import pairwise
from ait_cmp.engine.kernel.compiled import load
from ait_cmp.source import npy, pth

__all__ = ["npy", "pairwise", "pth"]

# Loaded, or compiled, once and here, so that no row's time is spent on it.
load()
