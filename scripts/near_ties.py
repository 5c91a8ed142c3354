"""Which tokens that differ are near ties: of honest bfloat16 runs, and of faults in the head.

    python scripts/near_ties.py [--batches 5] [--tokens 64] [--fault-tokens 6] [--mixtures 10]
        [--json FILE]

SmolLM2-135M generates greedily, ten sequences at a time: golden in float32, my in bfloat16, as it
is and with each of ten faults in its head. What the layers, the head and the model are given and
give is dumped and compared by the command's code. Every sequence's first flip should be a near tie
where my is honest, and none where its head is faulty. Small mixtures of experts of random weights
show the same of experts and routers.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from verdict import trained

from ait_cmp import compare_dumps
from ait_cmp.dump.hooks import dump_modules
from ait_cmp.values.errors import Reason

SEQUENCES, PROMPT, STRIDE = 10, 12, 5
DUMPED = ("LlamaForCausalLM", "LlamaDecoderLayer", "LlamaRMSNorm", "lm_head")


def prompts(batch: int) -> Tensor:
    """Ten windows of the texts of number 0."""
    texts = (trained.PROSE, trained.CODE, trained.DIGITS, trained.CHINESE, trained.CHAT)
    ids = [token for some in texts for token in trained.tokenizer().encode(some[0]).ids]
    starts = [
        (STRIDE * (batch * SEQUENCES + one)) % (len(ids) - PROMPT) for one in range(SEQUENCES)
    ]
    return torch.tensor([ids[start : start + PROMPT] for start in starts])


def generated(model: Any, ids: Tensor, tokens: int, folder: Path) -> Tensor:
    """What `model` goes on with, dumped into `folder`."""
    with dump_modules(model, folder, operation_name=DUMPED, execute_range=((0, tokens),)):
        found: Tensor = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=trained.END,
        )
    return found[:, ids.shape[1] :]


def halved(model: Any) -> Any:
    """A copy in bfloat16, as `from_pretrained` makes one: the angles' frequencies stay as they
    are."""
    found = deepcopy(model).to(torch.bfloat16)
    for module, exact in zip(found.modules(), model.modules(), strict=True):
        for name, buffer in exact.named_buffers(recurse=False):
            setattr(module, name, buffer.clone())
    return found


# ---- faults --------------------------------------------------------------------------------------

Fault = Callable[[Tensor, Tensor], Tensor]  # of the head's weight, and golden's first logits


def _second(weight: Tensor, logits: Tensor) -> Tensor:
    """The row of each sequence's second choice is larger."""
    rows = logits.topk(2).indices[:, 1]
    weight[rows] *= 1.5
    return weight


