"""Dumping stops where there is no more room, the model goes on, and both are said."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ait_cmp import dump_data, dump_modules
from ait_cmp.dump.room import Room, byte_count
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.values.errors import UsageError
from tests.dumps import ait_llm_dump, names, only_run, run_folders
from tests.test_dump_scripts import script

X = torch.ones(2, 4)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("2000", 2000),
        ("20MB", 20_000_000),
        ("3k", 3000),
        ("2 GiB", 2 << 30),
        ("1TIB", 1 << 40),
    ],
)
def test_sizes(text: str, number: int) -> None:
    assert byte_count(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5G", "GB", "1X", "1 2", "１"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="20MB"):
        byte_count(text)


def test_processes_count_together(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.touch()
    one, other = (Room(100, str(counter)) for _ in range(2))
    assert [each.refusal(str(tmp_path), 40) is None for each in (one, other, one)] == [
        True,
        True,
        False,
    ]
    assert Room(100).refusal(str(tmp_path), 100) is None


def test_no_more_bytes_than_that(tmp_path: Path) -> None:
    text = "main(1, 2, 3); print('to the end')"
    done = ait_llm_dump(script(tmp_path, text), "-er", "0,9", "--max-bytes", "8kB", "-o", "out")
    assert (done.returncode, done.stdout) == (0, "to the end\n")
    run = only_run(tmp_path / "out")
    assert 0 < sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) <= 8000
    assert 5 < len(names(run)) < 40
    (rank,) = list_dump("my_path", str(run)).ranks
    (sentence,) = rank.unseen
    assert f"ait_cmp: {sentence}" in done.stderr
    assert "--max-bytes 8000 are used up: dumping stopped before " in sentence


def test_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_blocks=10_000, f_frsize=4096, f_bavail=100)
    )
    model = nn.Linear(4, 4)
    with dump_modules(model, tmp_path), torch.no_grad():
        assert torch.equal(model(X), model(X))
    assert not names(run_folders(tmp_path)[0])
    (told,) = (message for message in caplog.messages if "would be full" in message)
    assert "has 409600 bytes left" in told
    with pytest.warns(RuntimeWarning, match="would be full"):
        dump_data(0, "x", X, "my.bin", tmp_path)
    with pytest.raises(OSError, match="would be full"):
        dump_data(0, "y", X, "my.bin", tmp_path, strict=True)


def test_the_probe_counts_no_bytes(tmp_path: Path) -> None:
    done = ait_llm_dump("true", "--backend", "atb", "--max-bytes", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "--max-bytes is not offered by backend atb" in done.stderr
