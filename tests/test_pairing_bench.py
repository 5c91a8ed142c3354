"""scripts/pairing_bench.py: what really is what, and what it makes of a report."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pairing.couples import Couple, Half
from pairing.side import Spec, launch
from pairing.truth import Known, known, score
from pairing_bench import run_couple

GOLDEN = Half("serve", {"style": "HUGGING_FACE"}, tool="atb")
Paths = tuple[list[str], list[str]]


def _dumped(folder: Path, style: str) -> Known:
    folder.mkdir()
    launch(Spec("serve", "toy", str(folder), tool="atb", options={"style": style}).text())
    return known(folder)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known, Known]:
    """The same weights unfused, [1, S, H], and fused, [S, H]."""
    folder = tmp_path_factory.mktemp("couple")
    return folder, _dumped(folder / "golden", "HUGGING_FACE"), _dumped(folder / "my", "ATB")


def _report(path: Path, rows: list[Paths], cosine: str = "1.0") -> Path:
    names = ["golden_data_path", "my_data_path", "status", "cosine_similarity"]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for golden, my in rows:
            writer.writerow([" + ".join(golden), " + ".join(my), "fail", cosine])
    return path


def _layer(folder: Path, side: str, path: str) -> str:
    place = folder.resolve() / side / "ait_dump" / "tensors" / "0_4711" / "0"
    return f"{place}/{path}/after/outtensor0.bin"


def test_a_fused_tensor_holds_what_it_was_fused_of(
    sides: tuple[Path, Known, Known], tmp_path: Path
) -> None:
    folder, golden, my = sides
    parts = [_layer(folder, "golden", f"1_0/1_self_attn/{n}_{x}_proj") for n, x in enumerate("qkv")]
    fused = _layer(folder, "my", "1_Prefill_layer_0/1_Attention/0_QKVLinear")
    joined = score(_report(tmp_path / "a.csv", [(parts, [fused])]), golden, my)
    single = score(_report(tmp_path / "b.csv", [(parts[:1], [fused])]), golden, my)
    assert (joined.found, joined.wrong) == (3, [])
    assert (single.found, single.wrong) == (1, [])
    assert joined.true == single.true > 100


def test_rows_of_other_operands_or_numbers_are_wrong(
    sides: tuple[Path, Known, Known], tmp_path: Path
) -> None:
    folder, golden, my = sides
    query = _layer(folder, "golden", "1_0/1_self_attn/0_q_proj")
    fused, other = (
        _layer(folder, "my", f"{place}/1_Attention/0_QKVLinear")
        for place in ("1_Prefill_layer_0", "2_Prefill_layer_1")
    )
    swapped = score(_report(tmp_path / "a.csv", [([query], [other])]), golden, my)
    slipped = score(_report(tmp_path / "b.csv", [([query], [fused])], cosine="0.5"), golden, my)
    assert (swapped.found, len(swapped.wrong)) == (0, 1)
    assert len(slipped.wrong) == 1


def test_the_same_model_twice_is_found_whole_by_default(tmp_path: Path) -> None:
    couple = Couple("toy", "toy", GOLDEN, Half("serve", {"style": "HUGGING_FACE"}, tool="atb"))
    result = run_couple(couple, tmp_path, "sources", "sources")
    default = result["my"]["default"]
    assert default["found"] == default["true"] > 100
    assert default["wrong"] == []
    first = next(tmp_path.rglob("cmp_report.csv")).stat().st_mtime_ns
    assert run_couple(couple, tmp_path, "sources", "sources")["my"] == result["my"]
    assert next(tmp_path.rglob("cmp_report.csv")).stat().st_mtime_ns == first
