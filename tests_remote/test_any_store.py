"""Stores of which we know no more than fsspec does, by the one that it has in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from polars.testing import assert_frame_equal

from ait_cmp.api import compare_dumps
from ait_cmp.commands import main
from ait_cmp.files import (
    exists,
    file_numbers,
    is_same,
    list_folder,
    look_again,
    names_in,
    open_file,
    real_path,
    same_file,
    staging,
    state_of,
)
from ait_cmp.files.stores import Thing, store_of
from ait_cmp.values.errors import PairError, Reason
from tests.formats import WAYS, Way
from tests.test_layouts import DUMPS, made
from tests_remote.test_layouts import genuine, table

ROOT = "memory://top"
DATA = np.random.default_rng(0).bytes(3 << 20)


@pytest.fixture(autouse=True)
def memory() -> Iterator[Any]:
    """fsspec's store, empty."""
    look_again()
    found = fsspec.filesystem("memory")
    yield found
    found.store.clear()
    found.pseudo_dirs[:] = [""]


def upload(memory: Any, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/top/{path.relative_to(folder)}", path.read_bytes())


@pytest.mark.parametrize("size", [0, 1, 4096, (256 << 10) + 1, 3 << 20])
def test_ranges_and_states(size: int, memory: Any) -> None:
    memory.pipe_file("/top/f", DATA[:size])
    file = open_file(f"{ROOT}/f")
    assert (file.size, file.state) == (size, state_of(f"{ROOT}/f"))
    for start, length in [(0, size), (size, 0), (size // 3, size // 2)]:
        assert file.read(start, length) == DATA[start : start + length]
    with pytest.raises(PairError) as caught:
        file.read(size - 1, 2)
    assert caught.value.reason is Reason.IN_TRUNCATED
    assert is_same(file.state)
    memory.pipe_file("/top/f", DATA[:size])
    look_again()
    assert not is_same(file.state)


def test_folders(memory: Any) -> None:
    for name in ("b", "a/x", "c"):
        memory.pipe_file(f"/top/{name}", b"x")
    listed = list_folder(ROOT)
    assert [(one.name, one.is_folder, one.is_file) for one in listed] == [
        ("a", True, False),
        ("b", False, True),
        ("c", False, True),
    ]
    assert names_in(f"{ROOT}/") == {"a", "b", "c"}
    assert len(set(file_numbers(ROOT).values())) == 2
    assert real_path(f"{ROOT}/a/../b") == f"{ROOT}/b"
    assert same_file(f"{ROOT}/b", f"{ROOT}/./b")
    assert not same_file(f"{ROOT}/b", f"{ROOT}/c")
    assert exists(f"{ROOT}/a")
    assert not exists(f"{ROOT}/gone")
    with pytest.raises(FileNotFoundError):
        list_folder(f"{ROOT}/gone")
    for action in (open_file, state_of):
        with pytest.raises(FileNotFoundError):
            action(f"{ROOT}/gone")
    with pytest.raises(PairError) as caught:
        open_file(f"{ROOT}/a")
    assert caught.value.reason is Reason.NOT_A_FILE


@pytest.mark.parametrize("dump", DUMPS)
def test_a_layout_is_that_of_a_disk(dump: str, memory: Any, tmp_path: Path) -> None:
    for side in ("golden", "my"):
        genuine(made(dump, tmp_path / side))
    upload(memory, tmp_path)
    local, far = (
        table(root, golden_path=f"{root}/golden", my_path=f"{root}/my", mapping="tree")
        for root in (str(tmp_path), ROOT)
    )
    assert_frame_equal(far, local)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_format(way: Way, memory: Any, tmp_path: Path) -> None:
    import torch

    for side in ("golden", "my"):
        (tmp_path / side).mkdir()
        way.save(tmp_path / side / f"t{way.suffix}", torch.arange(100_000.0).reshape(400, 250))
    upload(memory, tmp_path)
    found = compare_dumps(golden_path=f"{ROOT}/golden", my_path=f"{ROOT}/my", executor="serial")
    assert found.to_polars()["status"].to_list() == ["pass"]


def test_a_file_that_changes_is_noticed_by_its_time(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("golden", "my"):
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "t.npy", np.zeros(1_000_000))
    upload(memory, tmp_path)
    store = store_of(ROOT)
    part = store.part

    def changing(url: str, start: int, stop: int, thing: Thing) -> bytes:
        found = part(url, start, stop, thing)
        if start > 0 and "my" in url:
            memory.pipe_file("/top/my/t.npy", (tmp_path / "my" / "t.npy").read_bytes())
        return found

    monkeypatch.setattr(store, "part", changing)
    found = compare_dumps(golden_path=f"{ROOT}/golden", my_path=f"{ROOT}/my", executor="serial")
    assert found.to_polars()["reason"].to_list() == ["IN_CHANGED"]


def test_a_store_that_makes_no_new_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As HDFS is, whose files are opened to be written or to be added to."""

    def pipe_file(path: str, data: bytes, mode: str) -> None:
        raise ValueError(f"unsupported mode for Arrow filesystem: {mode!r}")

    monkeypatch.setattr(staging, "_caches", lambda: tmp_path / "cache")
    monkeypatch.setattr(store_of(ROOT).fs, "pipe_file", pipe_file)
    np.save(tmp_path / "t.npy", np.zeros(9))
    words = [f"{side}_path={tmp_path / 't.npy'}" for side in ("golden", "my")]
    assert main([*words, "allow_same=true", f"output={ROOT}/out"]) == 2
    assert "on the condition that there is none" in capsys.readouterr().err


def test_a_report_goes_there_too(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_caches", lambda: tmp_path / "cache")
    np.save(tmp_path / "t.npy", np.zeros(9))
    for side in ("golden", "my"):
        memory.pipe_file(f"/top/{side}.npy", (tmp_path / "t.npy").read_bytes())
    words = [f"golden_path={ROOT}/golden.npy", f"my_path={ROOT}/my.npy", f"output={ROOT}/out"]
    for _ in range(2):
        assert main(words) == 0
        names = {one.name for one in list_folder(f"{ROOT}/out")}
        assert {"cmp_report.csv", "cmp_report.stats"} <= names
        assert "cmp_report.lock" not in names
