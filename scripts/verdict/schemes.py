"""Quantised ways to run a model: each stays benign, however coarse its rounding is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache
from transformers.pytorch_utils import Conv1D

from verdict.models import BF16, F16, F32, Variant

__all__ = ["INT8_WEIGHTS", "SCHEMES"]


# ---- weights -------------------------------------------------------------------------------------


def _weights(model: nn.Module, quantise: Any) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and not name.endswith(("lm_head", "router")):
            over_inputs = isinstance(module, nn.Linear)
            w: Tensor = module.weight.detach()
            rounded = quantise(w if over_inputs else w.T)
            made = (rounded if over_inputs else rounded.T).contiguous()
            module.weight = nn.Parameter(made, requires_grad=False)


def _symmetric(w: Tensor, most: int, top: Tensor) -> Tensor:
    step = top.clamp(min=1e-12) / most
    return (w / step).round().clamp(-most, most) * step


def _int8_per_channel(model: nn.Module) -> None:
    _weights(model, lambda w: _symmetric(w, 127, w.abs().amax(1, keepdim=True)))


def _int8_per_tensor(model: nn.Module) -> None:
    _weights(model, lambda w: _symmetric(w, 127, w.abs().max()))


def _grouped(w: Tensor) -> Tensor:
    """4 bits with a scale and a zero point for every 32 inputs."""
    size = 32 if w.shape[1] % 32 == 0 else w.shape[1]
    groups = w.reshape(w.shape[0], -1, size)
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)
    step = ((high - low) / 15).clamp(min=1e-12)
    return (((groups - low) / step).round() * step + low).reshape(w.shape)


def _int4(model: nn.Module) -> None:
    _weights(model, _grouped)


# ---- activations ---------------------------------------------------------------------------------

Rounds = Callable[[Tensor], Tensor]


def _float8(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    scale = x.abs().amax(dims, keepdim=True).clamp(min=1e-12) / 448
    return (x / scale).to(torch.float8_e4m3fn).float() * scale


def _int8(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return _symmetric(x, 127, x.abs().amax(dims, keepdim=True))


class _Rounded:
    """A product of rounded activations and weights; attention and logits are left alone.

    A `static` scale of the activations is the one that the first call of a weight has fixed.
    """

    def __init__(self, inputs: Rounds, weights: Rounds, *, static: bool = False) -> None:
        self._inputs, self._weights, self._static = inputs, weights, static
        self._kept: dict[int, Tensor] = {}  # rounded weights
        self._tops: dict[int, Tensor] = {}

    def __call__(self, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        if x.ndim == 3 or w.shape[1] > LOGITS:
            return x @ w if bias is None else x @ w + bias
        key, a = w.data_ptr(), x.float()
        if key not in self._kept:
            self._kept[key] = self._weights(w.float())
            self._tops[key] = a.abs().max()
        rounded = _symmetric(a, 127, self._tops[key]) if self._static else self._inputs(a)
        y = (rounded @ self._kept[key]).to(x.dtype)
        return y if bias is None else y + bias

    def forget(self, _: nn.Module) -> None:
        """What was kept of another model's weights is nothing to this one."""
        self._kept.clear()
        self._tops.clear()


LOGITS = 8192  # outputs, from which on a product is one with the vocabulary
# A scale for each token and for each output; or one for all of the tensor.
_fp8 = _Rounded(partial(_float8, dims=(1,)), partial(_float8, dims=(0,)))
_fp8_tensor = _Rounded(partial(_float8, dims=(0, 1)), partial(_float8, dims=(0, 1)))
_w8a8 = _Rounded(partial(_int8, dims=(1,)), partial(_int8, dims=(0,)))
_static = _Rounded(torch.clone, partial(_int8, dims=(0,)), static=True)


# ---- the cache -----------------------------------------------------------------------------------


class _Int8Cache(DynamicCache):  # type: ignore[misc]
    """Keys and values in 8 bits, with a scale for each head."""

    most = 127

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **named: Any) -> Any:
        kept = (self._kept(one) for one in (key_states, value_states))
        return super().update(*kept, *args, **named)

    def _kept(self, x: Tensor) -> Tensor:
        scale = x.float().abs().amax((0, 2, 3)).clamp(min=1e-12) / self.most
        zero = torch.zeros(len(scale), dtype=torch.int32)
        made = torch.fake_quantize_per_channel_affine(
            x.float(), scale, zero, 1, -self.most, self.most
        )
        return made.to(x.dtype)


class _Int4Cache(_Int8Cache):
    most = 7


def _int8_cache(config: Any) -> Any:
    return _Int8Cache(config=config)


def _int4_cache(config: Any) -> Any:
    return _Int4Cache(config=config)


INT8_WEIGHTS = (
    Variant("int8 weights per channel, fp32", F32, change=_int8_per_channel, scheme="int8"),
    Variant("int8 weights per tensor, fp32", F32, change=_int8_per_tensor, scheme="int8"),
    Variant("int8 weights per channel, bf16", BF16, change=_int8_per_channel, scheme="int8"),
    Variant("int8 weights per tensor, bf16", BF16, change=_int8_per_tensor, scheme="int8"),
    Variant("int8 weights per channel, fp16", F16, change=_int8_per_channel, scheme="int8"),
)
SCHEMES = (
    *INT8_WEIGHTS,
    Variant("int4 weights in groups, bf16", BF16, change=_int4, scheme="int4"),
    Variant("fp8 a scale a token, bf16", BF16, _fp8, change=_fp8.forget, scheme="fp8"),
    Variant(
        "fp8 a scale a tensor, bf16", BF16, _fp8_tensor, change=_fp8_tensor.forget, scheme="fp8"
    ),
    Variant("W8A8 a scale a token, bf16", BF16, _w8a8, change=_w8a8.forget, scheme="W8A8"),
    Variant("W8A8 static, bf16", BF16, _static, change=_static.forget, scheme="W8A8"),
    Variant("int8 KV cache, bf16", BF16, cache=_int8_cache, scheme="KV cache"),
    Variant("int4 KV cache, bf16", BF16, cache=_int4_cache, scheme="KV cache"),
)
