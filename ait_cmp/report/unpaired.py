"""Rows that have one side only, in groups of what they are called: one line, not a hundred."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["UnpairedGroup", "group_unpaired"]

_SPLIT = re.compile(r"[/.,#]|::")
_ORDINAL = re.compile(r"^\d+_(?=\D)")
# What names of tensors have behind the module: which of its tensors, and when.
_OPERAND = re.compile(
    r"(in|out)(tensor)?\d*|before|after|\d+|forward|backward|inputs?|outputs?|kwargs|parameters"
    r"|weight|bias|\w+=.*"
)
_MSPROBE = re.compile(r"(.+)\.\w+\.(forward|backward)\.\d+\..+")


@dataclass(frozen=True, slots=True)
class UnpairedGroup:
    """So many rows of one side, whose names fit `glob` (of one alone: is that), have nothing of the
    other."""

    there: str
    without: str
    glob: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} {self.there} without {self.without}: {self.glob}"


def group_unpaired(rows: Iterable[tuple[str, bool]]) -> tuple[UnpairedGroup, ...]:
    """The groups of (data_id, whether my is what is missing), golden's first, the largest first."""
    groups: dict[tuple[bool, str], Counter[str]] = {}
    for data_id, no_my in rows:
        groups.setdefault((no_my, _glob(data_id)), Counter())[data_id] += 1
    found = [
        UnpairedGroup(
            *(("golden", "my") if no_my else ("my", "golden")),
            next(iter(names)) if len(names) == 1 else glob,
            names.total(),
        )
        for (no_my, glob), names in groups.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.there, -one.count, one.glob)))


def _glob(data_id: str) -> str:
    """`*q_proj*` of a tensor of a module of this name, wherever in the model it is."""
    module = _MSPROBE.fullmatch(data_id)
    words = [_ORDINAL.sub("", word) for word in _SPLIT.split(module[1] if module else data_id)]
    while len(words) > 1 and (not words[-1] or _OPERAND.fullmatch(words[-1])):
        words.pop()
    last = re.sub(r"\d+", "*", words[-1])
    return last if len(words) == 1 and last == data_id else f"*{last.strip('*')}*"
