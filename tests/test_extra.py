"""Metrics of the user's own: a class, a function and NumPy say the same, whoever runs them."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import ait_cmp
from ait_cmp import ait, engine
from ait_cmp.__main__ import main
from ait_cmp.engine import extra
from ait_cmp.measuring.run_record import read_header
from ait_cmp.settings.extra_metrics import extra_metrics
from ait_cmp.source import from_array
from ait_cmp.values.errors import UsageError
from tests.conftest import Dump
from tests.executors import HERE

METRICS = '''
import math
import os
from dataclasses import dataclass

with open("runs", "a") as file:
    file.write("import ")


@dataclass
class snr:
    """Decibels of golden over the error."""

    signal: float = 0.0
    noise: float = 0.0

    def update(self, golden, my):
        self.signal += float(golden @ golden)
        self.noise += float((my - golden) @ (my - golden))

    def merge(self, other):
        self.signal += other.signal
        self.noise += other.noise

    def compute(self):
        return 10 * math.log10(self.signal / self.noise) if self.noise else math.inf


class made_anew(snr):
    """Its merge gives another one."""

    def merge(self, other):
        return made_anew(self.signal + other.signal, self.noise + other.noise)


def whole(golden, my):
    with open("runs", "a") as file:
        file.write("call ")
    golden, my = golden.numpy(), my.numpy()
    return 10 * math.log10((golden**2).sum() / ((my - golden) ** 2).sum())


def worst_row(golden, my):
    return (my - golden).abs().amax(-1).argmax()


def as_the_original(golden, my):
    assert golden.ndim == my.ndim == 1 and str(golden.dtype) == "torch.float32"
    return (golden - my).abs().max().item(), "a message"


def negative(golden, my):
    if golden[0, 0] < 0:
        raise ValueError("golden begins\\n below zero")
    return 1


class changes_it(snr):
    def update(self, golden, my):
        golden *= 2


def nothing(golden, my):
    return None


class gives_none(snr):
    def compute(self):
        return None


def text(golden, my):
    return "much"


def leaves(golden, my):
    raise SystemExit(7)


class half:
    def update(self, golden, my):
        pass


number = 3
'''


@pytest.fixture(autouse=True)
def _metrics(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(METRICS)


def _report(folder: str = "out") -> pl.DataFrame:
    return pl.read_parquet(f"{folder}/cmp_report.parquet")


def _runs() -> list[str]:
    """What ran since it was asked last."""
    said = Path("runs").read_text().split() if Path("runs").exists() else []
    Path("runs").unlink(missing_ok=True)
    return said


def _by_numpy(golden: np.ndarray, my: np.ndarray) -> float:
    one, other = golden.astype(np.float64), my.astype(np.float64)
    return float(10 * np.log10(np.square(one).sum() / np.square(other - one).sum()))


def _look(golden: np.ndarray, my: np.ndarray, *names: str, memory: float = 1.0) -> extra.Extra:
    metrics = extra_metrics([f"own.py:{name}" for name in names], memory)
    sides = from_array(golden, "golden"), from_array(my, "my")
    return extra.look_at_extra(golden=sides[0], my=sides[1], metrics=metrics)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_class_says_what_a_function_says_and_numpy(
    dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several blocks and ranges, the last of both short."""
    monkeypatch.setattr(engine, "RANGE", 1000)
    monkeypatch.setattr(extra, "BLOCK", 300)
    random = np.random.default_rng(0)
    golden: np.ndarray = random.normal(size=(71, 50)).astype(dtype)
    my: np.ndarray = (golden + random.normal(size=golden.shape) * 1e-2).astype(dtype)
    found = _look(golden, my, "snr", "made_anew", "whole", "worst_row")
    assert not found.problems
    for name in ("snr", "made_anew", "whole"):
        assert found.values[name] == pytest.approx(_by_numpy(golden, my), rel=1e-12)
    difference = np.abs(my.astype(np.float64) - golden.astype(np.float64))
    assert found.values["worst_row"] == difference.max(axis=-1).argmax()


