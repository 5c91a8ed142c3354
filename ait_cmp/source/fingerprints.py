"""What was kept of a tensor, in the place of the tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ait_cmp.files import OpenFile
from ait_cmp.source.header import Kept
from ait_cmp.source.memory import from_memory
from ait_cmp.source.view import Array, Source
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Step

if TYPE_CHECKING:
    from ait_cmp.fingerprint.value import Fingerprint

__all__ = ["FingerprintSource", "kept_elements", "kept_source", "needs_tensors"]


@dataclass(frozen=True, slots=True)
class FingerprintSource(Source):
    """A tensor of which a fingerprint was kept, of `size` bytes; it has no elements to read.

    `back` are the adapters that make of a tensor of this shape one as the fingerprint is of: what
    only moves axes, or leaves out positions, is asked of the other side.
    """

    fingerprint: Fingerprint = field(repr=False)
    place: str
    size: int
    back: tuple[Step, ...] = ()

    @property
    def in_one(self) -> bool:
        return True

    def read(self, start: int, stop: int) -> Array:
        del start, stop
        raise needs_tensors(self.place, "elements are asked for")

    def seen_as(self, view: Callable[[Array], Array]) -> Source | None:
        del view
        raise needs_tensors(self.place, "its elements are to be rearranged")

    def reshaped(self, shape: tuple[int, ...]) -> Source:
        del shape
        raise needs_tensors(self.place, "its elements are to be rearranged")


def needs_tensors(place: str, why: str) -> PairError:
    """The error of a fingerprint of which something is wanted that only tensors have."""
    return PairError(
        Reason.NEEDS_TENSORS,
        f"{place} is the fingerprint of a tensor, and {why}; dump the tensors themselves for that",
    )


def kept_source(kept: Kept, file: OpenFile, location: str) -> Source:
    """The tensor at `location`, whose fingerprint is `kept` in `file`: itself, where that has all
    of its elements. Raises PairError."""
    from ait_cmp.fingerprint.value import Fingerprint  # rare

    try:
        found = Fingerprint.unpack(file.read(kept.offset, kept.size))
    except ValueError as exc:
        raise PairError(
            Reason.FINGERPRINT_MALFORMED, f"{location} cannot be read: {exc}; dump it again"
        ) from exc
    if found.is_whole:
        return replace(kept_elements(found), states=(file.state,))
    return FingerprintSource(
        found.dtype, found.shape, found, location, kept.size, states=(file.state,)
    )


def kept_elements(fingerprint: Fingerprint) -> Source:
    """The tensor of which all elements are kept."""
    bits = np.frombuffer(fingerprint.elements, fingerprint.dtype.storage)
    return from_memory(fingerprint.dtype, bits.reshape(fingerprint.shape))
