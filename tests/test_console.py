"""What a person sees in the end: at any width, of any run, the name of the tensor first of all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ait_cmp import compare
from ait_cmp.engine.measured import Measured
from ait_cmp.judging.comparison import MetricChoice, Row, conclude
from ait_cmp.report import Facts, Report, make_report, merge_reports
from ait_cmp.report.console import _fitting, show_summary
from ait_cmp.report.table import write_parquet
from ait_cmp.settings.tolerances import load_tolerance
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

DTYPE = load_tolerance("dtype")
NAME = "model.layers.{}.self_attn.q_proj.out0"
SCREEN = 50  # lines of 80 columns
Show = Callable[[Report, int | None], str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """What is printed at a terminal of so many columns, or into a log."""

    def shown(report: Report, columns: int | None) -> str:
        if columns:
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("TERM", "xterm")
            monkeypatch.setenv("COLUMNS", str(columns))
        show_summary(report, [], 10)
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)

    return shown


def _row(number: int, reason: Reason | None = None, name: str = NAME) -> Row:
    here = Location.of(f"/dumps/{number}.bin")
    pair = Pair(name.format(number), number % 7, here, here, order=number, dump=f"{number % 40}_0")
    if reason:
        error = PairError(reason, "what is said of it, " * 20)
        return Row(
            pair._replace(error=error), conclude(Measured(error=error), DTYPE, MetricChoice())
        )
    comparison = compare(golden=torch.tensor([1.0, 2.0]), my=torch.tensor([1.0, -2.0 - number]))
    return Row(pair, comparison)


def _table(shown: str) -> list[list[str]]:
    """The cells of each line of the table."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in shown.splitlines()
        if line.startswith("│")
    ]


@pytest.mark.parametrize("columns", [60, 80, 200, None])
def test_names_are_whole_at_any_width(columns: int | None, show: Show) -> None:
    shown = show(make_report([_row(number) for number in range(3)], Facts()), columns)
    lines = _table(shown)
    assert [line[1] for line in lines] == [NAME.format(number) for number in (2, 1, 0)]
    assert all(len(line) >= 3 for line in lines)  # a number beside it
    widest = max(cell_len(line) for line in shown.splitlines() if line.startswith("│"))
    assert widest <= (columns or 160)
    assert shown.startswith("3 rows: 0 pass, 3 fail, 0 error")


@pytest.mark.parametrize("columns", [60, 80, 200, None])
def test_a_name_that_is_wider_than_the_terminal_is_folded(columns: int | None, show: Show) -> None:
    name = "·".join(["型号.layers.17.self_attn.q_proj"] * 8)
    lines = _table(show(make_report([_row(1, name=name)], Facts()), columns))
    assert "".join(line[1] for line in lines) == name


def test_one_row_is_no_rows(show: Show) -> None:
    shown = show(make_report([_row(0)], Facts()), None)
    assert shown.startswith("1 row: 0 pass, 1 fail, 0 error\n")
    assert "worst 1 of 1 row that does not pass" in shown


def test_faults_come_first_and_errors_in_groups(show: Show) -> None:
    kinds = [Reason.SHAPE_MISMATCH] * 5 + [Reason.BIN_TRUNCATED, None]
    shown = show(make_report([_row(*one) for one in enumerate(kinds)], Facts()), 80)
    assert _table(shown)[0][1] == NAME.format(6)
    told = [line for line in shown.splitlines() if line.startswith("not compared: ")]
    assert [line[:34] for line in told] == [
        "not compared: 5 SHAPE_MISMATCH; fi",
        "not compared: 1 BIN_TRUNCATED; tok",
    ]
    assert shown.index("worst 7 of 7") < shown.index(told[0])


def test_a_large_run_prints_no_more_than_a_screen(show: Show, tmp_path: Path) -> None:
    """Of every kind of line as many as there can be."""
    reasons = [None, *Reason]
    rows = [_row(number, reasons[number % len(reasons)]) for number in range(3000)]
    alone = PairError(Reason.MY_MISSING, "golden alone")
    for number in range(400):
        pair = Pair(f"m{number % 20}x/y.{number}", 0, Location.of("/g"), Location(()), error=alone)
        rows.append(Row(pair, conclude(Measured(error=alone), DTYPE, MetricChoice())))
    path = tmp_path / "cmp_report.parquet"
    write_parquet(make_report(rows, Facts()), path)
    report = merge_reports([(f"tokens={job}", path) for job in range(50)], Facts())
    shown = show(report, 80)
    assert sum(max(1, -(-cell_len(line) // 80)) for line in shown.splitlines()) <= SCREEN


@given(st.integers(20, 250), st.lists(st.integers(1, 200), min_size=1, max_size=5), st.booleans())
def test_a_table_is_as_wide_as_the_terminal_at_most(
    columns: int, names: list[int], job: bool
) -> None:
    lines = len(names)
    cells = {
        "data_id": ["n" * length for length in names],
        **({"job": ["j"] * lines} if job else {}),
    }
    for name, cell in (
        ("token_id", "7"),
        ("relative_euclidean_distance", "0.123456"),
        ("reason", "TOLERANCE"),
        ("worst_index", "[3, 0, 16]"),
        ("max_absolute_error", "3.22067"),
        ("cosine_similarity", "0.949851"),
        ("status", "fail"),
    ):
        cells[name] = [cell] * lines
    width, shown = _fitting(cells, columns)
    assert "data_id" in shown
    assert width >= 1
    taken = 1 + sum(
        3 + (width if name == "data_id" else max(map(len, cells[name]))) for name in shown
    )
    assert taken <= columns or shown == ["data_id"]
    if len(shown) > 3 + job:  # what is not always there takes no room from a name
        assert width == max(max(names), len("data_id"))


def test_whose_rows_they_are_is_told_of_a_sweep(show: Show, tmp_path: Path) -> None:
    row = _row(0)
    path = tmp_path / "cmp_report.parquet"
    write_parquet(make_report([replace(row, pair=row.pair._replace(data_id="q"))], Facts()), path)
    (cells,) = _table(show(merge_reports([("tokens=0", path)], Facts()), 60))
    assert cells[:3] == ["tokens=0", "0", "q"]
