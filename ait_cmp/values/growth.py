"""The limits of growth of a tolerance: plain numbers, light enough to be shown by any help."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ait_cmp.values.errors import UsageError

__all__ = ["Growth"]

# What an error is divided by: 0 would make every error infinite.
_DIVISORS = ("channel", "line", "element", "lone_element", "scale", "offset")


@dataclass(frozen=True, slots=True)
class Growth:
    """Limits of the growth of the error from row to row, most in multiples of E.

    E is the error that the rows before explain: see `ait_cmp.judging.growth`. docs/verdicts.md
    has the measurements behind every number. Raises UsageError for numbers that allow everything
    or mean nothing.
    """

    level: float = 4.0  # of the whole tensor
    channel: float = 8.0  # of one index of the last axis
    line: float = 14.0  # of one run along the last axis
    element: float = 45.0  # of one element
    lone_element: float = 28.0  # of one that stands alone
    alone: float = 3.0  # so many times the second largest is alone
    scale: float = 1.1  # of a factor, less 1, that the slices share; or, where that is more,
    scale_floor: float = 2.5  # so many floors of E
    offset: float = 0.8  # of a shift that the slices share, over golden's rms; or
    offset_floor: float = 1.5  # so many floors of E
    floor: float = 2.0  # E is at least so many grains of the pair's coarser type
    grain: float = 0.0  # relative error that no operation is expected to stay below
    few: int = 32  # where fewer data_ids were dumped, much may lie between two rows, so
    sparse: float = 4.0  # E is at least so many floors,
    sparse_most: float = 2.0**-4  # as long as these are no more than this
    most: float = 0.25  # of golden: no rounding explains more, whatever came before
    margin: float = 1.5  # another input may have so many times the calibrated noise
    window: int = 40  # rows before that E looks at
    enough: int = 16  # elements from which a row's error says something of the next ones'
    many: int = 64  # elements from which scale and offset are read
    proof: int = 24  # rows with some, but a tiny error that prove a float32 run free of tf32
    jump: float = 8.0  # an error so many times that of all failing rows before is a new fault
    noise: Mapping[str, float] = field(default_factory=dict)  # of data_ids, calibrated

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "noise":
                _check(one.name, value, above=one.name in _DIVISORS)
                continue
            if not isinstance(value, Mapping):
                raise UsageError(f"tolerance.growth.noise must map data_ids to numbers: {value!r}")
            for data_id, number in value.items():
                _check(f"noise of {data_id!r}", number, above=False)


def _check(name: str, value: Any, *, above: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (above and value == 0):
        least = "above 0" if above else "of at least 0"
        raise UsageError(f"tolerance.growth.{name} must be a finite number {least}, not {value!r}")
