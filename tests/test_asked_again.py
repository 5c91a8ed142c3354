"""A finished run is judged, compared with another and shown, when its tensors are long gone."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ait_cmp
from ait_cmp.__main__ import main
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.measuring.run_record import RECORD, Recorded, _packed, _unpacked, read_header
from ait_cmp.report.difference import CHANGES, compare_reports, difference_markdown
from ait_cmp.report.show_difference import show_difference
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason, ReportError, UsageError
from ait_cmp.values.location import Location, parse_steps
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Pair
from ait_cmp.values.shards import Shards, Way
from ait_cmp.values.statistics import Statistics
from tests.conftest import Dump, dumped
from tests.page import read_page
from tests.test_choices import generation, saved
from tests.test_references import FAULTY, _golden, _run, _save
from tests.test_shards import write

FILES = ("cmp_report.csv", "cmp_report.parquet")
SIDES = ("golden_path=g", "my_path=m", "mapping=tree")


# -- runs of every kind, each in g and m


def _faulty(folder: Path) -> list[str]:
    for side in "gm":
        rows = [torch.full((3, 4), 2.0 + number) for number in range(5)]
        if side == "m":
            rows[3][1] = -1
            rows[4] = torch.ones(2)
        _save(folder / side, rows)
    torch.save(torch.ones(2), folder / "g" / "alone.pt")
    return list(SIDES)


def _referred(folder: Path) -> list[str]:
    golden = _golden()
    my = _run(golden, 1)
    my[FAULTY] = my[FAULTY] * 1.4
    for side, rows in (("g", golden), ("m", my), ("r", _run(golden, 2))):
        _save(folder / side, rows)
    return [*SIDES, "reference_path=r"]


def _generated(folder: Path) -> list[str]:
    saved(folder / "g", generation())
    saved(folder / "m", generation(noise=1e-4))
    return list(SIDES)


def _sharded(folder: Path) -> list[str]:
    whole = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    write(folder / "g", {"x": whole, "same": whole, "wrong": whole}, None)
    for rank, part in enumerate(whole.chunk(2)):
        parts = {"x": part, "same": whole, "wrong": whole * (1 + rank)}
        write(folder / "m", parts, rank, 2)
    return list(SIDES)


RUNS: dict[str, Callable[[Path], list[str]]] = {
    "faulty": _faulty,
    "referred": _referred,
    "generated": _generated,
    "sharded": _sharded,
}


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_judged_again_is_what_was_judged(kind: str, tmp_path: Path) -> None:
    """Byte for byte, without the tensors."""
    arguments = RUNS[kind](tmp_path)
    status = main([*arguments, "output=out"])
    assert main(
        [*arguments, "output=strict", "tolerance=strict"]
        if len(arguments) < 4
        else [*arguments, "output=strict"]
    ) in (1, 3)
    for side in "gm":
        shutil.rmtree(side)
    assert main(["judge", "report=out", "output=again"]) == status
    for file in FILES:
        assert Path("again", file).read_bytes() == Path("out", file).read_bytes()
    assert main(["judge", "report=again", "tolerance=strict"]) in (1, 3)
    if len(arguments) < 4:  # else a reference has nothing to say to it
        for file in FILES:
            assert Path("again", file).read_bytes() == Path("strict", file).read_bytes()
    run = ait_cmp.load("out")
    assert run.to_polars().equals(pl.read_parquet("out/cmp_report.parquet"))
    run.save("saved")
    assert Path("saved/cmp_report.csv").read_bytes() == Path("out/cmp_report.csv").read_bytes()
    assert ait_cmp.load("saved").to_polars().equals(run.to_polars())
    assert main(["judge", "report=saved", "output=saved_again"]) == status
    assert not run.diff(ait_cmp.load("saved")).regressed


def test_a_run_without_output_is_saved(tmp_path: Path) -> None:
    _faulty(tmp_path)
    run = ait_cmp.compare_dumps(golden_path="g", my_path="m", mapping="tree")
    run.save("kept")
    again = ait_cmp.load("kept")
    assert [row.verdict for row in again.rows] == [row.verdict for row in run.rows]
    assert again.run.facts.settings["golden_path"] == "g"


def test_a_saved_run_says_by_which_epsilon_it_was_measured(tmp_path: Path) -> None:
    _faulty(tmp_path)
    run = ait_cmp.compare_dumps(golden_path="g", my_path="m", mapping="tree", epsilon=0.5)
    run.save("kept")
    assert main(["judge", "report=kept", "output=again", "metrics.epsilon=0.5"]) == 3
    assert ait_cmp.load("again").to_polars().equals(run.to_polars())
    assert main(["judge", "report=kept", "output=again"]) == 2


def test_what_an_earlier_run_did_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*_faulty(tmp_path), "output=out"]
    assert main(arguments) == main(arguments) == 3
    assert capsys.readouterr().err.count("going on from an earlier run") == 1


def test_new_verdicts_are_reported_where_the_old_ones_were(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"golden_path={make_dump()}", "output=out"]) == 0
    before = {path.name for path in Path("out").iterdir()}
    assert main(["judge", "report=out", "tolerance=strict", "fail_on=error"]) == 0
    assert "judged by tolerance=strict, before by dtype\n6 rows: 0 pass, 6 fail, 0 error" in (
        capsys.readouterr().out
    )
    assert {path.name for path in Path("out").iterdir()} == before | {"cmp_report.html"}
    settings = read_header(Path("out"))["facts"]["settings"]
    assert (settings["tolerance.name"], settings["golden_path"][-3:]) == ("strict", "run")
    assert main(["judge", "report=out", "+tolerance.default.rmse.max=100"]) == 0


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reports that cannot be judged again, and `out`, which can."""
    folder = tmp_path_factory.mktemp("unfit")
    dump = f"golden_path={dumped(folder / 'run')}"
    with contextlib.chdir(folder):
        assert main([dump, "output=out"]) == 0
        assert main([dump, "output=few", "metrics.names=[rmse]"]) == 0
        assert main([dump, "output=bare", "report.keep_stats=false"]) == 0
        assert main([dump, "output=sweep", "-m", "tokens=0,1"]) == 0
        assert main([dump, "output=lost", "tokens=0"]) == 0
    whole = (folder / "out" / RECORD).read_bytes()
    records = {
        "broken": whole[: len(whole) // 2],
        "junk": whole + b"xx",
        "empty": gzip.compress(b'{"format": 1}\n'),
        "deep": gzip.compress(b"[" * 100_000),
        "other": gzip.compress(b'{"format": 99}\n'),
        "none": b"",
    }
    for name, record in records.items():
        shutil.copytree(folder / "out", folder / name)
        (folder / name / RECORD).write_bytes(record)
    (folder / "lost" / RECORD).write_bytes(whole)
    for size in (0, 9, 40):
        shutil.copytree(folder / "out", folder / f"bytes{size}")
        os.truncate(folder / f"bytes{size}" / "cmp_report.stats", size)
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report=nowhere"], "report=nowhere is no folder"),
        (["report=out/cmp_report.csv"], "report=out/cmp_report.csv is no folder"),
        (["tolerance=strict"], "judge needs one report=FOLDER"),
        (["report=out", "golden_path=x"], "golden_path says nothing to judge"),
        (["report=out", "tokens=1"], "tokens says nothing to judge"),
        (["report=out", "metrics.epsilon=0.5"], "metrics.epsilon=0.5 is not that of the stats"),
        (["report=few", "tolerance=ascend"], "lack sums that these metrics or this tolerance need"),
        (["report=bare"], "holds no run that can be asked again"),
        (["report=sweep"], "is of a sweep; name one of its jobs: report=sweep/jobs/0"),
        (["report=broken"], "is damaged"),
        (["report=junk"], "is damaged"),
        (["report=empty"], "is damaged"),
        (["report=deep"], "is damaged"),
        (["report=other"], "is of another version"),
        (["report=none"], "cmp_report.run is empty or damaged"),
        (["report=bytes0"], "cmp_report.stats is empty or damaged"),
        (["report=bytes9"], "cmp_report.stats is empty or damaged"),
        (["report=bytes40"], "cmp_report.stats is empty or damaged"),
        (["report=lost"], "are not those of all its rows"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(
    arguments: list[str],
    said: str,
    unfit: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(unfit)
    capfd.readouterr()
    assert main(["judge", *arguments]) == 2
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("place", ["out/cmp_report.csv", "out/cmp_report.csv/below"])
def test_a_place_that_is_no_folder_is_not_called_full(
    place: str, make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"golden_path={make_dump()}", "output=out"]) == 0
    assert main(["judge", "report=out", f"output={place}"]) == 4
    said = capsys.readouterr().err
    assert f"{place} cannot be written: " in said
    assert "free it or choose another output=…" in said


def test_an_older_run_that_cannot_be_removed_is_told_in_a_sentence(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out", RECORD).mkdir(parents=True)
    assert main([f"golden_path={make_dump()}", "output=out", "report.keep_stats=false"]) == 4
    assert f"out/{RECORD} is of an older run, and cannot be removed" in capsys.readouterr().err


def test_a_diff_with_what_is_no_run_says_what_it_takes(make_dump: Dump) -> None:
    run = ait_cmp.compare_dumps(golden_path=make_dump())
    with pytest.raises(
        TypeError, match=r"takes another run, as ait_cmp\.load\(FOLDER\) gives it, not int"
    ):
        run.diff(3)  # type: ignore[arg-type]


# -- what is kept of a row

LOCATION = Location(("/a::b", "c"), parse_steps('slice(:, 0:3) | unpad("x | y", 2) | concat(-1)'))
FULL = Pair(
    data_id="层 \udcff",
    token_id=7,
    golden=LOCATION,
    my=Location.of("m"),
    dump="1_0",
    order=3,
    rank="2",
    run=1,
    paired_by="names 0.9",
    statistics=(Statistics("torch.float16", (2, 3), 1.0, -1.0), Statistics(checksum="ab")),
    shards=Shards("my", ("0", "1"), (Way("sum()", (LOCATION, Location.of("q"))),)),
    order_by=OrderBy.TIMES,
    chosen_from=("logits", None),
    reference=Pair("层", None, LOCATION, Location.of("r"), error=PairError(Reason.INTERNAL, "no")),
)


def _every_field() -> Iterator[Pair]:
    bare = Pair("x", None, Location(()), Location(()))
    for name in Pair._fields:
        yield bare._replace(**{name: getattr(FULL, name)})
    yield FULL._replace(error=PairError(Reason.SHAPE_MISMATCH, "没有"))


@pytest.mark.parametrize("pair", [*_every_field()])
def test_a_pair_comes_back_as_it_was(pair: Pair) -> None:
    error = Measured(
        TensorInfo(DTYPES["bfloat16"], (2,)), None, error=PairError(Reason.BIN_MALFORMED, "x")
    )
    for measured in (None, Measured(), error):
        row = Recorded(pair, measured, None, {"remark": ["said", 0.5, True]})
        again = _unpacked(json.loads(json.dumps(_packed(row))))
        assert _plain(again.pair) == _plain(pair)
        assert repr(again.measured) == repr(measured)
        assert again.more == row.more


def _plain(pair: Pair) -> list[Any]:
    """Errors are equal where they say the same."""
    return [_plain(one) if isinstance(one, Pair) else repr(one) for one in pair]


# -- two runs


def _table(**columns: list[Any]) -> pl.DataFrame:
    count = len(columns["status"])
    plain: dict[str, list[Any]] = {
        "data_id": [f"r{number}" for number in range(count)],
        "token_id": [0] * count,
        "rank": [None] * count,
        "dump": ["1_0"] * count,
        "order": list(range(count)),
        "reason": [None] * count,
        "elements": [10_000] * count,
        "error_level": [0.01] * count,
        "expected_error": [0.02] * count,
        "own_error": [None] * count,
        "relative_euclidean_distance": [0.01] * count,
        "cosine_similarity": [1.0] * count,
        "cmp_fail_reason": [None] * count,
        "nonfinite_golden": [0] * count,
        "nonfinite_my": [0] * count,
        "nonfinite_different": [0] * count,
    }
    schema: dict[str, Any] = {"rank": pl.String, "reason": pl.String, "cmp_fail_reason": pl.String}
    schema |= {"error_level": pl.Float64, "own_error": pl.Float64}
    return pl.DataFrame(plain | columns, schema_overrides=schema)


@pytest.mark.parametrize(
    ("base", "new", "errors", "change"),
    [
        ("pass", "pass", (0.01, 0.0101), "same"),
        ("pass", "pass", (0.0, 0.0), "same"),
        ("pass", "pass", (0.01, 0.02), "grown"),
        ("pass", "pass", (0.001, 0.003), "same"),  # less than rounding explains
        ("pass", "pass", (0.02, 0.01), "better"),
        ("pass", "fail", (0.01, 0.5), "broken"),
        ("pass", "error", (0.01, None), "broken"),
        ("pass", "skipped", (0.01, None), "broken"),
        ("skipped", "fail", (None, 0.5), "broken"),
        ("fail", "pass", (0.5, 0.01), "fixed"),
        ("error", "pass", (None, 0.01), "fixed"),
        ("fail", "fail", (0.1, 0.5), "worse"),
        ("fail", "fail", (0.5, 0.1), "better"),
        ("fail", "error", (0.5, None), "worse"),
        ("error", "error", (None, None), "same"),
        ("error", "fail", (None, 0.5), "changed"),
        ("skipped", "pass", (None, 0.01), "changed"),
    ],
)
def test_what_became_of_a_row(
    base: str, new: str, errors: tuple[float | None, float | None], change: str
) -> None:
    tables = [
        _table(status=[status], error_level=[error])
        for status, error in zip((base, new), errors, strict=True)
    ]
    found = compare_reports(*tables)
    assert found.table["change"].to_list() == [change]
    assert found.regressed is CHANGES[change][1]


@pytest.mark.parametrize(
    ("status", "errors", "astray", "change"),
    [
        ("fail", (0.5, None), (0, 10_000), "worse"),
        ("fail", (0.5, 0.1), (0, 1), "worse"),
        ("fail", (0.5, 0.1), (1, 2), "worse"),
        ("fail", (None, 0.5), (10_000, 3), "better"),
        ("fail", (0.1, 0.5), (3, 0), "changed"),
        ("fail", (0.5, 0.5), (3, 3), "same"),
        ("pass", (0.5, 0.1), (0, 1), "grown"),  # which nonfinite=any passes
    ],
)
def test_of_what_is_not_finite_no_smaller_error_is_better(
    status: str, errors: tuple[float | None, ...], astray: tuple[int, int], change: str
) -> None:
    reasons = ["NONFINITE" if one and status == "fail" else None for one in astray]
    tables = [
        _table(status=[status], error_level=[error], nonfinite_my=[count], reason=[reason])
        for error, count, reason in zip(errors, astray, reasons, strict=True)
    ]
    assert compare_reports(*tables).table["change"].to_list() == [change]


@pytest.mark.parametrize("lost", [12, 24], ids=["half", "all"])
def test_a_row_that_became_nan_is_worse(
    lost: int, make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = torch.ones(4, 6)
    assert main([f"golden_path={make_dump(wrong={(1, 2): wrong})}", "output=one"]) == 1
    wrong.view(-1)[:lost] = torch.nan
    dump = make_dump(wrong={(1, 2): wrong}, name="|nan|")
    assert main([f"golden_path={dump}", "output=two", "report.formats=[csv,parquet,json]"]) == 1
    line = ait_cmp.load("two").to_polars().row(5, named=True)
    assert (line["error_level"] is None) is (lost == 24)
    assert line["error_level"] == pl.read_csv("two/cmp_report.csv")["error_level"][5]
    capsys.readouterr()
    assert main(["diff", "base=one", "new=two"]) == 1
    shown = capsys.readouterr().out
    assert "fail TOLERANCE -> fail NONFINITE; " in shown
    assert f"non-finite elements differ: {lost} in my only" in shown
    assert main(["diff", "base=two", "new=one"]) == 0


def test_other_tolerances_are_told(make_dump: Dump, capsys: pytest.CaptureFixture[str]) -> None:
    dump = make_dump(wrong={(1, 2): torch.ones(4, 6)})
    assert main([f"golden_path={dump}", "output=one"]) == 1
    more = {"none": ["tolerance=none"], "dtype": ["+tolerance.default.rmse.max=9"], "": []}
    for name, words in more.items():
        main(["judge", "report=one", "output=two", *words])
        capsys.readouterr()
        main(["diff", "base=one", "new=two/cmp_report.parquet"])
        by = f"another {name}" if name == "dtype" else name
        said = f"base was judged by tolerance dtype, new by {by}: rows may differ by that alone"
        run = ait_cmp.load("one").diff(ait_cmp.load("two"))
        shown = [capsys.readouterr().out, Path("cmp_diff.md").read_text(), repr(run)]
        assert [said in one for one in shown] == 3 * [bool(name)]
        told = ["dtype", name] if name else None
        assert read_page(Path("cmp_diff.html")).said["tolerances"] == told


def test_a_difference_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_reports(_table(status=["pass"]), _table(status=["fail"])).write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {*before} == {"cmp_diff.csv", "cmp_diff.md", "cmp_diff.html"}
    whole = iter([None, None])

    def full(file: int) -> None:
        if next(whole, file):
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="choose another with output="):
        compare_reports(_table(status=["fail"]), _table(status=["pass"])).write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_rows_are_joined_by_name_rank_and_token_and_never_by_process() -> None:
    base = _table(status=["pass"] * 3, data_id=["a", "a", "b"], rank=["0", "1", None])
    new = _table(status=["pass", "fail", "pass"], data_id=["a", "a", "b"], rank=["1", "0", None])
    found = compare_reports(base, new.with_columns(dump=pl.lit("9_9")))
    told = {
        (row["data_id"], row["rank"]): row["change"] for row in found.table.iter_rows(named=True)
    }
    assert told == {("a", "0"): "broken", ("a", "1"): "same", ("b", None): "same"}
    assert found.ambiguous == 0
    twice = _table(status=["pass", "fail"], data_id=["a", "a"])
    found = compare_reports(twice, twice)
    assert (found.counts["same"], found.ambiguous) == (2, 1)


def test_jobs_tell_rows_apart_where_both_are_sweeps_alone() -> None:
    alone = _table(status=["pass", "fail"])
    swept = alone.with_columns(job=pl.Series(["tokens=0", "tokens=1"]))
    for base, new in ((alone, swept), (swept, alone), (swept, swept)):
        assert compare_reports(base, new).counts["same"] == 2
    other = swept.with_columns(job=pl.Series(["tokens=1", "tokens=0"]))
    assert compare_reports(swept, other).counts["same"] == 0


def test_a_row_is_named_with_its_job_and_its_rank(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (
        _table(status=[status], data_id=["x"], rank=["3"]).with_columns(job=pl.lit("tokens=0"))
        for status in ("pass", "fail")
    )
    found = compare_reports(one, other)
    assert "x (job tokens=0, rank 3)" in difference_markdown(found)
    show_difference(found, [], 3)
    assert "x (job tokens=0, rank 3)" in capsys.readouterr().out


def test_what_came_and_what_went() -> None:
    base = _table(status=["pass", "error", "skipped"])
    new = _table(status=["pass", "fail"], data_id=["n0", "n1"])
    found = compare_reports(base, new)
    counts = {change: count for change, count in found.counts.items() if count}
    assert counts == {"new and not passing": 1, "gone": 1, "changed": 2, "new": 1}


@given(st.lists(st.sampled_from(["pass", "fail", "error", "skipped"]), max_size=6))
def test_a_run_is_no_regression_of_itself(statuses: list[str]) -> None:
    table = _table(status=statuses) if statuses else _table(status=["pass"]).clear()
    found = compare_reports(table, table)
    assert found.counts["same"] == len(statuses)
    assert not found.regressed


def test_the_command_tells_two_runs_apart(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    good = make_dump()
    bad = make_dump(wrong={(1, 2): torch.ones(4, 6)}, name="|bad|")
    assert main([f"golden_path={good}", "output=one"]) == 0
    assert main([f"golden_path={bad}", "output=two"]) == 1
    capsys.readouterr()
    assert main(["diff", "base=one", "new=two", "output=d"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("6 rows: 1 broken, 5 same; regressed\n1 broken: passed, or was skipped")
    assert "  token 1 layer2.q: pass -> fail TOLERANCE; error " in shown
    (row,) = pl.read_csv("d/cmp_diff.csv").iter_rows(named=True)
    assert (row["change"], row["data_id"], row["new_status"]) == ("broken", "layer2.q", "fail")
    assert Path("d/cmp_diff.md").read_text().startswith("## ❌ ait_cmp diff: 6 rows: 1 broken")
    assert "<title>ait_cmp: 1 broken" in Path("d/cmp_diff.html").read_text()
    assert main(["diff", "base=two", "new=one/cmp_report.parquet", "output=d"]) == 0
    assert main(["diff", "base=one", "new=two", "output=d", "fail_on=never"]) == 0
    run = ait_cmp.load("one").diff(ait_cmp.load("two"))
    assert repr(run) == "6 rows: 1 broken, 5 same; regressed"
    assert run.to_polars()["data_id"].to_list() == ["layer2.q"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["diff", "base=one"], "new is missing; pass new=FOLDER"),
        (["diff", "base=one", "news=two"], "did you mean new=…?"),
        (["diff", "base=one", "new=nowhere"], "there is no report nowhere"),
        (["diff", "base=one", "new=one", "worst=x"], "worst=x must be a number"),
        (["diff", "base=one", "new=one", "base=one"], "base is given twice"),
        (["diff", "base=one", "new=one", "fail_on=some"], "choose from any, never"),
        (["diff", "base=broken", "new=one"], "is no report"),
        (["diff", "base=old", "new=one"], "has no column data_id"),
        (["show"], "report is missing"),
        (["show", "report=one", "layer9"], "there is no row 'layer9' among 6"),
        (["show", "report=one", "layer1.q"], "may be row 1 (token 0 layer1.q), 4 (token 1 layer1"),
        (["show", "report=one", "a", "b"], "row is given twice"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(
    words: list[str], said: str, make_dump: Dump, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([f"golden_path={make_dump()}", "output=one"]) == 0
    for name in ("broken", "old"):
        Path(name).mkdir()
    Path("broken/cmp_report.parquet").write_bytes(b"PAR1")
    pl.DataFrame({"token_id": [1]}).write_parquet("old/cmp_report.parquet")
    capfd.readouterr()
    assert main(words) == 2
    assert said in capfd.readouterr().err


def test_a_report_of_an_older_version_can_be_compared(make_dump: Dump) -> None:
    """It had fewer columns."""
    assert main([f"golden_path={make_dump()}", "output=new"]) == 0
    Path("old").mkdir()
    table = pl.read_parquet("new/cmp_report.parquet")
    table.drop("rank", "diagnosis").write_parquet("old/cmp_report.parquet")
    assert main(["diff", "base=old", "new=new"]) == 0
    assert main(["show", "report=old"]) == 0


def test_a_finished_run_is_shown_again(make_dump: Dump, capsys: pytest.CaptureFixture[str]) -> None:
    dump = make_dump(wrong={(1, 2): torch.ones(4, 6)})
    assert main([f"golden_path={dump}", "output=out"]) == 1
    before = capsys.readouterr().out
    assert main(["show", "report=out"]) == 0
    assert capsys.readouterr().out == before
    assert main(["show", "report=out", "page=there/again.html"]) == 0
    assert Path("there/again.html").read_bytes() == Path("out/cmp_report.html").read_bytes()
    assert main(["show", "report=out", "page=out/cmp_report.csv/x"]) == 4
    assert "choose another page=…" in capsys.readouterr().err
    for row in ("5", "token 1 layer2.q"):
        assert main(["show", "report=out", row]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("row 5: token 1 layer2.q: fail TOLERANCE\n  from token 1 layer2.q")
        assert "\n  my_shape                     [4, 6]\n" in shown


# -- in Python


def test_positional_tensors_are_refused_with_what_to_write() -> None:
    one = torch.ones(2)
    with pytest.raises(TypeError, match=r"write compare\(golden=…, my=…\)"):
        ait_cmp.compare(one, one)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"write compare_dumps\(golden_path=…, my_path=…\)"):
        ait_cmp.compare_dumps("g")  # type: ignore[call-arg]


def test_a_folder_must_be_named(make_dump: Dump) -> None:
    run = ait_cmp.compare_dumps(golden_path=make_dump())
    for use in (ait_cmp.load, run.save):
        with pytest.raises(UsageError, match="the folder's name is empty; name one"):
            use("")
        for wrong in (5, None, b"out"):
            with pytest.raises(TypeError, match="a folder is named as text or a "):
                use(wrong)  # type: ignore[arg-type]


def test_what_a_notebook_shows_is_text(tmp_path: Path) -> None:
    _save(tmp_path / "g", [torch.ones(3)], "<b>{}")
    _save(tmp_path / "m", [-torch.ones(3)], "<b>{}")
    run = ait_cmp.compare_dumps(golden_path="g", my_path="m", mapping="tree")
    for shown in (run._repr_html_(), run.rows[0]._repr_html_()):
        assert "<b>0" not in shown
        assert "&lt;b&gt;0" in shown
    assert repr(run).startswith("1 row: 0 pass, 1 fail, 0 error\n  it goes wrong from <b>0 on")
    assert run.html().startswith("<!DOCTYPE html>")
    assert "<b>0" not in run.html()
    assert repr(run.rows[0]).startswith("<b>0: FAIL TOLERANCE\n  golden: torch.float32 [3]\n")
    assert "<td>torch.float32 [3]</td>" in run.rows[0].comparison._repr_html_()
