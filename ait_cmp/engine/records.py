"""Dataclasses of numbers as bytes: 8 a number, whole ones as int64 and the others as float64.

The compiled loops fill the same bytes, seen as two arrays: one of each type, of all numbers.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_type_hints

__all__ = ["Record"]

T = TypeVar("T")

_CODES = {int: "q", float: "d"}


class Record(Generic[T]):
    """How a dataclass is laid out: its own numbers, and those of dataclasses in it.

    Fields of other types come last, have defaults, and are left out. `names` are in order, dotted
    where nested; `slots` has the place of each, with an underscore instead of the dot.
    """

    def __init__(self, cls: type[T]) -> None:
        self._cls = cls
        # A nested dataclass and its places; None for numbers of the record itself.
        self._runs: list[tuple[Any, slice]] = []
        hints = get_type_hints(cls)
        codes: list[str] = []
        names: list[str] = []
        for name in (one.name for one in fields(cls)):  # type: ignore[arg-type]
            hint, start = hints[name], len(names)
            if is_dataclass(hint):
                inner = get_type_hints(hint)
                names += [f"{name}.{one.name}" for one in fields(hint)]
                codes += [_CODES[inner[one.name]] for one in fields(hint)]
                self._runs.append((hint, slice(start, len(names))))
            elif hint in _CODES:
                names.append(name)
                codes.append(_CODES[hint])
                if self._runs and self._runs[-1][0] is None:
                    start = self._runs.pop()[1].start
                self._runs.append((None, slice(start, len(names))))
        self.names = tuple(names)
        self._struct = struct.Struct("<" + "".join(codes))
        self._get = attrgetter(*names)
        slots: Any = namedtuple(cls.__name__, [name.replace(".", "_") for name in names])  # type: ignore[misc]
        # Not typed, since names come from the dataclass; the compiler of the loops knows them.
        self.slots: Any = slots(*range(len(names)))

    def values(self, record: T) -> tuple[Any, ...]:
        """Its numbers, in order."""
        values: tuple[Any, ...] = self._get(record)
        return values

    def made(self, values: Sequence[Any], *others: Any) -> T:
        """The record of these numbers, and of the fields that are none."""
        arguments: list[Any] = []
        for nested, places in self._runs:
            if nested is None:
                arguments += values[places]
            else:
                arguments.append(nested(*values[places]))
        return self._cls(*arguments, *others)

    def pack(self, record: T) -> bytes:
        """Its bytes."""
        return self._struct.pack(*self._get(record))

    def unpack(self, packed: Any, *others: Any) -> T:
        """The record of these bytes, or of any buffer of them. Raises struct.error if damaged."""
        return self.made(self._struct.unpack(packed), *others)
