"""Verdicts on gradients of parameters, and on what a model has learned by them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ait_cmp import RunComparison, compare_dumps, dump_modules
from ait_cmp.judging import Status

WIDTH, HEADS = 64, 4
IDS = torch.randint(0, 90, (3, 4, 40), generator=torch.Generator().manual_seed(5))


class Attention(nn.Module):
    """With a bias of the keys, whose gradient is zero: all that a query sees moves alike."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.norm, self.fused = nn.LayerNorm(WIDTH), fused
        if fused:
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        else:
            self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        parts = self.qkv(y).chunk(3, -1) if self.fused else (self.q(y), self.k(y), self.v(y))
        heads = [one.unflatten(-1, (HEADS, -1)).transpose(1, 2) for one in parts]
        q, k, v = heads
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        attended: torch.Tensor = self.out(seen.transpose(1, 2).flatten(-2))
        return x + attended


def _model(*, fused: bool) -> Any:
    torch.manual_seed(0)
    layers = [Attention(fused=fused) for _ in range(4)]
    return nn.Sequential(
        nn.Embedding(90, WIDTH), *layers, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 90)
    )


def _dumped(model: nn.Module, folder: Path, *, fingerprint: bool, narrow: bool) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    types = ("tensor", "grad", "optimizer")
    rounds = [(0, len(IDS) - 1)]
    with dump_modules(model, folder, types=types, execute_range=rounds, fingerprint=fingerprint):
        for ids in IDS:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
                logits = model(ids[:, :-1])
            loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _compared(
    golden: nn.Module, my: nn.Module, folder: Path, *, fingerprint: bool
) -> RunComparison:
    for side, model in (("golden", golden), ("my", my)):
        _dumped(model, folder / side, fingerprint=fingerprint, narrow=side == "my")
    return compare_dumps(golden_path=folder / "golden", my_path=folder / "my")


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("fingerprint", [False, True], ids=["tensors", "fingerprints"])
def test_honest_training_in_bfloat16_passes(tmp_path: Path, fused: bool, fingerprint: bool) -> None:
    """Golden's gradient of keys' biases is what is left of rounding, and Adam makes steps of it."""
    model = _model(fused=fused)
    run = _compared(model, copy.deepcopy(model), tmp_path, fingerprint=fingerprint)
    assert run.passed, run
    if not fused:
        errors = [
            evidence.level
            for one in run.rows
            if one.pair.data_id.endswith("k/grad.bias")
            and (evidence := one.comparison.measured.evidence)
        ]
        assert min(errors) > 1, "the gradient is to be nothing but rounding"


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("factor", [1.2, -1.0])
def test_a_wrong_gradient_of_a_bias_is_told(tmp_path: Path, fused: bool, factor: float) -> None:
    """Of queries, or of values beside that of keys."""
    golden = _model(fused=fused)
    my = copy.deepcopy(golden)
    bias = (my[2].qkv if fused else my[2].q).bias
    scale = torch.ones_like(bias)
    scale[-WIDTH:] = factor
    bias.register_hook(lambda gradient: gradient * scale)
    run = _compared(golden, my, tmp_path, fingerprint=False)
    assert run.first_divergence
    assert run.first_divergence.pair.data_id == f"2.{'qkv' if fused else 'q'}/grad.bias"


def test_a_gradient_where_there_is_none_is_told(tmp_path: Path) -> None:
    """Of the size of other biases', of a bias that has none."""
    golden = _model(fused=False)
    my = copy.deepcopy(golden)
    my[2].k.bias.register_hook(lambda gradient: my[2].out.bias.grad.clone())  # which has come
    run = _compared(golden, my, tmp_path, fingerprint=False)
    failing = {row.pair.data_id for row in run.rows if row.verdict.status is Status.FAIL}
    assert "2.k/grad.bias" in failing


def test_what_an_optimizer_keeps_is_still_judged(tmp_path: Path) -> None:
    """A square has twice the relative error, and no more."""
    golden = _model(fused=False)
    my = copy.deepcopy(golden)
    for side, model, beta in (("golden", golden, 0.9), ("my", my, 0.88)):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, beta))
        with dump_modules(model, tmp_path / side, types=("tensor", "optimizer")):
            model(IDS[0]).square().sum().backward()
            optimizer.step()
    run = compare_dumps(golden_path=tmp_path / "golden", my_path=tmp_path / "my")
    told = [row.pair.data_id.rpartition("/")[2] for row in run.divergences]
    assert told[0] == "set.weight.betas.1"
    kept = [row for row in run.rows if row.pair.data_id.endswith("exp_avg_sq")]
    assert all(row.verdict.status is Status.FAIL for row in kept)
