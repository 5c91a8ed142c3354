"""The adapters that a mapping applies to every pair."""

from __future__ import annotations

from collections.abc import Sequence

from ait_cmp.mapping.selection import Wish
from ait_cmp.values.pair import Pair

__all__ = ["with_adapters"]


def with_adapters(pairs: Sequence[Pair], wish: Wish) -> list[Pair]:
    """`pairs` with the adapters of `wish`, but for those that go before a join of shards."""
    if not (wish.golden_steps or wish.my_steps):
        return list(pairs)
    return [pair if pair.shards else _adapted(pair, wish) for pair in pairs]


def _adapted(pair: Pair, wish: Wish) -> Pair:
    golden, my = pair.golden.then(wish.golden_steps), pair.my.then(wish.my_steps)
    return pair._replace(golden=golden, my=my)
