"""Which executors the fast suite runs: all but that of clusters, whose suite is tests_ray."""

from __future__ import annotations

from ait_cmp.measuring.executor import EXECUTORS

__all__ = ["HERE"]

HERE = [name for name in EXECUTORS if name != "ray"]
