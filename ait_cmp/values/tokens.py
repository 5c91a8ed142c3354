"""Sets of token ids, written `7`, `0-9`, `0-9/2` (every second), joined with `+`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ait_cmp.values.errors import UsageError

__all__ = ["Tokens", "parse_tokens", "row_name"]

_PART = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?:/(\d{1,18}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A union of closed, stepped ranges; `in` tells membership."""

    parts: tuple[range, ...]

    def __contains__(self, token_id: object) -> bool:
        return isinstance(token_id, int) and any(token_id in part for part in self.parts)

    def __str__(self) -> str:
        return "+".join(f"{part[0]}-{part[-1]}/{part.step}" for part in self.parts)


def parse_tokens(text: str) -> Tokens:
    """The set that `text` writes. Raises UsageError for anything else."""
    return Tokens(tuple(_part(part, text) for part in text.replace(" ", "").split("+")))


def _part(part: str, text: str) -> range:
    match = _PART.fullmatch(part)
    if not match and "," in part:
        raise UsageError(
            f"tokens={text}: write tokens={'+'.join(part.split(','))} for all of them, or add -m "
            "for a run of each"
        )
    if not match:
        raise UsageError(
            f"tokens={text!r} is no set of tokens at {part!r}; write 7, 0-9, 0-9/2 or a union 0-3+7"
        )
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or step < 1:
        raise UsageError(f"tokens={text!r} has the empty range {part!r}; write FIRST-LAST upwards")
    return range(first, last + 1, step)


def row_name(data_id: str, token_id: int | None) -> str:
    """What a person calls a row: `token 3 layer2.q`."""
    return data_id if token_id is None else f"token {token_id} {data_id}"
