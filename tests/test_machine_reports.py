"""The reports that programs read: valid, bounded, and nothing of what rows are called runs."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ait_cmp.__main__ import main
from ait_cmp.judging import Status
from ait_cmp.report import Facts, Report, as_json, file_name, junit, make_report, xlsx
from ait_cmp.report.as_json import write_json
from ait_cmp.report.junit import write_junit
from ait_cmp.report.markdown import as_code, as_markdown, as_text
from ait_cmp.report.xlsx import write_xlsx
from tests.conftest import Dump
from tests.test_reports import EMPTY, REPORT, _merged, _row

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "cmp_report.schema.json").read_text())
HOSTILE = st.text(st.sampled_from("a1_*`|<>[]()!#&@$~\\:/\n\r\t\x00\x1b‮=+-\"'.~ ｗ数"), max_size=30)
PASSING = make_report([_row(0, [1.0, 2.0], [1.0, 2.0])], Facts())


def _json(report: Report, folder: Path) -> dict[str, Any]:
    write_json(report, folder / "report.json")
    read = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(read, SCHEMA)
    return dict(read)


def _junit(report: Report, folder: Path) -> ElementTree.Element:
    write_junit(report, folder / "report.xml")
    return ElementTree.parse(folder / "report.xml").getroot()


def _rendered(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


# -- JSON


def test_the_json_is_as_its_schema_says(tmp_path: Path) -> None:
    read = _json(REPORT, tmp_path)
    assert read["verdict"] == "fail"
    assert read["summary"]["counts"] == {"pass": 1, "fail": 4, "error": 1, "skipped": 2}
    assert [one["row"] for one in read["divergences"]] == list(REPORT.divergences)
    assert {one["row"] for one in read["rows"]} == {1, 2, 3, 5, 6}
    assert read["rows"][0]["relative_euclidean_distance"] == "inf"
    assert _json(EMPTY, tmp_path)["verdict"] == "nothing"
    assert _json(_merged(tmp_path), tmp_path)["rows"][0]["job"] in ("tokens=0", "=job")
    assert _json(PASSING, tmp_path)["answer"] == "the row passes"


def test_all_that_the_clock_says_stands_apart(tmp_path: Path) -> None:
    facts = Facts(settings={"tokens": "7"}, versions={"ait_cmp": "1"}, seconds=2.5)
    one, two = (_json(make_report([_row(3)], each), tmp_path) for each in (facts, Facts()))
    assert one.pop("run") != two.pop("run")
    assert (one.pop("settings"), one.pop("versions")) == ({"tokens": "7"}, {"ait_cmp": "1"})
    assert one == {key: value for key, value in two.items() if key in one}


def test_a_large_report_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_json, "_ROWS", 2)
    monkeypatch.setattr(junit, "_PASSING", 0)
    monkeypatch.setattr(xlsx, "_ROWS", 7)
    read = _json(REPORT, tmp_path)
    assert (len(read["rows"]), read["rows_left_out"], read["divergences_left_out"]) == (2, 3, 2)
    cases = [case.get("name") for case in _junit(REPORT, tmp_path).iter("testcase")]
    assert (len(cases), cases[-1]) == (8, "1 row that pass")
    write_xlsx(REPORT, tmp_path / "report.xlsx")
    book = openpyxl.load_workbook(tmp_path / "report.xlsx")
    assert book["rows"].max_row == 8
    assert "left out" in [cell.value for cell in book["summary"]["A"]]


# -- JUnit


def test_every_row_is_a_case(tmp_path: Path) -> None:
    suites = _junit(REPORT, tmp_path)
    (suite,) = suites
    for one in (suites, suite):
        counts = [one.get(name) for name in ("tests", "failures", "errors", "skipped")]
        assert counts == ["8", "4", "1", "2"]
    found = [[child.tag for child in case] for case in suite.iter("testcase")]
    assert found.count(["failure"]) == 4
    assert found[1] == ["error"]
    (error,) = suite.iter("error")
    assert (error.get("type"), error.get("message")) == (
        "MY_MISSING",
        "没有 my: 缺少; dump it again",
    )
    assert "golden_data_path: /数据/1.bin" in (error.text or "")


@given(HOSTILE, HOSTILE)
def test_no_name_breaks_the_xml(name: str, value: str) -> None:
    read = ElementTree.fromstring(f"<a b={junit._quoted(name)}>{junit._text(value)}</a>")
    assert read.tag == "a"
    assert not list(read)


# -- Markdown


def test_the_markdown_says_where_it_goes_wrong() -> None:
    html = _rendered(as_markdown(REPORT))
    assert html.startswith("<h2>❌ ait_cmp: 4 of 8 rows fail; 1 row could not be compared; 2 rows ")
    assert html.count("<table>") == 2
    assert "<details>" not in html
    assert _rendered(as_markdown(EMPTY)).startswith("<h2>⚠️ ait_cmp: nothing was compared: 0 rows")


@given(HOSTILE)
def test_no_name_is_more_than_text(name: str) -> None:
    html = _rendered(f"| row | x |\n|---|---|\n| {as_code(name)} | {as_text(name)} |\n\nend")
    assert set(re.findall(r"</?([a-z]+)", html)) <= {
        *("table", "thead", "tbody", "tr", "th", "td", "code", "p")
    }
    assert html.count("<td>") == 2
    assert "://" not in as_text(name)
    assert "@" not in as_text(name)


def test_the_step_summary_gets_it_when_ci_says_so(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "step.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    dump = make_dump()
    assert main([f"golden_path={dump}", "output=out"]) == 0
    assert summary.read_text().startswith("before\n## ✅ ait_cmp: all 6 rows pass\n")
    assert main([f"golden_path={dump}", "output=out2", "-m", "tokens=0,1"]) == 0
    assert summary.read_text().count("## ✅") == 2  # of a sweep once


def test_a_step_summary_that_cannot_be_written_changes_nothing(
    make_dump: Dump,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert main([f"golden_path={make_dump()}", "output=out"]) == 0
    assert "GITHUB_STEP_SUMMARY" in capfd.readouterr().err


# -- the spreadsheet


def test_a_spreadsheet_runs_nothing_and_can_be_filtered(tmp_path: Path) -> None:
    path = tmp_path / file_name("xlsx")
    write_xlsx(_merged(tmp_path), path)
    with zipfile.ZipFile(path) as parts:
        sheets = [parts.read(name) for name in parts.namelist() if "worksheets/sheet" in name]
        assert not any(b"<f>" in sheet or b"hyperlink" in sheet for sheet in sheets)
    book = openpyxl.load_workbook(path)
    sheet = book["rows"]
    kinds = {cell.data_type for line in sheet.iter_rows() for cell in line}
    assert kinds <= {"s", "n"}
    assert (sheet.freeze_panes, sheet.auto_filter.ref is not None) == ("D2", True)
    (runs,) = {cell.quotePrefix for cell in sheet["A"] if cell.value == "=job"}
    assert runs
    status = next(cell for cell in sheet[1] if cell.value == "status").column_letter
    ruled = [str(one.sqref) for one in sheet.conditional_formatting]
    assert f"{status}2:{status}17" in ruled
    cosine = next(cell for cell in sheet[1] if cell.value == "cosine_similarity").column_letter
    assert sheet[f"{cosine}2"].number_format.startswith("[>0.99995]0.000000000000000;")
    assert book["summary"]["B1"].value == _answer(tmp_path)


def _answer(folder: Path) -> str:
    """That of a sweep, whose folders are there already."""
    parquet = pl.read_parquet(folder / "jobs" / "0" / "cmp_report.parquet")
    failing = 2 * len(parquet.filter(pl.col("status") == Status.FAIL.value))
    said = (
        f"{failing} of 16 rows fail; 2 rows could not be compared; 4 rows skipped; it goes wrong "
    )
    book = openpyxl.load_workbook(folder / file_name("xlsx"))
    answer = str(book["summary"]["B1"].value)
    assert answer.startswith(said)
    return answer


def test_all_formats_are_written_together(make_dump: Dump) -> None:
    names = "[csv,parquet,json,junit,md,xlsx]"
    assert main([f"golden_path={make_dump()}", "output=out", f"report.formats={names}"]) == 0
    written = {path.name for path in Path("out").glob("cmp_report.*")}
    suffixes = ("csv", "parquet", "json", "junit.xml", "md", "xlsx", "run", "stats")
    assert written == {f"cmp_report.{one}" for one in suffixes}
    read = json.loads(Path("out/cmp_report.json").read_text())
    jsonschema.validate(read, SCHEMA)
    assert read["settings"]["report.formats"] == json.dumps(names.strip("[]").split(","))
    assert set(read["versions"]) >= {"ait_cmp", "torch", "numpy"}
