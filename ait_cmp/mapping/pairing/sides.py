"""One side of a proposal: its names in order, and what is known of the tensor behind each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ait_cmp.engine.adapters import open_location
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.mapping.pairing.names import Module, Name, read_names
from ait_cmp.mapping.pairing.shapes import Shape
from ait_cmp.source import Source
from ait_cmp.values.dtypes import DType
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import Location

__all__ = ["Side", "Tensor", "make_side"]


@dataclass(slots=True, eq=False)
class Tensor:
    """The tensors of one name, of which the one of the first round stands for all.

    `rounds` has it by token, of the first rank that has it; `paired` is set once it has a
    counterpart.
    """

    name: Name
    place: int
    rounds: dict[int | None, DumpedTensor]
    paired: bool = False
    _headers: dict[int | None, tuple[DType, Shape] | None] = field(default_factory=dict)

    def header(self, token: int | None) -> tuple[DType, Shape] | None:
        """Type and shape in a round; None where the tensor cannot be read."""
        if token not in self._headers:
            source = self.source(token)
            self._headers[token] = (source.dtype, source.shape) if source else None
        return self._headers[token]

    @property
    def first(self) -> int | None:
        """The first round that has it."""
        return next(iter(self.rounds))

    @property
    def shape(self) -> Shape | None:
        """In the first round."""
        found = self.header(self.first)
        return found and found[1]

    @property
    def dtype(self) -> DType | None:
        """In the first round."""
        found = self.header(self.first)
        return found and found[0]

    def source(self, token: int | None) -> Source | None:
        """The tensor of a round; None where it cannot be read, which comparing it says."""
        listed = self.rounds.get(token)
        if listed is None or not listed.is_saved:
            return None
        try:
            return open_location(Location(listed.files, listed.steps))
        except (PairError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class Side:
    """All names of one side, in the order of its first rank, the further ones behind, also by the
    modules that they are of; `outer` are the modules that have others inside."""

    tensors: Sequence[Tensor]
    outer: frozenset[str]
    modules: Mapping[Module, Sequence[Tensor]]


def make_side(ranks: Iterable[RankDump]) -> Side:
    """The names of all ranks of a dump."""
    rounds: dict[str, dict[int | None, DumpedTensor]] = {}
    owner: dict[str, int] = {}
    for number, rank in enumerate(ranks):
        for one in rank.tensors:
            if one.error:
                continue
            if owner.setdefault(one.name, number) == number:
                rounds.setdefault(one.name, {}).setdefault(one.token_id, one)
    names = read_names(rounds)
    tensors = [Tensor(name, place, rounds[name.text]) for place, name in enumerate(names)]
    modules: dict[Module, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        modules[tensor.name.module].append(tensor)
    return Side(tensors, frozenset(_around({name.path for name in names})), modules)


def _around(paths: Iterable[str]) -> Iterator[str]:
    """All modules that modules are in."""
    for path in paths:
        for place, char in enumerate(path):
            if char in "/.":
                yield path[:place]
