"""Every output keeps the same promises: one suite, run for each row of `REPORTS`."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ait_cmp import ReportError, compare
from ait_cmp.commands.status import ExitStatus, exit_status
from ait_cmp.engine import EVERYTHING
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import MetricChoice, Row, conclude, conclude_run
from ait_cmp.report import (
    REPORTS,
    STEM,
    Facts,
    Report,
    file_name,
    make_report,
    merge_reports,
    write_report,
)
from ait_cmp.report.columns import COLUMNS
from ait_cmp.report.console import show_summary
from ait_cmp.report.dry_run import show_pairs
from ait_cmp.report.table import safe_cells, write_parquet
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.fail_on import FailOn
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.text import for_spreadsheet
from tests.page import read_page

NAN, INF = float("nan"), float("inf")
WANTED, DTYPE = Wanted(2.0**-23, EVERYTHING), load_tolerance("dtype")
NAMES = (
    "第0层.注意力",
    "=1+1",
    'a,"b"\n\x1b[31m',
    "-1_14740",
    "",
    "半\udcff",
    "10.q",
    "[bold]no[/]",
)


def _row(number: int, golden: object = None, my: object = None) -> Row:
    """A row of awkward names; one that could not be compared where `golden` is None."""
    error = PairError(Reason.MY_MISSING, "没有 my: 缺少; dump it again")
    here = Location.of(f"/数据/{number}.bin")
    pair = Pair(
        data_id=NAMES[number % len(NAMES)],
        token_id=None if number % 3 == 2 else number % 3,
        golden=here,
        my=here if number % 2 else Location(()),
        dump="7_0",
        order=number,
        error=None if golden is not None else error,
    )
    if golden is None:
        return Row(pair, conclude(Measured(error=error), DTYPE, MetricChoice()))
    return Row(pair, compare(golden=torch.as_tensor(golden), my=torch.as_tensor(my)))


def _every_row() -> list[Row]:
    """Every status, and values that are missing, NaN, infinite or beyond float64's integers."""
    return [
        _row(0, [1.0, 2.0], [1.0, 2.0]),
        _row(1),
        _row(2, [1.0, NAN, 3.0], [1.0, INF, NAN]),
        _row(3, [0.0, 0.0], [1.0, 1.0]),
        _row(4, [NAN, NAN], [NAN, NAN]),
        _row(5, [2**63 - 1, 0], [2**63 - 2, 0]),
        _row(6, [1e300, -1e-300], [-1e300, 1e308]),
        _row(7, torch.ones(0, 3), torch.ones(0, 3)),
    ]


REPORT = make_report(_every_row(), Facts())
EMPTY = make_report([], Facts())


def _read_csv(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False)


def _read_xlsx(path: Path) -> pl.DataFrame:
    heading, *lines = openpyxl.load_workbook(path)["rows"].iter_rows(values_only=True)
    cells = [[None if cell is None else str(cell) for cell in line] for line in lines]
    return pl.DataFrame(cells, dict.fromkeys(map(str, heading), pl.String), orient="row")


# Of the formats that have all rows.
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "csv": _read_csv,
    "parquet": pl.read_parquet,
    "xlsx": _read_xlsx,
    "html": lambda path: read_page(path).table,
}
each = pytest.mark.parametrize("name", REPORTS)
each_table = pytest.mark.parametrize("name", READERS)


def _written(name: str, report: Report, folder: Path) -> Path:
    (path,) = write_report(report, folder, [name])
    assert path == folder / file_name(name)
    assert [one.name for one in folder.iterdir()] == [path.name]
    return path


@each_table
def test_every_row_is_there_in_order(name: str, tmp_path: Path) -> None:
    table = READERS[name](_written(name, REPORT, tmp_path / "out"))
    assert table.columns == list(COLUMNS)
    assert table["order"].cast(pl.Int64).to_list() == list(range(8))
    assert table["status"].to_list() == REPORT.table["status"].to_list()
    assert table["reason"].null_count() == REPORT.counts[Status.PASS] == 1
    assert "第0层.注意力" in table["data_id"].to_list()


@each_table
def test_no_rows_are_a_report_with_all_its_columns(name: str, tmp_path: Path) -> None:
    table = READERS[name](_written(name, EMPTY, tmp_path / "out"))
    assert (table.columns, len(table)) == (list(COLUMNS), 0)


@each_table
def test_numbers_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    numbers = [column for column, one in COLUMNS.items() if one.dtype.is_numeric()]
    table = READERS[name](_written(name, REPORT, tmp_path / "out"))
    exact = REPORT.table.select(numbers)
    read = table.select(numbers).cast(exact.schema)
    if name == "xlsx":  # a cell of which has 16 digits
        assert_frame_equal(read, exact, rel_tol=1e-15, abs_tol=0.0)
    else:
        assert read.equals(exact)


