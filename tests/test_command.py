"""The command, from arguments to exit status and files, on real dumps."""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

import ait_cmp
from ait_cmp import Growth, ait, dump_data
from ait_cmp.__main__ import main
from ait_cmp.commands import COMMANDS
from ait_cmp.report import REPORTS, Report
from ait_cmp.report.columns import COLUMNS
from ait_cmp.settings.schema import setting_help
from tests.conftest import Dump

FIELD_COLUMNS = (
    "token_id,data_id,golden_data_path,golden_dtype,golden_shape,golden_max_value,"
    "golden_min_value,golden_mean_value,my_data_path,my_dtype,my_shape,my_max_value,my_min_value,"
    "my_mean_value,cosine_similarity,max_relative_error,mean_relative_error,max_absolute_error,"
    "mean_absolute_error,kl_divergence,relative_euclidean_distance,cmp_fail_reason,status,reason,"
    "dump,order,elements"
)


def _report(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "cmp_report.parquet")


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "ait_cmp", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_every_row_passes(make_dump: Dump, tmp_path: Path) -> None:
    assert main([f"golden_path={make_dump()}", "output=report"]) == 0
    rows = _report(tmp_path / "report")
    assert rows["status"].to_list() == ["pass"] * 6
    assert rows["token_id"].to_list() == [0, 0, 0, 1, 1, 1]
    assert rows["order"].to_list() == list(range(6))
    assert rows["golden_shape"].unique().to_list() == ["[4, 6]"]
    assert rows["my_dtype"].unique().to_list() == ["torch.bfloat16"]


def test_columns_stand_in_the_order_of_the_field(make_dump: Dump, tmp_path: Path) -> None:
    main([f"golden_path={make_dump()}"])
    header = (tmp_path / "cmp_report.csv").read_text().splitlines()[0]
    assert header.startswith(FIELD_COLUMNS)
    assert header.split(",") == list(COLUMNS)


def test_csv_numbers_are_written_in_full(make_dump: Dump, tmp_path: Path) -> None:
    main([f"golden_path={make_dump()}"])
    numbers = [name for name, column in COLUMNS.items() if column.dtype == pl.Float64]
    exact = _report(tmp_path).select(numbers)
    text = pl.read_csv(tmp_path / "cmp_report.csv", infer_schema=False).select(numbers)
    assert text.select(pl.all().cast(pl.Float64)).equals(exact)


def test_a_failing_row_gives_1_and_is_named(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(1, 2): torch.ones(4, 6)})
    assert main([f"golden_path={dump}"]) == 1
    rows = _report(tmp_path)
    assert rows.filter(pl.col("status") == "fail")["data_id"].to_list() == ["layer2.q"]
    assert "6 rows: 5 pass, 1 fail, 0 error" in (out := capsys.readouterr().out)
    assert "it goes wrong from token 1 layer2.q on; " in out


def test_an_error_row_gives_3_and_hides_no_other(make_dump: Dump, tmp_path: Path) -> None:
    wrong: dict[tuple[int, int], torch.Tensor | None] = {
        (0, 0): None,
        (0, 1): torch.ones(2),
        (1, 0): torch.ones(4, 6),
    }
    dump = make_dump(wrong=wrong)
    (dump / "my" / "0_2.bin").write_bytes(b"$Version=1.0\n")
    assert main([f"golden_path={dump}"]) == 3
    rows = _report(tmp_path)
    reasons = ["MY_MISSING", "SHAPE_MISMATCH", "BIN_TRUNCATED", "TOLERANCE", None, None]
    assert rows["reason"].to_list() == reasons
    assert rows["status"].to_list() == ["error"] * 3 + ["fail", "pass", "pass"]
    assert all(rows.filter(pl.col("status") != "pass")["cmp_fail_reason"].str.len_chars() > 20)
    assert main([f"golden_path={dump}", "fail_on=never"]) == 0


