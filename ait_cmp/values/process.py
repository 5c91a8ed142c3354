"""Which process of a distributed run dumped a folder, as `rank.json` in it says."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ProcessRecord"]

_MOST_RANKS = 1_000_000  # a world of more is a damaged file
_COUNTS = ("rank", "local_rank", "world_size")


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process: `process` is the same in all folders that it wrote, and in no other's.

    `rank`, `local_rank` and `world_size` are None where nothing told them; `started` is in
    milliseconds since 1970.
    """

    process: str
    started: int = 0
    rank: int | None = None
    local_rank: int | None = None
    world_size: int | None = None

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ProcessRecord | None:
        """What such a file says; None where it is none."""
        try:
            found = json.loads(text, parse_int=_number)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or not isinstance(found.get("process"), str):
            return None
        rank, local_rank, size = (_count(found.get(key)) for key in _COUNTS)
        world_size = size if size and size <= _MOST_RANKS else None
        started = _count(found.get("started")) or 0
        return cls(found["process"], started, rank, local_rank, world_size)


def _number(digits: str) -> int | None:
    return int(digits) if len(digits) < 19 else None


def _count(value: Any) -> int | None:
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and value >= 0 else None
