"""Models of random weights made like trained ones: deep and thin, with large vocabularies, massive
activations, attention sinks, sliding windows, soft-caps, and two experts whose scores nearly tie.

A massive activation is one channel of the first token, hundreds to thousands of times the others;
it stands in the residual from the second layer on. Its key is one that every query points at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from verdict.models import Subject

__all__ = ["ARCHITECTURES", "build"]

FIRST, STEADY, TRIGGER, MASSIVE = 1, 0, 1, 2  # a token, and channels of the residual
HIDDEN, HEAD = 64, 16
LAYERS = (24, 32, 28, 48)
VOCABULARIES = (32_000, 128_256, 49_152, 151_936)
FACTORS = (300.0, 3000.0, 1000.0, 600.0)


def build(name: str, other_inputs: bool = False) -> Subject:
    """`deep.ARCHITECTURE-SEED`, where the seed also chooses sizes and padding."""
    transformers.logging.set_verbosity_error()
    kind, number = name.removeprefix("deep.").split("-")
    seed = int(number)
    torch.manual_seed(seed)
    make, config = ARCHITECTURES[kind](seed)
    model = make(config)
    _spread(model, seed)
    _mass(model, FACTORS[seed % 4])
    ids, mask = _reads(kind, config.vocab_size, 100 * other_inputs + seed)
    return Subject(name, model.eval(), {"input_ids": ids, "attention_mask": mask}, causal=True)


def _reads(kind: str, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two entries, the second shorter: padded left for even seeds, right for odd ones."""
    length, batch = (2048, 1) if kind == "long" else ((26, 19, 33, 22)[seed % 4], 2)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocabulary, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    missing = 0 if batch == 1 else 5
    pad = slice(0, missing) if seed % 2 == 0 else slice(length - missing, length)
    ids[-1, pad], mask[-1, pad] = 0, 0
    ids[:, 0] = FIRST
    ids[-1, missing if seed % 2 == 0 else 0] = FIRST
    return ids, mask


# ---- weights -------------------------------------------------------------------------------------


def _spread(model: nn.Module, seed: int) -> None:
    """Weights of a trained size; those that write to the residual get smaller with depth."""
    generator = torch.Generator().manual_seed(seed)
    depth = float(model.config.num_hidden_layers) ** 0.5  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "embed" in name:
                parameter.copy_(0.5 * noise)
            elif parameter.ndim >= 2:
                inputs = parameter.shape[-1]
                writes = any(part in name for part in ("o_proj", "down_proj"))
                parameter.copy_(noise * (2 / depth if writes else 1.2) / inputs**0.5)
            elif "norm" in name and float(parameter.abs().mean()) > 0:
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.1 * noise)
            if "router" in name or name.endswith("mlp.gate.weight"):
                parameter[1] = parameter[0] * (1 + 1e-3 * noise[1])  # two that nearly tie


def _mass(model: Any, factor: float) -> None:
    """The first token's massive channel, and the attention that all tokens pay to it."""
    layers = model.model.layers
    with torch.no_grad():
        words = model.model.embed_tokens.weight
        words[:, STEADY], words[:, MASSIVE], words[:, TRIGGER] = 2.0, 0.0, 0.0
        words[FIRST] = 0.0
        if not hasattr(layers[1].mlp, "gate_proj") or hasattr(
            layers[1], "post_feedforward_layernorm"
        ):
            words[FIRST, MASSIVE] = factor  # where no product can make it
        else:
            words[FIRST, TRIGGER] = 8.0
            mlp = layers[1].mlp
            mlp.gate_proj.weight[0] = mlp.up_proj.weight[0] = 0.0
            mlp.gate_proj.weight[0, TRIGGER] = mlp.up_proj.weight[0, TRIGGER] = 2.0
            mlp.down_proj.weight[:, 0] = 0.0
            mlp.down_proj.weight[MASSIVE, 0] = factor / 200
        for layer in layers[2:]:
            _sink(layer.self_attn)


