"""A checksum of a tensor's bytes, by torch operations on its own device.

Bytes are read as words of 32 bits. Two of a block, with a key added to each, are multiplied, and
the products are added (NH, of Black and others, UMAC: fast and secure message authentication,
1999): two blocks that differ have one sum with a chance of 2**-31. The sums of blocks, mixed once
more and each times an odd number of its own, are added again.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch

from ait_cmp.fingerprint.signs import hashed

__all__ = ["BLOCK", "block_factors", "block_keys", "checksum", "checksum_of"]

_HALF = 1 << 13  # words of half a block
BLOCK = 8 * _HALF  # bytes
_AT_ONCE = 64  # blocks
_KEYS, _FACTORS = 5, 6
_MASK = (1 << 64) - 1


def checksum(dense: torch.Tensor, *, first: int = 0) -> int:
    """64 bits that tell one contiguous tensor from another of its type and shape; what it adds to
    those of as many blocks as come before, where `first` is not 0."""
    flat = dense.as_strided((dense.numel(),), (1,), dense.storage_offset()).view(torch.uint8)
    whole = flat.numel() // BLOCK
    total = torch.zeros((), dtype=torch.int64, device=dense.device)
    aligned = flat.data_ptr() % 4 == 0 and flat.storage_offset() % 4 == 0
    for start in range(0, whole, _AT_ONCE):
        stop = min(start + _AT_ONCE, whole)
        some = flat[start * BLOCK : stop * BLOCK]
        total = total + _sums(some if aligned else some.clone(), first + start)
    rest = flat[whole * BLOCK :]
    if rest.numel():
        padded = torch.zeros(BLOCK, dtype=torch.uint8, device=dense.device)
        padded[: rest.numel()] = rest
        total = total + _sums(padded, first + whole)
    return int(total) & _MASK


def checksum_of(tensor: torch.Tensor) -> int:
    """The same of any tensor as it is now, in whatever mode torch is. Raises what torch does of one
    whose bits cannot be viewed, as of sparse and quantised ones."""
    with torch.inference_mode(mode=False), torch.no_grad():
        return checksum(tensor.detach().resolve_conj().resolve_neg().contiguous())


def _sums(some: torch.Tensor, first: int) -> torch.Tensor:
    """Of whole blocks, the first of which has this number."""
    words = some.view(torch.int32).view(-1, 2 * _HALF) + _keys(some.device)
    products = words[:, :_HALF].to(torch.int64) * words[:, _HALF:].to(torch.int64)
    sums = products.sum(1)
    sums = sums ^ (sums >> 32)
    return (sums * _factors(first, len(sums), some.device)).sum()


@functools.lru_cache(maxsize=4)
def _keys(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(block_keys().copy()).to(device)


@functools.lru_cache(maxsize=64)
def _factors(first: int, count: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(block_factors(first, count).view(np.int64)).to(device)


def block_keys() -> npt.NDArray[np.int32]:
    """What is added to each word of a block."""
    return hashed(_KEYS, np.arange(_HALF, dtype=np.uint64)).view(np.int32)


def block_factors(first: int, count: int) -> npt.NDArray[np.uint64]:
    """The odd numbers of so many blocks from `first` on."""
    bits = hashed(_FACTORS, np.arange(first, first + count, dtype=np.uint64))
    return bits | np.uint64(1)
