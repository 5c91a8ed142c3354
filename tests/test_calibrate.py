"""Calibration: a benign run's noise becomes a tolerance, on real dumps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from ait_cmp import compare_dumps, write_bin
from ait_cmp.__main__ import main
from ait_cmp.settings.tolerances import load_tolerance
from tests.conftest import Dump


def calibrate(arguments: list[str]) -> int:
    return main(["calibrate", *arguments])


CALIBRATED = "report/tolerance/calibrated.yaml"


def _make_noisy(dump: Path, amount: float, seed: int = 0) -> Path:
    """Gives one row's my that much noise: a fault, unless it is known to be benign."""
    golden = torch.load(next(dump.glob("ait_dump/*/golden_tensor/1/layer2.q_tensor.pth")))
    generator = torch.Generator().manual_seed(seed)
    path = dump / "my" / "1_2.bin"
    path.unlink()
    write_bin(path, golden * (1 + amount * torch.randn(golden.shape, generator=generator)))
    return dump


def test_what_was_learned_passes_and_more_than_that_fails(make_dump: Dump) -> None:
    dump = _make_noisy(make_dump(), 0.2)
    compared = [f"golden_path={dump}", "output=report"]
    assert main(compared) == 1
    assert calibrate([*compared, "learn_failing=true"]) == 0
    assert main([*compared, f"tolerance={CALIBRATED}"]) == 0
    _make_noisy(dump, 0.25, seed=1)
    assert main([*compared, f"tolerance={CALIBRATED}"]) == 0
    _make_noisy(dump, 3.0)
    assert main([*compared, f"tolerance={CALIBRATED}"]) == 1


def test_the_file_says_how_it_was_made(make_dump: Dump) -> None:
    dump = _make_noisy(make_dump(), 0.2)
    calibrate([f"golden_path={dump}", "output=report", "learn_failing=true"])
    written = yaml.safe_load(Path(CALIBRATED).read_text())
    assert written["made"].items() >= {
        "golden_path": str(dump), "my_path": None, "tolerance": "dtype", "rows": 6
    }.items()  # fmt: skip
    growth = load_tolerance(CALIBRATED).growth
    assert growth is not None
    assert set(growth.noise) == {"layer0.q", "layer1.q", "layer2.q"}
    assert growth.noise["layer2.q"] > 0.1 > growth.noise["layer1.q"]


def test_a_second_benign_run_adds_to_the_first(make_dump: Dump) -> None:
    quiet, noisy = make_dump(name="quiet"), _make_noisy(make_dump(name="noisy"), 0.2)
    calibrate([f"golden_path={quiet}", "output=report"])
    first = load_tolerance(CALIBRATED).growth
    more = [f"golden_path={noisy}", "output=report", f"tolerance={CALIBRATED}"]
    assert calibrate([*more, "learn_failing=true"]) == 0
    second = load_tolerance(CALIBRATED).growth
    assert first is not None
    assert second is not None
    assert all(second.noise[name] >= value for name, value in first.noise.items())
    assert second.noise["layer2.q"] > 0.1 > first.noise["layer2.q"]


def test_what_noise_cannot_explain_is_told(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(1, 2): torch.full((4, 6), torch.nan)})
    assert calibrate([f"golden_path={dump}", "output=report", "learn_failing=true"]) == 1
    out = capsys.readouterr().out
    assert "6 rows, 5 of which pass with what was learned\n  fail token 1 layer2.q: non-fin" in out


def test_a_row_that_fails_is_named_and_not_learned(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = _make_noisy(make_dump(), 0.2)
    compared = [f"golden_path={dump}", "output=report"]
    assert calibrate(compared) == 1
    first, listed, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("1 row fails tolerance=dtype and was not learned, since that would")
    assert listed.startswith("  fail token 1 layer2.q: ")
    assert main([*compared, f"tolerance={CALIBRATED}"]) == 1
    assert calibrate([*compared, "fail_on=never"]) == 0
    capsys.readouterr()
    assert calibrate([*compared, "learn_failing=true"]) == 0
    assert "was learned, which hides what is wrong with them:" in capsys.readouterr().out


def test_where_rows_could_not_be_measured_it_is_told(
    make_dump: Dump, capfd: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(1, 2): torch.ones(5)})
    assert calibrate([f"golden_path={dump}", "output=report"]) == 3
    assert "error token 1 layer2.q: golden has the shape" in capfd.readouterr().out
    only = [f"golden_path={dump}", "output=nothing", "tokens=1", "data_ids=layer2*"]
    assert calibrate(only) == 3
    assert "nothing can be learned: no two floating" in capfd.readouterr().err
    assert not Path("nothing/tolerance").exists()


def test_a_run_that_only_fails_teaches_nothing(
    make_dump: Dump, capfd: pytest.CaptureFixture[str]
) -> None:
    dump = _make_noisy(make_dump(), 0.2)
    only = [f"golden_path={dump}", "output=report", "tokens=1", "data_ids=layer2*"]
    assert calibrate(only) == 2
    assert "1 of 1 rows fail; if the run is good all the same, learn" in capfd.readouterr().err
    assert main([*only, "learn_failing=true"]) == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tolerance=strict", "does not look at growth"),
        ("tolerance=nosuch/tolerance/x.yaml", "nosuch/tolerance/x.yaml does not exist"),
        ("data_ids=nothing", "'nothing' selects nothing"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    make_dump: Dump, capfd: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert calibrate([f"golden_path={make_dump()}", "output=report", argument]) == 2
    assert message in capfd.readouterr().err
    assert not Path(CALIBRATED).exists()


def test_a_dry_run_only_lists(make_dump: Dump, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate([f"golden_path={make_dump()}", "output=report", "dry_run=true"]) == 0
    assert "pairs that would be compared: 6; left unpaired: 0" in capsys.readouterr().out
    assert not Path("report").exists()


def test_a_sweep_is_refused(make_dump: Dump, capfd: pytest.CaptureFixture[str]) -> None:
    assert calibrate(["-m", f"golden_path={make_dump()}", "output=report", "tokens=0,1"]) == 2
    assert "leave out -m" in capfd.readouterr().err


def test_in_python(make_dump: Dump) -> None:
    dump = _make_noisy(make_dump(), 0.2)
    result = compare_dumps(golden_path=dump)
    assert not result
    first = result.first_divergence
    assert first is not None
    assert first.pair.name == "token 1 layer2.q"
    assert repr(result).startswith(
        "6 rows: 5 pass, 1 fail, 0 error\n  it goes wrong from token 1 layer2.q on; "
    )
    assert compare_dumps(golden_path=dump, tokens="0").passed
    assert len(compare_dumps(golden_path=dump, tokens=0, data_ids="layer1*").rows) == 1
    assert compare_dumps(golden_path=dump, data_ids=["layer[01].q"]).divergences == []
    calibrate([f"golden_path={dump}", "output=report", "learn_failing=true"])
    assert compare_dumps(golden_path=dump, tolerance=CALIBRATED)
