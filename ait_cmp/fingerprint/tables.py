"""The signs and buckets of places, as torch tensors on a device."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch

from ait_cmp.fingerprint.signs import (
    GROUP,
    MOST,
    PATTERNS,
    bit_rows,
    kept_buckets,
    kept_signs,
    turns,
)

__all__ = ["Kept", "Summed", "kept", "summed"]


class Summed(NamedTuple):
    """Places of the summed axis, in the order of their buckets within each group of 32: which they
    are, and the signs of 64 neighbours for each, 0 where a group has no such place; their buckets
    in the order in which they come, and the signs in that."""

    order: torch.Tensor  # (groups * 32,)
    signs: torch.Tensor  # (groups * 32, 64)
    buckets: torch.Tensor  # (places,)
    plain_signs: torch.Tensor  # (places, 64)


class Kept(NamedTuple):
    """Places of the kept axis: where each bucket of theirs is found, and their signs."""

    origins: torch.Tensor  # (buckets, places)
    signs: torch.Tensor  # (places,)


@functools.lru_cache(maxsize=64)
def summed(start: int, count: int, device: torch.device, dtype: torch.dtype) -> Summed:
    """Those of so many places from `start` on, which is a multiple of 32."""
    places = np.arange(start, start + count, dtype=np.uint64)
    buckets, bits = turns(places), bit_rows(places)
    some = (bits[:, None] >> np.arange(PATTERNS, dtype=np.uint64)) & np.uint64(1)
    signs = 1.0 - 2.0 * some.astype(np.float32)
    padded = -(-count // GROUP) * GROUP
    order = np.zeros(padded, np.int64)
    ordered = np.zeros((padded, PATTERNS), np.float32)
    at = np.arange(count) // GROUP * MOST + buckets
    order[at] = np.arange(count)
    ordered[at] = signs
    first, *others = (torch.from_numpy(one).to(device) for one in (order, ordered, buckets, signs))
    return Summed(first, others[0].to(dtype), others[1], others[2].to(dtype))


@functools.lru_cache(maxsize=64)
def kept(start: int, count: int, buckets: int, device: torch.device, dtype: torch.dtype) -> Kept:
    """Those of so many places from `start` on, for so many buckets."""
    places = np.arange(start, start + count, dtype=np.uint64)
    origins = (np.arange(buckets)[:, None] ^ kept_buckets(places)) & (buckets - 1)
    signs = torch.from_numpy(kept_signs(places))
    return Kept(torch.from_numpy(origins).to(device), signs.to(dtype).to(device))
