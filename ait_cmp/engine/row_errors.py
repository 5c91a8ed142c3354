"""What went wrong with a pair, as the reason of its row."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ait_cmp.files import look_at
from ait_cmp.values.errors import PairError, Reason, os_reason

__all__ = ["as_pair_error", "changed", "dated"]

_LOGGER = logging.getLogger(__name__)
# What a file that is half written is taken for, and for how many seconds one may be.
_UNFINISHED = ("_TRUNCATED", "_MALFORMED", "_INCONSISTENT", "_TRAILING", "_CHANGED")
_RECENT = 60


def as_pair_error(error: Exception, where: str) -> PairError:
    """Whatever went wrong as the reason of one row."""
    if isinstance(error, PairError):
        return error
    if isinstance(error, OSError):
        return PairError(Reason.FILE_UNREADABLE, f"{where} cannot be read: {os_reason(error)}")
    if isinstance(error, MemoryError):
        return PairError(
            Reason.ROW_MEMORY,
            f"{where} needs more memory than there is, or than executor.memory_limit allows",
        )
    _LOGGER.debug("unexpected error at %s", where, exc_info=error)
    return PairError(
        Reason.INTERNAL,
        f"ait_cmp failed on {where} ({type(error).__name__}: {error}); please report this",
    )


def changed(golden: object, my: object) -> PairError:
    """One of these files was written to meanwhile."""
    return PairError(
        Reason.IN_CHANGED,
        f"{golden} or {my} changed while it was read; wait until the dump is complete and compare "
        "again",
    )


def dated(error: PairError, paths: Sequence[str]) -> PairError:
    """`error`, saying so where its file, one of `paths`, is so new that it may still be written."""
    if not str(error.reason).endswith(_UNFINISHED):
        return error
    for path in paths:
        try:
            found = look_at(path)
        except PairError:
            continue
        age = time.time() - found.modified if found else -1
        if 0 <= age < _RECENT and path in error.sentence:
            return PairError(
                error.reason,
                f"{error.sentence} ({path} was written {age:.0f} s ago: if the dump still runs, "
                "wait for its end)",
            )
    return error
