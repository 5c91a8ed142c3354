"""The fingerprint of a source, or of a tensor: by compiled loops where it is in main memory."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ait_cmp.engine.device.values import as_tensor
from ait_cmp.engine.kernel.sketcher import BUCKETS, TILE, add_blocks, add_lines
from ait_cmp.fingerprint.checksum import BLOCK, block_factors, block_keys, checksum
from ait_cmp.fingerprint.make import Found, Large, Means, Tile, make_fingerprint, sketch
from ait_cmp.fingerprint.signs import PATTERNS
from ait_cmp.fingerprint.value import BUCKETS as USUAL
from ait_cmp.fingerprint.value import Axis, Fingerprint, bin_count, bin_width
from ait_cmp.source import Source
from ait_cmp.tensors import raw_bytes

__all__ = ["fingerprint_of", "fingerprint_of_tensor"]

_STRIP = 8192  # lines whose sums of channels are taken in float32
_WORTH = 1 << 18  # elements from which threads are worth it


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

    def axes(self) -> tuple[list[Axis], Found]:
        """As torch operations have them, which take what is rare."""
        rare = self.picks or self.exponent or self.buckets > BUCKETS
        if rare or self.device.type != "cpu" or self.dtype.is_wide:
            return super().axes()
        lines, channels = self.counts
        widths = bin_width(lines), bin_width(channels)
        data = np.frombuffer(raw_bytes(self.values), np.uint8)
        size = channels * self.dtype.itemsize

        def add(part: slice) -> tuple[slice, tuple[np.ndarray, ...]]:
            some = data[part.start * size : part.stop * size]
            return part, add_lines(some, self.dtype, part.start, channels, widths)

        parts = _parts(lines, max(widths[0], PATTERNS), lines * channels)
        done = _pool().map(add, parts) if len(parts) > 1 else map(add, parts)
        tables = [np.zeros((bin_count(count), BUCKETS + 2)) for count in self.counts]
        found = Found()
        for part, (by_line, by_channel, peaks) in done:
            first = part.start // widths[0]
            tables[0][first : first + len(by_line)] += by_line
            tables[1] += by_channel
            self._add_peaks(part, torch.from_numpy(peaks), found)
        return [self._folded(table) for table in tables], found

    def _folded(self, table: np.ndarray) -> Axis:
        signed = table[:, :BUCKETS].reshape(len(table), -1, self.buckets).sum(1)
        nothing = np.zeros((len(table), 1))
        return self.axis(np.concatenate((signed, table[:, BUCKETS:], nothing), axis=1))

    def _add_peaks(self, part: slice, peaks: torch.Tensor, found: Found) -> None:
        low, high = peaks[:, ::2], peaks[:, 1::2]
        found.least.append(-low.amin())
        found.most.append(high.amax())
        strip = Tile(part, slice(0, self.counts[1]))
        self.add_top(strip, torch.maximum(-low, high), min(TILE, self.counts[1]), found)


def _parts(lines: int, step: int, elements: int) -> list[slice]:
    """Runs of lines, of whole steps: one a thread, or more of many lines."""
    threads = torch.get_num_threads() if elements >= _WORTH else 1
    each = min(-(-lines // threads), _STRIP)
    each = -(-each // step) * step
    return [slice(start, min(start + each, lines)) for start in range(0, lines, each)]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "fingerprint")


def _checksum(dense: torch.Tensor) -> int:
    """As torch operations have it."""
    whole = dense.numel() * dense.element_size() // BLOCK
    if dense.device.type != "cpu" or not whole:
        return checksum(dense)
    data = np.frombuffer(raw_bytes(dense), np.uint8)
    total = add_blocks(data[: whole * BLOCK], block_keys(), block_factors(0, whole))
    rest = torch.from_numpy(data[whole * BLOCK :].copy())
    return (total + checksum(rest, first=whole)) % (1 << 64)


_MEANS = Means(_Compiled, _checksum)
