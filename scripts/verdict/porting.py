"""Faults as a port makes them: something of a Llama-like model is changed, and it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["PORTING", "Change", "no_fault"]

# What changes a model, in a layer of that number, and gives the name of the first module of which
# an output is wrong.
Change = Callable[[Any, int], str]
OTHER = 5  # layers on


def no_fault(model: Any, layer: int) -> str:
    """Changes nothing."""
    return ""


def _place(layer: int, module: str) -> str:
    return f"model.layers.{layer}.{module}"


def _weight(model: nn.Module, layer: int, module: str) -> torch.Tensor:
    weight = model.get_submodule(_place(layer, module)).weight
    assert isinstance(weight, torch.Tensor)
    return weight.data


def _norm_epsilon(model: Any, layer: int) -> str:
    model.model.layers[layer].post_attention_layernorm.variance_epsilon = 1e-3
    return _place(layer, "post_attention_layernorm")


def _norm_plus_one(model: Any, layer: int) -> str:
    _weight(model, layer, "input_layernorm").add_(1.0)
    return _place(layer, "input_layernorm")


def _kv_heads_swapped(model: Any, layer: int) -> str:
    size = model.model.layers[layer].self_attn.head_dim
    weight = _weight(model, layer, "self_attn.k_proj")
    weight[: 2 * size] = weight[: 2 * size].roll(size, 0)
    return _place(layer, "self_attn.k_proj")


def _head_zeroed(model: Any, layer: int) -> str:
    _weight(model, layer, "self_attn.v_proj")[: model.model.layers[layer].self_attn.head_dim] = 0
    return _place(layer, "self_attn.v_proj")


def _softmax_scale(model: Any, layer: int) -> str:
    model.model.layers[layer].self_attn.scaling *= 1.1
    return _place(layer, "self_attn")


def _rotary_base(model: Any, layer: int) -> str:
    rotary = model.model.rotary_emb
    rotary.inv_freq = rotary.inv_freq**1.05
    return "model.rotary_emb"


def _gate_and_up(model: Any, layer: int) -> str:
    mlp = model.model.layers[layer].mlp
    gate, up = mlp.gate_proj.weight.data, mlp.up_proj.weight.data
    mlp.gate_proj.weight.data, mlp.up_proj.weight.data = up, gate
    return _place(layer, "mlp.gate_proj")


def _shard_missing(model: Any, layer: int) -> str:
    weight = _weight(model, layer, "mlp.down_proj")
    weight[:, weight.shape[1] // 2 :] = 0
    return _place(layer, "mlp.down_proj")


def _another_layers(model: Any, layer: int) -> str:
    other = (layer + OTHER) % len(model.model.layers)
    _weight(model, layer, "self_attn.o_proj").copy_(_weight(model, other, "self_attn.o_proj"))
    return _place(layer, "self_attn.o_proj")


def _channel_scale(model: Any, layer: int) -> str:
    _weight(model, layer, "mlp.up_proj")[17] *= 1.25
    return _place(layer, "mlp.up_proj")


def _four_bits(model: Any, layer: int) -> str:
    weight = _weight(model, layer, "self_attn.q_proj")
    step = weight.abs().amax(1, keepdim=True) / 7
    weight.copy_((weight / step).round() * step)
    return _place(layer, "self_attn.q_proj")


def _rows_of_the_head(model: Any, layer: int) -> str:
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.data.roll(1, 0), requires_grad=False)
    return "lm_head"


PORTING: dict[str, Change] = {
    "norm epsilon 1e-3": _norm_epsilon,
    "norm weight plus one": _norm_plus_one,
    "kv heads in another order": _kv_heads_swapped,
    "a head zero": _head_zeroed,
    "softmax scale times 1.1": _softmax_scale,
    "rotary base": _rotary_base,
    "gate and up swapped": _gate_and_up,
    "last shard missing": _shard_missing,
    "another layer's weights": _another_layers,
    "a channel's scale times 1.25": _channel_scale,
    "weights of 4 bits": _four_bits,
    "rows of the head shifted": _rows_of_the_head,
}
