"""A fingerprint, and its bytes."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.fingerprint.narrow import narrowed, narrowed_size, widened
from ait_cmp.fingerprint.signs import MOST
from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.routing import is_routed

__all__ = [
    "BINS",
    "BUCKETS",
    "SATURATED",
    "SMALL",
    "TOP",
    "Axis",
    "Fingerprint",
    "Whole",
    "bin_count",
    "bin_width",
    "buckets_of",
    "is_narrow",
    "is_small",
    "line_and_channel",
    "may_be_scores",
]

BUCKETS = 16  # of a bin, unless others are asked for
BINS = 64  # of an axis, at most
TOP = 16  # elements that are kept, the largest
SATURATED = 0.99  # of a type's largest value, from which on elements stand for infinity
SMALL = 4096  # bytes of a tensor that is kept whole
# Bytes that all elements may take of what choices are made of: ids of tokens or experts in as few
# bits as they need, and scores of up to so many experts. Nothing of 1 MiB takes as much.
CHOICES, _EXPERTS, _MEGABYTE = 1 << 15, 256, 1 << 20
_VERSION, _NARROW = 1, 2  # the latter where elements are in fewer bits than they are stored in
_MAGIC = b"aitF"
_NAMES = tuple(DTYPES)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Magic, version, type, dimensions, buckets, largest elements, whether bins are told of what is left
# out, bytes of elements, checksum.
_HEADER = struct.Struct("<4sBBBBBBxxQQ")


@dataclass(frozen=True, slots=True)
class Whole:
    """What is exact of a tensor's elements.

    Left out of all sums are elements that are not finite, and those of at least 0.99 of the type's
    largest value, which stand for infinity: `nans`, infinite and saturated ones, by sign; `places`
    is a hash of where they are and of which of three kinds (NaN, positive, negative), `first` the
    flat index of the first that is not finite, -1 where there is none. `minimum`, `maximum` and
    `total` are of what is finite; `total` and `squares`, which is of what is not left out, in units
    of 2**exponent and its square. `bits` are the bits of a float32 significand in use by elements
    of at least 2**-14, a bitwise or, and `gridded` how many elements were looked at.
    """

    nans: int = 0
    positive: int = 0
    negative: int = 0
    saturated_positive: int = 0
    saturated_negative: int = 0
    places: int = 0
    first: int = -1
    bits: int = 0
    gridded: int = 0
    exponent: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    squares: float = 0.0

    @property
    def nonfinite(self) -> int:
        """Elements that are NaN or infinite."""
        return self.nans + self.positive + self.negative

    @property
    def left_out(self) -> int:
        """Elements that are in no sum."""
        return self.nonfinite + self.saturated_positive + self.saturated_negative


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The bins of lines, or of channels: exact sums, and the signed sums of their buckets.

    `sums` are Σx and Σx², float64 (2, bins), good to float32; `left_out` counts the elements of
    each bin that are in no sum, and is empty where none are; `signed` is (bins, buckets). All in
    units of the whole's.
    """

    sums: Floats
    left_out: Indices
    signed: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of a tensor of `shape`.

    Of a small one `elements` are all stored bits, and nothing else is kept but the checksum; else
    they are empty. Types that are not rounded have no axes. `top` are the elements of the largest
    magnitude, descending, and `top_indices` their flat indices.
    """

    dtype: DType
    shape: tuple[int, ...]
    checksum: int
    elements: bytes = b""
    whole: Whole = field(default_factory=Whole)
    top: Floats = field(default_factory=lambda: np.zeros(0))
    top_indices: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    lines: Axis | None = None
    channels: Axis | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every element is kept."""
        return bool(self.elements) or 0 in self.shape

    @property
    def buckets(self) -> int:
        """Signed sums of a bin; 0 where there are none."""
        return self.lines.signed.shape[1] if self.lines else 0

    def pack(self) -> bytes:
        """Its bytes, the same on every machine."""
        elements, version = self.elements, _VERSION
        if len(elements) > SMALL and not self.dtype.is_floating:
            elements, version = narrowed(elements, self.dtype), _NARROW
        header = _HEADER.pack(
            _MAGIC, version, _NAMES.index(self.dtype.name), len(self.shape), self.buckets,
            len(self.top), bool(self.lines and len(self.lines.left_out)), len(elements),
            self.checksum,
        )  # fmt: skip
        parts = [header, struct.pack(f"<{len(self.shape)}q", *self.shape)]
        if self.is_whole:
            return _sealed((*parts, elements))
        parts.append(_WHOLE.pack(*(getattr(self.whole, one.name) for one in fields(Whole))))
        kind = _number(self.dtype)
        parts += [self.top.astype(kind).tobytes(), self.top_indices.astype("<i8").tobytes()]
        for axis in filter(None, (self.lines, self.channels)):
            parts += [axis.sums.astype(kind).tobytes(), axis.left_out.astype("<u4").tobytes()]
            parts.append(axis.signed.astype(kind).tobytes())
        return _sealed(parts)

    @staticmethod
    def unpack(packed: Any) -> Fingerprint:
        """That of these bytes, or of any buffer of them. Raises ValueError if damaged."""
        try:
            return _unpacked(_Reader(_opened(memoryview(packed).cast("B"))))
        except (struct.error, IndexError) as exc:
            raise ValueError(f"the fingerprint is not whole: {exc}") from exc

    def folded(self, buckets: int) -> Fingerprint:
        """The same of fewer buckets, a power of two."""
        if buckets >= self.buckets:
            return self
        lines, channels = (axis and _folded(axis, buckets) for axis in (self.lines, self.channels))
        return replace(self, lines=lines, channels=channels)


