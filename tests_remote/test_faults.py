"""Stores that are slow, break off, refuse, change or are not there: one sentence, one row."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ait_cmp.api import compare_dumps
from ait_cmp.commands import main
from ait_cmp.files import confined_to, exists, fetching, open_file
from ait_cmp.files.stores import _store
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.paths import has_secret, public, without_secrets
from tests_remote.conftest import BUCKET
from tests_remote.store import Asked, Fault, S3Server

ROOT = f"s3://{BUCKET}"


def pairs(s3: S3Server, tmp_path: Path, count: int = 8, elements: int = 500) -> dict[str, str]:
    """The paths of two equal dumps in the bucket."""
    for side in ("golden", "my"):
        (tmp_path / side).mkdir()
        for number in range(count):
            np.save(tmp_path / side / f"t{number}.npy", np.full(elements, number, np.float32))
    s3.upload(tmp_path, BUCKET)
    return {"golden_path": f"{ROOT}/golden", "my_path": f"{ROOT}/my"}


def compared(paths: dict[str, str], executor: str = "serial") -> pl.DataFrame:
    return compare_dumps(
        golden_path=paths["golden_path"], my_path=paths["my_path"], executor=executor
    ).to_polars()


def first_time(fault: str) -> Fault:
    """The first request for each path and range goes wrong."""
    seen: set[Asked] = set()

    def wrong(asked: Asked) -> str | None:
        if asked in seen:
            return None
        seen.add(asked)
        return fault

    return wrong


@pytest.mark.parametrize("fault", ["503", "reset", "cut"])
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_what_goes_wrong_once_is_asked_again(
    fault: str, executor: str, s3: S3Server, tmp_path: Path
) -> None:
    paths = pairs(s3, tmp_path, count=4, elements=200_000)
    s3.fault = first_time(fault)
    found = compared(paths, executor)
    assert found["status"].to_list() == ["pass"] * 4, found["cmp_fail_reason"].to_list()
    assert max(Counter(s3.asked).values()) <= 3


def test_a_row_whose_file_never_comes_is_an_error_row(s3: S3Server, tmp_path: Path) -> None:
    paths = pairs(s3, tmp_path)
    s3.fault = lambda asked: "503" if asked.path.endswith("my/t3.npy") else None
    begun = time.monotonic()
    found = compared(paths)
    assert time.monotonic() - begun < 60
    assert found["status"].to_list().count("pass") == 7
    (row,) = found.filter(pl.col("status") == "error").to_dicts()
    assert row["reason"] == "STORE_UNREACHABLE"
    assert f"{ROOT}/my/t3.npy cannot be read" in row["cmp_fail_reason"]


def test_a_store_that_is_down_is_waited_for_once(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pairs(s3, tmp_path, count=40)
    s3.fault = lambda asked: "reset" if asked.path.endswith(".npy") else None
    monkeypatch.setattr(fetching, "_DEADLINE", 2.0)
    begun = time.monotonic()
    found = compared(paths)
    assert time.monotonic() - begun < 40
    assert found["reason"].unique().to_list() == ["STORE_UNREACHABLE"]


def test_latency_of_many_files_is_not_added_up(s3: S3Server, tmp_path: Path) -> None:
    paths = pairs(s3, tmp_path, count=100)
    s3.latency = 0.1
    begun = time.monotonic()
    assert compared(paths)["status"].to_list() == ["pass"] * 100
    assert time.monotonic() - begun < 200 * s3.latency / 2


def test_a_large_file_that_changes_is_noticed(s3: S3Server, tmp_path: Path) -> None:
    paths = pairs(s3, tmp_path, count=3, elements=2_000_000)

    def change(asked: Asked) -> None:
        if asked.path.endswith("my/t1.npy") and asked.first > 0 and len(s3.asked) < 1000:
            name = asked.path.removeprefix(f"/{BUCKET}/")
            s3.put(BUCKET, name, (tmp_path / "my" / "t2.npy").read_bytes())

    s3.fault = change
    found = compared(paths)
    assert found["reason"].to_list() == [None, "IN_CHANGED", None]
    assert "changed while it was read" in found["cmp_fail_reason"][1]


def test_a_store_that_knows_no_condition_cannot_hide_a_change(s3: S3Server) -> None:
    s3.ignores_conditions = True
    s3.put(BUCKET, "f", bytes(1 << 20))
    file = open_file(f"{ROOT}/f")
    assert file.read(500_000, 10) == bytes(10)
    s3.put(BUCKET, "f", b"\1" * (1 << 20))
    with pytest.raises(PairError) as caught:
        file.read(800_000, 10)
    assert caught.value.reason is Reason.IN_CHANGED


def test_a_dump_made_again_is_read_again(s3: S3Server, tmp_path: Path) -> None:
    paths = pairs(s3, tmp_path, count=3)
    assert compared(paths)["status"].to_list() == ["pass"] * 3
    np.save(tmp_path / "t.npy", np.full(500, 9, np.float32))
    s3.put(BUCKET, "my/t1.npy", (tmp_path / "t.npy").read_bytes())
    assert compared(paths)["status"].to_list() == ["pass", "fail", "pass"]


def test_nothing_outside_of_the_roots_is_asked_for(s3: S3Server, tmp_path: Path) -> None:
    paths = pairs(s3, tmp_path, count=2)
    with confined_to([f"{ROOT}/golden"]):
        assert open_file(f"{ROOT}/golden/t0.npy").size
        s3.asked.clear()
        for path in (f"{ROOT}/my/t0.npy", f"{ROOT}/golden/../my/t0.npy", f"{ROOT}/golden_/t0.npy"):
            with pytest.raises(PairError) as caught:
                open_file(path)
            assert caught.value.reason is Reason.OUTSIDE_ROOTS
    with confined_to([str(tmp_path)]), pytest.raises(PairError):
        exists(paths["my_path"])
    assert not s3.asked


@pytest.mark.parametrize("kind", ["down", "no bucket", "denied", "no package", "no key"])
def test_why_a_store_is_not_read_is_one_sentence(
    kind: str,
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = pairs(s3, tmp_path, count=1)
    golden, said = paths["golden_path"], ""
    monkeypatch.setattr(fetching, "_DEADLINE", 0.5)
    _store.cache_clear()
    if kind == "down":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        said = "does not answer as it should"
    if kind == "no bucket":
        golden, said = "s3://nowhere/golden", "there is no such bucket"
    if kind == "denied":
        s3.fault = lambda asked: "403"
        said = "with the credentials that the library of its store finds"
    if kind == "no key":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        said = "with the credentials that the library of its store finds"
    if kind == "no package":
        monkeypatch.setitem(sys.modules, "s3fs", None)
        said = "pip install 'ait-cmp[remote]'"
    assert main([f"golden_path={golden}", f"my_path={golden}", f"output={tmp_path / 'o'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert golden.split("/")[2] in line
    _store.cache_clear()


SECRET = "hunter2secret"
WITH_SECRETS = [
    f"https://user:{SECRET}@host/a/g.npy",
    f"https://host/a/g.npy?X-Amz-Signature={SECRET}&X-Amz-Date=1",
    f"s3://{SECRET}:{SECRET}@bucket/g.npy",
    f"s3://bucket/g.npy?X-Amz-Credential={SECRET}",
    f"abfs://user:{SECRET}@account.dfs.core.windows.net/g.npy",
]


@pytest.mark.parametrize("path", WITH_SECRETS)
@pytest.mark.parametrize("where", ["golden_path", "output", "path_map", "list", "metadata"])
def test_a_secret_in_a_path_is_never_shown(
    path: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert has_secret(path)
    assert SECRET not in public(path) + without_secrets(f"{path} and '{path}'")
    np.save(tmp_path / "m.npy", np.zeros(3))
    (tmp_path / "pairs.csv").write_text(f"data_id,golden,my\na,{path},m.npy\nb,m.npy,{path}\n")
    entries = {"a": {"0": [str(tmp_path / "m.npy"), path]}}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    given = {"golden_path": str(tmp_path / "m.npy"), "my_path": str(tmp_path / "m.npy")}
    given["output"] = str(tmp_path / "out")
    if where == "list":
        given = {"golden_path": str(tmp_path / "pairs.csv"), "output": given["output"]}
    elif where == "metadata":
        given = {"golden_path": str(tmp_path / "metadata.json"), "output": given["output"]}
    else:
        given[where] = path
    words = [f'{name}="{value}"' for name, value in given.items() if name != "path_map"]
    words += [f'path_map={{/a:"{path}"}}'] * (where == "path_map")
    formats = "report.formats=[csv,json,junit,md,html]"
    status = main([*words, formats, "log_level=debug", "report.worst=9"])
    assert status == (3 if where in ("list", "metadata") else 2)
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name not in ("pairs.csv", "metadata.json"):
            assert SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "path", ["s3://b/a?b.npy", "abfs://container@account/x", "sftp://me@host/x", "/a@b?c=d", "a:b"]
)
def test_what_only_looks_like_a_secret_is_a_name(path: str) -> None:
    assert not has_secret(path)
    assert public(path) == path


def test_api_says_the_same(s3: S3Server) -> None:
    with pytest.raises(UsageError, match="there is no such bucket"):
        compare_dumps(golden_path="s3://nowhere/g", my_path="s3://nowhere/m")
