"""A prompt alone against a padded batch: its row is found by token ids, or nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ait_cmp.__main__ import main
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.padded import padded_ranks

HIDDEN, HEADS = 6, 4
PROMPTS = ([5, 9, 2], [7, 1, 8, 8, 3], [4, 4, 6, 1])
NAMES = {"input_ids", "hidden", "heads", "attention", "flat", "last", "weight"}
Prompts = Sequence[Sequence[int]]


def _drawn(row: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng([row, *shape]).standard_normal(shape).astype(np.float32)


def _run(folder: Path, prompts: Prompts, rows: Sequence[int], *, left: bool = True) -> Path:
    """A prompt and a decoded token of `rows` of the prompts as one batch, masks with them where
    they are several."""
    most = max(len(prompts[row]) for row in rows)
    pads = [most - len(prompts[row]) for row in rows]
    for token in (0, 1):
        tensors: dict[str, list[np.ndarray]] = {name: [] for name in NAMES - {"weight"}}
        masks = []
        for row, pad in zip(rows, pads, strict=True):
            count = len(prompts[row]) if token == 0 else 1
            pad_now = (pad if token == 0 else 0, 0) if left else (0, pad if token == 0 else 0)
            ids = np.array(prompts[row] if token == 0 else [11 + row])
            tensors["input_ids"].append(np.pad(ids, pad_now))
            hidden = np.pad(_drawn(row, count, HIDDEN), (pad_now, (0, 0)), constant_values=9)
            tensors["hidden"].append(hidden)
            tensors["flat"].append(hidden)
            tensors["last"].append(hidden[-1])
            heads = _drawn(row, HEADS, count, HIDDEN)
            tensors["heads"].append(np.pad(heads, ((0, 0), pad_now, (0, 0))))
            keys = len(prompts[row]) + token
            attention = _drawn(row, HEADS, count, keys)
            tensors["attention"].append(
                np.pad(attention, ((0, 0), pad_now, (pad * left, pad * (not left))))
            )
            ones = np.ones(len(prompts[row]), np.int64)
            masks.append(np.append(np.pad(ones, (pad * left, pad * (not left))), np.ones(token)))
        stacked = {name: np.stack(ones) for name, ones in tensors.items()}
        stacked["flat"] = stacked["flat"].reshape(-1, HIDDEN)
        stacked["weight"] = _drawn(99, 3, HIDDEN)
        if len(rows) > 1 or pads[0]:
            stacked["attention_mask"] = np.stack(masks).astype(np.int64)
        (folder / str(token)).mkdir(parents=True)
        for name, array in stacked.items():
            np.save(folder / str(token) / f"{name}.npy", array)
    return folder


def _compared(tmp_path: Path, *arguments: str) -> pl.DataFrame:
    main([*arguments, f"output={tmp_path / 'report'}"])
    return pl.read_csv(tmp_path / "report" / "cmp_report.csv", infer_schema=False)


def _passed(rows: pl.DataFrame) -> set[str]:
    """The names that pass in both rounds."""
    passed = rows.filter(pl.col("status") == "pass")["data_id"].to_list()
    return {name for name in passed if passed.count(name) == 2}


@pytest.mark.parametrize("batch", ["golden", "my"])
@pytest.mark.parametrize("proposed", [False, True])
def test_the_row_of_a_left_padded_batch_is_compared(
    tmp_path: Path, batch: str, proposed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "my" if batch == "golden" else "golden"
    _run(tmp_path / batch, PROMPTS, [1, 0, 2])
    _run(tmp_path / other, PROMPTS, [2])
    given = [f"golden_path={tmp_path / 'golden'}", f"my_path={tmp_path / 'my'}"]
    if proposed:
        main(["pair", *given, f"output={tmp_path / 'pairs.yaml'}"])
        given.append(f"mapping={tmp_path / 'pairs.yaml'}")
    rows = _compared(tmp_path, *given)
    assert _passed(rows) == NAMES
    assert set(rows["status"]) <= {"pass", "error"}
    said = rows.filter(pl.col("data_id") == "hidden")["paired_by"].to_list()
    assert all("row 2 of the padded batch, whose token ids are equal" in one for one in said)
    if not proposed:
        said_aloud = capsys.readouterr().err
        assert f"WARNING: {batch} is a batch, and the token ids of {other} are" in said_aloud
        assert "in its row 2 alone where attention_mask is 1: 12 rows" in said_aloud


def test_what_stands_on_padding_is_not_compared(tmp_path: Path) -> None:
    golden = _run(tmp_path / "golden", PROMPTS, [0])
    my = _run(tmp_path / "my", PROMPTS, [0, 1], left=False)
    rows = _compared(tmp_path, f"golden_path={golden}", f"my_path={my}")
    assert _passed(rows) == NAMES - {"attention", "last"}
    assert not rows.filter(pl.col("status") == "fail").height
    left = rows.filter(pl.col("data_id").is_in(["attention", "last"]))
    assert set(left["reason"]) == {"SHAPE_MISMATCH"}


def test_a_prompt_that_is_twice_in_the_batch_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = _run(tmp_path / "golden", PROMPTS, [0])
    my = _run(tmp_path / "my", PROMPTS, [0, 1, 0])
    given = [f"golden_path={golden}", f"my_path={my}"]
    rows = _compared(tmp_path, *given)
    assert _passed(rows) == {"weight"}
    said_aloud = capsys.readouterr().err
    assert "are in its rows 0 and 2 where attention_mask is 1, so that none is taken" in said_aloud
    main(["pair", *given, f"output={tmp_path / 'pairs.yaml'}"])
    written = (tmp_path / "pairs.yaml").read_text()
    assert "- golden: 'hidden'" not in written
    assert (
        "#   hidden: my is a batch, and the token ids of golden are in its rows 0 and 2" in written
    )
    rows = _compared(
        tmp_path,
        *given,
        "mapping.my_adapters='unpad(attention_mask, 2)'",
        "mapping.golden_adapters=squeeze(0)",
        "data_ids=[hidden]",
    )
    assert _passed(rows) == {"hidden"}


@pytest.mark.parametrize("mapping", ["auto", "tree"])
def test_other_prompts_and_plain_names_stay(tmp_path: Path, mapping: str) -> None:
    golden = _run(tmp_path / "golden", PROMPTS, [2 if mapping == "auto" else 0])
    my = _run(tmp_path / "my", PROMPTS, [0, 1])
    rows = _compared(tmp_path, f"golden_path={golden}", f"my_path={my}", f"mapping={mapping}")
    assert _passed(rows) == {"weight"}


def test_the_next_prompt_of_a_later_round_is_not_cut(tmp_path: Path) -> None:
    golden, my = tmp_path / "golden", tmp_path / "my"
    for token, drawn in enumerate((PROMPTS, [[3, 1, 3], [2, 2, 7, 6, 1], [1, 2, 2, 5]])):
        for folder, chosen in ((golden, [0]), (my, [0, 1])):
            prompts_here = PROMPTS[2:] if token and folder == golden else drawn
            made = _run(tmp_path / "made" / folder.name / str(token), prompts_here, chosen)
            folder.mkdir(exist_ok=True)
            (made / "0").rename(folder / str(token))
    rows = _compared(tmp_path, f"golden_path={golden}", f"my_path={my}")
    hidden = rows.filter(pl.col("data_id") == "hidden").sort("token_id")
    assert hidden["status"].to_list() == ["pass", "error"]


@settings(max_examples=30)
@given(
    prompts=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=2, max_size=4),
    left=st.booleans(),
)
def test_the_row_that_is_found_is_the_true_one(
    tmp_path_factory: pytest.TempPathFactory, prompts: Prompts, left: bool
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    golden = list_dump("golden_path", str(_run(folder / "golden", prompts, [0])))
    my = list_dump("my_path", str(_run(folder / "my", prompts, range(len(prompts)), left=left)))
    found = padded_ranks(golden.ranks, my.ranks)
    if found and found.padded:
        assert found.padded.row == 0
        assert list(prompts).count(prompts[0]) == 1
    elif found:
        assert list(prompts).count(prompts[0]) > 1
