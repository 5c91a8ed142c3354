"""What the engine answers of one pair, or of a range of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ait_cmp.engine.choices import Choices
from ait_cmp.engine.detail import Detail
from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.extra import Extra
from ait_cmp.engine.positions import Positions
from ait_cmp.engine.stats import Stats
from ait_cmp.files import FileState
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.errors import PairError

__all__ = ["Answers", "Brief", "Measured", "TensorInfo"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the report says of one side besides its values."""

    dtype: DType
    shape: tuple[int, ...]

    def packed(self) -> tuple[str, tuple[int, ...]]:
        """All of it as plain values."""
        return self.dtype.name, self.shape

    @staticmethod
    def unpacked(packed: Sequence[Any]) -> TensorInfo:
        """What `packed` gave."""
        return _tensor_info(packed[0], tuple(packed[1]))


@functools.lru_cache(maxsize=4096)
def _tensor_info(dtype: str, shape: tuple[int, ...]) -> TensorInfo:
    """One value for many rows, which are mostly of few shapes."""
    return TensorInfo(DTYPES[dtype], shape)


@dataclass(frozen=True, slots=True)
class Measured:
    """What comparing a pair gave: stats, or the error that prevented them.

    `worst` is the flat index of the element that tells most (the first non-finite one that
    disagrees, else the largest difference), -1 where the sides are equal; `worst_golden` and
    `worst_my` are its exact values as text. `files` are all that the stats depend on. A whole
    pair has the evidence that was made of the slices among its stats, and of `slices` the packed
    bytes of what is kept. `choices` are what a second look at a row of ids found
    (`engine.looks`), `positions` one at a row of logits, `diagnosis` one at a row that fails,
    `detail` one at a row that a person looks at closely, and `extra` has the user's own metrics.
    """

    golden: TensorInfo | None = None
    my: TensorInfo | None = None
    stats: Stats | None = None
    worst: int = -1
    worst_golden: str | None = None
    worst_my: str | None = None
    files: tuple[FileState, ...] = ()
    error: PairError | None = None
    evidence: Evidence | None = None
    slices: bytes | None = None
    choices: Choices | None = None
    positions: Positions | None = None
    diagnosis: Diagnosis | None = None
    detail: Detail | None = None
    extra: Extra | None = None

    def brief(self) -> Brief:
        """What can be said of it without its numbers."""
        stats = self.stats
        return Brief(
            self.golden,
            self.my,
            stats is not None,
            self.evidence is not None,
            stats is not None and stats.equal < stats.pairs,
            stats is not None and stats.is_equal,
            self.error,
            self.choices is not None,
        )


class Brief(NamedTuple):
    """What can be said of a pair without its numbers, of which there may be a million: both sides,
    whether there are stats, and evidence, whether a finite element `differs`, and whether none does
    and what is not finite is alike; or the error; and whether choices that differ were looked at.
    """

    golden: TensorInfo | None = None
    my: TensorInfo | None = None
    is_compared: bool = False
    has_evidence: bool = False
    differs: bool = False
    is_equal: bool = False
    error: PairError | None = None
    has_choices: bool = False


class Answers(Protocol):
    """What was measured of pairs, by their numbers."""

    def get(self, number: int, /) -> Measured | None: ...

    def brief(self, number: int, /) -> Brief | None: ...
