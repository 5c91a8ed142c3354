"""The tensors of one rank by round, opened as they are asked for: their sizes and token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ait_cmp.engine.adapters import open_location
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.source import Array, Source
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import Location

__all__ = ["RoundsOfRank"]

_MOST_IDS = 1 << 16


@dataclass(slots=True)
class RoundsOfRank:
    """The tensors of one rank by name and round; each is opened once."""

    tensors: Mapping[tuple[str, int], DumpedTensor]
    rounds: list[int]
    _opened: dict[tuple[str, int], Source | None] = field(default_factory=dict)

    @classmethod
    def of(cls, rank: RankDump) -> RoundsOfRank:
        """Those of `rank` that have a round and can be read."""
        tensors = {
            (one.name, one.token_id): one
            for one in rank.tensors
            if one.token_id is not None and not one.error
        }
        return cls(tensors, sorted({token for _, token in tensors}))

    def size(self, name: str, token: int) -> int | None:
        """How many elements it has; None where that is not known."""
        source = self._source(name, token)
        return source.elements if source else None

    def ids(self, name: str, token: int) -> Array | None:
        """Its elements, where they are few whole numbers."""
        source = self._source(name, token)
        if not source or source.dtype.name not in ("int32", "int64"):
            return None
        if source.elements > _MOST_IDS:
            return None
        try:
            return source.read(0, source.elements).astype(np.int64)
        except (PairError, OSError):
            return None

    def _source(self, name: str, token: int) -> Source | None:
        key = name, token
        if key not in self._opened:
            listed = self.tensors.get(key)
            try:
                location = Location(listed.files, listed.steps) if listed else None
                self._opened[key] = open_location(location) if location else None
            except (PairError, OSError):
                self._opened[key] = None
        return self._opened[key]