def test_selection(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(tokens=4)
    assert main([f"golden_path={dump}", "tokens=0-3/2", "data_ids=[layer1.*,layer2.q]"]) == 0
    rows = _report(tmp_path)
    assert rows["token_id"].to_list() == [0, 0, 2, 2]
    assert rows["data_id"].unique(maintain_order=True).to_list() == ["layer1.q", "layer2.q"]


def test_nothing_selected_is_no_success_and_replaces_no_report(
    make_dump: Dump, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump()
    assert main([f"golden_path={dump}"]) == 0
    before = (tmp_path / "cmp_report.csv").read_bytes()
    for nothing in ("tokens=99", "data_ids=[layr0.q]", "data_ids=[]"):
        assert main([f"golden_path={dump}", nothing]) == 2
    said = capfd.readouterr().err
    assert "tokens: 99 selects nothing; there are the tokens 0-1" in said
    assert "data_ids: 'layr0.q' selects nothing; did you mean layer0.q" in said
    Path("empty.json").write_text("{}")
    assert main(["golden_path=empty.json", "mapping=metadata"]) == 2
    assert main(["golden_path=empty.json", "mapping=metadata", "output=new"]) == 3
    assert (tmp_path / "cmp_report.csv").read_bytes() == before


def test_my_path_as_folder_and_as_file(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    (dump / "my").rename(tmp_path / "moved")
    assert main([f"golden_path={dump}"]) == 3
    assert main([f"golden_path={dump}", "my_path=moved"]) == 0
    assert main([f"golden_path={dump}", f"path_map={{{dump}/my:{tmp_path}/moved}}"]) == 0
    (tmp_path / "moved").rename(dump / "my")
    assert main([f"golden_path={dump}", f"my_path={dump}/my/1_2.bin"]) == 0
    assert _report(tmp_path)["data_id"].to_list() == ["layer2.q"]


def test_one_file_against_one_file(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    golden = next(dump.rglob("0/layer1.q_tensor.pth"))
    assert main([f"golden_path={golden}", f"my_path={dump}/my/0_1.bin"]) == 0
    assert main([f"golden_path={golden}", f"my_path={dump}/my/1_1.bin"]) == 1
    assert _report(tmp_path)["token_id"].to_list() == [None]


def test_metrics_ait_changes_numbers_and_no_verdict(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(wrong={(0, 0): torch.ones(4, 6)})
    assert main([f"golden_path={dump}", "metrics=ait", "output=ait"]) == 1
    assert main([f"golden_path={dump}", "output=standard"]) == 1
    ait_rows, rows = _report(tmp_path / "ait"), _report(tmp_path / "standard")
    assert ait_rows["status"].equals(rows["status"])
    squared = rows["relative_euclidean_distance"] ** 2
    assert ait_rows["relative_euclidean_distance"].to_list() == pytest.approx(squared.to_list())
    assert ait_rows["rmse"].null_count() == len(rows)


def test_left_out_metrics_are_empty_columns(make_dump: Dump, tmp_path: Path) -> None:
    assert main([f"golden_path={make_dump()}", "metrics.names=[rmse]"]) == 0
    rows = _report(tmp_path)
    assert rows["kl_divergence"].null_count() == len(rows)
    assert rows["rmse"].null_count() == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["golden_pth=x"], "did you mean 'golden_path'?"),
        (["golden_path=x", "metrics.epsilon=small"], "metrics.epsilon=small"),
        ([], "golden_path is missing"),
        (["golden_path=nowhere"], "golden_path=nowhere does not exist"),
        (["golden_path=."], "holds no metadata.json"),
        (["golden_path=x", "tokens=10:20"], "write 7, 0-9"),
        (["golden_path=x", "tokens=9-1"], "empty range"),
        (
            ["golden_path=x", "tolerance=lax"],
            "choose tolerance from ascend, assert_close, dtype",
        ),
        (["golden_path=x", "+tolerance.default.rmsee.max=1"], "there is no metric 'rmsee'"),
        (["golden_path=x", "+tolerance.default.rmse.max=much"], "NUMBER"),
        (["golden_path=x", "+surprise=1"], "there is no setting 'surprise'"),
        (["golden_path=x", "path_map=3"], "path_map={/old/place:/new/place}"),
        (["golden_path=x", "metrics.names=[rmsee]"], "choose from"),
        (["golden_path=x", "report.formats=[doc]"], "choose from csv, parquet"),
        (["golden_path=x", "report.worst=-1"], "report.worst=-1 must be"),
        (["golden_path=x", "executor.memory_limit=inf"], "executor.memory_limit=inf must be"),
        (
            ["golden_path=x", "executor=serial", "executor.workers=4"],
            "does nothing with executor=s",
        ),
        (["golden_path=x", "executor.address=head:6379"], "out, or choose executor=ray"),
        (["golden_path=x", "tolerance.growth.channel=0"], "growth.channel must be a finite number"),
        (["golden_path=x", "+tolerance.growth.window=inf"], "growth.window must be a finite num"),
        (["golden_path=x", "tolerance.growth.windw=4"], "there is no 'windw'"),
        (["--cfg", "job", "--package", "tolrance"], "there is no package 'tolrance'"),
        (["calibrat", "golden_path=x"], "did you mean 'calibrate'?"),
        (["nonsense"], "choose from compare, calibrate, dump"),
        (["golden_path=x", "calibrate"], "'calibrate' is no setting"),
        (["golden_path=/a=b"], "golden_path=/a=b does not exist"),
        (["golden_path=x", "executor.workers=a=b"], "two pairs of quotes"),
        (["数据=x"], "there is no setting '数据'"),
        (["golden_path=x", "tokens=0,1"], "write tokens=0+1 for all of them, or add -m"),
        (["golden_path=x", "data_ids=a,b"], "write 'data_ids=[a,b]' for a list"),
        (["golden_path=x", "report.formats=csv,xlsx"], "write 'report.formats=[csv,xlsx]'"),
        (["golden_path=x", "--config-dir", "nowhere"], "nowhere"),
        (["golden_path=a.bin"], "pass my_path=FILE"),
        (["golden_path=a.bin", "my_path=b.bin"], "golden_path=a.bin does not exist"),
    ],
)
def test_mistakes_end_in_one_sentence_and_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert error.startswith("ait_cmp: error: ")
    assert len(error.splitlines()) == 1


def test_an_unreadable_mapping_gives_2(make_dump: Dump) -> None:
    dump = make_dump()
    next(dump.rglob("metadata.json")).write_text('{"a": ')
    assert main([f"golden_path={dump}"]) == 2


def test_a_report_that_cannot_be_written_gives_4(make_dump: Dump) -> None:
    dump = make_dump()
    Path("file").touch()
    assert main([f"golden_path={dump}", "output=file/below"]) == 4


def test_an_old_report_stays_when_the_new_one_fails(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = make_dump()
    assert main([f"golden_path={dump}"]) == 0
    old = {path: path.read_bytes() for path in tmp_path.glob("cmp_report.*")}

    def full(report: Report, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(REPORTS, "parquet", full)
    assert main([f"golden_path={dump}", "tokens=0"]) == 4
    assert {path: path.read_bytes() for path in old} == old
    assert not list(tmp_path.glob(".*.tmp"))


def test_nothing_but_the_report_is_written(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump()
    Path("empty").mkdir()
    os.chdir("empty")
    assert main([f"golden_path={dump}", "output=../report"]) == 0
    assert list(Path.cwd().iterdir()) == []
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "cmp_report.csv",
        "cmp_report.parquet",
        "cmp_report.run",
        "cmp_report.stats",
    }


def test_results_go_to_stdout_and_logs_to_stderr(make_dump: Dump) -> None:
    done = _run(f"golden_path={make_dump()}", "tokens=0+99")
    assert done.returncode == 0
    assert done.stdout.startswith("3 rows")
    assert "WARNING: tokens: 99 selects nothing" in done.stderr


def test_a_config_folder_of_the_user(make_dump: Dump, tmp_path: Path) -> None:
    (tmp_path / "mine" / "tolerance").mkdir(parents=True)
    (tmp_path / "mine" / "tolerance" / "tight.yaml").write_text(
        "name: tight\nrules:\n"
        "- {data_ids: ['layer1.*'], tokens: '1', limits: {rmse: {max: 1.0e-9}}}\n"
    )
    arguments = [f"golden_path={make_dump()}", "tolerance=tight"]
    assert main([*arguments, "--config-dir", "mine"]) == 1
    failing = _report(tmp_path).filter(pl.col("status") == "fail")
    assert failing["data_id"].to_list() == ["layer1.q"]
    assert failing["token_id"].to_list() == [1]


@pytest.mark.parametrize("rule", ["data_ids: [layr0.*]", "tokens: 7", "dtypes: [float64]"])
def test_a_tolerance_that_says_nothing_of_the_run_is_refused(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    path = tmp_path / "tolerance" / "typo.yaml"
    path.parent.mkdir()
    path.write_text(f"{{name: typo, rules: [{{{rule}, limits: {{rmse: {{max: 1}}}}}}]}}")
    arguments = [f"golden_path={make_dump()}"]
    assert main(arguments) == 0
    before = (tmp_path / "cmp_report.csv").read_bytes()
    assert main([*arguments, f"tolerance={path}"]) == 2
    assert "in rule 1 of tolerance typo no" in capsys.readouterr().err
    assert (tmp_path / "cmp_report.csv").read_bytes() == before
    path.write_text(path.read_text().replace("}]}", "}], growth: {}}"))
    assert main([*arguments, f"tolerance={path}"]) == 0
    assert "WARNING: in rule 1 of tolerance typo no" in capsys.readouterr().err
    assert main([*arguments, "tolerance=ascend"]) == 0  # made for many types
    assert "WARNING" not in capsys.readouterr().err


def test_rows_without_a_limit_are_skipped(make_dump: Dump, tmp_path: Path) -> None:
    path = tmp_path / "tolerance" / "few.yaml"
    path.parent.mkdir()
    path.write_text("{name: few, rules: [{tokens: 1, limits: {rmse: {max: 1}}}]}")
    assert main([f"golden_path={make_dump()}", f"tolerance={path}"]) == 0
    found = _report(tmp_path).select("token_id", "status", "reason").unique().rows()
    assert {row for row in found if row[0] == 1} == {(1, "pass", None)}
    assert {row[1:] for row in found if row[0] != 1} == {("skipped", "UNJUDGED")}


def test_a_broken_config_file_is_a_mistake_of_usage(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "tolerance").mkdir(parents=True)
    (tmp_path / "mine" / "tolerance" / "broken.yaml").write_text("rules: [\n")
    arguments = [f"golden_path={make_dump()}", "tolerance=broken", "--config-dir", "mine"]
    assert main(arguments) == 2
    assert "broken.yaml" in capsys.readouterr().err


def test_several_dumps_are_told_apart(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = next(make_dump().glob("ait_dump/*"))
    shutil.copytree(dump, dump.with_name("7_0"))
    assert main([f"golden_path={dump.parent}"]) == 0
    assert f"2 dumps: 7_0, {dump.name}" in capsys.readouterr().out
    assert _report(tmp_path)["dump"].n_unique() == 2


def test_tolerance_overrides_on_the_command_line(make_dump: Dump) -> None:
    arguments = [f"golden_path={make_dump()}", "tolerance=none"]
    assert main(arguments) == 0
    assert main([*arguments, "+tolerance.default.rmse.max=1e-9"]) == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_sweep_merges_its_jobs(make_dump: Dump, tmp_path: Path, place: int) -> None:
    """`-m` anywhere on the line; the worst exit status; one merged report."""
    dump = make_dump(tokens=3, wrong={(1, 0): torch.ones(4, 6)})
    arguments = [f"golden_path={dump}", "output=out", "tokens=0,1-2"]
    arguments.insert(place, "-m")
    assert main(arguments) == 1
    merged = _report(tmp_path / "out")
    assert merged["job"].to_list() == ["tokens=0"] * 3 + ["tokens=1-2"] * 6
    assert len(_report(tmp_path / "out" / "jobs" / "0")) == 3
    assert len(_report(tmp_path / "out" / "jobs" / "1")) == 6


def test_a_job_that_fails_hides_no_other(
    make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-m", f"golden_path={make_dump()}", "output=out", "tokens=0,oops,1"]
    assert main(arguments) == 2
    assert _report(tmp_path / "out")["token_id"].to_list() == [0, 0, 0, 1, 1, 1]
    assert "merged report of 2 of 3 jobs" in capsys.readouterr().out


def test_reports_of_an_earlier_sweep_are_not_merged(make_dump: Dump, tmp_path: Path) -> None:
    """A job that writes none finds the one that an earlier sweep left in its folder."""
    arguments = ["-m", f"golden_path={make_dump()}", "output=out"]
    assert main([*arguments, "tokens=0,1"]) == 0
    assert main([*arguments, "tokens=0,oops"]) == 2
    assert _report(tmp_path / "out")["token_id"].to_list() == [0, 0, 0]


def test_a_sweep_that_hydra_refuses_leaves_the_old_report(make_dump: Dump, tmp_path: Path) -> None:
    """Hydra composes every job before it runs the first."""
    dump = make_dump()
    assert main(["-m", f"golden_path={dump}", "output=out", "tolerance=none,dtype"]) == 0
    assert main(["-m", f"golden_path={dump}", "output=out", "tolerance=none,oops"]) == 2
    assert len(_report(tmp_path / "out")) == 12


def test_sweeps_of_different_keys_do_not_mix(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(tokens=3)
    assert main(["-m", f"golden_path={dump}", "output=out", "tokens=0,1,2"]) == 0
    assert main(["-m", f"golden_path={dump}", "output=out", "tolerance=none,dtype"]) == 0
    assert _report(tmp_path / "out")["job"].unique(maintain_order=True).to_list() == [
        "tolerance=none",
        "tolerance=dtype",
    ]


def test_a_job_that_raises_hides_no_other(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours in one job: its status counts, the others' rows are merged."""
    import ait_cmp.commands.compare
    from ait_cmp.settings.values import Settings

    working = ait_cmp.commands.compare.compare_and_report

    def run(settings: Settings) -> int:
        if settings.folder.name == "0":
            raise RuntimeError("bug")
        return working(settings)

    monkeypatch.setattr(ait_cmp.commands.compare, "compare_and_report", run)
    assert main(["-m", f"golden_path={make_dump()}", "output=out", "tokens=0,1"]) == 4
    assert _report(tmp_path / "out")["token_id"].to_list() == [1, 1, 1]


def test_interrupt_gives_130(make_dump: Dump, tmp_path: Path) -> None:
    """Ctrl-C in a real process that has begun to measure: its output folder is there."""
    dump = make_dump(tokens=300)
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={dump}", "output=out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "cmp_report.csv").exists()


def test_the_original_command_line(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(wrong={(0, 0): torch.ones(4, 6)})
    odd = "a b,${c}='\"=\\"  # the original took any path
    arguments = ["llm", "compare", "--golden-path", str(dump), "--output", odd]
    assert ait.main([*arguments, "--log-level", "error"]) == 1
    assert len(_report(tmp_path / odd)) == 6
    short = [
        "llm",
        "compare",
        "-gp",
        str(dump),
        "-mp",
        f"{dump}/my/0_1.bin",
        "-l",
        "info",
        "-o",
        "s",
    ]
    assert ait.main(short) == 0
    assert len(_report(tmp_path / "s")) == 1


@pytest.mark.parametrize("level", ["warn", "WARNING", "fatal", "critical"])
def test_the_original_options_that_are_here(
    level: str, make_dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(0, 0): torch.ones(4, 6)})
    rules = tmp_path / '规则, "1".yaml'
    rules.write_text("kind: tree")
    paths = ["-gp", f"{dump}/my", "-mp", f"{dump}/my", "-mf", str(rules)]
    given = [*paths, "-l", level, "-cl", "layer", "-st", "-o", "o"]
    assert ait.main(["llm", "compare", *given]) == 3  # each file with itself
    shown = capsys.readouterr().err
    assert "all levels that were dumped are compared" in shown
    assert "-st: statistics are compared where a dump has no tensors" in shown
    assert set(_report(tmp_path / "o")["reason"]) == {"SAME_FILE"}


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        (["-cl", "logits"], "'data_ids=*lm_head*'"),
        (["-mf", "map.json"], "-gp LIST.yaml"),
        (["-r", "0"], "name the folders of one rank"),
        (["-w"], "without -w"),
    ],
)
def test_the_original_options_that_are_refused_say_what_takes_their_place(
    option: list[str], instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ait.main(["llm", "compare", "-gp", "g", "-mp", "m", *option]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ait_cmp: error: -")
    assert instead in said
    assert said.count("\n") == 1


def test_the_original_command_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ait.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ait_cmp ")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compare", "--help"]])
def test_importing_for_help_is_light(arguments: list[str]) -> None:
    """`--help` answers without the heavy libraries."""
    code = (
        "import sys, json\nfrom ait_cmp.__main__ import main\n"
        f"assert main({arguments}) == 0\nprint(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert not modules & {"torch", "polars", "numba", "numpy"}


def test_help_of_the_whole_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "golden_path" in out


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if not one.parser_home])
def test_help_of_a_command_is_its_own(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "mapping").mkdir(parents=True)
    (tmp_path / "mine" / "mapping" / "llama.yaml").touch()
    assert main([name, "--help", "--config-dir", "mine"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ait-cmp {name}: {COMMANDS[name].summary}\n")
    keys = {key for key, _ in setting_help()}
    shown = {key for key in keys if f"\n  {key} " in out}
    command = COMMANDS[name]
    if command.heeds:  # as pair, which guesses who belongs to whom, and measures nothing
        assert shown == keys & {*command.heeds}
        assert ("tolerance" in out) is ("tolerance" in command.heeds)
    else:
        assert "files, llama, metadata" in out
        assert shown == keys - {*command.not_heed}
        assert out.index("what is compared:") < out.index("who is compared with whom:")


def test_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["calibrate", "golden_path=x", "--version"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"ait_cmp {ait_cmp.__version__} (python ")
        assert f"torch {torch.__version__.split('+')[0]}" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_may_be_named(name: str) -> None:
    """What it says without arguments is of that command, in a process of its own."""
    is_function = name in ("compare", "isolate")  # of the package, and no module
    words = ["ait_cmp", name] if is_function else [f"ait_cmp.{name}"]
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    asks_for = {
        "dump": "--exec",
        "isolate": "name either --my COMMAND or --calls FOLDER",
        "judge": "judge needs one report=FOLDER",
        "diff": "base is missing",
        "show": "report is missing",
    }.get(name, "golden_path is missing")
    assert asks_for in done.stderr


def test_no_submodule_has_the_name_of_a_function() -> None:
    """`ait_cmp.compare` must stay the function, whatever was imported before."""
    modules = {module.name for module in pkgutil.iter_modules(ait_cmp.__path__)}
    assert not modules & set(ait_cmp.__all__)


@pytest.mark.parametrize("given", ["tolerance.growth.level=6", "+tolerance.growth.level=6"])
@pytest.mark.parametrize("tolerance", ["dtype", "strict", "some/tolerance/mine.yaml"])
def test_every_number_of_growth_is_shown(
    tmp_path: Path, given: str, tolerance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some" / "tolerance").mkdir(parents=True)
    (tmp_path / "some" / "tolerance" / "mine.yaml").write_text(
        "{name: mine, growth: {line: 3, noise: {a.b: 0.5}}}"
    )
    assert main([f"tolerance={tolerance}", given, "--cfg", "job", "--package", "tolerance"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)["growth"]
    own: dict[str, Any] = {"line": 3, "noise": {"a.b": 0.5}} if tolerance.endswith("yaml") else {}
    assert shown == asdict(Growth(level=6, **own))


def test_a_reader_that_leaves_is_no_failure(make_dump: Dump) -> None:
    """As `dry_run=true | head -1`."""
    dump = make_dump(tokens=200)
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={dump}", "dry_run=true"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 0
    assert b"error" not in error


@pytest.mark.parametrize("more", [[], ["dry_run=true"]])
def test_any_name_is_printed_in_any_encoding(make_dump: Dump, more: list[str]) -> None:
    dump_data(0, "数据", torch.ones(2), make_dump() / "my" / "none.bin", Path("run"))
    command = [sys.executable, "-m", "ait_cmp", "golden_path=run", *more]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=ascii_only
    )
    assert "\\u6570\\u636e" in done.stdout
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("command", "sink"),
    [
        ("compare", "gone"),
        ("compare", "no stderr"),
        ("calibrate", "full"),
        ("sweep", "closed"),
        ("sweep", "full"),
    ],
)
def test_what_cannot_be_shown_changes_no_answer(
    make_dump: Dump, tmp_path: Path, command: str, sink: str
) -> None:
    """stdout that nobody reads, a full disk behind it, none at all; and stderr of these kinds."""
    dump = make_dump(wrong={(0, 0): torch.ones(4, 6)})
    arguments = {"sweep": "-m tokens=0,1"}.get(command, "tokens=0")
    name = command if command == "calibrate" else ""
    plain = f"{sys.executable} -m ait_cmp {name} {arguments} golden_path={dump} output=o"
    script = {
        "closed": f"( {plain}; echo $? >status ) | true",
        "full": f"{plain} >/dev/full; echo $? >status",
        "gone": f"{plain} >&-; echo $? >status",
        "no stderr": f"{plain} 2>/dev/full >/dev/full; echo $? >status",
    }[sink]
    subprocess.run(["bash", "-c", script], check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert (tmp_path / "status").read_text() == "1\n"
    written = "tolerance/calibrated.yaml" if command == "calibrate" else "cmp_report.csv"
    assert (tmp_path / "o" / written).exists()


def test_a_complaint_that_cannot_be_made_is_no_failing_row() -> None:
    command = f"{sys.executable} -m ait_cmp nosuch=1 2>/dev/full"
    assert subprocess.run(["bash", "-c", command], check=False, timeout=60).returncode == 2


def test_a_folder_that_the_locale_cannot_write(make_dump: Dump, tmp_path: Path) -> None:
    """Its name is bytes to Python then, which polars takes for no path."""
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={make_dump()}", "output='报告'"]
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(command, check=True, timeout=60, env=plain)
    assert len(pl.read_parquet(tmp_path / "报告" / "cmp_report.parquet")) == 6


def test_a_format_is_written_once(make_dump: Dump, tmp_path: Path) -> None:
    assert (
        main([f"golden_path={make_dump()}", "report.formats=[csv,csv]", "report.keep_stats=false"])
        == 0
    )
    assert [path.name for path in tmp_path.glob("cmp_report.*")] == ["cmp_report.csv"]


def test_a_small_selection_of_many_says_what_it_may_let_pass(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(tokens=1, layers=40)
    assert main([f"golden_path={dump}", "output=all"]) == 0
    assert "are selected" not in capsys.readouterr().err
    assert main([f"golden_path={dump}", "output=few", "data_ids=layer1*"]) == 0
    assert "11 of 40 data_ids are selected" in capsys.readouterr().err


def test_a_my_path_that_is_not_there_is_named(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"golden_path={make_dump()}", "my_path=nowhere", "output=out"]) == 2
    assert "my_path=nowhere does not exist" in capsys.readouterr().err


def test_a_sweep_over_nothing_is_no_success(
    make_dump: Dump, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = make_dump(wrong={(0, 0): -torch.ones(4, 6)})
    assert main([f"golden_path={dump}", "output=out", "-m", "tokens=glob(*)"]) == 2
    assert "the sweep has no jobs" in capsys.readouterr().err


def test_a_path_map_for_two_folders_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("g", "my"):
        Path(side).mkdir()
        torch.save(torch.ones(3), f"{side}/a.pt")
    sides = ["golden_path=g", "my_path=my", "mapping=tree"]
    assert main([*sides, "path_map={/nope: /x}"]) == 2
    assert "two folders record none" in capsys.readouterr().err


def test_a_saved_tensor_without_an_entry_is_an_error(make_dump: Dump, tmp_path: Path) -> None:
    dump = make_dump(tokens=1)
    (metadata,) = dump.rglob("metadata.json")
    entries = json.loads(metadata.read_text())
    del entries["layer1.q"]
    metadata.write_text(json.dumps(entries))
    assert main([f"golden_path={dump}", "output=out"]) == 3
    rows = pl.read_parquet("out/cmp_report.parquet")
    assert sorted(rows["reason"].drop_nulls().to_list()) == ["NO_METADATA"]


def test_a_log_that_cannot_be_written_changes_no_status(make_dump: Dump) -> None:
    code = (
        "import sys, ait_cmp.__main__ as m\n"
        "sys.stderr.reconfigure(line_buffering=False, write_through=False)\n"
        "sys.stderr.write('kept in the buffer')\n"
        f"sys.exit(m.main(['golden_path={make_dump()}', 'output=out']))"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, stderr=full)
    assert done.returncode == 0


WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocked())
from ait_cmp import ait
from ait_cmp.__main__ import main
from ait_cmp.commands import COMMANDS
for run, *words in [
    *((main, name, "--help") for name in COMMANDS),
    *((ait.main, "llm", name, "--help") for name in ("compare", "dump", "watch")),
    (main, "isolate", "--golden", "true", "--my", "true"),
    (ait.main, "llm", "watch", "--exec", "true", "--golden", "x"),
]:
    try:
        status = run(words)
    except SystemExit as exc:
        status = exc.code
    print(">>>", status, *words, file=sys.stderr)
"""


def test_help_needs_no_torch_and_what_needs_it_says_so(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    lines = [line for line in found.stderr.splitlines() if line.startswith(">>> ")]
    assert [line.split()[1] for line in lines] == [*"0" * (len(lines) - 2), "2", "2"]
    assert found.stderr.count("this needs the package torch") == 2
    assert "Traceback" not in found.stderr
