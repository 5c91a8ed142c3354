"""Where files may be opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from ait_cmp.values.paths import is_url, normal

__all__ = ["allowed_roots", "confined_to"]

# Real paths of the folders below which files may be opened; None: anywhere.
_roots: ContextVar[tuple[str, ...] | None] = ContextVar("allowed_roots", default=None)


@contextmanager
def confined_to(roots: Sequence[str] | None) -> Iterator[None]:
    """While this holds, nothing outside the folders `roots` is opened (None: no bounds)."""
    real = None if roots is None else tuple(map(_real, roots))
    token = _roots.set(real)
    try:
        yield
    finally:
        _roots.reset(token)


def _real(root: str) -> str:
    return normal(root) if is_url(root) else os.path.realpath(root)


def allowed_roots() -> tuple[str, ...] | None:
    """The real paths that `confined_to` allows here; None: all."""
    return _roots.get()
