"""Who is compared with whom.

To add a mapping: one module with a function from a `Wish` to list[Pair], one row in `MAPPINGS`,
one file in `conf/mapping/`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ait_cmp.mapping.golden_metadata import has_metadata, metadata_pairs
from ait_cmp.mapping.listed import listed_pairs
from ait_cmp.mapping.matching import rule_pairs, tree_pairs
from ait_cmp.mapping.selection import PathMap, Selection, Wish
from ait_cmp.mapping.two_files import file_pair
from ait_cmp.source import is_tensor_path
from ait_cmp.values.pair import Pair

__all__ = ["MAPPINGS", "PathMap", "Selection", "Wish"]

_LOGGER = logging.getLogger(__name__)


def _auto(wish: Wish) -> list[Pair]:
    """The mapping that the two paths suggest."""
    chosen = _suggested(wish)
    pairs = MAPPINGS[chosen](wish)
    _LOGGER.info("compared by mapping=%s, as the paths suggest", chosen)
    return pairs


def _suggested(wish: Wish) -> str:
    golden = Path(wish.golden_path)
    if is_tensor_path(wish.golden_path) and not golden.is_dir():
        return "files"
    if golden.suffix.lower() in (".yaml", ".yml", ".csv"):
        return "pairs"
    if (
        wish.my_path
        and Path(wish.my_path).is_dir()
        and golden.is_dir()
        and not has_metadata(golden)
    ):
        return "tree"
    return "metadata"


MAPPINGS: dict[str, Callable[[Wish], list[Pair]]] = {
    "auto": _auto,
    "metadata": metadata_pairs,
    "files": file_pair,
    "tree": tree_pairs,
    "pairs": listed_pairs,
    "rules": rule_pairs,
}
