"""Rows of which no tensors are there: statistics that dumps recorded, compared and told apart."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp import compare_dumps
from ait_cmp.__main__ import main
from ait_cmp.judging import Status, Tolerance, Verdict
from ait_cmp.judging.statistics import judge_statistics
from ait_cmp.judging.tolerance import Growth, Limit, NonFinite, Unjudged
from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.values.errors import Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.statistics import Statistics
from tests.test_dump_pairing import msprobe, ruled, save, tree
from tests.test_mapping import keys, reasons

DEFAULT = Tolerance("dtype", growth=Growth())
STRICT = Tolerance("strict", default={"exact_match": Limit(min=1)})
NONE = Tolerance("none", nonfinite=NonFinite.ANY, unjudged=Unjudged.PASS)


def of(tensor: torch.Tensor, *, checksum: bool = False, **other: Any) -> dict[str, Any]:
    """What msprobe records of a tensor, in its own type, as its processor does."""
    said: dict[str, Any] = {
        "type": "torch.Tensor",
        "dtype": str(tensor.dtype),
        "shape": list(tensor.shape),
        "Max": tensor.max().item(),
        "Min": tensor.min().item(),
        "Mean": tensor.mean().item() if tensor.is_floating_point() else None,
        "Norm": tensor.norm().item() if tensor.is_floating_point() else None,
        "requires_grad": False,
    }
    if checksum:
        stored = tensor.contiguous().view(torch.uint8).numpy().tobytes()
        said["md5"] = f"{zlib.crc32(stored):08x}"
    return said | other


def recorded(said: dict[str, Any]) -> Statistics:
    """The same as it is read."""
    numbers = (said.get(key) for key in ("Max", "Min", "Mean", "Norm"))
    maximum, minimum, mean, norm = (None if one is None else float(one) for one in numbers)
    return Statistics(
        said["dtype"], tuple(said["shape"]), maximum, minimum, mean, norm, said.get("md5")
    )


def verdict(golden: dict[str, Any], my: dict[str, Any], tolerance: Tolerance = DEFAULT) -> Verdict:
    pair = Pair("x", 0, Location(()), Location(()), statistics=(recorded(golden), recorded(my)))
    (found,) = judge_statistics([pair], tolerance)
    return found


X = torch.randn(64, 32, generator=torch.Generator().manual_seed(3))
INTEGERS = torch.arange(12).reshape(3, 4)
MASK = torch.zeros(4, 4).masked_fill(torch.ones(4, 4).triu(1) > 0, torch.finfo(torch.float32).min)


def _masked(dtype: torch.dtype) -> torch.Tensor:
    return torch.where(MASK < 0, torch.finfo(dtype).min, 0.0).to(dtype)


FAULTS: dict[str, tuple[torch.Tensor, torch.Tensor, Reason]] = {
    "another sign": (X, -X, Reason.TOLERANCE),
    "a hundredth larger": (X, X * 1.01, Reason.TOLERANCE),
    "in bfloat16, a tenth larger": (X, (X * 1.1).bfloat16(), Reason.TOLERANCE),
    "zero": (X, X * 0, Reason.TOLERANCE),
    "golden zero": (X * 0, X, Reason.TOLERANCE),
    "one element": (X, X.clone().index_fill_(0, torch.tensor([5]), 40.0), Reason.TOLERANCE),
    "NaN": (X, X.clone().fill_(math.nan), Reason.NONFINITE),
    "an overflow": (X * 1e4, (X * 1e5).half(), Reason.NONFINITE),
    "integers": (INTEGERS, INTEGERS + 1, Reason.TOLERANCE),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_statistics_show_fails(fault: str) -> None:
    golden, my, reason = FAULTS[fault]
    found = verdict(of(golden), of(my))
    assert (found.status, found.reason) == (Status.FAIL, reason)
    assert "by recorded statistics only" in found.sentence
    assert {one.check for one in found.findings} == {"statistics"}
    assert verdict(of(golden), of(my), NONE).reason is Reason.STATISTICS_ONLY


BENIGN: dict[str, tuple[torch.Tensor, torch.Tensor]] = {
    "the same": (X, X),
    "bfloat16": (X, X.bfloat16()),
    "float16": (X, X.half()),
    "float32 of another kernel": (X, X * (1 + 1e-6)),
    "integers": (INTEGERS, INTEGERS),
    "other integers": (INTEGERS, INTEGERS.int()),
    "zeros": (X * 0, X.bfloat16() * 0),
    "a mask in bfloat16": (_masked(torch.float32), _masked(torch.bfloat16)),
    "a mask in float16": (_masked(torch.float32), _masked(torch.float16)),
}


@pytest.mark.parametrize("benign", BENIGN)
def test_what_agrees_passes_and_says_that_it_is_weak(benign: str) -> None:
    golden, my = BENIGN[benign]
    found = verdict(of(golden), of(my))
    assert (found.status, found.reason, found.findings) == (
        Status.PASS,
        Reason.STATISTICS_ONLY,
        (),
    )
    assert "no tensor was dumped" in found.sentence


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(16, 4096),
    scale=st.floats(1e-3, 1e3),
    dtype=st.sampled_from([torch.bfloat16, torch.float16]),
    factor=st.sampled_from([0.0, 0.5, 1.2, 1.4]),
)
def test_rounding_passes_and_factors_fail(
    seed: int, size: int, scale: float, dtype: torch.dtype, factor: float
) -> None:
    golden = torch.randn(size, generator=torch.Generator().manual_seed(seed)) * scale
    assert verdict(of(golden), of(golden.to(dtype))).status is Status.PASS
    assert verdict(of(golden), of((golden * factor).to(dtype))).status is Status.FAIL


def test_checksums_tell_what_they_can() -> None:
    def sums(tensor: torch.Tensor) -> dict[str, Any]:
        return {**of(tensor, checksum=True), "Max": None, "Min": None, "Mean": None, "Norm": None}

    same = verdict(of(X, checksum=True), of(X, checksum=True))
    assert "only (their equal checksums)" in same.sentence
    moved = X.flip(0)  # of which no statistic tells
    assert verdict(of(X, checksum=True), of(moved, checksum=True)).status is Status.PASS
    assert verdict(of(X, checksum=True), of(moved, checksum=True), STRICT).status is Status.FAIL
    assert verdict(sums(X), sums(X)).status is Status.PASS
    unknown = verdict(sums(X), sums(moved))
    assert (unknown.status, unknown.reason) == (Status.SKIPPED, Reason.UNJUDGED)
    assert "which does not say by how much" in unknown.sentence
    assert verdict(sums(X), sums(X.bfloat16())).reason is Reason.UNJUDGED  # of two types
    swapped = INTEGERS.flip(0)
    assert verdict(of(INTEGERS, checksum=True), of(swapped, checksum=True)).status is Status.FAIL


def test_what_cannot_be_compared_is_an_error() -> None:
    shapes = verdict(of(X), of(X.T))
    assert (shapes.status, shapes.reason) == (Status.ERROR, Reason.SHAPE_MISMATCH)
    assert "golden is [64, 32], my is [32, 64]" in shapes.sentence
    kinds = verdict(of(X), of(X, dtype="torch.qint8"))
    assert (kinds.status, kinds.reason) == (Status.ERROR, Reason.DTYPE_UNSUPPORTED)
    nothing = verdict(of(X * math.nan), of(X * math.nan))
    assert (nothing.status, nothing.reason) == (Status.SKIPPED, Reason.UNJUDGED)


# -- msprobe, task=statistics

CALL = "Module.layer.Layer.forward.0"


def _data(scale: float, dtype: torch.dtype, **options: bool) -> dict[str, Any]:
    def one(tensor: torch.Tensor) -> dict[str, Any]:
        return of((tensor * scale).to(dtype), **options)

    return {
        CALL: {
            "input_args": [one(X), {"type": "int", "value": 3}, None],
            "input_kwargs": {"mask": one(X[:1]), "flag": {"type": "bool", "value": True}},
            "parameters": {"weight": one(X[1:])},
            "output": [{"hidden": one(X), "cache": [one(X[2:]), one(X[3:])]}],
        },
        "Module.layer.Layer.parameters_grad.0": {"weight": [one(X[1:])]},
    }


NAMES = [
    f"{CALL}.input.0",
    f"{CALL}.kwargs.mask",
    f"{CALL}.parameters.weight",
    f"{CALL}.output.0.hidden",
    f"{CALL}.output.0.cache.0",
    f"{CALL}.output.0.cache.1",
    "Module.layer.Layer.parameters_grad.0.weight",
]


@pytest.mark.parametrize("place", ["step0/proc{}", "step0/rank{}", "rank"])
def test_statistics_are_compared_and_the_report_says_so(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    msprobe(tmp_path / "g" / place.format(0), _data(1.0, torch.float32))
    msprobe(tmp_path / "m" / place.format(0), _data(1.0, torch.bfloat16))
    assert main([f"golden_path={tmp_path}/g", f"my_path={tmp_path}/m", "output=out"]) == 0
    assert "7 rows compared by recorded statistics only" in capsys.readouterr().out
    table = pl.read_parquet("out/cmp_report.parquet")
    assert table["data_id"].to_list() == NAMES
    assert set(table["reason"]) == {"STATISTICS_ONLY"}
    first = table.row(0, named=True)
    assert first["golden_max_value"] == X.max().item()
    assert first["my_mean_value"] == X.bfloat16().mean().item()
    assert (first["golden_dtype"], first["my_shape"]) == ("torch.float32", "[64, 32]")
    assert first["golden_data_path"].endswith("dump.json")
    assert "no tensor was dumped" in first["cmp_fail_reason"]


def test_statistics_that_differ_fail_and_the_first_is_named(tmp_path: Path) -> None:
    msprobe(tmp_path / "g" / "rank0", _data(1.0, torch.float32))
    msprobe(tmp_path / "m" / "rank0", _data(1.0, torch.float32))
    path = tmp_path / "m" / "rank0" / "dump.json"
    said = json.loads(path.read_text())
    output = said["data"][CALL]["output"][0]
    output["cache"][0] |= {"Max": 9.0}
    output["cache"][1] |= {"Norm": 9.0}
    path.write_text(json.dumps(said))
    found = compare_dumps(golden_path=tmp_path / "g", my_path=tmp_path / "m")
    assert [row.pair.data_id for row in found.divergences] == [f"{CALL}.output.0.cache.0"]
    assert [row.verdict.follows for row in found.rows][-2:] == [f"{CALL}.output.0.cache.0", ""]
    assert "the max is" in found.rows[4].verdict.divergence
    assert not found.passed


def test_a_tensor_and_statistics_meet_by_what_both_recorded(tmp_path: Path) -> None:
    saved = _data(1.0, torch.float32)
    saved[CALL]["input_args"][0]["data_name"] = f"{CALL}.input.0.pt"
    msprobe(tmp_path / "g" / "rank0", saved)
    msprobe(tmp_path / "m" / "rank0", _data(1.0, torch.bfloat16))
    pairs = tree(tmp_path / "g", tmp_path / "m")
    assert [one for one, _ in keys(pairs)] == NAMES
    assert reasons(pairs) == [""] * 7
    assert all(pair.statistics for pair in pairs)
    assert str(pairs[0].golden).endswith(f"dump_tensor_data/{CALL}.input.0.pt")


def test_a_tensor_without_statistics_meets_nothing(tmp_path: Path) -> None:
    save(tmp_path / "g" / "x.pt")
    msprobe(tmp_path / "m", {"y": {"output": [of(X)]}})
    (pair,) = ruled(tmp_path / "g", tmp_path / "m", golden="x", my="y.output.0")
    assert pair.error is not None
    assert pair.error.reason is Reason.NO_TENSOR
    assert "has only statistics of 'y.output.0'" in str(pair.error)


@pytest.mark.parametrize("number", ["NaN", "nan", "Infinity", '"-inf"', "true", "[1]", "1" * 400])
def test_numbers_of_any_spelling_break_nothing(number: str, tmp_path: Path) -> None:
    for side in ("g", "m"):
        msprobe(tmp_path / side / "rank0", {"y": {"output": [of(X, Max="HERE", later=[{}])]}})
        path = tmp_path / side / "rank0" / "dump.json"
        said = number if number != "nan" else '"nan"'
        path.write_text(path.read_text().replace('"HERE"', said))
    found = compare_dumps(golden_path=tmp_path / "g", my_path=tmp_path / "m")
    assert [row.verdict.status for row in found.rows] == [Status.PASS]


def test_statistics_of_one_file_are_told(tmp_path: Path) -> None:
    msprobe(tmp_path / "rank0", {"y": {"output": [of(X)]}})
    (pair,) = map_pairs("tree", Wish(str(tmp_path), str(tmp_path)))
    assert pair.error is not None
    assert pair.error.reason is Reason.SAME_FILE
