"""The model of the quick start: a small decoder-only transformer that runs twice.

    python scripts/quickstart_model.py golden OUTPUT    the model script: float32, dump_data
    python scripts/quickstart_model.py library OUTPUT   the "library": bfloat16, ATB .bin files
    python scripts/quickstart_model.py check OUTPUT     does the report find the planted fault?

Both runs share one model and its weights. The library differs in its dtype and in FAULT.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from ait_cmp import dump_data, write_bin

VOCABULARY, WIDTH, HEADS, HIDDEN, LAYERS, ROUNDS = 512, 256, 8, 512, 4, 8
PROMPT = [11, 42, 7, 300, 256, 19, 88, 101]

Tap = Callable[[str, Tensor], None]  # is shown each tensor that is worth comparing


@dataclass(frozen=True)
class Fault:
    """Rotates q, and not k, by one position too many: in one layer, from one token round on."""

    layer: int
    first_token: int


FAULT = Fault(layer=2, first_token=3)


class RMSNorm(nn.Module):
    """Scales each vector to a root mean square of 1, in float32 as libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and dtype as `x`, [tokens, WIDTH]."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
        return self.weight * scaled.to(x.dtype)


def rotate(x: Tensor, start: int) -> Tensor:
    """Rotary embedding of `x`, [heads, tokens, size], whose first token is at position `start`."""
    half = x.shape[-1] // 2
    frequencies = 10000.0 ** (-torch.arange(half) / half)
    angles = torch.outer(torch.arange(start, start + x.shape[-2]), frequencies)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    left, right = x[..., :half], x[..., half:]
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


