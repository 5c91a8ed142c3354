"""What the compiled loops are given, by name."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ait_cmp.engine.kernel.abi.flags import ROW, Counts, Doubles, Singles
from ait_cmp.engine.parts import Parts

__all__ = [
    "CLIPPED",
    "CLIPPED_FIRST",
    "COARSE",
    "GOLDEN_BITS",
    "GRIDDED",
    "LANES",
    "MARKS",
    "MY_BITS",
    "PENDING",
    "SATURATED",
    "ChannelPlaces",
    "Desk",
    "Grid",
    "LinePlaces",
    "Results",
    "Room",
    "Sketch",
    "Stored",
    "Tables",
    "Thresholds",
    "desk",
    "room",
]

LANES = 8  # float32 in a vector
COARSE = 8  # the shift of bins so wide that runs of them are summed one by one
# Of `Tables.marks`.
GOLDEN_BITS, MY_BITS, GRIDDED, SATURATED, CLIPPED, CLIPPED_FIRST, PENDING, MARKS = range(8)


class Stored(NamedTuple):
    """How the bytes of one side are to be read."""

    kind: int
    itemsize: int


class Thresholds(NamedTuple):
    """What elements are compared with, and what is wanted of them."""

    epsilon: float
    atol: float
    rtol: float
    # For float32 lanes: |g| > epsilon is |g| > epsilon32, and a difference is surely within
    # the low tolerance, surely beyond the high one, and decided in float64 in between.
    epsilon32: np.float32
    atol_low: np.float32
    rtol_low: np.float32
    atol_high: np.float32
    rtol_high: np.float32
    exact: bool  # whether float32 differences are
    parts: Parts


class Room(NamedTuple):
    """Scratch rows for one block; the caller's, since the loops allocate nothing."""

    singles: Singles
    doubles: Doubles
    positions: npt.NDArray[np.int32]


class Desk(NamedTuple):
    """Scratch for the lines of a fingerprint; the caller's, too."""

    rows: Singles  # of four lines
    tails: Singles  # and what is left of them beside whole vectors
    masks: npt.NDArray[np.uint32]  # the signs of 64 neighbours, of 32 lines
    turned: Singles  # sums by order, of up to 32 bins of lines
    signs: Singles
    sums: Singles  # of four lines, as `ends`
    other_sums: Singles
    facts: Counts
    tiles: Counts
    heights: Singles  # of as many tiles
    magnitudes: Singles
    ends: npt.NDArray[np.int32]
    other_ends: npt.NDArray[np.int32]


class LinePlaces(NamedTuple):
    """What the places of lines say: 64 bits of signs, the bucket as one that is summed, and the
    bucket and the sign as one that is kept (`own`, 3 rows)."""

    bits: npt.NDArray[np.uint64]
    own: Counts


class ChannelPlaces(NamedTuple):
    """What those of channels say: both halves of their bits, the bucket and the sign as one that
    is kept, and of each 32 channels the part of the bucket that they share."""

    bits: npt.NDArray[np.uint32]
    own: Counts
    turns: Counts


class Sketch(NamedTuple):
    """What is made of lines: 16 signed sums, Σx and Σx² of each bin of lines and of channels, which
    are added to; the largest magnitude of each line and tile; the least and the largest element;
    the elements of the largest magnitudes with their indices, 0.0 where there are fewer."""

    lines: Doubles
    channels: Doubles
    peaks: Singles
    extremes: Singles
    largest: Singles
    places: Counts


class Results(NamedTuple):
    """The numbers of `Stats` or of `Evidence`, each at its slot: the same memory as whole numbers
    and as floats, a slot being one of them alone."""

    counts: Counts
    sums: Doubles

    @classmethod
    def of(cls, packed: bytes) -> Results:
        """A copy of the numbers of a packed record."""
        counts = np.frombuffer(bytearray(packed), np.int64)
        return cls(counts, counts.view(np.float64))


class Grid(NamedTuple):
    """How flat indices fall into the bins of `engine.slices.Bins`; no channels: not wanted."""

    channels: int
    line: int  # elements of a bin of lines
    shift: int  # of a channel for its bin
    period: int  # elements after which their slots repeat
    patience: int  # elements that may be added to the slots before they are folded
    wide: bool  # whether blocks of float64 are summed in float64 slots
    golden_bits: int  # all that its type can use
    my_bits: int
    saturation: float  # from here on both sides stand for infinity
    golden_end: float  # and from here on each does by itself
    my_end: float
    my_largest: float
    my_beyond: float  # what would round to more than that


class Tables(NamedTuple):
    """What becomes `engine.slices.Slices`."""

    lines: Doubles
    channels: Doubles
    slots: Singles  # of channels, of blocks in float32
    wide_slots: Doubles  # and of those in float64
    top: Doubles  # d, g
    indices: Counts  # -1 where there is none
    marks: Counts


_LOCAL = threading.local()


def room() -> Room:
    """The scratch of this thread."""
    made: Room | None = getattr(_LOCAL, "room", None)
    if made is None:
        rows = np.empty((8, ROW), np.float32), np.empty((14, ROW), np.float64)
        made = _LOCAL.room = Room(*rows, np.empty(ROW, np.int32))
    return made


def desk() -> Desk:
    """The desk of this thread."""
    made: Desk | None = getattr(_LOCAL, "desk", None)
    if made is None:
        made = _LOCAL.desk = Desk(
            rows=np.zeros((4, ROW), np.float32),
            tails=np.zeros((4, 32), np.float32),
            masks=np.zeros((32, 64), np.uint32),
            turned=np.zeros(32 * 256, np.float32),
            signs=np.zeros(16, np.float32),
            sums=np.zeros(8, np.float32),
            other_sums=np.zeros(8, np.float32),
            facts=np.zeros((4, 6), np.int64),
            tiles=np.zeros(16, np.int64),
            heights=np.zeros(16, np.float32),
            magnitudes=np.zeros(16, np.float32),
            ends=np.zeros(11, np.int32),
            other_ends=np.zeros(11, np.int32),
        )
    return made