@each
def test_the_same_report_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    one, two = (_written(name, REPORT, tmp_path / place) for place in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@each_table
def test_a_sweep_has_its_jobs_in_front(name: str, tmp_path: Path) -> None:
    table = READERS[name](_written(name, _merged(tmp_path), tmp_path / "out"))
    assert table.columns == ["job", *COLUMNS]
    assert [job.lstrip("'") for job in table["job"]] == ["tokens=0"] * 8 + ["=job"] * 8


@each
def test_a_write_that_fails_leaves_the_old_report_and_no_half(name: str, tmp_path: Path) -> None:
    old = _written(name, EMPTY, tmp_path / "out")
    before = old.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ReportError, match="cannot be written to"):
            write_report(REPORT, tmp_path / "out", [name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


@each
def test_a_writer_changes_nothing_of_the_report(name: str, tmp_path: Path) -> None:
    report = make_report(_every_row(), Facts())
    _written(name, report, tmp_path / "out")
    assert report.table.equals(REPORT.table)


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("=+-@＝ \t\r\n1e.'"))


@given(st.lists(st.none() | TEXT, min_size=1))
def test_every_cell_of_the_csv_is_safe(cells: list[str | None]) -> None:
    """Though most cells are not looked at one by one."""
    safe = [None if cell is None else for_spreadsheet(cell) for cell in cells]
    assert safe_cells(pl.Series(cells, dtype=pl.String)).to_list() == safe


@pytest.mark.parametrize("name", REPORTS)
def test_what_a_killed_writer_left_goes(name: str, tmp_path: Path) -> None:
    left = tmp_path / f".{file_name(name)}.{'0af3' * 8}.tmp"
    other = tmp_path / f".{file_name(name)}.tmp"
    for one in (left, other):
        one.touch()
    write_report(REPORT, tmp_path, [name])
    assert {path.name for path in tmp_path.iterdir()} == {file_name(name), other.name}


def test_a_byte_order_mark_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    """Excel takes a CSV without one for text of the machine's language."""
    plain = _written("csv", REPORT, tmp_path / "plain").read_bytes()
    facts = Facts(settings={"report.csv.bom": "true"})
    marked = _written("csv", make_report(_every_row(), facts), tmp_path / "marked").read_bytes()
    assert marked == b"\xef\xbb\xbf" + plain


def test_no_older_report_stays_beside_in_another_format(tmp_path: Path) -> None:
    write_report(EMPTY, tmp_path, list(REPORTS))
    (tmp_path / f"{STEM}.txt").touch()  # which is none of ours
    write_report(REPORT, tmp_path, ["csv"])
    assert {path.name for path in tmp_path.iterdir()} == {f"{STEM}.csv", f"{STEM}.txt"}
    write_report(REPORT, tmp_path, [])  # nothing new stands, so nothing old goes
    assert len(list(tmp_path.iterdir())) == 2


# -- what every output reads


def _merged(folder: Path) -> Report:
    for job in ("0", "1"):
        (folder / "jobs" / job).mkdir(parents=True)
        write_parquet(REPORT, folder / "jobs" / job / "cmp_report.parquet")
    jobs = [("tokens=0", folder / "jobs" / "0"), ("=job", folder / "jobs" / "1")]
    return merge_reports([(job, path / "cmp_report.parquet") for job, path in jobs], Facts())


def test_a_report_has_all_findings_and_says_what_matters_first() -> None:
    assert REPORT.counts == {
        Status.PASS: 1,
        Status.FAIL: 4,
        Status.ERROR: 1,
        Status.SKIPPED: 2,
    }
    assert [len(one) > 0 for one in REPORT.findings] == [
        row.verdict.status is Status.FAIL for row in REPORT.rows
    ]
    assert (REPORT.errors, REPORT.skipped) == ((1,), (4, 7))
    assert set(REPORT.ranked) == {1, 2, 3, 5, 6}
    # By token, those without one last.
    assert REPORT.divergences == (3, 6, 2, 5)
    assert REPORT.line(3)["first_divergence"] == REPORT.rows[3].verdict.divergence


def test_the_summary_counts_what_was_skipped_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(REPORT, [], 10)
    shown = capsys.readouterr().out
    assert shown.startswith("8 rows: 1 pass, 4 fail, 1 error, 2 skipped\n")
    assert "skipped: 2 EMPTY; first token 1 : nothing was compared: none of 2 elements" in shown
    assert "worst 5 of 5 rows that do not pass" in shown
    show_summary(EMPTY, [], 10)
    assert capsys.readouterr().out.startswith("0 rows: 0 pass, 0 fail, 0 error\n")


def _layers(count: int, growth: float) -> Report:
    """Layers with noise of bfloat16, that grows from one to the next."""
    generator = torch.Generator().manual_seed(0)
    measured = []
    for layer in range(count):
        golden, error = torch.randn(2, 16, 64, generator=generator)
        my = golden + 0.002 * growth**layer * error
        here = Location(())
        pair = Pair(f"layers.{layer}", 0, here, here, order=layer)
        one, two = (from_memory(*as_array(side.bfloat16(), "tensor")) for side in (golden, my))
        measured.append((pair, measure_sources(golden=one, my=two, wanted=WANTED)))
    found = conclude_run(measured, DTYPE, MetricChoice())
    rows = [Row(pair, one) for (pair, _), one in zip(measured, found, strict=True)]
    return make_report(rows, Facts())


@pytest.mark.parametrize(
    ("count", "growth", "told"),
    [
        (40, 1.02, []),
        (40, 1.12, ["no row jumps, and yet the error reaches"]),
        (10, 1.02, ["10 data_ids only: of fewer than 32 little is learned"]),
    ],
)
def test_the_summary_says_where_a_pass_says_little(
    count: int, growth: float, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show_summary(_layers(count, growth), [], 10)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{count} rows: {count} pass, 0 fail, 0 error\n")
    lines = [line for line in shown.splitlines() if "reference_path=" in line]
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told


@pytest.mark.parametrize("said", ["", ", which is off itself in some channels"])
def test_rows_that_a_reference_judged_need_no_other(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _layers(10, 1.02)
    judged = pl.lit(f"reference{said}").alias("yardstick")
    show_summary(replace(report, table=report.table.with_columns(judged)), [], 10)
    assert "reference_path=" not in capsys.readouterr().out


def test_the_summary_of_a_sweep_says_whose_rows_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every job has rows of the same names."""
    show_summary(_merged(tmp_path), [], 0)
    then = next(line for line in capsys.readouterr().out.splitlines() if "then in" in line)
    names = then.partition("then in ")[2].split(", ")
    assert len(names) == len(set(names))
    assert all(name.split(" and ")[0].endswith(("(tokens=0)", "(=job)")) for name in names)


def test_a_narrow_terminal_shows_whose_rows_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    name = "model.layers.17.self_attn.q_proj.output.0"
    row = _row(3, [0.0, 0.0], [1.0, 1.0])
    show_summary(make_report([replace(row, pair=row.pair._replace(data_id=name))], Facts()), [], 10)
    cells = [
        line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line
    ]
    assert "".join(cells) == name


def test_pairs_that_are_left_out_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = PairError(Reason.LEFT_OUT, "notes.npz is in no format that is read")
    show_pairs([_row(1).pair._replace(error=error) for error in (None, left_out)])
    shown = capsys.readouterr().out
    assert "would be compared: 1; left unpaired: 0; skipped: 1\n" in shown
    show_pairs([_row(1).pair])
    assert capsys.readouterr().out.endswith("would be compared: 0; left unpaired: 1\n")


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ("", ExitStatus.INCOMPLETE),
        ("skipped", ExitStatus.INCOMPLETE),
        ("skipped pass", ExitStatus.PASS),
        ("skipped fail pass", ExitStatus.FAIL),
        ("fail error", ExitStatus.INCOMPLETE),
    ],
)
def test_what_is_skipped_is_no_pass(statuses: str, status: ExitStatus) -> None:
    assert exit_status(statuses.split()) is status
    assert exit_status(statuses.split(), FailOn.never) is ExitStatus.PASS


@pytest.mark.parametrize(
    ("statuses", "on_fail", "on_error"),
    [
        ("", 3, 3),
        ("skipped", 3, 3),
        ("error", 3, 3),  # nothing was compared
        ("error skipped", 3, 3),
        ("pass error", 0, 3),
        ("fail error", 1, 3),
        ("fail pass", 1, 0),
        ("fail skipped", 1, 0),
        ("pass skipped", 0, 0),
    ],
)
def test_the_exit_status_tells_of_the_rows_that_are_asked_for(
    statuses: str, on_fail: int, on_error: int
) -> None:
    assert exit_status(statuses.split(), FailOn.fail) == on_fail
    assert exit_status(statuses.split(), FailOn.error) == on_error


def test_a_sweep_keeps_the_plainest_finding_of_each_row(tmp_path: Path) -> None:
    merged = _merged(tmp_path)
    assert [[one.check for one in each] for each in merged.findings] == 2 * [
        [one.check for one in each[:1]] for each in REPORT.findings
    ]
    assert merged.counts == {status: 2 * count for status, count in REPORT.counts.items()}


def test_a_report_of_a_job_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cmp_report.parquet"
    for content in (None, b"PAR1", b"nothing"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ReportError, match=r"of the job tokens=0 cannot be read from .*parquet"):
            merge_reports([("tokens=0", path)], Facts())
