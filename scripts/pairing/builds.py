"""The ways to build and run a model: golden as Hugging Face does it, and my otherwise.

A build makes the model, tags its modules with golden's operands, starts the side and runs all
rounds. Wrappers keep the module objects, so a model is tagged before it is wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from pairing import models, serving
from pairing.side import Side
from pairing.tap import Tag

__all__ = ["BUILDS"]

Build = Callable[..., None]


def _generate(side: Side, model: Any, call: Any = None) -> None:
    """All rounds of a Hugging Face model with its cache; an encoder has one round."""
    call = call or model
    with side.start(model) as step:
        past = None
        for ids in side.rounds():
            if side.prompt().following:
                out = call(input_ids=ids, past_key_values=past, use_cache=True)
                past = out.past_key_values
            else:
                call(input_ids=ids)
            step()


def _tagged(side: Side, **options: Any) -> Any:
    model = models.build(side.spec.family, seed=side.spec.seed, **options)
    side.tap.tag_all(model)
    return model


def plain(side: Side, attention: str = "eager", dtype: str = "float32", **changes: Any) -> None:
    """As Hugging Face does it."""
    model = _tagged(side, attention=attention, **changes).to(getattr(torch, dtype))
    _generate(side, model)


def forward_only(side: Side) -> None:
    """`model.forward(…)`, which no hook of the outermost module sees."""
    model = _tagged(side)
    _generate(side, model, model.forward)


def warm_up(side: Side, length: int = 12) -> None:
    """A call with dummy tokens before the prompt."""
    model = _tagged(side)
    with side.start(model) as step:
        side.tap.round = "warm-up"
        model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=True)
        step()
        past = None
        for ids in side.rounds():
            past = model(input_ids=ids, past_key_values=past, use_cache=True).past_key_values
            step()


def chunked(side: Side, chunk: int = 4) -> None:
    """The prompt in chunks, each a call."""
    model = _tagged(side)
    with side.start(model) as step:
        past = None
        for ids in side.rounds():
            pieces = ids.split(chunk, 1)
            for number, piece in enumerate(pieces):
                side.tap.part = (number, len(pieces))
                past = model(input_ids=piece, past_key_values=past, use_cache=True).past_key_values
                step()


def left_padded(side: Side, padding: int = 3) -> None:
    """The first of a batch of two prompts, padded on the left to the length of the other."""
    model = _tagged(side)
    other = models.prompt(side.spec.family, side.spec.seed + 1, length=7 + padding)
    mask = torch.ones(2, 7 + padding, dtype=torch.long)
    mask[0, :padding] = 0
    with side.start(model) as step:
        past = None
        for number, ids in enumerate(side.rounds()):
            if number:
                mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], 1)
                batch = torch.cat([ids, torch.tensor([[other.following[number - 1]]])])
            else:
                padded = torch.nn.functional.pad(ids, (padding, 0))
                batch = torch.cat([padded, other.ids])
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -batch.shape[1] :]
            out = model(
                input_ids=batch,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=True,
            )
            past = out.past_key_values
            step()


def compiled(side: Side) -> None:
    """`torch.compile(model)`."""
    model = _tagged(side)
    outer: Any = torch.compile(model, backend="eager")
    side.tap.tag(outer, Tag(""))
    _generate(side, outer)


def compiled_layers(side: Side) -> None:
    """Every second layer compiled in place."""
    model = _tagged(side)
    for layer in list(model.model.layers)[1::2]:
        layer.compile(backend="eager")
    _generate(side, model)


def data_parallel(side: Side) -> None:
    """DistributedDataParallel."""
    outer = nn.parallel.DistributedDataParallel(_tagged(side))
    side.tap.tag(outer, Tag(""))
    _generate(side, outer)


def fsdp(side: Side, version: int = 1) -> None:
    """Fully sharded weights; layers and the whole model are units."""
    from torch.distributed import fsdp as sharded

    model = _tagged(side)
    if version == 2:
        for layer in model.model.layers:
            sharded.fully_shard(layer)
        sharded.fully_shard(model)
        _generate(side, model)
        return
    wrap = sharded.FullyShardedDataParallel
    for number, layer in enumerate(model.model.layers):
        model.model.layers[number] = wrap(layer, device_id=torch.device("cpu"))
        side.tap.tag(model.model.layers[number], Tag(f"model.layers.{number}"))
    outer = wrap(model, device_id=torch.device("cpu"))
    side.tap.tag(outer, Tag(""))
    _generate(side, outer)


def checkpointed(side: Side) -> None:
    """Layers in the shell of activation checkpointing."""
    from torch.distributed.algorithms._checkpoint import checkpoint_wrapper as shell

    model = _tagged(side)
    for number, layer in enumerate(model.model.layers):
        model.model.layers[number] = shell.checkpoint_wrapper(layer)
        side.tap.tag(model.model.layers[number], Tag(f"model.layers.{number}"))
    _generate(side, model)


_COLUMNS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")


def tensor_parallel(side: Side, **changes: Any) -> None:
    """Torch's own tensor parallelism: columns of q, k, v, gate and up, rows of o and down."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import parallel

    model = _tagged(side, **changes)
    mesh = init_device_mesh("cpu", (side.spec.ranks,))
    for number, layer in enumerate(model.model.layers):
        plan: dict[str, Any] = {}
        for name, module in layer.named_modules():
            own = name.rpartition(".")[2]
            full = f"model.layers.{number}.{name}"
            if own in _COLUMNS:
                plan[name] = parallel.ColwiseParallel()
                side.tap.tag(module, Tag(full, cut=frozenset(["out:0"])))
            elif own in ("o_proj", "down_proj"):
                plan[name] = parallel.RowwiseParallel()
                side.tap.tag(module, Tag(full, cut=frozenset(["in:0"])))
            elif own == "self_attn":  # whose weights are of the rank's heads
                side.tap.tag(module, Tag(full, cut=frozenset(["out:1"])))
            elif own in ("act_fn", "q_norm", "k_norm"):
                side.tap.tag(module, Tag(full, cut=frozenset(["in:0", "out:0"])))
        parallel.parallelize_module(layer, mesh, plan)
    _generate(side, model)


