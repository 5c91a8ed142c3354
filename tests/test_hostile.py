"""Files, names and mappings that somebody made to do harm."""

from __future__ import annotations

import contextlib
import csv
import gc
import json
import re
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from ait_cmp import write_bin
from ait_cmp.__main__ import main
from ait_cmp.mapping import Wish, map_pairs
from ait_cmp.values.errors import UsageError
from ait_cmp.values.text import for_spreadsheet, printable
from tests.answering import MEMORY, answer_all
from tests.hostile import MAPPING_FILES, make_corpus

# -- tensor files


def test_every_hostile_file_is_answered_at_once_and_by_its_code(tmp_path: Path) -> None:
    cases = make_corpus(tmp_path)
    answers = answer_all([case.path for case in cases])
    told = {str(case.path): answer.reason for case, answer in zip(cases, answers, strict=True)}
    assert told == {str(case.path): case.reason for case in cases}
    assert max(answer.peak for answer in answers) < MEMORY
    # Ten times what any takes on a quiet machine.
    assert max(answer.seconds for answer in answers) < 0.5


def test_a_whole_run_over_the_corpus_gives_every_entry_its_row(tmp_path: Path) -> None:
    cases = make_corpus(tmp_path / "corpus")
    whole = tmp_path / "whole.npy"
    np.save(whole, np.ones(2, "f4"))
    entries = {str(case.path): {"0": [str(whole), str(case.path)]} for case in cases}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    assert main([f"golden_path={tmp_path / 'metadata.json'}", "output=out"]) == 3
    rows = pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")
    told = dict(zip(rows["my_data_path"], rows["reason"], strict=True))
    # The mapping cannot follow a link that leads to itself.
    assert told == {
        str(case.path): "MY_MISSING" if case.path.stem == "loop" else str(case.reason)
        for case in cases
    }


@pytest.mark.parametrize("name", MAPPING_FILES)
def test_every_hostile_mapping_is_answered_at_once(name: str, tmp_path: Path) -> None:
    for place, text in MAPPING_FILES[name].items():
        file = tmp_path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    is_list = file.suffix == ".csv" or file.name == "pairs.json"
    is_tree = file.name == "construct.json"
    kind = "pairs" if is_list else "tree" if is_tree else "metadata"
    gc.freeze()  # what other tests left is none of its work
    begun = time.process_time()
    try:
        with contextlib.suppress(UsageError):
            folder = str(tmp_path)
            map_pairs(kind, Wish(str(file) if is_list else folder, folder if is_tree else None))
        assert time.process_time() - begun < 1  # some three times what any takes
    finally:
        gc.unfreeze()


# -- where files may be opened


def confined(tmp_path: Path, my: Path) -> str:
    """The reason of the row of `my` where only `inside` may be opened."""
    inside = tmp_path / "inside"
    inside.mkdir(exist_ok=True)
    write_bin(inside / "golden.bin", torch.ones(2))
    metadata = inside / "metadata.json"
    metadata.write_text(json.dumps({"x": {"0": [str(inside / "golden.bin"), str(my)]}}))
    main([f"golden_path={metadata}", f"allowed_roots={inside}", f"output={tmp_path / 'out'}"])
    reason = pl.read_parquet(tmp_path / "out" / "cmp_report.parquet")["reason"][0]
    return str(reason)


