"""A Llama-like decoder as other engines build it: fused, flat, renamed, cut for ranks.

One implementation in plain torch reads the weights of Hugging Face's Llama, Mistral, Qwen2 and
Qwen3. A `Style` says what an engine calls the modules and how it lays tokens out. Every module is
tagged with the operands of the Hugging Face model that its own are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from pairing.tap import Tag, Tap

__all__ = [
    "ATB",
    "HUGGING_FACE",
    "MEGATRON",
    "PARTIAL",
    "SGLANG",
    "VLLM",
    "Decoder",
    "Sizes",
    "Style",
    "drawn",
]


@dataclass(frozen=True)
class Sizes:
    """Of a Llama-like model."""

    hidden: int = 32
    heads: int = 4
    kv_heads: int = 2
    layers: int = 3
    eps: float = 1e-6
    theta: float = 10000.0

    @classmethod
    def of(cls, model: Any) -> Sizes:
        """Those of a Hugging Face model."""
        config = model.config
        return cls(
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            config.num_hidden_layers,
            config.rms_norm_eps,
            config.rope_parameters["rope_theta"],
        )


@dataclass(frozen=True)
class Style:
    """What an engine calls the modules, and how it runs them; layer numbers stand for `{}`."""

    embed: str
    layer: str
    norm: str
    head: str
    first: str = "input_layernorm"
    attention: str = "self_attn"
    qkv: str = "qkv_proj"
    core: str = "attn"
    output: str = "o_proj"
    second: str = "post_attention_layernorm"
    mlp: str = "mlp"
    up: str = "gate_up_proj"
    activation: str = "act_fn"
    down: str = "down_proj"
    layout: str = "flat"  # tokens [S, H]; or "bsh", "sbh"
    fused: bool = True
    residual: bool = False  # norms add the residual, and give it back
    bias_beside: bool = False  # linear layers give (output, bias)
    interleaved: bool = False  # q, k and v of a group of heads stand together
    last_only: bool = False  # logits of the last token alone
    reduces_apart: bool = False  # rows of ranks are summed outside of the linear layer


VLLM = Style(
    *("model.embed_tokens", "model.layers.{}", "model.norm", "logits_processor"),
    residual=True,
    bias_beside=True,
    last_only=True,
)
SGLANG = Style(
    *("model.embed_tokens", "model.layers.{}", "model.norm", "lm_head"),
    residual=True,
    bias_beside=True,
)
MEGATRON = Style(
    *("embedding.word_embeddings", "decoder.layers.{}", "decoder.final_layernorm", "output_layer"),
    attention="self_attention",
    qkv="linear_qkv",
    core="core_attention",
    output="linear_proj",
    second="pre_mlp_layernorm",
    up="linear_fc1",
    activation="activation",
    down="linear_fc2",
    layout="sbh",
    bias_beside=True,
    interleaved=True,
)
ATB = Style(
    *("WordEmbedding", "Prefill_layer_{}", "FinalNorm", "LmHead"),
    first="InputRmsNorm",
    attention="Attention",
    qkv="QKVLinear",
    core="SelfAttention",
    output="DenseLinear",
    second="PostRmsNorm",
    mlp="Mlp",
    up="GateUpLinear",
    activation="Swiglu",
    down="DownLinear",
)
HUGGING_FACE = Style(
    *("model.embed_tokens", "model.layers.{}", "model.norm", "lm_head"),
    core="attend",
    layout="bsh",
    fused=False,
)
PARTIAL = replace(HUGGING_FACE, reduces_apart=True)


class _Norm(nn.Module):
    def __init__(self, weight: Tensor, eps: float, residual: bool = False) -> None:
        super().__init__()
        self.weight, self.eps, self.residual = nn.Parameter(weight), eps, residual

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        if residual is not None:
            x = x + residual
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        out = self.weight * normed.to(x.dtype)
        return (out, x) if self.residual else out


class _Linear(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor | None, beside: bool, reduce: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.beside, self.reduce = beside, reduce

    def forward(self, x: Tensor) -> Any:
        out = functional.linear(x, self.weight, self.bias)
        if self.reduce:
            dist.all_reduce(out)
        return (out, None) if self.beside else out


class _Swiglu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, -1)
        return functional.silu(gate) * up


class _Core(nn.Module):
    """Attention with a cache of its own; q, k and v are [S, heads, size], without a batch."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.cache: list[tuple[Tensor, Tensor]] = []

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.cache.append((k, v))
        k, v = (torch.cat(parts) for parts in zip(*self.cache, strict=True))
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1).transpose(0, 1) for x in (k, v))
        mask = torch.ones(len(q), k.shape[1], dtype=torch.bool).tril(k.shape[1] - len(q))
        scores = q.transpose(0, 1) @ k.transpose(1, 2) * self.size**-0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1, torch.float32).to(q.dtype)
        mixed: Tensor = (weights @ v).transpose(0, 1).reshape(len(q), -1)
        return mixed


