"""One mapping entry, also of those that cannot be compared."""

from __future__ import annotations

from typing import NamedTuple

from ait_cmp.values.errors import PairError
from ait_cmp.values.location import Location
from ait_cmp.values.order import OrderBy
from ait_cmp.values.shards import Shards
from ait_cmp.values.statistics import Statistics
from ait_cmp.values.tokens import row_name

__all__ = ["DOUBTED", "Alone", "Pair"]

# One reason more why two belong together, of those that may not.
DOUBTED = "doubted: the sides may count from different numbers"


class Alone(NamedTuple):
    """Of a pair whose golden was made of what my's module was given: the module that made my's,
    whose own the error is.

    `in_run` is the error level of both whole runs there. `moved` is how far my's is from what
    golden's module makes in my's types, in multiples of the rounding of that; 0.0 where both have
    the same bits, as of `kind` modules of its class `alike` have. None where it is not known.
    """

    module: str
    in_run: float | None = None
    moved: float | None = None
    alike: int = 0
    kind: int = 0


class Pair(NamedTuple):
    """One mapping entry: where its two tensors are, or why they cannot be compared.

    `golden` and `my` are resolved where a file was found, as recorded where none was, and without
    a file on a side where the mapping knows of none. `dump` is the folder of the process, `rank`
    what tells that process apart in every run, and `run` its number in this compare; `order` is
    the entry's place in the run, and `order_by` says how that is known. `statistics` are those of
    golden and my, where tensors are not there to be compared.
    `paired_by` says why the two belong together, where the mapping knows more than their names,
    and `shards` in which ways, where one side is what several ranks have. `chosen_from` are the
    data_id and the token of the row of whose largest elements this one has the indices.
    `reference` pairs the same golden tensor with that of a trusted run, where one was named.
    `alone` is of a pair whose error is inherited from no other. `excused` says what other than a
    fault its error may come of: choices that differ, where what they change cannot be left out.
    """

    data_id: str
    token_id: int | None
    golden: Location
    my: Location
    dump: str = ""
    order: int = 0
    error: PairError | None = None
    rank: str = ""
    run: int = 0
    paired_by: str = ""
    statistics: tuple[Statistics, Statistics] | None = None
    shards: Shards | None = None
    order_by: OrderBy = OrderBy.DUMP
    chosen_from: tuple[str, int | None] | None = None
    reference: Pair | None = None
    alone: Alone | None = None
    excused: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return row_name(self.data_id, self.token_id)

    def also_by(self, why: str) -> Pair:
        """The same, with one more reason why its sides belong together."""
        return self._replace(paired_by="; ".join(filter(None, (self.paired_by, why))))
