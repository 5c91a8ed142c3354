"""Where a cluster is asked for: the module that does it is imported then, since it takes long."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ait_cmp.measuring.executor.base import Execute, WorkerLimits

__all__ = ["keep_cluster", "run_on_cluster"]


def run_on_cluster(limits: WorkerLimits, rows: int = 0) -> AbstractContextManager[Execute]:
    """As `ray_cluster.run_on_ray`."""
    from ait_cmp.measuring.executor.ray_cluster import run_on_ray

    return run_on_ray(limits, rows)


def keep_cluster() -> AbstractContextManager[None]:
    """As `ray_cluster.kept_cluster`."""
    from ait_cmp.measuring.executor.ray_cluster import kept_cluster

    return kept_cluster()
