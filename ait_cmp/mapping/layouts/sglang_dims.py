"""How a tensor of SGLang's dumper is cut among ranks, as its meta says.

`dims="b s[cp] (heads*dim)[tp] # dp:=attn_dp"` names the dimensions and, in brackets, the parallel
axes that each is cut along, the outermost first, with qualifiers (`tp:partial`: each rank has a
part of the sum; `cp:zigzag`: not in the order of ranks). `sglang_parallel_info`, or another's, has
the rank and the size of every axis.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Axis", "Cut", "cut_of"]

_DIM = re.compile(r"(?:\w+|\([^()\s]+\))(?:\[([^\[\]]*)\]|\(([^()]*)\))?")
_SHARDED = frozenset({"", "sharded", "natural"})


@dataclass(frozen=True, slots=True)
class Axis:
    """A parallel axis that a dimension is cut along."""

    dim: int
    name: str
    qualifiers: frozenset[str]

    @property
    def is_partial(self) -> bool:
        """Whether the ranks have parts of a sum."""
        return "partial" in self.qualifiers

    @property
    def is_known(self) -> bool:
        """Whether the order of the ranks is that of the whole."""
        return self.qualifiers <= _SHARDED | {"partial"}


@dataclass(frozen=True, slots=True)
class Cut:
    """One rank's part: the text, the number of dimensions, the axes that cut, where it stands."""

    text: str
    dims: int
    axes: tuple[Axis, ...]
    ranks: Mapping[str, int]  # along every axis of more than one rank
    sizes: Mapping[str, int]


def cut_of(meta: Mapping[str, object]) -> Cut | None:
    """What a meta says; None where it does not name the dimensions, or in another language."""
    text = meta.get("dims")
    if not isinstance(text, str) or len(text) > 1000:
        return None
    axes: list[Axis] = []
    words = text.partition("#")[0].split()
    for dim, word in enumerate(words):
        match = _DIM.fullmatch(word)
        if not match:
            return None
        axes += _axes(dim, match[1] or match[2] or "")
    ranks, sizes = _places(meta)
    known = tuple(axis for axis in axes if axis.name in sizes)  # others have one rank
    return Cut(text, len(words), known, ranks, sizes)


def _axes(dim: int, text: str) -> list[Axis]:
    axes = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, qualifiers = part.partition(":")
        axes.append(Axis(dim, name.strip(), frozenset(map(str.strip, qualifiers.split("+")))))
    return axes


def _places(meta: Mapping[str, object]) -> tuple[dict[str, int], dict[str, int]]:
    """The rank along each axis of more than one, and its size."""
    infos = [
        info
        for key, info in meta.items()
        if key.endswith("_parallel_info") and isinstance(info, dict)
    ]
    said = [info for info in infos if not any(str(key).endswith("_error") for key in info)]
    found: dict[str, object] = {**meta}
    for info in said:
        found |= info
    ranks, sizes = {}, {}
    for key, size in found.items():
        name, rank = key.removesuffix("_size"), found.get(f"{key.removesuffix('_size')}_rank")
        counts = type(size) is int and type(rank) is int
        if key.endswith("_size") and counts and name != "world" and size > 1:  # type: ignore[operator]
            ranks[name], sizes[name] = rank, size
    return ranks, sizes  # type: ignore[return-value]