_WHOLE = struct.Struct("<5qQq3q4d")
_KIND = struct.Struct("<4sB")  # how the header begins
_SEAL = struct.Struct("<I")  # CRC-32 of all bytes before it, the last


def _sealed(parts: Iterable[bytes]) -> bytes:
    content = b"".join(parts)
    return content + _SEAL.pack(zlib.crc32(content))


def _opened(packed: memoryview) -> memoryview:
    """All but the seal. Raises ValueError where that is another's, or another version's."""
    magic, version = _KIND.unpack_from(packed)
    if magic != _MAGIC:
        raise ValueError("the bytes are no fingerprint")
    if version not in (_VERSION, _NARROW):
        raise ValueError(f"the fingerprint is of version {version}; this program reads {_NARROW}")
    content, seal = packed[: -_SEAL.size], packed[-_SEAL.size :]
    if _SEAL.unpack(seal)[0] != zlib.crc32(content):
        raise ValueError("the fingerprint is damaged: its bytes have another checksum")
    return content


def bin_width(count: int) -> int:
    """Neighbours in a bin: a power of two, 1 for up to 64."""
    return 1 << max(-(-count // BINS) - 1, 0).bit_length()


def bin_count(count: int) -> int:
    """How many bins so many places are in."""
    return -(-count // bin_width(count))


def line_and_channel(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many lines a tensor has, and how many channels."""
    return math.prod(shape[:-1]), shape[-1] if shape else 1


def buckets_of(dtype: DType, buckets: int) -> int:
    """Half of them where each sum takes twice the room."""
    return max(buckets // 2, 1) if dtype.itemsize > 4 else buckets


def is_small(dtype: DType, shape: tuple[int, ...], buckets: int) -> bool:
    """Whether all elements take no more room than what else is kept of them, or next to none."""
    size = dtype.itemsize * math.prod(shape)
    if size <= SMALL or not dtype.is_floating:
        return size <= SMALL
    bins = sum(map(bin_count, line_and_channel(shape)))
    return size <= bins * (buckets_of(dtype, buckets) + 2) * max(dtype.itemsize, 4)


def is_narrow(dtype: DType, shape: tuple[int, ...], least: float, most: float) -> bool:
    """Whether all elements of a type that is not rounded, within these bounds, take little."""
    count = math.prod(shape)
    if dtype.is_floating or count * dtype.itemsize >= _MEGABYTE:
        return False
    return narrowed_size(count, int(most) - int(least)) <= CHOICES


def may_be_scores(name: str, dtype: DType, shape: tuple[int, ...]) -> bool:
    """Whether what is called so may be what experts are chosen by, and takes little."""
    if not (dtype.is_floating and is_routed(name)):
        return False
    _, experts = line_and_channel(shape)
    return experts <= _EXPERTS and dtype.itemsize * math.prod(shape) <= CHOICES


def _number(dtype: DType) -> str:
    return "<f8" if dtype.itemsize > 4 else "<f4"


def _folded(axis: Axis, buckets: int) -> Axis:
    bins, before = axis.signed.shape
    return replace(axis, signed=axis.signed.reshape(bins, before // buckets, buckets).sum(1))


class _Reader:
    """What is read of a buffer, from its beginning on."""

    def __init__(self, packed: memoryview) -> None:
        self._packed = packed
        self._at = 0

    def some(self, one: struct.Struct) -> tuple[Any, ...]:
        """The next numbers."""
        found = one.unpack_from(self._packed, self._at)
        self._at += one.size
        return found

    def array(self, kind: str, *shape: int) -> npt.NDArray[Any]:
        """The next array, in float64 or int64."""
        count = math.prod(shape)
        if self._at + count * np.dtype(kind).itemsize > len(self._packed):
            raise IndexError(f"{len(self._packed)} bytes are too few")
        found = np.frombuffer(self._packed, kind, count, self._at).reshape(shape)
        self._at += found.nbytes
        return found.astype(np.float64 if "f" in kind else np.int64)

    def rest(self, size: int) -> bytes:
        """The next bytes, which must be the last."""
        found = bytes(self._packed[self._at :])
        if len(found) != size:
            raise ValueError(f"the fingerprint has {len(found)} bytes where {size} should be")
        return found


def _unpacked(reader: _Reader) -> Fingerprint:
    _, version, kind, dims, buckets, top, some_left_out, size, checksum = reader.some(_HEADER)
    if buckets > MOST or buckets & (buckets - 1):
        raise ValueError(f"the fingerprint has {buckets} buckets a bin")
    dtype, shape = DTYPES[_NAMES[kind]], reader.some(struct.Struct(f"<{dims}q"))
    if min(shape, default=0) < 0:
        raise ValueError(f"the fingerprint has the shape {list(shape)}")
    if version == _NARROW:
        if dtype.itemsize * math.prod(shape) >= _MEGABYTE:
            raise ValueError(f"the fingerprint has all elements of {list(shape)}")
        elements = widened(reader.rest(size), dtype, math.prod(shape))
        return Fingerprint(dtype, shape, checksum, elements)
    if size or 0 in shape:
        if size != dtype.itemsize * math.prod(shape):
            raise ValueError(f"the fingerprint has {size} bytes of elements for {list(shape)}")
        return Fingerprint(dtype, shape, checksum, reader.rest(size))
    whole = Whole(*reader.some(_WHOLE))
    values, indices = reader.array(_number(dtype), top), reader.array("<i8", top)
    axes = [*_axes(reader, dtype, shape, buckets, some_left_out)] if buckets else [None, None]
    reader.rest(0)
    return Fingerprint(dtype, shape, checksum, b"", whole, values, indices, *axes)


def _axes(
    reader: _Reader, dtype: DType, shape: tuple[int, ...], buckets: int, some_left_out: bool
) -> Iterator[Axis]:
    for count in line_and_channel(shape):
        bins = bin_count(count)
        sums = reader.array(_number(dtype), 2, bins)
        left_out = reader.array("<u4", bins if some_left_out else 0)
        yield Axis(sums, left_out, reader.array(_number(dtype), bins, buckets))
