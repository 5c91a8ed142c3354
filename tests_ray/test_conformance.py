"""What every executor promises, of a Ray of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from ait_cmp.__main__ import main
from ait_cmp.measuring.executor import EXECUTORS, Execute, WorkerLimits
from ait_cmp.measuring.executor.ray_cluster import kept_cluster
from tests.harm import kill, stop, truncate, watched
from tests.test_executor import (  # noqa: F401
    VICTIMS,
    dump,
    test_every_request_is_answered_once,
    test_nothing_to_do_gives_nothing,
)


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """Started once for all tests, by the first, whose limits hold."""
    with kept_cluster():
        yield


@pytest.fixture
def execute(one_ray: None) -> Iterator[Execute]:
    with EXECUTORS["ray"].start(WorkerLimits(workers=2, row_timeout=5.0), 0) as entered:
        yield entered


def test_harmed_rows_are_marked_and_no_others(
    dump: Path,  # noqa: F811
    execute: Execute,
) -> None:
    """Of a worker that dies, one that hangs, and a file that becomes shorter; once more where one
    of them was done with its file before it was seen to have it."""
    assert list(execute([])) == []  # entered, so that its limits hold
    harms = dict(zip(VICTIMS, (kill, stop, truncate), strict=True))
    by_path = {dump / "my" / f"{row}.bin": harm for row, harm in harms.items()}
    whole = {path: path.read_bytes() for path in by_path}
    for turn in range(8):
        done = set[Path]()

        def harm(pid: int, path: Path, done: set[Path] = done) -> None:
            done.add(path)
            by_path[path](pid, path)

        with watched([*by_path], harm):
            status = main([f"golden_path={dump}", "executor=ray", f"output={dump}{turn}"])
        if done == {*by_path}:
            break
        for path, data in whole.items():
            path.write_bytes(data)
    assert status == 3
    rows = pl.read_parquet(f"{dump}{turn}/cmp_report.parquet").filter(pl.col("status") != "pass")
    found = dict(zip(map(int, rows["data_id"]), rows["reason"], strict=True))
    reasons = ("ROW_KILLED", "ROW_TIMEOUT", "IN_TRUNCATED")
    assert found == dict(zip(VICTIMS, reasons, strict=True))
