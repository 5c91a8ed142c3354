"""A trusted run as the measure: who answers whom, what it finds, and what it must not hide."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ait_cmp import UsageError, compare_dumps
from ait_cmp.__main__ import main
from ait_cmp.engine import Parts
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Growth, Status, Verdict
from ait_cmp.judging.comparison import MetricChoice, conclude_run
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from tests.test_choices import compared, routed, saved
from tests.test_shards import run_model

ROWS, FAULTY = 40, 25
DTYPE = load_tolerance("dtype")
WANTED = Wanted(2.0**-23, Parts(slices=True))
NOWHERE = Location(())
Change = Callable[[Tensor], Tensor]
Index = tuple[Any, ...]


def _golden(seed: int = 0) -> list[Tensor]:
    """Rows with what trained models have: channels of unlike size, and one huge element."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.exp(torch.randn(96, generator=generator))
    rows = [torch.randn(2, 9, 96, generator=generator) * sizes for _ in range(ROWS)]
    for row in rows[5:]:
        row[0, 0, 7] = 3000.0
    return rows


def _run(golden: list[Tensor], seed: int, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """A run in `dtype` whose errors grow to some percent of each channel's size."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number, row in enumerate(golden):
        size = row.abs().clamp(max=100).mean((0, 1))
        noise = torch.randn(row.shape, generator=generator) * size * 0.002 * (1 + number)
        made.append((row + noise).to(dtype))
    return made


def _measured(golden: Tensor, other: Tensor) -> Measured:
    sources = [from_memory(*as_array(one, "tensor")) for one in (golden, other)]
    return measure_sources(golden=sources[0], my=sources[1], wanted=WANTED)


def _judge(
    golden: list[Tensor],
    my: list[Tensor],
    reference: list[Tensor],
    growth: Growth | None = None,
) -> list[Verdict]:
    other = Pair("", None, NOWHERE, NOWHERE)
    pairs = [
        (Pair(f"layer{at}", 0, NOWHERE, NOWHERE, order=at, reference=other), _measured(*both))
        for at, both in enumerate(zip(golden, my, strict=True))
    ]
    shown = [_measured(*both) for both in zip(golden, reference, strict=True)]
    tolerance = replace(DTYPE, growth=growth or DTYPE.growth)
    return [one.verdict for one in conclude_run(pairs, tolerance, MetricChoice(names=()), shown)]


def _failing(verdicts: list[Verdict]) -> list[int]:
    return [number for number, one in enumerate(verdicts) if one.status is Status.FAIL]


def _with(tensor: Tensor, index: Index, change: Change) -> Tensor:
    changed = tensor.clone()
    changed[index] = change(changed[index]).to(tensor.dtype)
    return changed


@given(seed=st.integers(1, 10_000), dtype=st.sampled_from([torch.bfloat16, torch.float16]))
@settings(max_examples=8)
def test_a_benign_run_passes(seed: int, dtype: torch.dtype) -> None:
    golden = _golden(seed)
    verdicts = _judge(golden, _run(golden, seed + 1, dtype), _run(golden, seed + 2, dtype))
    assert not _failing(verdicts)
    assert {one.yardstick for one in verdicts} == {"reference"}


ALL = slice(None)
FAULTS: dict[str, tuple[Index, Change, str]] = {
    "channels times 1.3": ((..., slice(32, 48)), lambda part: part * 1.3, "channels 32 to 4"),
    "a dead channel": ((..., 50), torch.zeros_like, "channel 50"),
    "a line": ((1, 4), lambda part: part * 1.5, "line [1, 4]"),
    "an element": ((0, 3, 60), lambda part: part + 40.0, "element [0, 3, 60]"),
    "all but the peak": ((1,), lambda part: part * 1.3, "line"),
    "the whole": ((...,), lambda part: part * 1.2, "whole tensor"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(fault: str) -> None:
    index, change, named = FAULTS[fault]
    golden = _golden()
    my = _run(golden, 1)
    my[FAULTY] = _with(my[FAULTY], index, change)
    verdicts = _judge(golden, my, _run(golden, 2))
    assert _failing(verdicts) == [FAULTY]
    assert any(named in one.meaning for one in verdicts[FAULTY].findings)
    assert "what the reference run shows" in verdicts[FAULTY].sentence
    assert verdicts[FAULTY].divergence


def _both_zero(index: Index) -> Verdict:
    """Of a row of which both runs have a part zero."""
    golden = _golden()
    both = _run(golden, 1), _run(golden, 2)
    for run in both:
        run[FAULTY] = _with(run[FAULTY], index, torch.zeros_like)
    return _judge(golden, *both)[FAULTY]


def test_a_reference_that_is_wrong_does_not_let_my_pass() -> None:
    assert _both_zero((...,)).status is Status.FAIL


@pytest.mark.parametrize(
    ("index", "where"), [((..., slice(32, 48)), "channels"), ((1, 3), "lines")]
)
def test_where_the_reference_is_wrong_itself_is_said(index: Index, where: str) -> None:
    said = _both_zero(index).yardstick
    assert said.startswith("reference, which is off itself in some ")
    assert where in said


def test_a_reference_that_cannot_measure_leaves_the_row_to_growth() -> None:
    golden = _golden()
    my, reference = _run(golden, 1), _run(golden, 2)
    reference[3] = torch.full_like(reference[3], float("nan"))
    reference[4] = torch.randn(reference[4].shape).to(torch.bfloat16) * 9
    said = [one.yardstick for one in _judge(golden, my, reference)]
    assert said[3] == "growth: the reference is not finite where golden is"
    assert said[4] == "growth: the reference is too far off"
    assert said[5] == "reference"


def test_types_that_differ_are_told() -> None:
    golden = _golden()
    half, brain = _run(golden, 1, torch.float16), _run(golden, 2)
    said = {one.yardstick for one in _judge(golden, half, brain)}
    assert said == {"growth: the reference is of a coarser type"}
    said = {one.yardstick for one in _judge(golden, brain, half)}
    assert said == {"reference, 8 times as wide: of a finer type"}


def test_a_calibrated_row_is_allowed_what_was_learned() -> None:
    golden = _golden()
    my = _run(golden, 1)
    my[FAULTY] = my[FAULTY] * 1.2
    found = _judge(golden, my, _run(golden, 2))[FAULTY]
    assert found.status is Status.FAIL
    assert found.noise is not None
    assert DTYPE.growth is not None
    learned = replace(DTYPE.growth, noise={f"layer{FAULTY}": found.noise})
    assert not _failing(_judge(golden, my, _run(golden, 2), learned))


# -- dumps


def _save(folder: Path, rows: list[Tensor], name: str = "layer{}") -> Path:
    for number, row in enumerate(rows):
        path = folder / f"{name.format(number)}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(row, path)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    golden = _golden()
    my = _run(golden, 1)
    my[FAULTY] = _with(my[FAULTY], (..., slice(32, 48)), lambda part: part * 1.3)
    return {
        "golden": _save(tmp_path / "golden", golden),
        "my": _save(tmp_path / "my", my),
        "renamed": _save(tmp_path / "renamed", my, "block_{}/h"),
        "reference": _save(tmp_path / "reference", _run(golden, 2)),
        "as my": _save(tmp_path / "as_my", _run(golden, 2), "block_{}/h"),
    }


def test_the_command_judges_by_the_reference(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{side}_path={runs[side]}" for side in ("golden", "my", "reference")]
    assert main([*arguments, f"output={tmp_path}"]) == 1
    assert f"judged by the reference: {ROWS} rows\n" in capsys.readouterr().out
    table = pl.read_parquet(tmp_path / "cmp_report.parquet")
    assert "yardstick" in table.columns
    (found,) = table.filter(pl.col("status") == "fail").to_dicts()
    assert (found["data_id"], found["yardstick"]) == (f"layer{FAULTY}", "reference")
    assert main([*arguments, f"output={tmp_path}"]) == 1  # of what was measured
    assert pl.read_parquet(tmp_path / "cmp_report.parquet").equals(table)
    assert main([*arguments, "dry_run=true", "log_level=error"]) == 0
    assert f"  reference {runs['reference']}/layer0.pt\n" in capsys.readouterr().out


@pytest.mark.parametrize("reference", ["reference", "as my"])
def test_a_reference_is_laid_out_like_golden_or_like_my(
    runs: dict[str, Path], reference: str
) -> None:
    run = compare_dumps(
        golden_path=runs["golden"],
        my_path=runs["renamed"],
        reference_path=runs[reference],
        mapping="rules",
        mapping_rules=[{"golden": r"layer(?P<n>\d+)", "my": "block_{n}/h"}],
    )
    assert {row.verdict.yardstick for row in run.rows} == {"reference"}
    assert [row.pair.data_id for row in run.rows if row.verdict.divergence] == [f"layer{FAULTY}"]


def test_what_is_done_to_golden_is_done_to_its_reference(tmp_path: Path) -> None:
    golden = _golden()
    folders = [
        _save(tmp_path / "golden", golden),
        _save(tmp_path / "my", [row.transpose(0, 2).contiguous() for row in _run(golden, 1)]),
        _save(tmp_path / "reference", _run(golden, 2)),
    ]
    run = compare_dumps(
        golden_path=folders[0],
        my_path=folders[1],
        reference_path=folders[2],
        golden_adapters="transpose(0, 2)",
    )
    assert run.passed
    assert {row.verdict.yardstick for row in run.rows} == {"reference"}


def test_a_row_without_a_counterpart_says_so(runs: dict[str, Path]) -> None:
    (runs["reference"] / "layer7.pt").unlink()
    run = compare_dumps(
        golden_path=runs["golden"], my_path=runs["my"], reference_path=runs["reference"]
    )
    said = {row.pair.data_id: row.verdict.yardstick for row in run.rows}
    assert said.pop("layer7") == "growth: the reference has no such tensor"
    assert set(said.values()) == {"reference"}


def test_my_is_no_reference_of_itself(runs: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="is my's own file"):
        compare_dumps(golden_path=runs["golden"], my_path=runs["my"], reference_path=runs["my"])
    with pytest.raises(UsageError, match="are one file"):
        compare_dumps(golden_path=runs["golden"], my_path=runs["my"], reference_path=runs["golden"])


def test_a_tolerance_without_growth_has_no_use_for_it(runs: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="says nothing to tolerance=strict"):
        compare_dumps(
            golden_path=runs["golden"],
            my_path=runs["my"],
            reference_path=runs["reference"],
            tolerance="strict",
        )


def test_tokens_that_are_left_out_are_left_out_of_the_reference(tmp_path: Path) -> None:
    reference = saved(tmp_path / "reference", routed(noise=2e-5))
    rows = compared(tmp_path, routed(), routed(noise=1e-4), reference_path=reference)
    row = rows[0, "layers.0.c_out"]
    assert "went to other experts" in row.pair.paired_by
    assert row.verdict.yardstick == "reference"


def test_ranks_are_joined_on_both_sides_of_a_reference(tmp_path: Path) -> None:
    golden, my = (run_model(tmp_path / str(world), world, hooked=False).parent for world in (1, 2))
    for kind in (golden, my):
        reference = shutil.copytree(kind, tmp_path / f"again{kind.name}")
        run = compare_dumps(
            golden_path=golden, my_path=my, reference_path=reference, mapping="tree"
        )
        assert run.passed
        assert {row.verdict.yardstick for row in run.rows} == {"reference"}