def _noise(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    generator = torch.Generator().manual_seed(0)
    return weight * (1 + 0.2 * torch.randn(weight.shape, generator=generator))


def _channel(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    weight[:, weight.square().sum(0).topk(8).indices] = 0
    return weight


def _channels(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    weight[:, weight.square().sum(0).topk(64).indices] *= 1.5
    return weight


def _last_shard(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    weight[-weight.shape[0] // 8 :] = 0
    return weight


def _first_shard(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    weight[: weight.shape[0] // 8] = 0
    return weight


def _halves(weight: Tensor, logits: Tensor) -> Tensor:
    del logits
    return weight.roll(weight.shape[1] // 2, 1)


def _coarse(weight: Tensor, logits: Tensor) -> Tensor:
    """Three bits, with one scale for all."""
    del logits
    scale = weight.abs().max() / 8
    return (weight / scale).round() * scale


def _shifted(weight: Tensor, logits: Tensor) -> Tensor:
    """From a row on, the rows of the next tokens."""
    del logits
    start = weight.shape[0] // 4
    weight[start:] = weight[start:].roll(1, 0)
    return weight


def _lifted(weight: Tensor, logits: Tensor) -> Tensor:
    """The scores of every 97th token are a fifth larger, whatever their sign."""
    del logits
    weight[::97] *= 1.2
    return weight


FAULTS: dict[str, Fault] = {
    "second choice times 1.5": _second,
    "noise of 20 %": _noise,
    "8 channels zero": _channel,
    "64 channels times 1.5": _channels,
    "last shard zero": _last_shard,
    "first shard zero": _first_shard,
    "halves of the input swapped": _halves,
    "3 bits, one scale": _coarse,
    "rows of the next token": _shifted,
    "every 97th row times 1.2": _lifted,
}


def faulty(model: Any, fault: Fault, logits: Tensor) -> Any:
    """A copy in bfloat16 whose head, and not its embedding, is at fault."""
    found = halved(model)
    weight = fault(model.lm_head.weight.detach().clone(), logits)
    found.lm_head.weight = nn.Parameter(weight.to(torch.bfloat16))
    return found


# ---- experts -------------------------------------------------------------------------------------

ROUTERS = {
    "a bias of one expert": lambda weight: weight[3].add_(0.02),
    "one expert's scores halved": lambda weight: weight[5].mul_(0.5),
    "noise of 20 %": lambda weight: weight.mul_(1 + 0.2 * torch.randn(weight.shape)),
    "experts rolled by one": lambda weight: weight.copy_(weight.roll(1, 0)),
}


def mixture(seed: int) -> tuple[Any, Tensor]:
    """Two experts of sixteen, in four layers, and two prompts of forty random tokens."""
    torch.manual_seed(seed)
    config = transformers.MixtralConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=16,
        num_experts_per_tok=2,
        max_position_embeddings=128,
    )
    ids = torch.randint(3, 300, (2, 40))
    return transformers.MixtralForCausalLM(config).eval(), ids


def run_experts(models: int, folder: Path) -> Counter[str]:
    """What is said of experts that differ, of honest runs and of routers at fault."""
    said: Counter[str] = Counter()
    for seed in range(models):
        model, ids = mixture(seed)
        with dump_modules(model, folder / "golden"), torch.no_grad():
            model(ids)
        for name, fault in {"honest": None, **ROUTERS}.items():
            my = halved(model)
            if fault:
                fault(my.model.layers[2].mlp.gate.weight.data)
            with dump_modules(my, folder / "my"), torch.no_grad():
                my(ids)
            for row in compare_dumps(golden_path=folder / "golden", my_path=folder / "my").rows:
                choices, verdict = row.comparison.measured.choices, row.verdict
                at_fault = bool(fault) and "layers.2" in row.pair.data_id
                kind = "honest" if not fault else f"router at fault, {name}"
                if choices and choices.flips and (at_fault or not fault):
                    tie = verdict.reason == Reason.NEAR_TIE
                    said[f"{kind}: {'near ties' if tie else 'faults'}"] += len(choices.flips)
                if not fault:
                    said[f"honest: rows {verdict.status}"] += 1
                    if verdict.status in ("fail", "error"):
                        print(f"{row.pair.name}: {verdict.sentence}", flush=True)
            shutil.rmtree(folder / "my")
        shutil.rmtree(folder / "golden")
    return said


# ---- what is told --------------------------------------------------------------------------------


def flips(golden: Tensor, my: Tensor) -> dict[int, int]:
    """Of each sequence that goes another way: the round that reads the first other token."""
    differ = golden[:, : my.shape[1]] != my
    firsts = {row: int(one.float().argmax()) + 1 for row, one in enumerate(differ) if one.any()}
    # The last token is read by no round.
    return {row: token for row, token in firsts.items() if token < my.shape[1]}


def told(
    golden: Path, my: Path, tokens: int, wanted: dict[int, int]
) -> tuple[Counter[str], list[str]]:
    """What is said of each of these flips, and of all rows that fail or are an error."""
    result = compare_dumps(golden_path=golden, my_path=my, tokens=f"0-{tokens - 1}")
    counts: Counter[str] = Counter()
    failing: list[str] = []
    found: dict[int, str] = {}
    for row in result.rows:
        verdict, choices = row.verdict, row.comparison.measured.choices
        counts[f"rows {verdict.status}"] += 1
        if verdict.status in ("fail", "error"):
            failing.append(f"{row.pair.name}: {verdict.sentence}")
        for flip in choices.flips if choices else ():
            tie = verdict.reason == Reason.NEAR_TIE
            if wanted.get(flip.line) == row.pair.token_id:
                found.setdefault(flip.line, "near tie" if tie else "fault")
    for line in wanted:
        counts[f"flips: {found.get(line, 'not told')}"] += 1
    return counts, failing


def run(batches: int, tokens: int, fault_tokens: int, folder: Path) -> dict[str, Any]:
    """All generations, and what was told of them."""
    model = trained.build("smollm2-prose-0").model
    honest = halved(model)
    said: dict[str, Any] = {}
    for batch in range(batches):
        ids = prompts(batch)
        with torch.no_grad():
            logits = model(ids).logits[:, -1]
            golden = generated(model, ids, tokens, folder / "golden")
            say(said, "honest", golden, honest, ids, tokens, folder)
            for name, fault in FAULTS.items() if fault_tokens else ():
                my_model = faulty(model, fault, logits)
                say(said, name, golden, my_model, ids, fault_tokens, folder)
            shutil.rmtree(folder / "golden")
    return said


def say(
    said: dict[str, Any],
    name: str,
    golden: Tensor,
    model: Any,
    ids: Tensor,
    tokens: int,
    folder: Path,
) -> None:
    """One run of my: what is told of it goes into `said`."""
    my = generated(model, ids, tokens, folder / "my")
    counts, failing = told(folder / "golden", folder / "my", tokens, flips(golden, my))
    shutil.rmtree(folder / "my")
    entry = said.setdefault(name, {"counts": Counter(), "failing": []})
    entry["counts"] += counts
    entry["failing"] += failing[:20]
    print(f"{name}: {dict(counts)}", *failing[:3], sep="\n  ", flush=True)


def main() -> None:
    """Print what is told of honest and of faulty runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=5, help="of ten sequences each")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--fault-tokens", type=int, default=6, help="0: no faults")
    parser.add_argument("--mixtures", type=int, default=10, help="models with experts")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)  # several wait for each other on a busy machine
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        experts = run_experts(arguments.mixtures, Path(folder))
        print(*(f"{name} {count}" for name, count in sorted(experts.items())), sep="\n", flush=True)
        said = run(arguments.batches, arguments.tokens, arguments.fault_tokens, Path(folder))
    for name, entry in said.items():
        print(f"{name}: {dict(sorted(entry['counts'].items()))}")
    print(f"{time.monotonic() - begun:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
