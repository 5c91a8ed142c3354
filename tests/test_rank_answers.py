"""Every rank in one run: each has an order of its own, and what must be alike across them is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from ait_cmp.__main__ import main
from tests.test_ranks import record

LAYERS = [f"{number}_Linear/after/outtensor0" for number in range(40)]
WORLD = 2


def _dump(folder: Path, partial: tuple[int, ...] = (), stale: tuple[int, ...] = ()) -> None:
    """Two ranks that have one tensor of each layer alike but layer 5, of which each has its part.

    The ranks that are `partial` missed an all-reduce at layer 20, the `stale` ones have another
    weight at layer 10.
    """
    noise = 0.0 if folder.name == "golden" else 2.0**-11
    rounding = 1 + noise * torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    for rank in range(WORLD):
        chance = torch.Generator().manual_seed(1)
        run = folder / f"ait_dump/tensors/-1_{100 + rank}"
        for number, layer in enumerate(LAYERS):
            parts = torch.randn(WORLD, 4, 16, generator=chance)
            whole = parts.sum(0) * rounding
            if number == 5 or (number == 20 and rank in partial):
                whole = parts[rank] * rounding
            if number == 10 and rank in stale:
                whole[:, :4] *= 1.5
            file = run / "0" / f"{layer}.pth"
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(whole, file)
        record(run, f"{folder.name}{rank}", rank)


def _compared(tmp_path: Path, **faults: tuple[int, ...]) -> tuple[pl.DataFrame, Any]:
    _dump(tmp_path / "golden")
    _dump(tmp_path / "my", **faults)
    formats = "report.formats=[csv,parquet,json,md,html,xlsx]"
    paths = [f"golden_path={tmp_path}/golden", f"my_path={tmp_path}/my", f"output={tmp_path}/out"]
    main([*paths, formats, "mapping=tree"])
    read = json.loads((tmp_path / "out" / "cmp_report.json").read_text())
    return pl.read_parquet(tmp_path / "out" / "cmp_report.parquet"), read


def test_ranks_that_pass_have_nothing_to_explain(tmp_path: Path) -> None:
    table, read = _compared(tmp_path)
    assert set(table["status"]) == {"pass"}
    assert [(one["rank"], one["first_divergence"]) for one in read["ranks"]] == [
        ("0", None),
        ("1", None),
    ]


def test_each_rank_goes_wrong_in_its_own_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, read = _compared(tmp_path, partial=(0,), stale=(1,))
    bad = table.filter(pl.col("status") == "fail")
    assert bad.select("rank", "data_id").rows() == [("0", LAYERS[20]), ("1", LAYERS[10])]
    assert set(bad["reason"]) == {"REPLICAS_DIFFER"}
    firsts = [one["first_divergence"]["data_id"] for one in read["ranks"]]
    assert firsts == [LAYERS[20], LAYERS[10]]
    shown = capsys.readouterr().out
    assert "it goes wrong in 2 of 2 ranks, each in its own order" in shown
    assert f"rank 0 from token 0 {LAYERS[20]} on" in shown
    assert f"rank 1 from token 0 {LAYERS[10]} on" in shown
    assert "what my ranks 0, 1 have of it should be equal, as golden's is, and is not" in shown
    assert "all-reduce" not in shown


def test_a_missing_all_reduce_is_told_by_the_sum(tmp_path: Path) -> None:
    """Layer 5 is a part on either side, and differs on purpose."""
    table, read = _compared(tmp_path, partial=(0, 1))
    bad = table.filter(pl.col("status") == "fail")
    assert bad["data_id"].to_list() == [LAYERS[20]] * 2
    assert all("an all-reduce is missing" in one for one in bad["cmp_fail_reason"])
    assert "in ranks 0, 1" not in str(read["answer"])
    assert "ranks 0, 1 from token 0" in str(read["answer"])