def lora(side: Side, merged: bool = False, targets: Sequence[str] = ("q_proj", "v_proj")) -> None:
    """With adapters beside the weights, or merged into them (golden's way)."""
    import peft as hf_peft

    peft: Any = hf_peft
    model = models.build(side.spec.family, seed=side.spec.seed)
    names = {module: name for name, module in model.named_modules()}
    torch.manual_seed(side.spec.seed)
    config = peft.LoraConfig(r=4, target_modules=list(targets), init_lora_weights=False)
    shelled = peft.get_peft_model(model, config).eval()
    if merged:
        model = shelled.merge_and_unload()
        side.tap.tag_all(model)
        _generate(side, model)
        return
    for module, name in names.items():
        side.tap.tag(module, Tag(name))
    for module in list(shelled.modules()):
        base = getattr(module, "base_layer", None)
        if base is not None and base in names:
            side.tap.tag(module, Tag(names[base]))
            side.tap.tag(base, Tag(None, {"in:0": [f"{names[base]}:in:0"]}))
    side.tap.tag(shelled, Tag(""))
    _generate(side, shelled)


def serve(side: Side, style: str, words: dict[str, str] | None = None) -> None:
    """As a serving engine builds it."""
    sizes, weights = _weights(side)
    side.tap.words = words or {}
    decoder = serving.Decoder(getattr(serving, style), sizes, weights, side.tap).eval()
    if side.spec.tool == "weights":
        for parameter, held in decoder.made:
            side.tap.see([f"{name}:weight" for name in held], parameter)
        content = {"model": decoder.state_dict(), "iteration": 3}
        torch.save(content, side.folder / "model_optim_rng.pt")
        return
    with side.start(decoder) as step:
        at = 0
        for ids in side.rounds():
            decoder(ids[0], torch.arange(at, at + ids.shape[1]))
            at += ids.shape[1]
            step()


def _weights(side: Side) -> tuple[serving.Sizes, dict[str, Tensor]]:
    """As Llama has them; of the family `toy` drawn here, so that nothing is needed for it."""
    if side.spec.family == "toy":
        return serving.Sizes(), serving.drawn(serving.Sizes(), side.spec.seed)
    # Kept beside the couples, since importing transformers takes longer than all else here.
    kept = side.folder.parents[1] / "weights" / f"{side.spec.family}-{side.spec.seed}.pt"
    if not kept.is_file():
        model = models.build(side.spec.family, seed=side.spec.seed)
        weights = {
            own: part.detach().clone()
            for name, each in model.state_dict().items()
            for own, part in _unfused(name, each, model.config)
        }
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(f".{side.tap.rank}")
        torch.save((asdict(serving.Sizes.of(model)), weights), part)
        part.replace(kept)
    sizes, weights = torch.load(kept)
    return serving.Sizes(**sizes), weights