def _sink(attention: Any) -> None:
    """Queries have a steady part along which the massive token's key lies; its value is small."""
    if not hasattr(attention, "q_proj"):
        return
    slow = HEAD // 2 - 1  # which the rotation hardly turns
    attention.q_proj.weight[slow::HEAD, STEADY] = 1.5
    attention.k_proj.weight[:, MASSIVE] *= 0.1
    attention.k_proj.weight[slow::HEAD, MASSIVE] = 2.0
    attention.v_proj.weight[:, MASSIVE] *= 0.05


# ---- architectures -------------------------------------------------------------------------------


def _sizes(seed: int, **other: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARIES[seed % 4],
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS[seed % 4],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": HEAD,
        "attn_implementation": "eager",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        **other,
    }


Made = tuple[Any, Any]


def _llama(seed: int) -> Made:
    return transformers.LlamaForCausalLM, transformers.LlamaConfig(**_sizes(seed))


def _qwen3(seed: int) -> Made:
    """Norms of queries and keys."""
    return transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**_sizes(seed))


def _mistral(seed: int) -> Made:
    """A sliding window of 8 in every layer."""
    config = transformers.MistralConfig(**_sizes(seed, sliding_window=8))
    return transformers.MistralForCausalLM, config


def _gemma2(seed: int) -> Made:
    """Soft-caps, a window in every other layer, norms with a weight plus one."""
    sizes = _sizes(seed, sliding_window=8, query_pre_attn_scalar=HEAD)
    return transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**sizes)


def _phi3(seed: int) -> Made:
    """Queries, keys and values in one product; gate and up likewise."""
    return transformers.Phi3ForCausalLM, transformers.Phi3Config(**_sizes(seed, eos_token_id=2))


def _moe(seed: int) -> Made:
    """Eight experts, of which two are chosen."""
    sizes = _sizes(seed, num_hidden_layers=12, num_experts=8, num_experts_per_tok=2)
    sizes |= {"moe_intermediate_size": HIDDEN, "norm_topk_prob": True}
    sizes["experts_implementation"] = "eager"
    return transformers.Qwen3MoeForCausalLM, transformers.Qwen3MoeConfig(**sizes)


def _gptoss(seed: int) -> Made:
    """Sinks of its own, a window in every other layer, and experts."""
    sizes = _sizes(seed, num_hidden_layers=12, num_local_experts=8, num_experts_per_tok=2)
    sizes |= {"sliding_window": 8, "experts_implementation": "eager", "rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    return transformers.GptOssForCausalLM, transformers.GptOssConfig(**sizes)


def _olmo2(seed: int) -> Made:
    """Norms after attention and after the products, and of queries and keys as a whole."""
    return transformers.Olmo2ForCausalLM, transformers.Olmo2Config(**_sizes(seed))


def _cohere(seed: int) -> Made:
    """Attention and products side by side, and logits that are scaled."""
    return transformers.CohereForCausalLM, transformers.CohereConfig(**_sizes(seed))


def _granite(seed: int) -> Made:
    """What enters the residual, and attention, is multiplied."""
    sizes = _sizes(seed, residual_multiplier=0.5, embedding_multiplier=4.0)
    return transformers.GraniteForCausalLM, transformers.GraniteConfig(**sizes)


def _stablelm(seed: int) -> Made:
    """Rotation of a part of each head."""
    return transformers.StableLmForCausalLM, transformers.StableLmConfig(**_sizes(seed))


def _long(seed: int) -> Made:
    """A context of 2,048 tokens."""
    return transformers.LlamaForCausalLM, transformers.LlamaConfig(
        **_sizes(seed, num_hidden_layers=4, vocab_size=4096, max_position_embeddings=4096)
    )


ARCHITECTURES: dict[str, Callable[[int], Made]] = {
    "llama": _llama,
    "qwen3": _qwen3,
    "mistral": _mistral,
    "gemma2": _gemma2,
    "phi3": _phi3,
    "moe": _moe,
    "gptoss": _gptoss,
    "long": _long,
    "olmo2": _olmo2,
    "cohere": _cohere,
    "granite": _granite,
    "stablelm": _stablelm,
}
