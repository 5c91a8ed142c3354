"""What the rows that fail look like: a second look at the first and the plainest of them."""

from __future__ import annotations

import heapq
import re
from bisect import bisect
from collections.abc import Sequence

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Look
from ait_cmp.values.diagnosis import Diagnosis

__all__ = ["with_diagnoses"]

_Alike = tuple[int, object]  # the run, and what is alike: the name or the shape

_RELATIVES = 24  # tensors of the run that a row is held beside
_NEAR, _ROUNDS = 64, 16  # of which so many stand before it, and behind it, at most
_NUMBERS = re.compile(r"\d+")


def with_diagnoses(rows: JudgedRows, ask: Ask, most: int) -> JudgedRows:
    """`rows`, of which so many that fail say what explains the difference, where something does.

    First come the rows where something went wrong, then other failing ones, then what follows.
    """
    failing = (
        (not verdict.divergence, bool(verdict.follows), number)
        for number, (_, verdict) in enumerate(rows.judged())
        if rows.fails(number, verdict)
    )
    chosen = [number for *_, number in heapq.nsmallest(most, failing)]
    found = _looked(rows, chosen, ask, [Look("diagnosis", ())] * len(chosen))
    told = {number: one.diagnosis for number, one in found.items() if one.diagnosis}
    unknown = [
        number
        for number in chosen
        if number not in told or told[number].kind in ("place", "unrelated")
    ]
    return rows.explained(told | _related(rows, unknown, ask))


def _related(rows: JudgedRows, numbers: Sequence[int], ask: Ask) -> dict[int, Diagnosis]:
    """Those that are explained by another tensor of golden."""
    if not numbers:
        return {}
    relatives = _Relatives(rows, numbers)
    others = {number: found for number in numbers if (found := relatives.of(number))}
    pairs = rows.settled.pairs
    looks = [
        Look("relatives", tuple(pairs[one].golden for one in found)) for found in others.values()
    ]
    told = {}
    for number, one in _looked(rows, [*others], ask, looks).items():
        if one.diagnosis:
            other = pairs[others[number][one.diagnosis.other]]
            told[number] = one.diagnosis.naming(other.name)
    return told


def _looked(
    rows: JudgedRows, numbers: Sequence[int], ask: Ask, looks: Sequence[Look]
) -> dict[int, Measured]:
    if not numbers:
        return {}
    found = ask([rows.settled.pairs[number] for number in numbers], looks)
    return {number: found[place] for place, number in enumerate(numbers) if place in found}


class _Relatives:
    """Which rows have a golden that may be what my of some others is."""

    def __init__(self, rows: JudgedRows, numbers: Sequence[int]) -> None:
        self._rows, self._pairs = rows, rows.settled.pairs
        self._named: dict[_Alike, list[int]] = {}
        self._shaped: dict[_Alike, list[int]] = {}
        for number in numbers:
            if keys := self._keys(number):
                self._named[keys[0]] = []
                self._shaped[keys[1]] = []
        for number in range(len(rows)):
            for key, of in zip(self._keys(number) or (), (self._named, self._shaped), strict=False):
                if key in of:
                    of[key].append(number)

    def _keys(self, number: int) -> tuple[_Alike, _Alike] | None:
        """Its name and its shape, in its run; None where there is no golden to look at."""
        pair, brief = self._pairs[number], self._rows.brief(number)
        if not (brief and brief.golden and pair.golden.files and pair.error is None):
            return None
        return (pair.run, pair.data_id), (pair.run, brief.golden.shape)

    def of(self, number: int) -> list[int]:
        """Those of the same name in other rounds, of the same name but for its numbers in this
        one, the nearest others."""
        keys = self._keys(number)
        if keys is None:
            return []
        named, shaped = self._named[keys[0]], self._shaped[keys[1]]
        place = bisect(shaped, number)
        near = shaped[max(0, place - _NEAR) : place + _NEAR]
        likely = {one for one in (*_around(named, number), *near) if one != number}
        return sorted(likely, key=lambda one: self._distance(number, one))[:_RELATIVES]

    def _distance(self, number: int, other: int) -> tuple[bool, bool, bool, int]:
        one, two = self._pairs[number], self._pairs[other]
        alike = _NUMBERS.sub("#", one.data_id) == _NUMBERS.sub("#", two.data_id)
        apart = one.token_id != two.token_id
        return one.data_id != two.data_id, not alike, apart, abs(other - number)


def _around(numbers: Sequence[int], number: int) -> Sequence[int]:
    place = bisect(numbers, number)
    return numbers[max(0, place - _ROUNDS) : place + _ROUNDS]
