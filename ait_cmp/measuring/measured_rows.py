"""What was measured of the pairs of a run: of a million rows no more than where each lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ait_cmp.engine.measured import Brief, Measured
from ait_cmp.measuring.places import PlacedRows
from ait_cmp.measuring.row import brief_in, unpack_row, without_slices

__all__ = ["MeasuredRows"]

# The place of a row in the files of a store, a row itself, or what never was one.
_Entry = int | bytes | Measured


class MeasuredRows(Mapping[int, Measured]):
    """What was measured of so many `rows`, by the number of the pair, unpacked whenever it is asked
    for; with `slices` as a whole, as `unpack_row` has it.

    `placed` has the rows of which only the places are kept here.
    """

    def __init__(
        self, rows: int, placed: PlacedRows | None = None, *, slices: bool = False
    ) -> None:
        self._placed, self._slices = placed, slices
        self._entries: list[_Entry | None] = [None] * rows
        self._briefs: list[Brief | None] = [None] * rows
        self._more: dict[int, dict[str, Any]] = {}

    def __getitem__(self, number: int) -> Measured:
        if number not in self:
            raise KeyError(number)
        entry = self._entries[number]
        if not isinstance(entry, Measured):
            entry = unpack_row(self.packed(number), whole=self._slices)
        more = self._more.get(number)
        return replace(entry, **more) if more else entry

    def __iter__(self) -> Iterator[int]:
        return (number for number, entry in enumerate(self._entries) if entry is not None)

    def __len__(self) -> int:
        return len(self._entries) - self._entries.count(None)

    def __contains__(self, number: object) -> bool:
        entries = self._entries
        return isinstance(number, int) and number < len(entries) and entries[number] is not None

    def brief(self, number: int) -> Brief | None:
        """What is known of a pair without its numbers; None where nothing is."""
        return self._briefs[number] if number < len(self._briefs) else None

    def is_compared(self, number: int) -> bool:
        """Whether there are stats of it."""
        brief = self.brief(number)
        return brief is not None and brief.is_compared

    def said(self, number: int) -> Measured | None:
        """What is known of a row besides what is packed of it; None where nothing was measured."""
        if number not in self:
            return None
        entry = self._entries[number]
        known = entry if isinstance(entry, Measured) else Measured()
        return replace(known, **self._more.get(number, {}))

    def packed(self, number: int) -> bytes:
        """A row that was measured, as bytes."""
        entry = self._entries[number]
        if isinstance(entry, int):
            assert self._placed is not None
            return self._placed.read(entry)
        assert isinstance(entry, bytes)
        return entry

    def put(self, number: int, row: bytes, place: int | None = None) -> None:
        """Take a packed row, which lies at `place` if anywhere."""
        brief = brief_in(row)
        self._briefs[number] = brief
        if place is not None:
            self._entries[number] = place
        elif brief.error:
            self._entries[number] = unpack_row(row)
        else:
            self._entries[number] = row if self._slices else without_slices(row)

    def put_made(self, number: int, measured: Measured) -> None:
        """Take what is no packed row."""
        self._entries[number], self._briefs[number] = measured, measured.brief()
        self._more.pop(number, None)

    def take(self, number: int, other: MeasuredRows, place: int) -> None:
        """Take what `other`, which is of the same run, has at `place`."""
        self._entries[number] = other._entries[place]
        self._briefs[number] = other._briefs[place]
        self._more.pop(number, None)
        if more := other._more.get(place):
            self._more[number] = dict(more)

    def take_again(self, number: int, other: MeasuredRows, place: int) -> None:
        """Take what was measured anew of a row, and keep what was said of its choices."""
        choices = self._more.get(number, {}).get("choices")
        self.take(number, other, place)
        if choices:
            self.add(number, choices=choices)

    def add(self, number: int, **fields: Any) -> None:
        """Say more of a row than was measured."""
        self._more.setdefault(number, {}).update(fields)
        brief = self._briefs[number]
        if brief and fields.get("choices"):
            self._briefs[number] = brief._replace(has_choices=True)

    def empty(self, rows: int) -> MeasuredRows:
        """Of as many `rows` of the same run nothing."""
        return MeasuredRows(rows, self._placed, slices=self._slices)

    def copy(self, rows: int | None = None) -> MeasuredRows:
        """The same, or the first so many `rows` of it, to be changed apart."""
        made = self.empty(0)
        made._entries, made._briefs = self._entries[:rows], self._briefs[:rows]
        kept = len(made._entries)
        made._more = {number: dict(more) for number, more in self._more.items() if number < kept}
        return made
