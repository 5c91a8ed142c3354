"""A prompt alone against a padded batch: in which row it is, and the adapters that cut it out.

The row is the one that holds, where the mask is 1, exactly the token ids of the prompt; where none
does, or several do, nothing is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.adapters import open_location
from ait_cmp.mapping.layouts.ranks import RankDump
from ait_cmp.source import Source
from ait_cmp.values.errors import PairError
from ait_cmp.values.location import NAMED, Location, Step, parse_steps

__all__ = ["TELLING", "Cut", "Finding", "Held", "Padded", "find_padded", "padded_ranks"]

TELLING = re.compile(r"ids|tokens", re.IGNORECASE)  # names that promise token ids
_MASK = re.compile("mask", re.IGNORECASE)
_MOST = 1 << 20  # elements of what is read for token ids or a mask
_TRIED = 8  # names of a kind that are looked at
_WHOLE_NUMBERS = ("bool", "uint8", "int8", "int16", "int32", "int64")

Token = int | None
Shape = tuple[int, ...]
Cut = tuple[tuple[Step, ...], tuple[Step, ...]]  # the adapters of golden, and of my
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Held:
    """The tensors of one side by name and round, opened as they are asked for."""

    locations: Mapping[tuple[str, Token], Location]
    _opened: dict[tuple[str, Token], Source | None] = field(default_factory=dict)

    def shape(self, name: str, token: Token) -> Shape | None:
        """Its shape; None where it is not there or cannot be read."""
        source = self._source(name, token)
        return source.shape if source else None

    def numbers(self, name: str, token: Token) -> _Ints | None:
        """What it holds, where that is a small matrix of whole numbers."""
        source = self._source(name, token)
        if not source or len(source.shape) != 2 or not 0 < source.elements <= _MOST:
            return None
        if source.dtype.name not in _WHOLE_NUMBERS:
            return None
        try:
            return source.read(0, source.elements).astype(np.int64).reshape(source.shape)
        except (PairError, OSError):
            return None

    def names(self, token: Token, wanted: re.Pattern[str]) -> list[str]:
        """The first few names of a round that look like what is wanted."""
        found = (name for name, at in self.locations if at == token and wanted.search(name))
        return [name for name, _ in zip(found, range(_TRIED), strict=False)]

    def _source(self, name: str, token: Token) -> Source | None:
        key = name, token
        if key not in self._opened:
            try:
                location = self.locations.get(key)
                self._opened[key] = open_location(location) if location else None
            except (PairError, OSError):
                self._opened[key] = None
        return self._opened[key]


@dataclass(frozen=True, slots=True)
class Padded:
    """The side that is a batch, the row of it that the other side is, and what is kept of that
    row in each round: by `mask`, of `length` positions that the round computes."""

    side: Literal["golden", "my"]
    mask: str
    row: int
    batch: int
    kept: Mapping[Token, _Bools]
    lengths: Mapping[Token, int]

    @property
    def by(self) -> str:
        """What it says in the column paired_by."""
        return f"row {self.row} of the padded batch, whose token ids are equal"

    def cut(self, shapes: Mapping[Token, tuple[Shape, Shape]]) -> Cut | None:
        """The adapters by which golden and my have one shape in all of these rounds: the row and
        the prompt alone. None where none do, or none are needed."""
        if not shapes or not shapes.keys() <= self.kept.keys():
            return None
        if all(golden == my for golden, my in shapes.values()):
            return None
        turned = {
            token: (my, golden) if self.side == "my" else (golden, my)
            for token, (golden, my) in shapes.items()
        }
        for batch_steps, alone_steps, fits in self._ways():
            if all(fits(token, *both) for token, both in turned.items()):
                batch, alone = parse_steps(batch_steps), parse_steps(alone_steps)
                return (alone, batch) if self.side == "my" else (batch, alone)
        return None

    def _ways(self) -> Iterator[tuple[str, str, Callable[[Token, Shape, Shape], bool]]]:
        """Adapters of the batch and of the prompt alone, and which shapes they fit."""
        unpad, squeeze = str(Step(NAMED, (self.mask, str(self.row)))), "squeeze(0)"
        yield unpad, squeeze, self._is_sequence
        heads, turned = f"transpose(1, 2) | {unpad}", f"transpose(1, 2) | {squeeze}"
        yield heads, turned, self._is_of_heads
        yield f"{heads} | slice(:, :, {self._pads()}:)", turned, self._is_attention
        yield f"unflatten(0, {self.batch}, -1) | {unpad}", "", self._is_flat
        yield f"select(0, {self.row})", squeeze, self._is_of_rows

    def _pads(self) -> int:
        """How many positions of padding the row begins with."""
        return int(np.argmax(next(iter(self.kept.values()))))

    def _is_sequence(self, token: Token, batch: Shape, alone: Shape) -> bool:
        """`[B, S, …]` against `[1, L, …]`; of a round with a cache, its last positions."""
        kept = self.kept[token]
        if len(batch) < 2 or batch[0] != self.batch or not 0 < batch[1] <= len(kept):
            return False
        return alone == (1, int(kept[-batch[1] :].sum()), *batch[2:])

    def _is_of_heads(self, token: Token, batch: Shape, alone: Shape) -> bool:
        """`[B, H, S, …]` against `[1, H, L, …]`."""
        if len(batch) < 4 or len(alone) != len(batch):
            return False
        return self._is_sequence(token, *(_swapped(one) for one in (batch, alone)))

    def _is_attention(self, token: Token, batch: Shape, alone: Shape) -> bool:
        """`[B, H, S, K]` against `[1, H, L, K - padding]`, all of it on the left."""
        kept, pads = self.kept[token], self._pads()
        if len(batch) != 4 or batch[3] != len(kept) or kept[:pads].any() or not kept[pads:].all():
            return False
        return self._is_of_heads(token, (*batch[:3], len(kept) - pads), alone)

    def _is_flat(self, token: Token, batch: Shape, alone: Shape) -> bool:
        """`[B·S, …]` against `[L, …]`."""
        length = self.lengths[token]
        if not batch or batch[0] != self.batch * length:
            return False
        return alone == (int(self.kept[token][-length:].sum()), *batch[1:])

    def _is_of_rows(self, token: Token, batch: Shape, alone: Shape) -> bool:
        """`[B, …]` against `[1, …]`: what a model makes of the last position, which must be none
        of padding."""
        if len(batch) < 2 or batch[0] != self.batch or not self.kept[token][-1]:
            return False
        return alone == (1, *batch[1:])


@dataclass(frozen=True, slots=True)
class Finding:
    """The padded batch, None where none or several of its rows fit, and what is said of it."""

    padded: Padded | None
    sentence: str


def padded_ranks(golden: Sequence[RankDump], my: Sequence[RankDump]) -> Finding | None:
    """What is found of the ranks of two dumps, where it is the same of all."""
    if len(golden) != len(my):
        return None
    found = [_found_of(_held(one), _held(other)) for one, other in zip(golden, my, strict=True)]
    places = {
        one and one.padded and (one.padded.side, one.padded.mask, one.padded.row) for one in found
    }
    return found[0] if len(places) == 1 else None


def _held(rank: RankDump) -> Held:
    there = (one for one in rank.tensors if not one.error and one.is_saved)
    return Held({(one.name, one.token_id): Location(one.files, one.steps) for one in there})


def _found_of(golden: Held, my: Held) -> Finding | None:
    rounds = [{token for _, token in side.locations} for side in (golden, my)]
    common = rounds[0] & rounds[1]
    token = min((one for one in common if one is not None), default=None)
    ids, others = (side.names(token, TELLING) for side in (golden, my))
    return find_padded(golden, my, token, [(one, other) for one in ids for other in others])


def find_padded(
    golden: Held, my: Held, token: Token, names: Iterable[tuple[str, str]]
) -> Finding | None:
    """The row of a batch of one side that the other side is; None where neither side is a batch
    with a mask, or no row fits: they may be other prompts, or another round. `token` is the first
    round, `names` are those of golden and my that may be token ids."""
    for one, other in names:
        ids, others = golden.numbers(one, token), my.numbers(other, token)
        if ids is None or others is None or ids.shape == others.shape:
            continue
        if len(ids) == 1 and ids.shape[1] <= others.shape[1]:
            found = _Search("my", my, golden, other, one).found(token, others, ids)
        elif len(others) == 1 and others.shape[1] <= ids.shape[1]:
            found = _Search("golden", golden, my, one, other).found(token, ids, others)
        else:
            continue
        if found:
            return found
    return None


@dataclass(frozen=True, slots=True)
class _Search:
    """A batch, a prompt alone, and what the token ids of either are called."""

    side: Literal["golden", "my"]
    batch: Held
    alone: Held
    batch_ids: str
    alone_ids: str

    def found(self, token: Token, ids: _Ints, prompt: _Ints) -> Finding | None:
        """What the first round says of which row it is."""
        if not _is_telling(prompt[0]):
            return None
        masks = {
            name: values == 1
            for name in self.batch.names(token, _MASK)
            if (values := self.batch.numbers(name, token)) is not None
            and values.shape == ids.shape
            and _is_mask(values)
        }
        if not masks:
            return None
        fitting = [
            (row, kept[row].tobytes(), name)
            for name, kept in masks.items()
            for row in range(len(ids))
            if np.array_equal(ids[row][kept[row]], prompt[0])
        ]
        other = "golden" if self.side == "my" else "my"
        if not fitting:
            return None
        if len({one[:2] for one in fitting}) != 1:
            return Finding(None, self._several(other, [(row, name) for row, _, name in fitting]))
        row = fitting[0][0]
        options = [self._of_mask(name, row, masks[name][row], token) for _, _, name in fitting]
        padded = max(options, key=lambda one: len(one.kept))
        return Finding(
            padded,
            f"{self.side} is a batch, and the token ids of {other} are in its row {row} alone "
            f"where {padded.mask} is 1",
        )

    def _several(self, other: str, fitting: Sequence[tuple[int, str]]) -> str:
        rows, masks = (list(dict.fromkeys(ones)) for ones in zip(*fitting, strict=True))
        return (
            f"{self.side} is a batch, and the token ids of {other} are in its rows "
            f"{' and '.join(map(str, rows))} where {' or '.join(map(str, masks))} is 1, so that "
            "none is taken; for row N pass "
            f""""mapping.{self.side}_adapters='unpad({masks[0]}, N)'" """
            f"mapping.{other}_adapters=squeeze(0)"
        )

    def _of_mask(self, name: str, row: int, first: _Bools, token: Token) -> Padded:
        """The rounds in which `name` is the mask of this row."""
        kept: dict[Token, _Bools] = {}
        lengths: dict[Token, int] = {}
        batch = 0
        for _, at in [one for one in self.batch.locations if one[0] == name]:
            mask, ids = self.batch.numbers(name, at), self.batch.numbers(self.batch_ids, at)
            prompt = self.alone.numbers(self.alone_ids, at)
            if mask is None or ids is None or prompt is None or not _is_mask(mask):
                continue
            ones, length = mask[row : row + 1] == 1, ids.shape[1]
            if len(mask) != len(ids) or mask.shape[1] < length or len(prompt) != 1:
                continue
            own = ids[row][ones[0][-length:]]
            equal = np.array_equal(own, prompt[0])
            # A decoded token may be another one for a fault; what goes before it has to be there.
            goes_on = own.size == prompt.size == 1 and np.array_equal(ones[0][: len(first)], first)
            if at == token or goes_on or (equal and own.size > 1):
                kept[at], lengths[at], batch = ones[0], length, len(ids)
        return Padded(self.side, name, row, batch, kept, lengths)


def _is_mask(values: _Ints) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _is_telling(ids: _Ints) -> bool:
    """Whether these are no mere positions, types or padding."""
    return ids.size > 1 and len(np.unique(np.diff(ids))) > 1


def _swapped(shape: Shape) -> Shape:
    return (shape[0], shape[2], shape[1], *shape[3:])
