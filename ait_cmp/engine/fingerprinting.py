"""The fingerprint of a source, or of a tensor: by compiled loops where it is in main memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from ait_cmp.engine.device.values import as_tensor
from ait_cmp.engine.kernel.sketcher import BUCKETS, Sums, add_blocks, add_lines, bits_of
from ait_cmp.fingerprint.checksum import BLOCK, block_factors, block_keys, checksum
from ait_cmp.fingerprint.make import Found, Large, Means, make_fingerprint, sketch
from ait_cmp.fingerprint.significands import bits_in_use
from ait_cmp.fingerprint.signs import PATTERNS
from ait_cmp.fingerprint.value import BUCKETS as USUAL
from ait_cmp.fingerprint.value import Axis, Fingerprint, bin_count, bin_width
from ait_cmp.source import Source
from ait_cmp.tensors import raw_bytes

__all__ = ["fingerprint_of", "fingerprint_of_tensor"]

_STRIP = 8192  # lines whose sums of channels are taken in float32
# Elements, and blocks of a checksum, that are taken at once: from more than that on, threads are
# worth it. Sums are the same, however many threads there are.
_AT_ONCE, _BLOCKS = 1 << 21, 128

R = TypeVar("R")


def fingerprint_of(source: Source, other: Fingerprint | None = None) -> Fingerprint:
    """That of `source`; beside an `other` one, none that keeps all elements, of as many buckets.
    Raises as reading does."""
    tensor = as_tensor(source.read(0, source.elements), source.dtype).view(source.shape)
    if other is None:
        return fingerprint_of_tensor(tensor)
    # Of twice as many buckets where its sums are of twice the size, so that it has as many.
    buckets = 2 * other.buckets if source.dtype.itemsize > 4 else other.buckets
    return sketch(tensor, buckets=buckets or USUAL, means=_MEANS)


def fingerprint_of_tensor(tensor: torch.Tensor, *, buckets: int = USUAL) -> Fingerprint:
    """What `make_fingerprint` makes of it, faster where it is in main memory."""
    return make_fingerprint(tensor, buckets=buckets, means=_MEANS)


class _Compiled(Large):
    """The same sums by compiled loops, of types that float32 holds."""

    @property
    def _is_ours(self) -> bool:
        return self.device.type == "cpu" and not self.dtype.is_wide

    def axes(self) -> tuple[list[Axis], Found]:
        """As torch operations have them, which take what is rare."""
        rare = self.picks or self.exponent or self.buckets > BUCKETS
        if rare or not self._is_ours:
            return super().axes()
        lines, channels = self.counts
        widths = bin_width(lines), bin_width(channels)
        data = np.frombuffer(raw_bytes(self.values), np.uint8)
        size = channels * self.dtype.itemsize

        def add(part: slice) -> Sums:
            some = data[part.start * size : part.stop * size]
            return add_lines(some, self.dtype, part.start, channels, widths)

        parts = _parts(lines, channels, max(widths[0], PATTERNS))
        tables = [np.zeros((bin_count(count), BUCKETS + 2)) for count in self.counts]
        found = Found()
        for part, sums in zip(parts, _each(add, parts), strict=True):
            first = part.start // widths[0]
            tables[0][first : first + len(sums.lines)] += sums.lines
            tables[1] += sums.channels
            extremes, largest, places = map(torch.from_numpy, sums[2:])
            found.least.append(-extremes[0])
            found.most.append(extremes[1])
            found.top.append(largest)
            found.indices.append(places)
        return [self._folded(table) for table in tables], found

    def _folded(self, table: np.ndarray) -> Axis:
        signed = table[:, :BUCKETS].reshape(len(table), -1, self.buckets).sum(1)
        return self.axis(np.concatenate((signed, table[:, BUCKETS:]), axis=1))

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
    total = sum(_each(add, [slice(start, min(start + _BLOCKS, whole)) for start in starts]))
    rest = data[whole * BLOCK :]
    if len(rest):
        padded = np.zeros(BLOCK, np.uint8)
        padded[: len(rest)] = rest
        total += add_blocks(padded, _keys(), _factors(whole, 1))
    return total % (1 << 64)


_MEANS = Means(_Compiled, _checksum)
