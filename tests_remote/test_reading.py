"""What a compare asks of a store, and how many bytes come."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ait_cmp.api import compare_dumps
from ait_cmp.engine.adapters import adapt
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.judging import Status
from ait_cmp.measuring.plan import make_plan
from ait_cmp.source import open_source
from ait_cmp.values.location import Location, parse_steps
from tests_remote.conftest import BUCKET
from tests_remote.store import Huge, S3Server

ROOT = f"s3://{BUCKET}"


def test_a_thousand_small_pairs_take_one_read_a_file(s3: S3Server, tmp_path: Path) -> None:
    for side in ("golden", "my"):
        (tmp_path / side).mkdir()
        for number in range(1000):
            np.save(tmp_path / side / f"t{number}.npy", np.full(500, number, np.float32))
    s3.upload(tmp_path, BUCKET)
    found = compare_dumps(golden_path=f"{ROOT}/golden", my_path=f"{ROOT}/my", executor="serial")
    assert found.report().counts[Status.PASS] == 1000
    assert len(s3.reads()) == 2000
    assert len(s3.asked) - 2000 < 20  # listings


def npy(shape: tuple[int, ...], *, fortran: bool = False) -> tuple[Huge, int]:
    """A huge .npy file of float32 zeros, and where its data begin."""
    text = f"{{'descr': '<f4', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    return Huge(len(head) + 4 * math.prod(shape), {0: head}), len(head)


def test_of_a_pair_of_a_gibibyte_only_what_is_asked_for_comes(s3: S3Server) -> None:
    shape = (16384, 16384)
    for side in ("golden", "my"):
        s3.huge[f"/{BUCKET}/{side}.npy"], begin = npy(shape)
    s3.huge[f"/{BUCKET}/my.npy"].parts[begin + 4 * (100 * 16384 + 7)] = b"\0\0\x80\x3f"  # a 1
    found = compare_dumps(
        golden_path=f"{ROOT}/golden.npy",
        my_path=f"{ROOT}/my.npy",
        golden_adapters="slice(96:104)",
        my_adapters="slice(96:104)",
        executor="serial",
        diagnosis_rows=0,  # which would read it once more
    )
    assert found.report().counts[Status.FAIL] == 1
    assert found.to_polars()["max_absolute_error"].to_list() == [1.0]
    wanted = 8 * 16384 * 4
    assert sum(one.sent for one in s3.reads()) < 2 * (wanted + (600 << 10))
    assert len(s3.reads()) <= 6


@pytest.mark.parametrize("steps", ["slice(:, 8:12)", "slice(96:104, 5:500)"])
def test_columns_are_read_without_what_is_between(steps: str, s3: S3Server) -> None:
    for side in ("golden", "my"):
        s3.huge[f"/{BUCKET}/{side}.npy"], _ = npy((64, 1 << 22))  # a row of 16 MiB
    source = adapt([open_source(f"{ROOT}/my.npy")], parse_steps(steps.replace("96:104", "6:14")))
    assert not source.read(0, source.elements).any()
    assert sum(one.sent for one in s3.reads()) < 64 * (1 << 10) + (1 << 20)


def test_headers_alone_plan_a_huge_pair(s3: S3Server) -> None:
    for side in ("golden", "my"):
        s3.huge[f"/{BUCKET}/{side}.npy"], _ = npy((16384, 16384))
    golden, my = (Location.of(f"{ROOT}/{side}.npy") for side in ("golden", "my"))
    request = Request(golden, my, Wanted(0.0))
    plan = make_plan([(0, request)])
    assert len(plan.tasks) == 16
    assert sum(one.sent for one in s3.reads()) <= 2 * (256 << 10)


def test_a_pair_in_another_order_is_read_once_by_one_worker(s3: S3Server) -> None:
    for side in ("golden", "my"):
        s3.huge[f"/{BUCKET}/{side}.npy"], _ = npy((6000, 6000), fortran=side == "my")
    found = compare_dumps(
        golden_path=f"{ROOT}/golden.npy", my_path=f"{ROOT}/my.npy", executor="processes", workers=2
    )
    assert found.report().counts[Status.PASS] == 1
    assert sum(one.sent for one in s3.reads()) < 2 * 4 * 6000**2 + (8 << 20)


def test_a_large_pair_is_spread_over_workers_and_read_once(s3: S3Server) -> None:
    for side in ("golden", "my"):
        s3.huge[f"/{BUCKET}/{side}.npy"], _ = npy((8192, 8192))
    found = compare_dumps(
        golden_path=f"{ROOT}/golden.npy", my_path=f"{ROOT}/my.npy", executor="processes", workers=2
    )
    assert found.report().counts[Status.PASS] == 1
    assert sum(one.sent for one in s3.reads()) < 2 * 4 * 8192**2 + (8 << 20)
