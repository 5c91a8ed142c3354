"""Folders that one process alone writes to."""

from __future__ import annotations

import itertools
from pathlib import Path

__all__ = ["claim"]


def claim(stem: Path, inner: str = "") -> Path:
    """A new folder `stem`/`inner` that no other process has or had.

    A PID comes again, and containers on one shared folder have the same; the first to make
    the folder owns it, the next takes `stem`_1.
    """
    for attempt in itertools.count():
        folder = Path(f"{stem}_{attempt}" if attempt else stem, inner)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
