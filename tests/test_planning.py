"""A dump of many entries is planned by listings: no file is asked about twice, there or not."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from ait_cmp import write_bin
from ait_cmp.__main__ import main
from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.mapping.lookup import Lookup
from ait_cmp.values.errors import Reason

COUNT = 40  # of files in a folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each tensor file was asked about, by its path."""
    counts: Counter[str] = Counter()
    stat = os.stat

    def counted(path: Any, *args: Any, **keywords: Any) -> os.stat_result:
        if str(path).endswith((".pth", ".bin", ".failed")):
            counts[os.path.abspath(path)] += 1
        return stat(path, *args, **keywords)

    monkeypatch.setattr(os, "stat", counted)
    return counts


def _dump(folder: Path, *, there: bool = True) -> Path:
    golden, my = folder / "ait_dump" / "1_-1" / "golden_tensor", folder / "my"
    for path in (golden / "0", my):
        path.mkdir(parents=True)
    entries = {}
    for number in range(COUNT):
        files = golden / "0" / f"q{number}_tensor.pth", my / f"{number}.bin"
        entries[f"q{number}"] = {"0": list(map(str, files))}
        if there:
            torch.save(torch.ones(2), files[0])
            write_bin(files[1], torch.ones(2))
    (golden / "metadata.json").write_text(json.dumps(entries))
    return folder / "ait_dump"


def test_few_files_are_asked_about(asked: Counter[str], tmp_path: Path) -> None:
    pairs = map_pairs("metadata", Wish(str(_dump(tmp_path))))
    assert len(pairs) == COUNT
    assert not any(pair.error for pair in pairs)
    assert len(asked) < COUNT
    assert set(asked.values()) <= {1}


def test_missing_files_are_not_dearer(asked: Counter[str], tmp_path: Path) -> None:
    pairs = map_pairs("metadata", Wish(str(_dump(tmp_path, there=False))))
    assert {pair.error and pair.error.reason for pair in pairs} == {Reason.GOLDEN_MISSING}
    assert len(asked) < COUNT
    assert set(asked.values()) <= {1}


def test_what_was_listed_long_ago_is_listed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ait_cmp.mapping.lookup._KEPT", COUNT)
    for folder in "abcd":
        (tmp_path / folder).mkdir()
        for number in range(COUNT):
            (tmp_path / folder / f"{number}.bin").touch()
    lookup = Lookup()
    for folder in "abcdabcd":
        for number in range(COUNT):
            assert lookup.is_there(f"{tmp_path}/{folder}/{number}.bin")
            assert lookup.is_there(f"{tmp_path}/a/{number}.bin")
            assert not lookup.is_there(f"{tmp_path}/{folder}/{number}.pth")


@pytest.mark.parametrize("folds", [False, True])
def test_a_file_system_that_knows_other_letters_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, folds: bool
) -> None:
    for number in range(COUNT):
        (tmp_path / f"a{number}.bin").touch()
    if folds:
        stat = os.stat
        lower = str(tmp_path).lower()

        def folded(path: Any, *args: Any, **keywords: Any) -> os.stat_result:
            inside = str(path).lower().startswith(f"{lower}/")
            path = tmp_path / Path(path).name.lower() if inside else path
            return stat(path, *args, **keywords)

        monkeypatch.setattr(os, "stat", folded)
    lookup = Lookup()
    found = [lookup.is_there(f"{tmp_path}/A{number}.BIN") for number in range(COUNT)]
    assert found == [folds] * COUNT


def test_a_dry_run_shows_an_entry_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = _dump(tmp_path)
    metadata = dump / "1_-1" / "golden_tensor" / "metadata.json"
    entries = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**entries, "bad": {"0": 7}}))
    assert main([f"golden_path={dump}", "dry_run=true"]) == 3
    assert "ENTRY_MALFORMED" in capsys.readouterr().out
