"""How the tensor of a row was called by older versions, which globs of theirs still match."""

from __future__ import annotations

from ait_cmp.dump_tree import former_data_id
from ait_cmp.values.pair import Pair

__all__ = ["former_name", "pair_names"]


def former_name(pair: Pair) -> str:
    """The name by its place in the dump; empty where it has no other than its data_id."""
    files = pair.golden.files or pair.my.files
    former = former_data_id(files[0]) if files else None
    return former if former and former != pair.data_id else ""


def pair_names(pair: Pair) -> tuple[str, ...]:
    """All that its row may be called by."""
    former = former_name(pair)
    return (pair.data_id, former) if former else (pair.data_id,)
