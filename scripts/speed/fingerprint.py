"""How much of the memory's bandwidth fingerprints take: bytes a second against a plain sum."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch

from ait_cmp.engine.fingerprinting import fingerprint_of_tensor
from speed.rows import Row, at_least

__all__ = ["fingerprint_rows"]

_SHAPE = (8192, 4096)
_TIMES = 20


def fingerprint_rows() -> Iterator[Row]:
    """Of float32 and bfloat16, 16 buckets a bin; the least of several, in turn with the sum."""
    plain = torch.randn(_SHAPE)
    for dtype in (torch.float32, torch.bfloat16):
        tensor = plain.to(dtype)
        words = tensor.view(torch.float32)
        made, read = _least(partial(fingerprint_of_tensor, tensor), words.sum)
        name = str(dtype).removeprefix("torch.")
        told = f"{tensor.nbytes / made / 1e9:.2f} GB/s of {tensor.nbytes / read / 1e9:.1f}"
        yield at_least(f"11 fingerprints of {name}, share of bandwidth", read / made, 0.25, told)


def _least(*works: Callable[[], object]) -> list[float]:
    """The seconds of each, in turn."""
    least = [math.inf for _ in works]
    for _ in range(_TIMES):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            least[place] = min(least[place], time.perf_counter() - start)
    return least
