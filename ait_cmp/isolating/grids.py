"""What quantisation does to a module: its weights on a grid, and maybe what it is given.

The yardstick of a module whose weights my's keeps in few bits is golden's with weights of as many,
with as many scales: how finely these are chosen is not known, the largest of each block sets one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

__all__ = ["Grid", "grid_of"]

_CODES = (torch.int8, torch.uint8, torch.int32)  # of one number, or of several in one
_FLOAT8 = tuple(
    getattr(torch, name) for name in ("float8_e4m3fn", "float8_e5m2") if hasattr(torch, name)
)
_FEWEST, _MOST = 2, 8  # bits of a weight


class Grid(NamedTuple):
    """How my's module keeps its weights: in so many bits together, with so many scales; of
    `float8` in that type, and what it is given in so many `inputs` bits, where it rounds that."""

    bits: int
    scales: int
    float8: str = ""
    inputs: int = 0

    def weight(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` on this grid; itself, where it cannot be of it."""
        bits = self.bits // tensor.numel() if tensor.numel() else 0
        block = tensor.numel() // self.scales
        if tensor.ndim < 2 or not _FEWEST <= bits <= _MOST or block * self.scales != tensor.numel():
            return tensor
        blocks = tensor.detach().double().reshape(self.scales, block)
        largest = blocks.abs().amax(1, keepdim=True)
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        if self.float8:
            kind = getattr(torch, self.float8)
            step = largest / torch.finfo(kind).max
            made = (blocks / step).float().to(kind).double() * step
        else:
            step = largest / (2 ** (bits - 1) - 1)
            made = (blocks / step).round() * step
        found: torch.Tensor = made.reshape(tensor.shape).to(tensor.dtype)
        return found

    def given(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` as a module takes it that rounds what it is given, by its range."""
        if not (self.inputs and tensor.is_floating_point() and tensor.numel()):
            return tensor
        low, high = tensor.amin().clamp(max=0), tensor.amax().clamp(min=0)
        step = ((high - low) / (2**self.inputs - 1)).clamp(min=1e-30)
        found: torch.Tensor = ((tensor / step).round() * step).to(tensor.dtype)
        return found


def grid_of(module: torch.nn.Module) -> Grid | None:
    """That of my's module; None where its weights are of no few bits."""
    weight = getattr(module, "weight", None)
    if callable(weight) and type(module).__module__.startswith("torch.ao.nn.quantized"):
        return _of_torch(module, weight())
    own = [*module._parameters.values(), *module._buffers.values()]
    tensors = [one.data for one in own if one is not None]
    codes = [one for one in tensors if one.dtype in (*_CODES, *_FLOAT8) and one.ndim > 1]
    if not codes:
        return None
    held = max(codes, key=torch.Tensor.numel)
    scales = [one.numel() for one in tensors if one.is_floating_point() and one is not held]
    float8 = str(held.dtype).removeprefix("torch.") if held.dtype in _FLOAT8 else ""
    return Grid(8 * held.element_size() * held.numel(), max([1, *scales]), float8)


def _of_torch(module: torch.nn.Module, weight: torch.Tensor) -> Grid | None:
    if not weight.is_quantized:
        return None
    by_channel = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
    scales = weight.q_per_channel_scales().numel() if by_channel else 1
    is_dynamic = ".dynamic." in f"{type(module).__module__}."
    # On x86 what is given is of seven bits, so that no sum of two products overflows.
    return Grid(8 * math.prod(weight.shape), scales, inputs=7 if is_dynamic else 8)
