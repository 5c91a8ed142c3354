"""What is claimed of the order of rows: where it went wrong first, where that is known alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import ait_cmp
from ait_cmp.__main__ import main
from ait_cmp.values.order import NO_ORDER, OrderBy

NAMES = ["embed", "layers.0.q", "layers.0.mlp", "layers.10.q", "head"]
WRONG = 2  # from there on everything is wrong


def values(*, is_wrong: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {name: torch.randn(4, 16, generator=generator) for name in NAMES}
    return {
        name: -value if is_wrong and place >= WRONG else value
        for place, (name, value) in enumerate(found.items())
    }


def folder(path: Path, tensors: dict[str, Tensor], *, times: list[int] | None = None) -> Path:
    path.mkdir(parents=True)
    for place, (name, value) in enumerate(tensors.items()):
        torch.save(value, path / f"{name}.pt")
        time = 1000 + (times or range(len(tensors)))[place]
        os.utime(path / f"{name}.pt", (time, time))
    return path


def by_names(path: Path, tensors: dict[str, Tensor]) -> Path:
    """As a checkout, an archive or a copy writes a folder: one file a second, by names."""
    return folder(path, dict(sorted(tensors.items())))


def compared(golden: Path, my: Path, **settings: Any) -> ait_cmp.RunComparison:
    return ait_cmp.compare_dumps(golden_path=golden, my_path=my, **settings)


def claims(run: ait_cmp.RunComparison) -> str | None:
    first = run.first_divergence
    return first.pair.data_id.rpartition("::")[2] if first else None


def test_file_times_say_where_it_goes_wrong_as_a_guess(tmp_path: Path) -> None:
    golden = folder(tmp_path / "golden", values())
    run = compared(golden, folder(tmp_path / "my", values(is_wrong=True)))
    assert claims(run) == NAMES[WRONG]
    assert {row.pair.order_by for row in run.rows} == {OrderBy.TIMES}


@pytest.mark.parametrize("how", ["equal times", "checked out"])
def test_without_any_order_no_row_is_the_first(how: str, tmp_path: Path) -> None:
    golden, my = tmp_path / "golden", tmp_path / "my"
    if how == "equal times":
        folder(golden, values(), times=[0] * len(NAMES))
    else:
        by_names(golden, values())
    folder(my, values(is_wrong=True))
    run = compared(golden, my)
    assert sum(row.verdict.status == "fail" for row in run.rows) == len(NAMES) - WRONG
    assert not any(row.verdict.follows or row.verdict.divergence for row in run.rows)
    assert NO_ORDER in repr(run)


def test_numbered_files_are_in_order_however_they_came(tmp_path: Path) -> None:
    named = {f"op{number}": one for number, one in enumerate(values().values())}
    wrong = {f"op{n}": one for n, one in enumerate(values(is_wrong=True).values())}
    run = compared(by_names(tmp_path / "golden", named), by_names(tmp_path / "my", wrong))
    assert claims(run) == f"op{WRONG}"


@pytest.mark.parametrize("tokens", [None, "0,1"])
def test_summary_report_and_dry_run_make_no_claim(
    tmp_path: Path, tokens: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, my, out = (str(tmp_path / name) for name in ("golden", "my", "out"))
    for number in (0, 1):
        by_names(Path(golden) / str(number), values())
        by_names(Path(my) / str(number), values(is_wrong=True))
    asked = [f"golden_path={golden}", f"my_path={my}", f"output={out}"]
    sweep = ["-m", f"tokens={tokens}"] if tokens else []
    for _ in ("first", "again, of what was measured"):
        assert main([*sweep, *asked]) == 1
        said = capsys.readouterr().out
        assert "it goes wrong" not in said
        assert NO_ORDER in said.split("merged report of")[-1]
        table = pl.read_parquet(f"{out}/cmp_report.parquet")
        assert set(table["order_by"]) == {"names"}
        assert table["first_divergence"].null_count() == len(table) == table["follows"].null_count()
    if not tokens:
        assert main(["dry_run=true", *asked]) == 0
        assert NO_ORDER in capsys.readouterr().out


def arrays(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in tensors.items()}


CONTAINERS: dict[str, Callable[[dict[str, Tensor], Path], Any]] = {
    ".pt": lambda tensors, path: torch.save(tensors, path),
    ".npz": lambda tensors, path: np.savez(path, **arrays(tensors)),
    ".safetensors": lambda tensors, path: save_file(tensors, path),
}


@pytest.mark.parametrize("within", [False, True], ids=["files", "folders"])
@pytest.mark.parametrize("my_kind", CONTAINERS)
@pytest.mark.parametrize("golden_kind", CONTAINERS)
def test_files_of_many_tensors_have_the_order_of_their_saving(
    golden_kind: str, my_kind: str, within: bool, tmp_path: Path
) -> None:
    sides = []
    for side, kind in (("golden", golden_kind), ("my", my_kind)):
        path = tmp_path / side / f"run{kind}"
        path.parent.mkdir()
        CONTAINERS[kind](values(is_wrong=side == "my"), path)
        sides.append(path.parent if within else path)
    run = compared(*sides)
    # The header of .safetensors is sorted: it says nothing of the run.
    known = golden_kind != ".safetensors" or my_kind != ".safetensors"
    assert claims(run) == (NAMES[WRONG] if known else None)


def test_a_list_of_ones_own_is_in_its_order(tmp_path: Path) -> None:
    golden = by_names(tmp_path / "golden", values())
    my = by_names(tmp_path / "my", values(is_wrong=True))
    entries = [
        {"data_id": one, "golden": f"{golden}/{one}.pt", "my": f"{my}/{one}.pt"} for one in NAMES
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(entries))
    run = ait_cmp.compare_dumps(golden_path=tmp_path / "pairs.json", mapping="pairs")
    assert claims(run) == NAMES[WRONG]


def test_rows_that_were_perhaps_computed_later_explain_little(tmp_path: Path) -> None:
    # By names, rows with an honest error come first, and in their order they explain one of 30 % in
    # the next. Where nobody knows what was computed before it, that may be a fault as well.
    errors = [0.0035 * 1.35**place for place in range(13)] + [0.3] + [0.0] * 30
    generator = torch.Generator().manual_seed(0)
    golden = {f"x{one:02}": torch.randn(64, 64, generator=generator) for one in range(len(errors))}
    my = {
        name: value + error * torch.randn(64, 64, generator=generator)
        for (name, value), error in zip(golden.items(), errors, strict=True)
    }
    sides = {"golden": golden, "my": my}
    paths = {one: folder(tmp_path / one, of, times=[0] * len(of)) for one, of in sides.items()}
    entries = [
        {"data_id": one, **{side: f"{path}/{one}.pt" for side, path in paths.items()}}
        for one in golden
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(entries))
    known = ait_cmp.compare_dumps(golden_path=tmp_path / "pairs.json", mapping="pairs")
    assert known.rows[13].verdict.status == "pass"
    rows = compared(paths["golden"], paths["my"]).rows
    assert rows[13].verdict.status == "skipped"
    assert rows[13].verdict.reason == "UNJUDGED"
    assert all(one.verdict.status == "pass" for one in (*rows[:7], *rows[14:]))
