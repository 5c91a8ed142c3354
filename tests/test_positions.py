"""Logits position by position, against plain arithmetic in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp import dump_data
from ait_cmp.__main__ import main
from ait_cmp.engine.positions import Positions, look_at_positions
from ait_cmp.report.columns import frame
from ait_cmp.report.logits import summarize_logits
from ait_cmp.source import from_array


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    found: npt.NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return found


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(2, 40), st.booleans(), st.integers(0, 2**20)
)
@settings(max_examples=40)
def test_what_positions_say(batch: int, length: int, size: int, followed: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    golden, noise = random.normal(size=(2, batch, length, size))
    golden, my = (golden * 4).astype(np.float32), (golden * 4 + noise / 9).astype(np.float32)
    ids = random.integers(0, size, (batch, length))
    next_ids = random.integers(0, size, (batch, 1))
    found = look_at_positions(
        golden=from_array(golden, "golden"),
        my=from_array(my, "my"),
        ids=from_array(ids, "ids"),
        next_ids=from_array(next_ids, "ids") if followed else None,
    )
    one, two = (_softmax(side.astype(np.float64)) for side in (golden, my))
    divergences = (one * np.log(one / two)).sum(-1).reshape(-1)
    assert found.lines == batch * length
    told = (found.kl_mean, found.kl_high, found.kl_most)
    expected = (divergences.mean(), np.percentile(divergences, 99), divergences.max())
    assert told == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert found.same_top == np.mean(one.argmax(-1) == two.argmax(-1))
    top = min(5, size)
    tops = [np.argsort(-side, -1)[..., :top].reshape(-1, top) for side in (golden, my)]
    shares = [len({*a.tolist()} & {*b.tolist()}) / top for a, b in zip(*tops, strict=True)]
    assert found.top_overlap == pytest.approx(np.mean(shares))
    targets = np.concatenate([ids[:, 1:], next_ids], axis=1) if followed else ids[:, 1:]
    assert found.tokens == targets.size
    if targets.size:
        surprises = [
            -np.log(np.take_along_axis(side[:, : targets.shape[1]], targets[..., None], -1)).mean()
            for side in (one, two)
        ]
        assert (found.golden_surprise, found.my_surprise) == pytest.approx(
            surprises, rel=1e-5, abs=1e-9
        )
    assert Positions.unpacked(found.packed()) == found


def test_logits_of_a_large_vocabulary_of_halves() -> None:
    golden = torch.randn(3, 150_000, generator=torch.Generator().manual_seed(0)) * 3
    my = golden.bfloat16()
    found = look_at_positions(
        golden=from_array(golden.numpy(), "golden"),
        my=from_array(my.float().numpy(), "my"),
        ids=None,
        next_ids=from_array(np.array([5, -1, 150_000]), "ids"),
    )
    one, two = (side.double().log_softmax(-1) for side in (golden, my))
    divergences = (one.exp() * (one - two)).sum(-1).numpy()
    assert found.kl_mean == pytest.approx(divergences.mean(), rel=1e-3)
    assert found.tokens == 1
    assert found.golden_surprise == pytest.approx(-float(one[0, 5]))


def test_nothing_and_nan_say_nothing() -> None:
    none = np.zeros((0, 7), np.float32)
    bad = np.full((2, 7), np.nan, np.float32)
    for array in (none, bad):
        source = from_array(array, "logits")
        found = look_at_positions(golden=source, my=source, ids=None, next_ids=None)
        assert np.isnan(found.kl_mean)
        assert found.tokens == 0


def test_a_report_has_them_of_each_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for token in range(3):
        logits = random.normal(size=(1, 4 if token == 0 else 1, 30)).astype(np.float32)
        ids = torch.from_numpy(random.integers(0, 30, logits.shape[:2]))
        for side, noise in (("golden", 0.0), ("my", 1e-3)):
            made = logits + noise * random.normal(size=logits.shape).astype(np.float32)
            dump_data(token, "input_ids", ids, "unused", tmp_path / side)
            dump_data(token, "logits", torch.from_numpy(made), "unused", tmp_path / side)
    sides = [f"{side}_path={tmp_path / side}" for side in ("golden", "my")]
    assert main([*sides, "mapping=tree", f"output={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "logits of 6 positions: KL " in said
    assert "perplexity of golden's 5 tokens" in said
    table = pl.read_parquet(tmp_path / "cmp_report.parquet")
    rows = table.filter(pl.col("data_id") == "logits")
    assert rows["positions"].to_list() == [4, 1, 1]
    assert rows["scored_tokens"].to_list() == [4, 1, 0]
    assert rows["golden_perplexity"].is_null().to_list() == [False, False, True]
    others = table.filter(pl.col("data_id") != "logits")
    assert others["positions"].is_null().all()
    summary = summarize_logits(table)
    assert summary is not None
    assert summary.kl_most == rows["position_kl_max"].max()


def test_a_report_without_logits_says_nothing_of_them() -> None:
    assert summarize_logits(frame([])) is None
