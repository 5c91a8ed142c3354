"""What the rows that fail look like: a second look at the first and the plainest of them."""

from __future__ import annotations

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ait_cmp.commands.asking import Ask
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.mismatch import explained
from ait_cmp.engine.request import Look
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import Row
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import Reason

__all__ = ["diagnoses_of", "with_diagnoses", "with_known"]

_RELATIVES = 24  # tensors of the run that a row is held beside
_NEAR, _ROUNDS = 64, 16  # of which so many stand before it, and behind it, at most
_NUMBERS = re.compile(r"\d+")


def with_diagnoses(rows: Sequence[Row], ask: Ask, most: int) -> list[Row]:
    """`rows`, of which so many that fail say what explains the difference, where something does.

    First come the rows where something went wrong, then other failing ones, then what follows.
    """
    failing = [number for number, row in enumerate(rows) if _fails(row)]
    chosen = sorted(failing, key=_first(rows))[:most]
    found = _looked(rows, chosen, ask, [Look("diagnosis", ())] * len(chosen))
    told = {number: one.diagnosis for number, one in found.items() if one.diagnosis}
    unknown = [
        number
        for number in chosen
        if number not in told or told[number].kind in ("place", "unrelated")
    ]
    told |= _related(rows, unknown, ask)
    return with_known(rows, told)


def with_known(rows: Sequence[Row], diagnoses: Mapping[int, Diagnosis]) -> list[Row]:
    """`rows`, of which those that fail say what is known to explain them, by their numbers."""
    known = list(rows)
    for number, diagnosis in diagnoses.items():
        if _fails(rows[number]):
            known[number] = _told(rows[number], diagnosis)
    return known


def diagnoses_of(rows: Sequence[Row]) -> dict[int, Diagnosis]:
    """What explains rows, by their numbers."""
    found = ((number, row.comparison.diagnosis) for number, row in enumerate(rows))
    return {number: diagnosis for number, diagnosis in found if diagnosis}


def _told(row: Row, diagnosis: Diagnosis) -> Row:
    """`row` with what explains it, which takes the place of what checks say of where it began, and
    of the adapters that would fit by the shapes alone."""
    verdict, measured = row.verdict, row.comparison.measured
    if verdict.began:
        verdict = verdict._replace(divergence=f"{verdict.began}; {diagnosis.sentence}")
    if verdict.reason is Reason.SHAPE_MISMATCH and measured.golden and measured.my:
        shapes = measured.golden.shape, measured.my.shape
        verdict = verdict._replace(sentence=explained(*shapes, diagnosis))
    comparison = replace(row.comparison, verdict=verdict, diagnosis=diagnosis)
    return replace(row, comparison=comparison)


def _related(rows: Sequence[Row], numbers: Sequence[int], ask: Ask) -> dict[int, Diagnosis]:
    """Those that are explained by another tensor of golden."""
    if not numbers:
        return {}
    relatives = _Relatives(rows)
    others = {number: found for number in numbers if (found := relatives.of(number))}
    looks = [
        Look("relatives", tuple(rows[one].pair.golden for one in found))
        for found in others.values()
    ]
    told = {}
    for number, one in _looked(rows, [*others], ask, looks).items():
        if one.diagnosis:
            other = rows[others[number][one.diagnosis.other]].pair
            told[number] = one.diagnosis.naming(other.name)
    return told


def _fails(row: Row) -> bool:
    """Whether there are two tensors, and they differ."""
    measured, verdict = row.comparison.measured, row.verdict
    if verdict.status is Status.FAIL:
        return measured.stats is not None
    return verdict.reason is Reason.SHAPE_MISMATCH and row.pair.error is None


def _first(rows: Sequence[Row]) -> Callable[[int], tuple[bool, bool, int]]:
    def key(number: int) -> tuple[bool, bool, int]:
        verdict = rows[number].verdict
        return not verdict.divergence, bool(verdict.follows), number

    return key


def _looked(
    rows: Sequence[Row], numbers: Sequence[int], ask: Ask, looks: Sequence[Look]
) -> dict[int, Measured]:
    if not numbers:
        return {}
    found = ask([rows[number].pair for number in numbers], looks)
    return {number: found[place] for place, number in enumerate(numbers) if place in found}


class _Relatives:
    """Which rows have a golden that may be what my of another one is."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._named: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._shaped: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            golden = row.comparison.measured.golden
            if golden and row.pair.golden.files and row.pair.error is None:
                self._named[row.pair.run, row.pair.data_id].append(number)
                self._shaped[row.pair.run, golden.shape].append(number)

    def of(self, number: int) -> list[int]:
        """Those of the same name in other rounds, of the same name but for its numbers in this
        one, the nearest others."""
        row = self._rows[number]
        golden = row.comparison.measured.golden
        if golden is None:
            return []
        named = self._named[row.pair.run, row.pair.data_id]
        shaped = self._shaped[row.pair.run, golden.shape]
        place = bisect(shaped, number)
        near = shaped[max(0, place - _NEAR) : place + _NEAR]
        likely = {one for one in (*_around(named, number), *near) if one != number}
        return sorted(likely, key=lambda one: self._distance(number, one))[:_RELATIVES]

    def _distance(self, number: int, other: int) -> tuple[bool, bool, bool, int]:
        one, two = self._rows[number].pair, self._rows[other].pair
        alike = _NUMBERS.sub("#", one.data_id) == _NUMBERS.sub("#", two.data_id)
        apart = one.token_id != two.token_id
        return one.data_id != two.data_id, not alike, apart, abs(other - number)


def _around(numbers: Sequence[int], number: int) -> Sequence[int]:
    place = bisect(numbers, number)
    return numbers[max(0, place - _ROUNDS) : place + _ROUNDS]