def _unfused(name: str, weight: Tensor, config: Any) -> list[tuple[str, Tensor]]:
    """Phi-3's fused weights as Llama has them; any other as it is."""
    size = config.hidden_size // config.num_attention_heads
    heads, groups = config.num_attention_heads * size, config.num_key_value_heads * size
    if ".qkv_proj." in name:
        parts = zip("qkv", torch.split(weight, [heads, groups, groups]), strict=True)
        return [(name.replace("qkv_proj", f"{own}_proj"), part) for own, part in parts]
    if ".gate_up_proj." in name:
        halves = zip(("gate", "up"), weight.chunk(2), strict=True)
        return [(name.replace("gate_up", own), part) for own, part in halves]
    return [(name, weight)]


def checkpoint(side: Side, shard: str = "1GB") -> None:
    """The weights alone, as Hugging Face saves them, in shards of at most that size."""
    model = _tagged(side)
    for name, parameter in model.state_dict().items():
        side.tap.see([f"{name}:weight"], parameter)
    model.save_pretrained(side.folder, max_shard_size=shard)


class _SplitLinear(nn.Module):
    """GPT-2's c_attn as three layers, whose outputs it joins again."""

    def __init__(self, fused: Any) -> None:
        super().__init__()
        width = fused.weight.shape[0]
        weights, biases = fused.weight.split(width, 1), fused.bias.split(width)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            layer = nn.Linear(width, width)
            layer.weight.data, layer.bias.data = weight.t().contiguous(), bias.clone()
            self.add_module(f"{name}_proj", layer)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x) for layer in self.children()], -1)


def split(side: Side) -> None:
    """GPT-2 with q, k and v apart."""
    model = _tagged(side)
    for number, block in enumerate(model.transformer.h):
        name = f"transformer.h.{number}.attn.c_attn"
        block.attn.c_attn = _SplitLinear(block.attn.c_attn)
        side.tap.tag(block.attn.c_attn, Tag(name))
        for part, layer in enumerate(block.attn.c_attn.children()):
            held = {"in:0": [f"{name}:in:0"], "out:0": [f"{name}:out:0#{part}/3"]}
            side.tap.tag(layer, Tag(None, held))
    _generate(side, model)


class _Expert(nn.Module):
    def __init__(self, gate_up: Tensor, down: Tensor) -> None:
        super().__init__()
        for name, weight in zip(("w1", "w3", "w2"), (*gate_up.chunk(2), down), strict=True):
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight.data = weight.clone()
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        w1, w3, w2 = (self.get_submodule(name) for name in ("w1", "w3", "w2"))
        out: Tensor = w2(torch.nn.functional.silu(w1(x)) * w3(x))
        return out


class _Experts(nn.ModuleList):
    """Mixtral's experts as modules, called with the tokens that go to each."""

    def __init__(self, fused: Any) -> None:
        super().__init__(map(_Expert, fused.gate_up_proj, fused.down_proj))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for number, expert in enumerate(self):
            tokens, place = torch.where(chosen == number)
            if len(tokens):
                out.index_add_(0, tokens, expert(x[tokens]) * weights[tokens, place, None])
        return out


def expert_modules(side: Side) -> None:
    """Mixtral with a module an expert; golden has none of their tensors."""
    model = _tagged(side)
    for number, layer in enumerate(model.model.layers):
        layer.mlp.experts = _Experts(layer.mlp.experts)
        side.tap.tag(layer.mlp.experts, Tag(f"model.layers.{number}.mlp.experts"))
    _generate(side, model)


BUILDS: dict[str, Build] = {
    "checkpoint": checkpoint,
    "split": split,
    "expert_modules": expert_modules,
    "plain": plain,
    "forward_only": forward_only,
    "warm_up": warm_up,
    "chunked": chunked,
    "left_padded": left_padded,
    "compiled": compiled,
    "compiled_layers": compiled_layers,
    "data_parallel": data_parallel,
    "fsdp": fsdp,
    "checkpointed": checkpointed,
    "tensor_parallel": tensor_parallel,
    "lora": lora,
    "serve": serve,
}
