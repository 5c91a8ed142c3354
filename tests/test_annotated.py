"""Shards of SGLang's dumper, joined as the meta of their files says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from ait_cmp.__main__ import main
from ait_cmp.mapping.layouts.sglang_dims import Axis, cut_of
from ait_cmp.values.errors import Reason
from tests.test_dump_pairing import sglang, tree
from tests.test_mapping import reasons

X = torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(0))


def dumped(
    folder: Path,
    shards: Sequence[torch.Tensor],
    dims: str | None,
    places: Sequence[dict[str, int]],
    *,
    name: str = "attn",
    framework: str = "sglang",
) -> Path:
    """As dumper.py writes the parts of one tensor: rank by rank, with dims and parallel info."""
    sizes = {key: 1 + max(place[key] for place in places) for place in places for key in place}
    for rank, (shard, place) in enumerate(zip(shards, places, strict=True)):
        info = {f"{key}_rank": at for key, at in place.items()}
        info |= {f"{key}_size": size for key, size in sizes.items()}
        meta: dict[str, Any] = {f"{framework}_parallel_info": info, "world_size": len(shards)}
        meta |= {} if dims is None else {"dims": dims}
        tags = {"step": 0, "rank": rank, "dump_index": 1, "name": name}
        sglang(folder, shard, meta=meta, **tags)
    return folder


TP2: list[dict[str, int]] = [{"tp": 0, "attn_tp": 0}, {"tp": 1, "attn_tp": 1}]
TP4 = [{"tp": rank} for rank in range(4)]
CUTS: dict[str, tuple[str, list[torch.Tensor], list[dict[str, int]], str]] = {
    "columns": ("b s h[tp]", list(X.chunk(2, 2)), TP2, "concat(2)"),
    "columns, as before": ("b s h(tp)", list(X.chunk(2, 2)), TP2, "concat(2)"),
    "four ranks": ("b s h[tp]", list(X.chunk(4, 2)), TP4, "concat(2)"),
    "heads": ("b s (heads*dim)[tp:sharded] # dp:=x", list(X.chunk(2, 2)), TP2, "concat(2)"),
    "tokens": ("b s[sp] h", list(X.chunk(2, 1)), [{"sp": 0}, {"sp": 1}], "concat(1)"),
    "parts of a sum": ("b s h[tp:partial]", [X / 4, X / 4, X / 4, X / 4], TP4, "sum()"),
    "ranks in another order": (
        "b s h[tp]",
        list(X.chunk(2, 2))[::-1],
        [{"tp": 1}, {"tp": 0}],
        "concat(2)",
    ),
    "two axes of one dimension": (
        "b s[cp,sp] h",
        [X.chunk(4, 1)[number] for number in (0, 2, 1, 3)],
        [{"cp": 0, "sp": 0}, {"cp": 1, "sp": 0}, {"cp": 0, "sp": 1}, {"cp": 1, "sp": 1}],
        "concat(1)",
    ),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("framework", ["sglang", "megatron"])
def test_shards_are_joined_as_their_dims_say(
    cut: str, framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dims, shards, places, step = CUTS[cut]
    dumped(tmp_path / "g", [X], "b s h", [{"tp": 0}])
    dumped(tmp_path / "m", shards, dims, places, framework=framework)
    arguments = [f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m", "output=out"]
    assert main([*arguments, "tolerance=dtype"]) == 0
    row = pl.read_parquet("out/cmp_report.parquet").row(0, named=True)
    assert row["my_data_path"].endswith(f" | {step}")
    assert row["my_shape"] == "[2, 8, 12]"
    assert f"my tensors are joined of their ranks, as dims='{dims}' says" in capsys.readouterr().err


def test_each_group_of_ranks_has_a_whole_of_its_own(tmp_path: Path) -> None:
    """Two data-parallel groups of two ranks: neither tells the other's place."""
    places = [{"tp": tp, "dp": dp} for dp in (0, 1) for tp in (0, 1)]
    dumped(tmp_path / "g", [X, X], "b s h", [{"dp": 0}, {"dp": 1}])
    dumped(tmp_path / "m", [*X.chunk(2, 2), *X.chunk(2, 2)], "b s h[tp]", places)
    pairs = [pair for pair in tree(tmp_path / "g", tmp_path / "m") if pair.my.files]
    assert [
        [Path(one).name.partition("rank=")[2][0] for one in pair.my.files] for pair in pairs
    ] == [
        ["0", "1"],
        ["2", "3"],
    ]


def test_as_many_ranks_are_compared_one_by_one(tmp_path: Path) -> None:
    for side in ("g", "m"):
        dumped(tmp_path / side, X.chunk(2, 2), "b s h[tp]", TP2)
    pairs = tree(tmp_path / "g", tmp_path / "m")
    assert reasons(pairs) == ["", ""]
    assert not any(pair.my.steps for pair in pairs)


@pytest.mark.parametrize(
    ("dims", "places", "reason"),
    [
        ("b s[tp] h[sp]", [{"tp": n // 2, "sp": n % 2} for n in range(4)], Reason.NOT_SUPPORTED),
        ("b s[cp:zigzag] h", [{"cp": n} for n in range(4)], Reason.NOT_SUPPORTED),
        ("t h[tp]", TP4, Reason.SHAPE_MISMATCH),
        ("b s h[tp]", [{"tp": n} for n in (0, 1, 2, 4)], Reason.SHAPE_MISMATCH),
    ],
)
def test_what_cannot_be_joined_is_one_row_that_says_why(
    dims: str, places: list[dict[str, int]], reason: Reason, tmp_path: Path
) -> None:
    dumped(tmp_path / "g", [X], "b s h", [{"tp": 0}])
    dumped(tmp_path / "m", X.chunk(4, 2), dims, places)
    (pair,) = tree(tmp_path / "g", tmp_path / "m")
    assert pair.error is not None
    assert pair.error.reason is reason
    assert f"dims={dims!r}" in str(pair.error)


def test_dims_are_read_as_the_comparator_does() -> None:
    info = {"cp_rank": 1, "cp_size": 2, "tp_rank": 3, "tp_size": 4, "ep_rank": 0, "ep_size": 1}
    meta: dict[str, object] = {
        "sglang_parallel_info": info,
        "dims": "t[cp:zigzag,ep] 1 h[tp:partial]",
    }
    cut = cut_of(meta)
    assert cut is not None
    assert cut.axes == (
        Axis(0, "cp", frozenset({"zigzag"})),
        Axis(2, "tp", frozenset({"partial"})),
    )
    assert (cut.dims, cut.ranks, cut.sizes) == (3, {"cp": 1, "tp": 3}, {"cp": 2, "tp": 4})
    for other in ({}, {"dims": 3}, {"dims": "b s h[tp"}, {"dims": "->"}):
        assert cut_of(other) is None
    failed = cut_of({"sglang_parallel_info": info | {"distributed_error": True}, "dims": "h[tp]"})
    assert failed is not None
    assert failed.axes == ()
