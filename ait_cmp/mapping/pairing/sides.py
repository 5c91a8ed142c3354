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

__all__ = ["Side", "Tensor", "make_side", "side_of"]


@dataclass(slots=True, eq=False)
class Tensor:
    """The tensors of one name, of which the one of the first round stands for all.

    `rounds` has it by token, of the ranks that have it, in their order, of which the first stands
    for all; `paired` is set once it has a counterpart.
    """

    name: Name
    place: int
    rounds: dict[int | None, list[DumpedTensor]]
    paired: bool = False
    _headers: dict[int | None, tuple[DType, Shape] | None] = field(default_factory=dict)

    @property
    def ranks(self) -> int:
        """How many ranks have it, in the first round."""
        return len(self.rounds[self.first])

    def header(self, token: int | None) -> tuple[DType, Shape] | None:
        """Type and shape in a round, of its first rank; None where the tensor cannot be read."""
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

    def source(self, token: int | None, rank: int = 0) -> Source | None:
        """The tensor of a round, of one of its ranks; None where it cannot be read, which comparing
        it says."""
        listed = self.rounds.get(token, ())
        return _opened(listed[rank]) if rank < len(listed) else None

    def shapes(self, token: int | None) -> list[Shape]:
        """Its shapes in a round on all its ranks; none where one cannot be read."""
        found = [self.source(token, rank) for rank in range(len(self.rounds.get(token, ())))]
        known = [source.shape for source in found if source]
        return known if len(known) == len(found) else []


def _opened(listed: DumpedTensor) -> Source | None:
    if not listed.is_saved:
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


def make_side(ranks: Iterable[RankDump], *, are_one_run: bool = False) -> Side:
    """The names of all ranks of a dump; where these are one run, with what each of them has."""
    rounds: dict[str, dict[int | None, list[DumpedTensor]]] = {}
    owner: dict[tuple[str, int | None], int] = {}
    first: dict[str, int] = {}
    for number, rank in enumerate(ranks):
        for one in rank.tensors:
            if one.error or (first.setdefault(one.name, number) != number and not are_one_run):
                continue
            if owner.get((one.name, one.token_id)) != number:
                owner[one.name, one.token_id] = number
                rounds.setdefault(one.name, {}).setdefault(one.token_id, []).append(one)
    names = read_names(rounds)
    return side_of(Tensor(name, place, rounds[name.text]) for place, name in enumerate(names))


def side_of(ones: Iterable[Tensor]) -> Side:
    """Tensors in their order, as a side."""
    tensors = list(ones)
    modules: dict[Module, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        modules[tensor.name.module].append(tensor)
    return Side(tensors, frozenset(_around({one.name.path for one in tensors})), modules)


def _around(paths: Iterable[str]) -> Iterator[str]:
    """All modules that modules are in."""
    for path in paths:
        for place, char in enumerate(path):
            if char in "/.":
                yield path[:place]
