"""The fingerprint of a source, or of a tensor: by compiled loops where it is in main memory."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from ait_cmp.engine.device.values import as_tensor
from ait_cmp.engine.kernel.abi.arguments import Sketch
from ait_cmp.engine.kernel.abi.flags import Bytes, Counts
from ait_cmp.engine.kernel.sketcher import (
    BUCKETS,
    add_blocks,
    add_lines,
    bits_of,
    cleaned_lines,
    ends_of,
)
from ait_cmp.fingerprint.checksum import BLOCK, block_factors, block_keys, checksum
from ait_cmp.fingerprint.make import Found, Large, Means, make_fingerprint, sketch
from ait_cmp.fingerprint.significands import bits_in_use
from ait_cmp.fingerprint.signs import PATTERNS
from ait_cmp.fingerprint.value import BUCKETS as USUAL
from ait_cmp.fingerprint.value import SATURATED, Axis, Fingerprint, Whole, bin_count, bin_width
from ait_cmp.source import Source
from ait_cmp.tensors import raw_bytes
from ait_cmp.values.dtypes import DTYPES, DType

__all__ = ["fingerprint_of", "fingerprint_of_tensor"]

_STRIP = 8192  # lines whose sums of channels are taken in float32
# Elements, and blocks of a checksum, that are taken at once: from more than that on, threads are
# worth it. Sums are the same, however many threads there are.
_AT_ONCE, _BLOCKS = 1 << 21, 128

_ALL = 1 << 64  # checksums are below

R = TypeVar("R")


def fingerprint_of(
    source: Source, other: Fingerprint | None = None, *, name: str = ""
) -> Fingerprint:
    """That of `source`, which is called so; beside an `other` one, none that keeps all elements, of
    as many buckets. Raises as reading does."""
    tensor = _mapped(source).view(source.shape)
    if other is None:
        return fingerprint_of_tensor(tensor, name=name)
    # Of twice as many buckets where its sums are of twice the size, so that it has as many.
    buckets = 2 * other.buckets if source.dtype.itemsize > 4 else other.buckets
    return sketch(tensor, buckets=buckets or USUAL, means=_MEANS)


def _mapped(source: Source) -> torch.Tensor:
    """All its elements, which stay in their file where they lie there in a row, as no more of them
    is held than what is looked at; nothing writes to it."""
    bits = source.read(0, source.elements)
    in_place = bits.flags.c_contiguous and bits.flags.aligned and source.dtype.name != "bool"
    if not in_place:
        return as_tensor(bits, source.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        carried = torch.from_numpy(bits.view(f"i{bits.itemsize}"))
    found: torch.Tensor = carried.view(getattr(torch, source.dtype.name))
    return found


def fingerprint_of_tensor(
    tensor: torch.Tensor, *, name: str = "", buckets: int = USUAL
) -> Fingerprint:
    """What `make_fingerprint` makes of it, faster where it is in main memory."""
    return make_fingerprint(tensor, name=name, buckets=buckets, means=_MEANS)


class _Part(NamedTuple):
    """The sums of some lines, what they add to the checksum, and how many elements are left out, by
    bins of lines and of channels."""

    made: Sketch
    mark: int
    of_lines: Counts | int = 0
    of_channels: Counts | int = 0


class _Compiled(Large):
    """The same sums by compiled loops, of types that float32 holds."""

    def __init__(self, dense: torch.Tensor, dtype: DType, buckets: int) -> None:
        super().__init__(dense, dtype, buckets)
        self._is_ours = self.device.type == "cpu" and not dtype.is_wide
        self._mark: int | None = None

    def axes(self) -> tuple[list[Axis], Found]:
        """As torch operations have them, which take what is rare."""
        if self.buckets > BUCKETS or not self._is_ours:
            return super().axes()
        lines, channels = self.counts
        widths = bin_width(lines), bin_width(channels)
        data = np.frombuffer(raw_bytes(self.values), np.uint8)
        size, whole = channels * self.dtype.itemsize, len(data) // BLOCK

        def add(part: slice) -> _Part:
            if self.picks or self.exponent:  # then the checksum is known
                cleaned, *left_out = cleaned_lines(
                    data, self.dtype, part, channels, widths, self._end, self.exponent
                )
                flat, none = cleaned.view(np.uint8).reshape(-1), _factors(0, 0)
                made, _ = add_lines(
                    flat, DTYPES["float32"], part, channels, widths, _keys(), none, first=0
                )
                return _Part(made, 0, *left_out)
            first, end = (min(-(-line * size // BLOCK), whole) for line in (part.start, part.stop))
            factors = _factors(first, end - first)
            made, mark = add_lines(data, self.dtype, part, channels, widths, _keys(), factors)
            return _Part(made, mark)

        parts = _parts(lines, channels, max(widths[0], PATTERNS))
        tables = [np.zeros((bin_count(count), BUCKETS + 3)) for count in self.counts]
        found, marks = Found(), _rest(data)
        for part, (made, mark, *left_out) in zip(parts, _each(add, parts), strict=True):
            first = part.start // widths[0]
            own = tables[0][first : first + len(made.lines)]
            for table, sums, count in zip(
                (own, tables[1]), (made.lines, made.channels), left_out, strict=True
            ):
                table[:, :-1] += sums
                table[:, -1] += count
            found.least.append(torch.tensor(-made.extremes[0]))
            found.most.append(torch.tensor(made.extremes[1]))
            found.top.append(torch.from_numpy(made.largest))
            found.indices.append(torch.from_numpy(made.places))
            marks += mark
        self._mark = marks if self._mark is None else self._mark
        return [self._folded(table) for table in tables], found

    def checksum(self) -> int:
        """Known with the sums."""
        return _checksum(self.values) if self._mark is None else self._mark % _ALL

    def _folded(self, table: np.ndarray) -> Axis:
        signed = table[:, :BUCKETS].reshape(len(table), -1, self.buckets).sum(1)
        return self.axis(np.concatenate((signed, table[:, BUCKETS:]), axis=1))

    @property
    def _end(self) -> float:
        """From which on elements are left out."""
        return float(np.float32(SATURATED * self.dtype.largest))

    def left_out(self) -> tuple[Whole, float]:
        """As torch operations tell it."""
        if not self._is_ours:
            return super().left_out()
        data = np.frombuffer(raw_bytes(self.values), np.uint8)
        counts, (low, high, least, most, total) = ends_of(data, self.dtype, self._end)
        nans, positive, negative, above, below, places, first = counts.tolist()
        whole = Whole(
            nans, positive, negative, above, below, places % _ALL, first,
            minimum=float(min(low, least)), maximum=float(max(high, most)), total=float(total),
        )  # fmt: skip
        return whole, float(max(high, -low, 0.0))

    def bits_in_use(self) -> tuple[int, int]:
        """As torch operations tell them."""
        return bits_in_use(self.values, self.dtype, self._bits if self._is_ours else None)

    def _bits(self, flat: torch.Tensor, end: float) -> tuple[int, int]:
        data = np.frombuffer(raw_bytes(flat.contiguous()), np.uint8)
        return bits_of(data, self.dtype, end)


def _parts(lines: int, channels: int, step: int) -> list[slice]:
    """Runs of lines, of whole steps."""
    each = min(max(_AT_ONCE // channels, 1), _STRIP)
    each = -(-each // step) * step
    return [slice(start, min(start + each, lines)) for start in range(0, lines, each)]


def _each(work: Callable[[slice], R], parts: Sequence[slice]) -> Iterator[R]:
    """What it makes of each part, in their order."""
    alone = len(parts) == 1 or torch.get_num_threads() == 1
    return map(work, parts) if alone else _pool().map(work, parts)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "fingerprint")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads are not there in a child

_keys = functools.cache(block_keys)
_factors = functools.lru_cache(maxsize=256)(block_factors)


def _checksum(dense: torch.Tensor) -> int:
    """As torch operations have it."""
    if dense.device.type != "cpu":
        return checksum(dense)
    data = np.frombuffer(raw_bytes(dense), np.uint8)
    whole = len(data) // BLOCK

    def add(part: slice) -> int:
        some = data[part.start * BLOCK : part.stop * BLOCK]
        return add_blocks(some, _keys(), _factors(part.start, part.stop - part.start))

    starts = range(0, whole, _BLOCKS)
    parts = [slice(start, min(start + _BLOCKS, whole)) for start in starts]
    return (sum(_each(add, parts)) + _rest(data)) % _ALL


def _rest(data: Bytes) -> int:
    """What the last block adds to the checksum, if it is not whole."""
    whole = len(data) // BLOCK
    if len(data) == whole * BLOCK:
        return 0
    padded = np.zeros(BLOCK, np.uint8)
    padded[: len(data) - whole * BLOCK] = data[whole * BLOCK :]
    return add_blocks(padded, _keys(), _factors(whole, 1))


_MEANS = Means(_Compiled, _checksum)