def test_nothing_to_compare_is_asked_too() -> None:
    nothing = np.zeros((0, 4), np.float32)
    found = _look(nothing, nothing, "snr", "whole")
    assert found.values["snr"] == math.inf
    assert math.isnan(found.values["whole"] or 0)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("changes_it", "read-only"),
        ("text", "TypeError: it gave the text 'much', and no number"),
        ("nothing", "TypeError: it gave None, and no number"),
        ("gives_none", "TypeError: it gave None, and no number"),
        ("leaves", "SystemExit: 7"),
        ("worst_row", "metrics.extra_memory is 9.31e-10; raise it, or write a class"),
    ],
)
def test_what_gives_no_number_says_why_and_others_are_not_touched(name: str, problem: str) -> None:
    golden = np.ones((4, 4), np.float32)
    found = _look(golden, golden * 2, name, "snr", memory=1e-9 if name == "worst_row" else 1.0)
    assert found.values == {name: None, "snr": 0.0}
    assert problem in found.problems[name]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("own.py", "'own.py' must be FILE.py:NAME"),
        ("own.py:a-b", "must be FILE.py:NAME"),
        ("no.py:f", "there is no file no.py"),
        ("own.py:f", "own.py has no class or function f"),
        ("own.py:number", "has no class or function number"),
        ("own.py:half", "the class half has no merge, compute; it needs update"),
        ("bad.py:f", r"bad.py cannot be run: ZeroDivisionError: division by zero"),
        ("rmse.py:rmse", "a report has one column rmse"),
    ],
)
def test_mistakes_are_told_before_anything_is_compared(given: str, sentence: str) -> None:
    Path("bad.py").write_text("1 / 0")
    with pytest.raises(UsageError, match=sentence):
        extra_metrics([given], 1.0)
    with pytest.raises(UsageError, match="must be a number of GiB above 0"):
        extra_metrics(["own.py:snr"], 0)
    with pytest.raises(UsageError, match="one column snr"):
        extra_metrics(["own.py:snr", "own.py:snr:ait"], 1.0)


def test_one_alone_is_named_in_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("metrics.extra=own.py:snr", "report.formats=csv", "metrics.names=rmse"):
        assert main(["golden_path=g", given]) == 2
        name, _, value = given.partition("=")
        assert f"{name} takes a list: write {name}=[{value}]" in capsys.readouterr().err


OWN = "metrics.extra=[own.py:snr,own.py:whole,own.py:negative]"


def test_every_executor_writes_the_same_bytes(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(1, 1): torch.full((4, 6), math.nan)})
    files = {}
    for executor in HERE:
        given = [f"golden_path={dump}", f"output={executor}", f"executor={executor}", OWN]
        assert main([*given, "report.formats=[csv,parquet,xlsx,html,json,junit,md]"]) == 1
        said = [one for one in capsys.readouterr().err.splitlines() if "WARNING" in one]
        assert len(said) == 1
        assert "negative has no value in" in said[0]
        assert "ValueError: golden begins below zero" in said[0]
        files[executor] = [
            Path(executor, f"cmp_report.{end}").read_bytes() for end in ("csv", "parquet")
        ]
    assert all(one == files["serial"] for one in files.values())
    table = _report("serial")
    assert table.columns[-3:] == ["snr", "whole", "negative"]
    for line in table.iter_rows(named=True):
        golden = torch.load(line["golden_data_path"])
        my = golden.bfloat16() if line["status"] == "pass" else torch.full((4, 6), math.nan)
        by_numpy = _by_numpy(golden.numpy(), my.float().numpy())
        assert line["snr"] == pytest.approx(by_numpy, nan_ok=True)
        assert line["whole"] == pytest.approx(by_numpy, nan_ok=True)
        assert line["negative"] == (None if golden[0, 0] < 0 else 1.0)


def test_a_row_that_could_not_be_compared_has_an_empty_cell(make_dump: Dump) -> None:
    dump = make_dump(wrong={(0, 0): None, (0, 1): torch.ones(3)})
    assert main([f"golden_path={dump}", "output=out", "metrics.extra=[own.py:snr]"]) == 3
    cells = _report()["snr"].to_list()
    assert cells[:2] == [None, None]
    assert None not in cells[2:]


LIMIT = "+tolerance.default.snr.min="


