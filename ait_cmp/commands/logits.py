"""The logits of each round: what a look at their positions says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.request import Look
from ait_cmp.judging.choices import is_logits, reads_tokens
from ait_cmp.values.location import Location

__all__ = ["with_positions"]

_NOTHING = Location(())


@dataclass(slots=True)
class _Round:
    """Golden's tokens, and the number of the row of logits."""

    ids: Location = _NOTHING
    logits: int | None = None


def with_positions(settled: Settled, ask: Ask, globs: tuple[str, ...]) -> Settled:
    """`settled`, with the positions of the last row of logits of each round."""
    rounds = _rounds(settled, globs)
    numbers, looks = list[int](), list[Look]()
    for of_run in rounds.values():
        order = [*of_run.values(), _Round()]
        for one, after in pairwise(order):
            if one.logits is not None:
                numbers.append(one.logits)
                looks.append(Look("positions", (one.ids, after.ids)))
    if not numbers:
        return settled
    found = ask([settled.pairs[number] for number in numbers], looks)
    known = settled.measured.copy()
    for place, number in enumerate(numbers):
        known.add(number, positions=found[place].positions)
    return replace(settled, measured=known)


def _rounds(settled: Settled, globs: tuple[str, ...]) -> dict[int, dict[int | None, _Round]]:
    """Those of each run, in order."""
    found: dict[int, dict[int | None, _Round]] = {}
    for number, pair in enumerate(settled.pairs):
        brief = settled.measured.brief(number)
        if not (brief and brief.is_compared and brief.golden):
            continue
        of_run = found.setdefault(pair.run, {})
        one = of_run.get(pair.token_id)
        if one is None:
            one = of_run[pair.token_id] = _Round()
        if reads_tokens(pair, brief):
            one.ids = one.ids if one.ids.files else pair.golden
        elif brief.has_evidence and brief.golden.shape and is_logits(pair.data_id, globs):
            one.logits = number  # of several the last
    return found