class Attention(nn.Module):
    """Causal multi-head attention that keeps the keys and values of earlier rounds."""

    keys: Tensor  # [heads, tokens so far, size], and so are the values
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.register_buffer("keys", torch.empty(HEADS, 0, WIDTH // HEADS))
        self.register_buffer("values", torch.empty(HEADS, 0, WIDTH // HEADS))

    def forward(self, x: Tensor, tap: Tap, q_shift: int) -> Tensor:
        """[tokens, WIDTH] to the same; `q_shift` is 0 unless the fault is on."""
        tokens, past = x.shape[0], self.keys.shape[1]
        q, k, v = self.qkv(x).view(tokens, 3, HEADS, -1).permute(1, 2, 0, 3)
        q, k = rotate(q, past + q_shift), rotate(k, past)
        tap("q", q)
        tap("k", k)
        tap("v", v)
        self.keys = torch.cat((self.keys, k), dim=1)
        self.values = torch.cat((self.values, v), dim=1)
        causal = torch.ones(tokens, past + tokens, dtype=torch.bool).tril(past)
        mixed = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=causal)
        output: Tensor = self.output(mixed.transpose(0, 1).reshape(tokens, WIDTH))
        return output


class SwiGLU(nn.Module):
    """The gated feed-forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.up = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[tokens, WIDTH] to the same."""
        output: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return output


class Layer(nn.Module):
    """Attention, then the feed-forward network, each normed before and added after."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(), Attention()
        self.mlp_norm, self.mlp = RMSNorm(), SwiGLU()

    def forward(self, x: Tensor, tap: Tap, q_shift: int) -> Tensor:
        """[tokens, WIDTH] to the same."""
        normed = self.attention_norm(x)
        tap("norm", normed)
        attention = self.attention(normed, tap, q_shift)
        tap("attention", attention)
        x = x + attention
        mlp = self.mlp(self.mlp_norm(x))
        tap("mlp", mlp)
        x = x + mlp
        tap("output", x)
        return x


class Model(nn.Module):
    """The ids of one round (first the prompt, then one token) in, logits of the next out."""

    def __init__(self, fault: Fault | None = None) -> None:
        super().__init__()
        self.fault = fault
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RMSNorm()
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids: list[int], token_id: int, tap: Tap) -> Tensor:
        """[VOCABULARY] logits; the caches hold the rounds before this one."""
        x = self.embedding(torch.tensor(ids))
        tap("embedding", x)
        for index, layer in enumerate(self.layers):
            x = layer(x, prefixed(tap, f"layer{index}"), self._q_shift(index, token_id))
        logits: Tensor = self.head(self.norm(x[-1]))
        tap("logits", logits)
        return logits

    def _q_shift(self, layer: int, token_id: int) -> int:
        fault = self.fault
        return int(fault is not None and layer == fault.layer and token_id >= fault.first_token)


def prefixed(tap: Tap, prefix: str) -> Tap:
    """`tap`, with `prefix` before each name."""
    return lambda name, tensor: tap(f"{prefix}.{name}", tensor)


def build(dtype: torch.dtype, fault: Fault | None = None) -> Model:
    """The model with random weights, the same in every call but for their dtype."""
    torch.manual_seed(0)
    model = Model(fault)
    for module in model.modules():
        if isinstance(module, nn.Linear):  # outputs are then as large as inputs
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return model.to(dtype)


# What the library calls the operation that makes each tensor, in the order in which it runs.
IN_LAYER = {
    "norm": "RmsNormOperation",
    "q": "RopeOperation",
    "k": "RopeOperation",
    "v": "LinearOperation",
    "attention": "SelfAttentionOperation",
    "mlp": "MlpSwigluOperation",
    "output": "ElewiseOperation",
}
OPERATIONS = {
    "embedding": "GatherOperation",
    **{f"layer{i}.{name}": kind for i in range(LAYERS) for name, kind in IN_LAYER.items()},
    "logits": "LinearOperation",
}


def library_path(output: Path, token_id: int, name: str) -> Path:
    """Where the library dumps a tensor: .../{DEVICE_ID}_{PID}/{TOKEN_ID}/{N}_{Operation}/..."""
    operation = f"{list(OPERATIONS).index(name)}_{OPERATIONS[name]}"
    dump = output / "library" / "ait_dump" / "tensors" / "0_1"
    return dump / str(token_id) / operation / "after" / "outtensor0.bin"


def run_golden(output: Path) -> None:
    """Generate greedily in float32, with `dump_data` on every tensor; keep the token ids."""
    model, rounds = build(torch.float32), [PROMPT]
    for token_id in range(ROUNDS):
        logits = model(rounds[token_id], token_id, golden_tap(output, token_id))
        rounds.append([int(logits.argmax())])
    (output / "token_ids.json").write_text(json.dumps(rounds))


def golden_tap(output: Path, token_id: int) -> Tap:
    """Saves each tensor, mapped to the file that the library will write."""

    def tap(data_id: str, tensor: Tensor) -> None:
        # In a model script of your own, this call stands right after the tensor is made.
        my_path = library_path(output, token_id, data_id)
        dump_data(token_id, data_id, tensor, my_path, output_path=output / "golden")

    return tap


def run_library(output: Path) -> None:
    """Run the faulty model in bfloat16 and write what it computes as `.bin` files.

    It is fed the token ids that golden generated, not its own: once the two chose different
    tokens, every later tensor would differ for that reason alone.
    """
    model = build(torch.bfloat16, FAULT)
    rounds = json.loads((output / "token_ids.json").read_text())
    for token_id in range(ROUNDS):
        model(rounds[token_id], token_id, library_tap(output, token_id))


def library_tap(output: Path, token_id: int) -> Tap:
    """Writes each tensor as the library would."""

    def tap(name: str, tensor: Tensor) -> None:
        path = library_path(output, token_id, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bin(path, tensor)

    return tap


def check(output: Path) -> None:
    """Exit with an error unless the first failing row of the report is the planted fault."""
    with open(output / "report" / "cmp_report.csv", newline="", encoding="utf-8") as file:
        failing = [row for row in csv.DictReader(file) if row["status"] != "pass"]
    first = min(failing, key=lambda row: (int(row["token_id"]), int(row["order"])), default={})
    found = (first.get("token_id"), first.get("data_id"))
    planted = (str(FAULT.first_token), f"layer{FAULT.layer}.q")
    print(f"planted: q of layer {FAULT.layer} rotated one position too far, from token", planted[0])
    if found != planted:
        sys.exit(f"not found: the report's first failing row is token {found[0]}, {found[1]}")
    print(f"found:   the report's first failing row is token {found[0]}, {found[1]}")


if __name__ == "__main__":
    commands = {"golden": run_golden, "library": run_library, "check": check}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    with torch.inference_mode():
        commands[sys.argv[1]](Path(sys.argv[2]))
