"""Entries that a later one with the same key replaces."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ait_cmp.values.errors import PairError, Reason

__all__ = ["duplicate", "superseded"]


def superseded(keys: Sequence[Hashable]) -> list[bool]:
    """Which of `keys` come again later; None is no key."""
    newest = {key: place for place, key in enumerate(keys) if key is not None}
    return [key is not None and newest[key] != place for place, key in enumerate(keys)]


def duplicate(data_id: str, token_id: int | None) -> PairError:
    """The error of an entry that a later one replaces."""
    what = repr(data_id) if token_id is None else f"token {token_id} of {data_id!r}"
    return PairError(
        Reason.ENTRY_DUPLICATE, f"{what} is recorded more than once; only the last is compared"
    )