def test_a_limit_fails_a_row_and_one_without_a_value_does_not_pass(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = [torch.load(one) for one in sorted(make_dump().rglob("*.pth"))]
    dump = make_dump(name="other", wrong={(1, 2): golden[0]})
    given = [f"golden_path={dump}", "output=out", "tolerance=none", "tolerance.unjudged=skipped"]
    assert main([*given, LIMIT + "30", "metrics.extra=[own.py:snr]"]) == 1
    found = _report().filter(pl.col("status") == "fail")
    assert found.select("token_id", "data_id", "check").rows() == [(1, "layer2.q", "snr")]
    assert "below its min 30.0" in found["cmp_fail_reason"][0]
    # judged again, of what was measured, and by nothing that is run
    _runs()
    assert main(["judge", "report=out", "tolerance=none", LIMIT + "100"]) == 1
    assert set(_report()["status"]) == {"fail"}
    assert ait_cmp.load("out").rows[0].comparison.metrics["snr"] == _report()["snr"][0]
    assert _runs() == []
    # no value, no pass
    limit = "+tolerance.default.negative.max=1"
    assert main([*given, limit, "metrics.extra=[own.py:negative]"]) == 1
    table = _report()
    empty = table["negative"].is_null()
    assert empty.any()
    assert table["status"].to_list() == ["fail" if one else "pass" for one in empty]
    assert "metrics.extra gave no value" in table.filter(empty)["cmp_fail_reason"][0]
    # a limit of what is not named is refused
    capsys.readouterr()
    assert main([*given, LIMIT + "30"]) == 2
    assert "name your own with metrics.extra=[FILE.py:snr]" in capsys.readouterr().err


def test_what_was_measured_is_not_run_again_until_the_file_changes(make_dump: Dump) -> None:
    given = [f"golden_path={make_dump()}", "output=out", "metrics.extra=[own.py:whole]"]
    assert main(given) == 0
    assert _runs().count("call") == 6
    before = Path("out/cmp_report.stats").read_bytes(), Path("out/cmp_report.csv").read_bytes()
    assert main(given) == 0
    assert "call" not in _runs()
    assert before == tuple(
        Path("out", f"cmp_report.{one}").read_bytes() for one in ("stats", "csv")
    )
    Path("own.py").write_text(METRICS.replace("return 10 *", "return 20 *"))
    assert main(given) == 0
    assert _runs().count("call") == 6
    cells = [csv.DictReader(io.StringIO(one)) for one in (before[1].decode(), _csv())]
    once, twice = ([float(line["whole"]) for line in lines] for lines in cells)
    assert twice == pytest.approx([2 * one for one in once])


def _csv() -> str:
    return Path("out/cmp_report.csv").read_text(encoding="utf-8-sig")


def test_what_failed_is_tried_again(make_dump: Dump) -> None:
    """What a library lacked, say, is no part of the file."""
    Path("late.py").write_text(
        "import os\ndef late(golden, my):\n    assert os.path.exists('ready')\n    return 1\n"
    )
    given = [f"golden_path={make_dump()}", "output=out", "metrics.extra=[late.py:late]"]
    assert main(given) == 0
    assert set(_report()["late"]) == {None}
    Path("ready").touch()
    assert main(given) == 0
    assert set(_report()["late"]) == {1.0}


def test_the_original_option_leads_here(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump()
    os.rename("own.py", 'my, "own".py')
    own = ['my, "own".py:as_the_original', 'my, "own".py:snr']
    given = ["llm", "compare", "-gp", str(dump), "-o", "out", "-alg", *own]
    assert ait.main(given) == 0
    assert "WARNING" not in capsys.readouterr().err
    table = _report()
    assert table["as_the_original"].to_list() == pytest.approx(table["max_absolute_error"])
    assert min(table["snr"].to_list()) > 30


def test_in_python_the_same(make_dump: Dump) -> None:
    dump = make_dump()
    run = ait_cmp.compare_dumps(
        golden_path=dump,
        extra_metrics=["own.py:snr"],
        tolerance={"snr": ait_cmp.Limit(min=100)},
    )
    assert {row.verdict.status for row in run.rows} == {"fail"}
    assert run.to_polars().columns[-1] == "snr"
    run.save("saved")
    assert _report("saved")["snr"].to_list() == run.to_polars()["snr"].to_list()
    golden = torch.randn(3, 4)
    limits: dict[str, Any] = {"snr": ait_cmp.Limit(min=20)}
    for noise, passes in ((1e-3, True), (0.5, False)):
        my = golden * (1 + noise)
        found = ait_cmp.compare(
            golden=golden, my=my, extra_metrics=["own.py:snr"], tolerance=limits
        )
        assert found.passed is passes
        by_numpy = _by_numpy(golden.numpy(), my.numpy())
        assert found.metrics["snr"] == pytest.approx(by_numpy)
        assert "snr: " in repr(found)


def test_a_report_of_another_names_nothing_that_is_run(make_dump: Dump) -> None:
    """A metric is run where the command says so, never because a report did."""
    assert main([f"golden_path={make_dump()}", "output=out", "metrics.extra=[own.py:snr]"]) == 0
    os.rename("own.py", "gone.py")
    _runs()
    assert main(["judge", "report=out", "output=again"]) == 0
    for end in ("csv", "parquet"):
        name = f"cmp_report.{end}"
        assert Path("out", name).read_bytes() == Path("again", name).read_bytes()
    assert read_header(Path("again"))["facts"]["settings"]["metrics.extra"] == '["own.py:snr"]'
    assert main(["show", "report=out", "layer0.q"]) in (0, 2)
    assert _runs() == []


def test_a_file_that_is_passed_on_runs_nothing(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("passed.yaml").write_text("definition: standard\nextra: ['own.py:snr']\n")
    dump = make_dump()
    assert main([f"golden_path={dump}", "output=out", "metrics=passed.yaml"]) == 2
    assert "what is run is named on the command line" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"passed\.yaml: what is run is named"):
        ait_cmp.compare_dumps(golden_path=dump, metrics="passed.yaml")
    assert _runs() == []


def test_copies_of_a_row_are_judged_by_the_limits_of_what_is_measured_of_them() -> None:
    """The values of the user's own are taken of rows, when it is settled who is in them."""
    snr = {"snr": ait_cmp.Limit(min=1)}
    both = ait_cmp.Tolerance("mine", default=snr | {"rmse": ait_cmp.Limit(max=1)}, extra=("snr",))
    assert [*both.without_extra().default] == ["rmse"]
    alone = ait_cmp.Tolerance("mine", default=snr, extra=("snr",))
    assert alone.without_extra() is alone
