"""The ranks that a report has rows of, and where each goes wrong first, in its own order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ait_cmp.judging import Status
from ait_cmp.values.shards import named_ranks

__all__ = ["RankAnswer", "RankPlace", "ranks_of"]


@dataclass(frozen=True, slots=True)
class RankAnswer:
    """So many rows of a rank have each status; `first` is the line where it goes wrong first, None
    where it does not."""

    rank: str
    counts: Mapping[Status, int]
    first: int | None


@dataclass(frozen=True, slots=True)
class RankPlace:
    """The `ranks` that go wrong first in one tensor of one round, and the line of the first."""

    ranks: tuple[str, ...]
    line: int

    @property
    def named(self) -> str:
        """`rank 3`, `ranks 0, 1`."""
        return f"{'rank' if len(self.ranks) == 1 else 'ranks'} {self.listed}"

    @property
    def listed(self) -> str:
        """`3`, `0, 1`."""
        return named_ranks(self.ranks).removeprefix("ranks ")


def ranks_of(
    numbered: pl.DataFrame, diverging: pl.DataFrame
) -> tuple[tuple[RankAnswer, ...], tuple[RankPlace, ...]]:
    """Of numbered lines, and those of them where something went wrong, in order: what became of
    each rank, and where they go wrong; nothing where there are no several ranks."""
    told = numbered.lazy().select("rank", "status").filter(pl.col("rank").is_not_null())
    found = told.group_by("rank", "status").len().collect()
    names = sorted(found["rank"].unique().to_list(), key=_number)
    if len(names) < 2:
        return (), ()
    firsts = diverging.filter(pl.col("rank").is_not_null())
    firsts = firsts.unique("rank", keep="first", maintain_order=True)
    lines = dict(firsts.select("rank", "line").iter_rows())
    counts: dict[str, dict[Status, int]] = {name: dict.fromkeys(Status, 0) for name in names}
    for rank, status, count in found.iter_rows():
        counts[rank][Status(status)] = count
    places: dict[tuple[int | None, str], list[str]] = {}
    where = {rank: rest for rank, *rest in firsts.select("rank", "token_id", "data_id").iter_rows()}
    for name in names:
        if name in where:
            places.setdefault(tuple(where[name]), []).append(name)
    return (
        tuple(RankAnswer(name, counts[name], lines.get(name)) for name in names),
        tuple(RankPlace(tuple(ranks), lines[ranks[0]]) for ranks in places.values()),
    )


def _number(rank: str) -> tuple[int, str]:
    digits = rank.partition("#")[0].removeprefix("device ")
    return (int(digits) if digits.isdecimal() else -1), rank