def test_nothing_outside_the_allowed_roots_is_opened(tmp_path: Path) -> None:
    write_bin(tmp_path / "inside" / "my.bin", torch.ones(2))
    assert confined(tmp_path, tmp_path / "inside" / "my.bin") == "None"
    write_bin(tmp_path / "inside_not" / "my.bin", torch.ones(2))  # the same letters in front
    for place in ("inside_not/my.bin", "inside/../inside_not/my.bin"):
        assert confined(tmp_path, tmp_path / place) == "OUTSIDE_ROOTS"
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "inside_not" / "my.bin")
    assert confined(tmp_path, tmp_path / "inside" / "link.bin") == "OUTSIDE_ROOTS"
    (tmp_path / "inside" / "links").symlink_to(tmp_path / "inside_not")
    assert confined(tmp_path, tmp_path / "inside" / "links" / "my.bin") == "OUTSIDE_ROOTS"
    # Within by a link from without.
    (tmp_path / "back.bin").symlink_to(tmp_path / "inside" / "my.bin")
    assert confined(tmp_path, tmp_path / "back.bin") == "None"


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_allowed_roots_hold_in_every_executor(executor: str, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    np.save(tmp_path / "inside" / "a.npy", np.ones(2))
    np.save(tmp_path / "b.npy", np.ones(2))
    entries = {"x": {"0": [str(tmp_path / "inside" / "a.npy"), str(tmp_path / "b.npy")]}}
    (tmp_path / "inside" / "metadata.json").write_text(json.dumps(entries))
    arguments = [f"golden_path={tmp_path / 'inside'}", f"executor={executor}"]
    assert main(arguments) == 0
    assert main([*arguments, f"allowed_roots=[{tmp_path / 'inside'}]"]) == 3
    assert pl.read_parquet("cmp_report.parquet")["reason"].to_list() == ["OUTSIDE_ROOTS"]


def test_a_mapping_outside_the_allowed_roots_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metadata.json").write_text("{}")
    (tmp_path / "inside").mkdir()
    arguments = [f"golden_path={tmp_path}", f"allowed_roots={tmp_path / 'inside'}"]
    assert main(arguments) == 2
    assert "is in none of allowed_roots" in capsys.readouterr().err
    assert main([f"golden_path={tmp_path}", "allowed_roots=nowhere"]) == 2
    assert main([f"golden_path={tmp_path}", "allowed_roots=3"]) == 2


# -- text

HOSTILE_TEXT = [
    "=1+1",
    "=HYPERLINK(\"http://x\",'y')",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "safe\u202eevil",
    "zero\u200bwidth",
    "line\u2028end",
    "[red]markup[/red]",
    "[link=http://x]y[/link]",
    "nul\0",
    "\ud800",
    'quote",=1',
]


@pytest.mark.parametrize("text", HOSTILE_TEXT)
def test_no_cell_runs(text: str) -> None:
    cell = for_spreadsheet(text)
    assert cell.isprintable()
    assert not re.match(r"\s*[=+\-@＝＋－＠\t\r\n]", cell)


@pytest.mark.parametrize(
    "text",
    ["-1", "-1.5", "+2", "1e-07", "-1.5e+300", "-inf", "a=b", "层.q", "-1_14740", "-1_7_1"],
)
def test_numbers_and_names_are_left_alone(text: str) -> None:
    assert for_spreadsheet(text) == text
    assert printable(text) == text


def test_hostile_names_reach_neither_terminal_nor_spreadsheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "golden.npy", np.array([-1.0, -2.0], "f4"))
    (tmp_path / "my").mkdir()
    entries = {}
    for number, text in enumerate(HOSTILE_TEXT):
        my = tmp_path / "my" / f"{number}.npy"
        np.save(my, np.array([-1.0, -3.0], "f4"))
        entries[text] = {"0": [str(tmp_path / "golden.npy"), str(my)], text: []}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    assert main([f"golden_path={tmp_path}", "report.worst=100"]) == 3
    shown = capsys.readouterr()
    for line in (shown.out + shown.err).split("\n"):
        assert line.isprintable()
    assert "[red]markup[/red]" in shown.out
    exact = pl.read_parquet(tmp_path / "cmp_report.parquet")
    assert {text for text in HOSTILE_TEXT if text != "\ud800"} <= set(exact["data_id"])
    with open(tmp_path / "cmp_report.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(exact) == 2 * len(HOSTILE_TEXT)
    for row in rows:
        for cell in row.values():
            assert cell.isprintable()
            assert not re.match(r"\s*[=+@＝＋－＠]", cell)
    compared = [row for row in rows if row["status"] == "fail"]
    assert {row["my_min_value"] for row in compared} == {"-3.0"}  # numbers stay numbers
    assert {row["worst_my"] for row in compared} == {"-3.0"}


def test_hostile_names_in_errors_and_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "\x1b[2Jevil\u202e"
    place.mkdir()
    (place / "metadata.json").write_text("{}")
    assert main([f'golden_path="{place}"']) == 3  # logs that nothing was to compare
    (place / "metadata.json").unlink()
    assert main([f'golden_path="{place}"']) == 2
    error = capsys.readouterr().err
    assert r"\x1b[2Jevil\u202e" in error
    assert all(line.isprintable() for line in error.split("\n"))
