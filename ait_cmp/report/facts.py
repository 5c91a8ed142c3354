"""Facts of the run that a report is of."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import ait_cmp

__all__ = ["Facts", "facts_since"]

_COMPUTING = ("numpy", "numba", "polars", "torch")  # whose versions may change a number


@dataclass(frozen=True, slots=True)
class Facts:
    """Which code ran, with which settings (their names and values as text), where and when.

    `started` is in UTC, and None where nothing is known of the run.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None
    seconds: float = 0.0


def facts_since(started: datetime, settings: Mapping[str, str]) -> Facts:
    """The facts of a run in this process that began at `started` and ends now."""
    return Facts(
        versions=_versions(),
        settings=dict(settings),
        machine={
            "system": platform.platform(),
            "architecture": platform.machine(),
            "cores": str(os.cpu_count()),
            "name": platform.node(),
        },
        started=started.astimezone(UTC),
        seconds=max(0.0, (datetime.now(UTC) - started).total_seconds()),
    )


def _versions() -> dict[str, str]:
    found = {"ait_cmp": ait_cmp.__version__, "python": platform.python_version()}
    for name in _COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a build without its metadata
            continue
    return found
