"""A checksum of a tensor's bytes, by torch operations on its own device.

Bytes are read as words of 32 bits. Two of a block, with a key added to each, are multiplied, and
the products are added (NH, of Black and others, UMAC: fast and secure message authentication,
1999): two blocks that differ have one sum with a chance of 2**-31. The sums of blocks, mixed once
more and each times an odd number of its own, are added again.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from ait_cmp.fingerprint.signs import hashed

__all__ = ["checksum"]

_HALF = 1 << 13  # words of half a block
_BLOCK = 8 * _HALF  # bytes
_AT_ONCE = 64  # blocks
_KEYS, _FACTORS = 5, 6
_MASK = (1 << 64) - 1


def checksum(dense: torch.Tensor) -> int:
    """64 bits that tell one contiguous tensor from another of its type and shape."""
    flat = dense.as_strided((dense.numel(),), (1,), dense.storage_offset()).view(torch.uint8)
    whole = flat.numel() // _BLOCK
    total = torch.zeros((), dtype=torch.int64, device=dense.device)
    aligned = flat.data_ptr() % 4 == 0 and flat.storage_offset() % 4 == 0
    for start in range(0, whole, _AT_ONCE):
        stop = min(start + _AT_ONCE, whole)
        some = flat[start * _BLOCK : stop * _BLOCK]
        total = total + _sums(some if aligned else some.clone(), start)
    rest = flat[whole * _BLOCK :]
    if rest.numel():
        padded = torch.zeros(_BLOCK, dtype=torch.uint8, device=dense.device)
        padded[: rest.numel()] = rest
        total = total + _sums(padded, whole)
    return int(total) & _MASK


def _sums(some: torch.Tensor, first: int) -> torch.Tensor:
    """Of whole blocks, the first of which has this number."""
    words = some.view(torch.int32).view(-1, 2 * _HALF) + _keys(some.device)
    products = words[:, :_HALF].to(torch.int64) * words[:, _HALF:].to(torch.int64)
    sums = products.sum(1)
    sums = sums ^ (sums >> 32)
    return (sums * _factors(first, len(sums), some.device)).sum()


@functools.lru_cache(maxsize=4)
def _keys(device: torch.device) -> torch.Tensor:
    bits = hashed(_KEYS, np.arange(_HALF, dtype=np.uint64))
    return torch.from_numpy(bits.view(np.int32).copy()).to(device)


@functools.lru_cache(maxsize=64)
def _factors(first: int, count: int, device: torch.device) -> torch.Tensor:
    bits = hashed(_FACTORS, np.arange(first, first + count, dtype=np.uint64)) | np.uint64(1)
    return torch.from_numpy(bits.view(np.int64)).to(device)
