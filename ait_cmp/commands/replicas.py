"""What the ranks of my should have alike and have not, where as many ranks of golden tell.

A tensor that golden's ranks have alike, as far as its extrema and its exact sum tell, is a replica,
or what a collective (all-reduce, all-gather) gave to all of them: my's ranks must have one tensor,
too. Nothing is read for that: what has another sum is another tensor. It explains rows that fail,
and fails none by itself, since what my's ranks round otherwise is no fault.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.shards import Remark, Settled, distance, shown_distance
from ait_cmp.measuring.row import fingerprints
from ait_cmp.values.location import Location, Step
from ait_cmp.values.pair import Pair
from ait_cmp.values.shards import NAMED_RANKS, named_ranks

__all__ = ["with_replicas"]

_FAR = 0.1  # of golden: partial results are as far from the whole, and their sum ten times nearer
_SUMS = 16  # tensors at most whose partial results are added up
_SUM = Step("sum")


def with_replicas(settled: Settled, ask: Ask) -> Settled:
    """`settled`, with a remark for what my's ranks have of a tensor that golden's have alike."""
    unlike = [*_unlike(settled)]
    if not unlike:
        return settled
    sums = _sums(settled, unlike, ask)
    remarks = dict(settled.remarks)
    for place, numbers in enumerate(unlike):
        errors = _distances(settled, numbers)
        said = _said(settled, numbers, errors)
        if place in sums:
            said += (
                f"; their sum is golden's (error {shown_distance(sums[place])}), so that an "
                "all-reduce is missing"
            )
        remark = Remark(said, max(errors), differ=True, explains=True)
        for number in numbers:
            remarks.setdefault(number, remark)
    return replace(settled, remarks=remarks)


def _unlike(settled: Settled) -> Iterator[list[int]]:
    """The rows of each tensor that golden's ranks have alike, and my's have not."""
    for numbers in _of_ranks(settled.pairs):
        alike: dict[bytes, list[int]] = defaultdict(list)
        mine: dict[int, bytes] = {}
        for number in numbers:
            if settled.measured.is_compared(number):
                golden, mine[number] = fingerprints(settled.measured.packed(number))
                alike[golden].append(number)
        yield from (of for of in alike.values() if len({mine[number] for number in of}) > 1)


def _of_ranks(pairs: Sequence[Pair]) -> list[list[int]]:
    """The rows of each tensor that several ranks have, one of each."""
    ranks = {pair.rank for pair in pairs if _is_rank(pair)}
    if len(ranks) < 2:
        return []
    found: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        if _is_rank(pair) and not pair.error:
            found[pair.data_id, pair.token_id].append(number)
    return [
        numbers
        for numbers in found.values()
        if 1 < len(numbers) == len({pairs[number].rank for number in numbers})
    ]


def _is_rank(pair: Pair) -> bool:
    """Whether the rank is on record, and one run alone is of it."""
    return pair.rank.isdecimal()


def _sums(settled: Settled, unlike: Sequence[Sequence[int]], ask: Ask) -> dict[int, float]:
    """The error of the sum of what all ranks have, where each is far from golden and the sum is
    not."""
    asked: dict[int, Pair] = {}
    for place, numbers in enumerate(unlike):
        if len(asked) < _SUMS and all(_may_be_partial(settled, number) for number in numbers):
            pair = settled.pairs[numbers[0]]
            files = tuple(file for one in numbers for file in settled.pairs[one].my.files)
            together = Location(files, (*pair.my.steps, _SUM))
            asked[place] = pair._replace(my=together, reference=None)
    found = ask([*asked.values()]) if asked else settled.measured.empty(0)
    errors = {place: distance(found[one]) for one, place in enumerate(asked)}
    return {
        place: error
        for place, error in errors.items()
        if error <= _FAR * min(_distances(settled, unlike[place]))
    }


def _may_be_partial(settled: Settled, number: int) -> bool:
    """Whether a row is of floats and far from golden."""
    brief, pair = settled.measured.brief(number), settled.pairs[number]
    if not (brief and brief.has_evidence and len(pair.my.files) == 1):
        return False
    return _FAR < distance(settled.measured[number]) < math.inf


def _said(settled: Settled, numbers: Sequence[int], errors: Sequence[float]) -> str:
    ranks = tuple(settled.pairs[number].rank for number in numbers)
    shown = ", ".join(
        f"rank {rank} {shown_distance(error)}"
        for rank, error in zip(ranks[:NAMED_RANKS], errors, strict=False)
    )
    more = len(ranks) - NAMED_RANKS
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"what my {named_ranks(ranks)} have of it should be equal, as golden's is, and is not "
        f"(errors: {shown}{rest})"
    )


def _distances(settled: Settled, numbers: Sequence[int]) -> list[float]:
    return [distance(settled.measured[number]) for number in numbers]
