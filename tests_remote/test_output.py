"""Reports in a bucket: whole, of one run at a time, and gone on from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ait_cmp.ait import main as ait
from ait_cmp.commands import main
from ait_cmp.files import staging
from ait_cmp.files.staging import staged
from ait_cmp.measuring import plan
from ait_cmp.measuring.store import Store
from tests_remote.conftest import BUCKET
from tests_remote.store import Asked, S3Server

ROOT = f"s3://{BUCKET}"
OUT = f"{ROOT}/runs/one"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where reports wait for their bucket."""
    monkeypatch.setattr(staging, "_caches", lambda: tmp_path / "cache")  # apart from numba's
    return tmp_path / "cache" / "ait_cmp" / "outputs"


@pytest.fixture
def dump(s3: S3Server, tmp_path: Path) -> list[str]:
    """The arguments of a compare of two dumps in the bucket."""
    for side in ("golden", "my"):
        (tmp_path / "d" / side).mkdir(parents=True)
        for number in range(40):
            np.save(tmp_path / "d" / side / f"t{number}.npy", np.arange(9.0) + number)
    s3.upload(tmp_path / "d", BUCKET)
    return [f"golden_path={ROOT}/golden", f"my_path={ROOT}/my", f"output={OUT}"]


def written(s3: S3Server) -> list[str]:
    """What there is of a report."""
    return sorted(one.removeprefix("runs/one/") for one in s3.keys(BUCKET) if "runs/" in one)


def content(s3: S3Server, name: str) -> bytes:
    body: bytes = s3.client.get_object(Bucket=BUCKET, Key=f"runs/one/{name}")["Body"].read()
    return body


REPORT = ["cmp_report.csv", "cmp_report.parquet", "cmp_report.run", "cmp_report.stats"]


def test_a_report_goes_to_the_bucket_and_is_told_by_its_name(
    s3: S3Server, dump: list[str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*dump, "executor=serial"]) == 0
    assert written(s3) == REPORT
    said = capsys.readouterr().out
    assert f"report: {OUT}/cmp_report.csv" in said
    assert str(cache) not in said
    assert not [path for path in cache.iterdir() if path.is_dir()]
    table = pl.read_csv(content(s3, "cmp_report.csv"))
    assert table["my_data_path"].to_list()[0] == f"{ROOT}/my/t0.npy"


def test_a_second_run_measures_nothing_and_writes_the_same(s3: S3Server, dump: list[str]) -> None:
    assert main([*dump, "executor=serial"]) == 0
    first = content(s3, "cmp_report.csv")
    s3.asked.clear()
    assert main([*dump, "executor=serial"]) == 0
    assert content(s3, "cmp_report.csv") == first
    assert not s3.reads(".npy")
    assert not [one for one in s3.asked if one.method == "PUT" and one.path.endswith(".stats")]


def test_a_run_that_is_cut_short_is_gone_on_from_on_another_machine(
    s3: S3Server, dump: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "TASK_PAIRS", 10)

    add, calls = Store.add, list[int]()

    def add_some(self: Store, rows: list[bytes]) -> object:
        kept = add(self, rows)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return kept

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", add_some)
        assert main([*dump, "executor=serial"]) == 130
    assert written(s3) == ["cmp_report.stats.part"]
    monkeypatch.setattr(staging, "_caches", lambda: tmp_path / "another")
    s3.asked.clear()
    assert main([*dump, "executor=serial"]) == 0
    assert written(s3) == REPORT
    assert len(s3.reads(".npy")) == 2 * 20


def test_formats_that_are_not_asked_for_any_more_go(s3: S3Server, dump: list[str]) -> None:
    assert main([*dump, "report.formats=[csv,json]"]) == 0
    assert "cmp_report.json" in written(s3)
    assert main([*dump, "report.formats=[csv]", "report.keep_stats=false"]) == 0
    assert written(s3) == ["cmp_report.csv"]


