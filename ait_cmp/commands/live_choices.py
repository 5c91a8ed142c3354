"""Choices that differ in a run that is not over: told as of dumps, by the tensors of the round that
are still there."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch

from ait_cmp.commands.choices import settle_choices
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.looks import Beside, look_at
from ait_cmp.engine.measured import Brief, Measured, TensorInfo
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Look, Wanted
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.source import Source, from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.watching.outputs import Sides

__all__ = ["LiveChoices", "source_of"]

_LARGEST = 1 << 20  # elements of scores of which a copy is kept
_SCORES = 8  # rows of scores of which a copy is kept: ids come soon after theirs
_FED = "input_ids"


class LiveChoices:
    """What `settle_choices` does, of rows as they come.

    Of the round that goes on it knows the rows that are choices that differ, or may be scores.
    The next round reads the same on both sides, whatever was chosen in this one.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._round: tuple[int, int | None] | None = None
        self._rows: list[tuple[Pair, Measured]] = []
        self._differ = False  # whether choices of this round do
        self._copies: deque[tuple[Location, Location]] = deque()
        self._tensors: dict[Location, torch.Tensor] = {}  # on their own device
        self._answers: dict[tuple[Pair, Look | None], Measured] = {}

    def settle(
        self, pair: Pair, measured: Measured, tensors: Sides | None
    ) -> tuple[Pair, Measured]:
        """The next row as it is to be judged: with what is known of its choices, or without what
        cannot be compared after others."""
        self._enter(pair, tensors)
        brief = measured.brief()
        is_exact = bool(brief.golden and not brief.golden.dtype.is_floating)
        differs = is_exact and brief.differs
        if not (differs or self._differ):
            self._keep(pair, measured, tensors, brief)
            return pair, measured
        here = {}
        if tensors and not measured.error:
            here = {pair.golden: tensors.golden, pair.my: tensors.my}
        self._tensors |= here
        settled = self._settled([*self._rows, (pair, measured)])
        found, told = settled.pairs[-1], settled.measured[len(self._rows)]
        for location in here:
            del self._tensors[location]
        if told.choices is not None:
            self._differ = True
            self._rows.append((pair, measured))
        else:
            self._keep(pair, measured, tensors, brief)
        return found, told

    def _enter(self, pair: Pair, tensors: Sides | None) -> None:
        """The row is of this round, or of the next."""
        if self._round == (pair.run, pair.token_id):
            return
        self._round = pair.run, pair.token_id
        self._differ = False
        for kept in (self._rows, self._copies, self._tensors, self._answers):
            kept.clear()
        if tensors and tensors.fed:
            nowhere = Location.of(f"live:{_FED}")
            info = TensorInfo(DTYPES["int64"], tensors.fed)
            fed = Measured(info, info, stats=None)
            self._rows.append((pair._replace(data_id=_FED, golden=nowhere, my=nowhere), fed))

    def _keep(self, pair: Pair, measured: Measured, tensors: Sides | None, brief: Brief) -> None:
        """Remember a row that may be the scores of one to come, and the last of these as they are
        now, since a model may go on in their place."""
        info = brief.golden
        if measured.error or not info or not info.dtype.is_floating or len(info.shape) < 2:
            return
        if not 1 < info.shape[-1] <= math.prod(info.shape) <= _LARGEST:
            return
        self._rows.append((pair, measured))
        if tensors is None:
            return
        self._copies.append((pair.golden, pair.my))
        self._tensors[pair.golden] = tensors.golden.detach().clone()
        self._tensors[pair.my] = tensors.my.detach().clone()
        if len(self._copies) > _SCORES:
            for location in self._copies.popleft():
                del self._tensors[location]

    def _settled(self, rows: Sequence[tuple[Pair, Measured]]) -> Settled:
        measured = MeasuredRows(len(rows))
        for number, (_, one) in enumerate(rows):
            measured.put_made(number, one)
        pairs = [pair for pair, _ in rows]
        return settle_choices(Settled(pairs, measured, MeasuredRows(0)), self._ask, ())

    def _ask(self, pairs: Sequence[Pair], looks: Sequence[Look] | None = None) -> MeasuredRows:
        """Measure pairs, or look at each, where its tensors are there; each once."""
        found = MeasuredRows(len(pairs))
        for place, pair in enumerate(pairs):
            key = pair, looks[place] if looks else None
            if key not in self._answers:
                self._answers[key] = self._answer(*key)
            found.put_made(place, self._answers[key])
        return found

    def _answer(self, pair: Pair, look: Look | None) -> Measured:
        try:
            golden, my = self._source(pair.golden), self._source(pair.my)
            if look is None:
                return measure_sources(golden=golden, my=my, wanted=self._wanted)
            others = [self._source(one) if one.files else None for one in look.others]
            return look_at(look.kind, golden, my, Beside(others))
        except Exception as exc:
            return Measured(error=as_pair_error(exc, pair.name))

    def _source(self, location: Location) -> Source:
        tensor = self._tensors.get(Location(location.files))
        if tensor is None:
            raise PairError(
                Reason.NEEDS_TENSORS, f"{location} is no more there; compare dumps of tensors"
            )
        return source_of(tensor, location)


def source_of(tensor: torch.Tensor, location: Location) -> Source:
    """A tensor of a row, on the host, as its location says it is compared."""
    return adapt([from_memory(*as_array(tensor.detach(), "it"))], location.steps)
