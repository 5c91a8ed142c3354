"""Interrupts that something in between made another exception of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["told_as_interrupts"]


@contextmanager
def told_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for what an interrupt made a library raise instead: its clearing up
    may fail on what is half made."""
    try:
        yield
    except BaseException as exc:
        if _interrupted(exc):
            raise KeyboardInterrupt from exc
        raise


def _interrupted(exc: BaseException | None) -> bool:
    while exc and not isinstance(exc, KeyboardInterrupt):
        exc = exc.__context__
    return exc is not None