def test_one_run_at_a_time(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    held = {"owner": "another", "host": "node7", "process": 7, "since": "2026-11-26T10:00:00"}
    s3.put(BUCKET, "runs/one/cmp_report.lock", json.dumps(held).encode())
    assert main(dump) == 2
    said = capsys.readouterr().err
    assert "process 7 of node7" in said
    assert f"remove {OUT}/cmp_report.lock" in said
    assert written(s3) == ["cmp_report.lock"]
    s3.client.delete_object(Bucket=BUCKET, Key="runs/one/cmp_report.lock")
    assert main(dump) == 0
    assert written(s3) == REPORT


def test_of_a_run_that_was_killed_here_the_lock_is_ours(
    s3: S3Server, dump: list[str], cache: Path
) -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom ait_cmp.files import staging\n"
        f"staging._caches = lambda: Path({str(cache.parent.parent)!r})\n"
        f"with staging.staged(staging.near_output({OUT!r})):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == 9
    assert written(s3) == ["cmp_report.lock"]
    assert main(dump) == 0
    assert written(s3) == REPORT


def test_a_store_without_conditions_is_refused(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    s3.ignores_conditions = True
    assert main(dump) == 2
    assert "cannot keep two runs apart" in capsys.readouterr().err
    assert written(s3) == []


def test_a_lock_that_was_taken_away_keeps_the_report_here(
    s3: S3Server, dump: list[str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(asked: Asked) -> None:
        if asked.path.endswith("t39.npy"):
            s3.put(BUCKET, "runs/one/cmp_report.lock", b"{}")

    s3.fault = fault
    assert main([*dump, "executor=serial"]) == 4
    assert "taken by another run" in capsys.readouterr().err
    s3.fault = lambda asked: None
    s3.client.delete_object(Bucket=BUCKET, Key="runs/one/cmp_report.lock")
    s3.asked.clear()
    assert main([*dump, "executor=serial"]) == 0
    assert not s3.reads(".npy")
    assert written(s3) == REPORT


def test_a_bucket_that_is_not_there_or_refuses(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*dump[:2], "output=s3://nowhere/runs"]) == 2
    assert "there is no such bucket" in capsys.readouterr().err
    assert main([*dump[:2], "output=http://127.0.0.1:1/runs"]) == 2
    assert "a web server is only read" in capsys.readouterr().err


def test_judge_show_and_diff_read_a_report_in_a_bucket(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(dump) == 0
    assert main(["judge", f"report={OUT}", "tolerance=dtype", "report.formats=[json]"]) == 0
    assert written(s3) == ["cmp_report.json", "cmp_report.run", "cmp_report.stats"]
    assert main(["judge", f"report={OUT}", f"output={ROOT}/runs/two"]) == 0
    said = capsys.readouterr().out
    assert f"report: {OUT}/cmp_report.json" in said
    two = f"{ROOT}/runs/two"
    assert main(["show", f"report={two}"]) == 0
    assert main(["diff", f"base={two}", f"new={two}", f"output={two}"]) == 0
    assert f"difference: {two}/cmp_diff.csv" in capsys.readouterr().out
    assert {
        f"runs/two/{one}" for one in (*REPORT, "cmp_diff.csv", "cmp_diff.md", "cmp_diff.html")
    } == {one for one in s3.keys(BUCKET) if one.startswith("runs/two/")}


def test_a_report_that_changed_is_fetched_again(s3: S3Server) -> None:
    for text in (b"one", b"two"):
        s3.put(BUCKET, "runs/one/cmp_report.json", text)
        assert (staging.near_report(OUT) / "cmp_report.json").read_bytes() == text


def test_a_folder_of_this_machine_is_itself(tmp_path: Path) -> None:
    with staged(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_writes_to_a_folder_of_this_machine_alone_says_so(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*dump, "-m", "data_ids=t1,t2"]) == 2
    assert f"output={OUT}: the jobs of a sweep write to a folder" in capsys.readouterr().err
    assert main(["pair", *dump]) == 2
    assert f"output={OUT} must be a file of this machine" in capsys.readouterr().err
    assert written(s3) == []


def test_what_a_calibration_learns_goes_to_the_bucket(
    s3: S3Server, dump: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *dump]) == 0
    assert f"tolerance: {OUT}/tolerance/calibrated.yaml" in capsys.readouterr().out
    assert "tolerance/calibrated.yaml" in written(s3)


def test_a_model_that_is_watched_has_its_report_in_the_bucket(
    s3: S3Server, cache: Path, tmp_path: Path
) -> None:
    script, golden = tmp_path / "main.py", tmp_path / "golden.fp.safetensors"
    script.write_text(
        "import torch\ntorch.manual_seed(0)\ntorch.nn.Linear(4, 4)(torch.ones(2, 4))\n"
    )
    command = f"{sys.executable} {script}"
    assert ait(["llm", "dump", "--exec", command, "-fp", "-o", str(golden)]) == 0
    watched = ["llm", "watch", "--exec", command, "--golden", str(golden)]
    assert ait([*watched, "-o", OUT]) == 0
    assert written(s3) == REPORT