def _attached(parent: nn.Module, path: str, module: nn.Module) -> None:
    """`module` below `parent` by its qualified name, in containers that are made for it."""
    *above, name = path.split(".")
    for each in above:
        if each not in parent._modules:
            parent.add_module(each, nn.ModuleDict())
        inner = parent._modules[each]
        assert inner is not None
        parent = inner
    parent.add_module(name, module)


class _Attention(nn.Module):
    def __init__(self, owner: Decoder, number: int) -> None:
        super().__init__()
        style, weights = owner.style, owner.weights
        self.owner = [owner]  # no submodule
        self.size = weights[f"model.layers.{number}.self_attn.q_proj.weight"].shape[0]
        self.size //= owner.sizes.heads
        name = f"model.layers.{number}.self_attn"
        parts = [f"{name}.{x}_proj" for x in "qkv"]
        if style.fused:
            owner.linear(self, style.qkv, parts, [f"{name}.q_proj:in:0"], cut="rows")
        else:
            for part in parts:
                owner.linear(self, part.rpartition(".")[2], [part], cut="rows")
        for norm in ("q_norm", "k_norm"):
            if f"{name}.{norm}.weight" in weights:
                module = _Norm(weights[f"{name}.{norm}.weight"], owner.sizes.eps)
                owner.put(self, norm, module, Tag(f"{name}.{norm}", cut=owner.cut("in:0", "out:0")))
        held = {
            "in:0": [f"{name}:rotated q"],  # which Hugging Face's model shows nowhere
            "in:k": [f"{name}:rotated k"],
            "in:v": [f"{name}.v_proj:out:0"],
            "out:0": [f"{name}.o_proj:in:0"],
        }
        core = Tag(None, held, owner.cut(*held))
        owner.put(self, style.core, _Core(self.size), core)
        owner.linear(self, style.output, [f"{name}.o_proj"], cut="columns")

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        owner, style = self.owner[0], self.owner[0].style
        flat = owner.flat
        if style.fused:
            q, k, v = self._split(flat(owner.run(self, style.qkv, x)))
        else:
            q, k, v = (flat(owner.run(self, f"{name}_proj", x)) for name in "qkv")
        q, k, v = (each.reshape(len(each), -1, self.size) for each in (q, k, v))
        if "q_norm" in self._modules:
            q, k = self.get_submodule("q_norm")(q), self.get_submodule("k_norm")(k)
        q, k = (_rotated(each, positions, owner.sizes.theta) for each in (q, k))
        mixed = owner.unflat(self.get_submodule(style.core)(q, k, v), x)
        return owner.run(self, style.output, mixed)

    def _split(self, qkv: Tensor) -> Sequence[Tensor]:
        owner, size = self.owner[0], self.size
        heads, groups = owner.sizes.heads // owner.ranks, owner.sizes.kv_heads // owner.ranks
        if not owner.style.interleaved:
            return torch.split(qkv, [heads * size, groups * size, groups * size], -1)
        each = qkv.reshape(len(qkv), groups, -1, size)
        return [
            part.reshape(len(qkv), -1) for part in torch.split(each, [heads // groups, 1, 1], 2)
        ]


class _Mlp(nn.Module):
    def __init__(self, owner: Decoder, number: int) -> None:
        super().__init__()
        style, name = owner.style, f"model.layers.{number}.mlp"
        self.owner = [owner]
        if style.fused:
            parts = [f"{name}.gate_proj", f"{name}.up_proj"]
            owner.linear(self, style.up, parts, [f"{name}.gate_proj:in:0"], cut="rows")
            tag = Tag(None, {"out:0": [f"{name}.down_proj:in:0"]}, owner.cut("out:0"))
            owner.put(self, style.activation, _Swiglu(), tag)
        else:
            for part in ("gate_proj", "up_proj"):
                owner.linear(self, part, [f"{name}.{part}"], cut="rows")
            tag = Tag(f"{name}.act_fn", cut=owner.cut("in:0", "out:0"))
            owner.put(self, style.activation, nn.SiLU(), tag)
        owner.linear(self, style.down, [f"{name}.down_proj"], cut="columns")

    def forward(self, x: Tensor) -> Tensor:
        owner, style = self.owner[0], self.owner[0].style
        activation = self.get_submodule(style.activation)
        if style.fused:
            inner = activation(owner.run(self, style.up, x))
        else:
            inner = activation(owner.run(self, "gate_proj", x)) * owner.run(self, "up_proj", x)
        return owner.run(self, style.down, inner)


class _Layer(nn.Module):
    def __init__(self, owner: Decoder, number: int) -> None:
        super().__init__()
        style, name = owner.style, f"model.layers.{number}"
        self.owner = [owner]
        before, after = f"{name}:in:0", f"{name}.post_attention_layernorm:in:0"
        for role, hf, residual in (
            (style.first, "input_layernorm", before),
            (style.second, "post_attention_layernorm", after),
        ):
            norm = _Norm(owner.weights[f"{name}.{hf}.weight"], owner.sizes.eps, style.residual)
            held: dict[str, Sequence[str]] = {"out:1": [residual]} if style.residual else {}
            if style.residual:
                # What comes in is to be added: the sublayer's output before.
                previous = f"model.layers.{number - 1}.mlp:out:0"
                first = [previous] if number else [before]
                held["in:0"] = first if role == style.first else [f"{name}.self_attn:out:0"]
                earlier = f"model.layers.{number - 1}.post_attention_layernorm:in:0"
                held["in:residual"] = [earlier if role == style.first else before]
            owner.put(self, role, norm, Tag(f"{name}.{hf}", held))
        owner.put(self, style.attention, _Attention(owner, number), Tag(f"{name}.self_attn"))
        owner.put(self, style.mlp, _Mlp(owner, number), Tag(f"{name}.mlp"))

    def forward(self, x: Tensor, residual: Tensor | None, positions: Tensor) -> Any:
        style = self.owner[0].style
        first, second, attention, mlp = map(
            self.get_submodule, (style.first, style.second, style.attention, style.mlp)
        )
        if style.residual:
            normed, residual = first(x, residual)
            normed, residual = second(attention(normed, positions), residual)
            return mlp(normed), residual
        x = x + attention(first(x), positions)
        return x + mlp(second(x))


class Decoder(nn.Module):
    """The whole model of one rank; call it with flat token ids and their positions."""

    def __init__(self, style: Style, sizes: Sizes, weights: Mapping[str, Tensor], tap: Tap) -> None:
        super().__init__()
        self.style, self.sizes, self.weights, self.tap = style, sizes, weights, tap
        self.rank, self.ranks = tap.rank, tap.ranks
        self.made: list[tuple[Tensor, list[str]]] = []  # parameters, and golden's that they hold
        embed = nn.Embedding.from_pretrained(weights["model.embed_tokens.weight"])  # type: ignore[no-untyped-call]
        self.put(self, style.embed, embed, Tag("model.embed_tokens"))
        for number in range(sizes.layers):
            self.put(
                self, style.layer.format(number), _Layer(self, number), self._layer_tag(number)
            )
        norm = _Norm(weights["model.norm.weight"], sizes.eps, style.residual)
        held = {"out:1": ["model.norm:in:0"], **self._last_sum()} if style.residual else {}
        self.put(self, style.norm, norm, Tag("model.norm", held))
        self.linear(self, style.head, ["lm_head"])
        tap.tag(self, Tag(None, {
            "in:0": [":in:0"],
            "in:positions": ["model.rotary_emb:in:position_ids"],
            "out:0": [":out:logits"],
        }))  # fmt: skip

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        style = self.style
        x = self.get_submodule(style.embed)(self.shaped(ids))
        residual = None
        for number in range(self.sizes.layers):
            layer = self.get_submodule(style.layer.format(number))
            out = layer(x, residual, positions)
            x, residual = out if style.residual else (out, None)
        norm = self.get_submodule(style.norm)
        x = norm(x, residual)[0] if style.residual else norm(x)
        if style.last_only:
            x = x[-1:]
        return self.run(self, style.head, x)

    # -- making modules

    def put(self, parent: nn.Module, path: str, module: nn.Module, tag: Tag) -> None:
        """`module` below `parent`, tagged."""
        _attached(parent, path, module)
        self.tap.tag(module, tag)
        if isinstance(module, _Norm | nn.Embedding) and tag.name:
            self.made.append((module.weight, [f"{tag.name}.weight"]))

    def linear(
        self,
        parent: nn.Module,
        path: str,
        parts: Sequence[str],
        inputs: Sequence[str] = (),
        cut: str = "",
    ) -> None:
        """The linear layers `parts` of golden as one; `cut`: its rows or columns are of ranks."""
        weights = [self.weights[f"{part}.weight"] for part in parts]
        biases = [self.weights.get(f"{part}.bias") for part in parts]
        if self.ranks > 1 and cut:
            dim = 0 if cut == "rows" else 1
            weights = [self._own(each, dim) for each in weights]
            if cut == "rows":
                biases = [None if each is None else self._own(each, 0) for each in biases]
        weight = self._joined(weights) if len(parts) > 1 else weights[0]
        known = [each for each in biases if each is not None]
        bias = (self._joined(known) if len(known) > 1 else known[0]) if known else None
        summed = cut == "columns" and self.ranks > 1
        reduces = summed and not self.style.reduces_apart
        module = _Linear(weight.clone(), bias, self.style.bias_beside, reduces)
        outputs = [f"{part}:out:0" for part in parts]
        held = {"in:0": list(inputs) or [f"{parts[0]}:in:0"], "out:0": outputs}
        operands = {"rows": ["out:0"], "columns": ["in:0"]}.get(cut, [])
        if summed and self.style.reduces_apart:
            operands.append("out:0")
        self.made.append((module.weight, [f"{part}.weight" for part in parts]))
        if module.bias is not None:
            self.made.append((module.bias, [f"{part}.bias" for part in parts]))
        name = parts[0] if len(parts) == 1 else None
        self.put(parent, path, module, Tag(name, held, self.cut(*operands)))

    def _own(self, weight: Tensor, dim: int) -> Tensor:
        return weight.chunk(self.ranks, dim)[self.rank]

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        if not self.style.interleaved or len(parts) != 3:
            return torch.cat(list(parts))
        groups = self.sizes.kv_heads // self.ranks
        return torch.cat([
            piece for group in zip(*(part.chunk(groups) for part in parts), strict=True)
            for piece in group
        ])  # fmt: skip

    def cut(self, *operands: str) -> frozenset[str]:
        """These operands are of one rank where there are several."""
        return frozenset(operands) if self.ranks > 1 else frozenset()

    def _layer_tag(self, number: int) -> Tag:
        name = f"model.layers.{number}"
        if not self.style.residual:
            return Tag(name, {"in:positions": ["model.rotary_emb:in:position_ids"]})
        before = f"model.layers.{number - 1}.mlp:out:0"
        residual = f"model.layers.{number - 1}.post_attention_layernorm:in:0"
        return Tag(None, {
            "in:0": [before] if number else [f"{name}:in:0"],
            "in:residual": [residual],
            "in:positions": ["model.rotary_emb:in:position_ids"],
            "out:0": [f"{name}.mlp:out:0"],
            "out:1": [f"{name}.post_attention_layernorm:in:0"],
        })  # fmt: skip

    def _last_sum(self) -> dict[str, Sequence[str]]:
        last = f"model.layers.{self.sizes.layers - 1}"
        return {
            "in:0": [f"{last}.mlp:out:0"],
            "in:residual": [f"{last}.post_attention_layernorm:in:0"],
        }

    # -- running them

    def run(self, parent: nn.Module, path: str, x: Tensor) -> Tensor:
        """What a linear layer gives, without the bias beside it."""
        out = parent.get_submodule(path)(x)
        result: Tensor = out[0] if isinstance(out, tuple) else out
        last = path in (self.style.output, self.style.down)
        if last and self.ranks > 1 and self.style.reduces_apart:
            result = result.clone()
            dist.all_reduce(result)
        return result

    def shaped(self, ids: Tensor) -> Tensor:
        """Flat ids as this style has them."""
        dims = {"flat": ids, "bsh": ids[None], "sbh": ids[:, None]}
        return dims[self.style.layout]

    def flat(self, x: Tensor) -> Tensor:
        """[S, …] of this style's layout."""
        return x.reshape(-1, x.shape[-1])

    def unflat(self, x: Tensor, like: Tensor) -> Tensor:
        """Flat rows in the layout of `like`."""
        return x.reshape(*like.shape[:-1], x.shape[-1])


def drawn(sizes: Sizes, seed: int) -> dict[str, Tensor]:
    """Random weights, by the names of Hugging Face's Llama."""
    hidden, inner, kept = sizes.hidden, 48, sizes.hidden * sizes.kv_heads // sizes.heads
    shapes = {"model.embed_tokens": [97, hidden], "model.norm": [hidden], "lm_head": [97, hidden]}
    for number in range(sizes.layers):
        layer = f"model.layers.{number}"
        shapes |= {f"{layer}.self_attn.{x}_proj": [hidden, hidden] for x in "qo"}
        shapes |= {f"{layer}.self_attn.{x}_proj": [kept, hidden] for x in "kv"}
        shapes |= {f"{layer}.mlp.{x}_proj": [inner, hidden] for x in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj"] = [hidden, inner]
        shapes[f"{layer}.input_layernorm"] = [hidden]
        shapes[f"{layer}.post_attention_layernorm"] = [hidden]
    random = torch.Generator().manual_seed(seed)
    return {
        f"{name}.weight": (len(shape) == 1) + 0.2 * torch.randn(shape, generator=random)
        for name, shape in shapes.items()
    }


def _rotated(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    size = x.shape[-1]
    powers = 1.0 / (theta ** (torch.arange(0, size, 2).float() / size))
    angles = positions[:, None].float() * powers
    angles = torch.cat([angles, angles], -1)
    cos, sin = (each[:, None].to(x.dtype) for each in (angles.cos(), angles.sin()))
    half = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return x * cos + half * sin
