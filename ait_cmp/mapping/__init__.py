"""Who is compared with whom.

To add a mapping: one module with a function from a `Wish` to list[Pair], one row in `MAPPINGS`,
one file in `conf/mapping/`. Every entry becomes exactly one pair, with its error where it cannot
be compared; only what is wrong with the whole is a UsageError.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ait_cmp.files import exists, is_folder
from ait_cmp.mapping import references
from ait_cmp.mapping.adapting import with_adapters
from ait_cmp.mapping.checkpoint_index import is_index
from ait_cmp.mapping.golden_metadata import has_metadata, metadata_pairs
from ait_cmp.mapping.listing import Folder
from ait_cmp.mapping.masks import with_masks
from ait_cmp.mapping.matching import name_pairs, rule_pairs, tree_pairs
from ait_cmp.mapping.pair_list import listed_pairs
from ait_cmp.mapping.same_files import of_two_files
from ait_cmp.mapping.selecting import select
from ait_cmp.mapping.selection import PathMap, Selection, Wish, damage_of, names_within
from ait_cmp.mapping.two_files import file_pairs
from ait_cmp.source import is_tensor_path, split_name
from ait_cmp.values.errors import PairError, UsageError
from ait_cmp.values.pair import Pair

__all__ = [
    "MAPPINGS",
    "PathMap",
    "Selection",
    "Wish",
    "map_pairs",
    "select",
    "with_adapters",
    "with_masks",
    "with_references",
]

_LOGGER = logging.getLogger(__name__)


def map_pairs(kind: str, wish: Wish) -> list[Pair]:
    """The pairs of the mapping `kind`. Raises UsageError for what cannot be mapped at all."""
    try:
        _refuse_missing(wish)
        _refuse_rounds(kind, wish)
        pairs = MAPPINGS[kind](wish)
    except PairError as exc:  # of a path that the user names, not of an entry
        raise UsageError(exc.sentence) from exc
    return pairs if wish.allow_same else of_two_files(pairs)


def with_references(pairs: Sequence[Pair], kind: str, wish: Wish, path: str) -> list[Pair]:
    """`pairs` with what the trusted run at `path` has of their golden tensors. Raises UsageError
    where it has nothing."""
    return references.with_references(pairs, map_pairs, kind, wish, path)


def _refuse_missing(wish: Wish) -> None:
    """Before the golden path is asked for what is only there without a my path."""
    golden, my = (path and split_name(path)[0] for path in (wish.golden_path, wish.my_path))
    if golden and my and exists(golden) and not exists(my):
        raise UsageError(f"my_path={wish.my_path} does not exist")


def _refuse_rounds(kind: str, wish: Wish) -> None:
    if wish.rounds and kind not in ("auto", "tree", "rules", "names"):
        raise UsageError(
            f"rounds={wish.rounds.text} says nothing to mapping={kind}, whose entries name both "
            "files; leave it out, or compare two folders with mapping=tree"
        )


def _auto(wish: Wish) -> list[Pair]:
    """The mapping that the two paths suggest."""
    chosen = _suggested(wish)
    _refuse_rounds(chosen, wish)
    pairs = MAPPINGS[chosen](replace(wish, may_guess=True))
    _LOGGER.info("compared by mapping=%s, as the paths suggest", chosen)
    return pairs


def _suggested(wish: Wish) -> str:
    golden_path, my_path = wish.golden_path, wish.my_path
    if is_index(golden_path) or (is_tensor_path(golden_path) and not is_folder(golden_path)):
        return "files"
    if Path(golden_path).suffix.lower() in (".yaml", ".yml", ".csv"):
        return "pairs"
    two_dumps = my_path and is_folder(golden_path) and _may_hold_many(my_path)
    return "tree" if two_dumps and not has_metadata(Folder(golden_path)) else "metadata"


def _may_hold_many(path: str) -> bool:
    """Whether there are tensors by name at `path`, or would be if it were not damaged."""
    return is_folder(path) or bool(names_within(path)) or bool(damage_of(path))


MAPPINGS: dict[str, Callable[[Wish], list[Pair]]] = {
    "auto": _auto,
    "metadata": metadata_pairs,
    "files": file_pairs,
    "tree": tree_pairs,
    "pairs": listed_pairs,
    "rules": rule_pairs,
    "names": name_pairs,
}
