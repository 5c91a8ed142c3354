"""The page: what it holds of a report, and what it may do. How it behaves: tests_browser/."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from ait_cmp.__main__ import main
from ait_cmp.engine import looks
from ait_cmp.judging import Status
from ait_cmp.report import Facts, Report, merge_reports, page_data, write_report
from ait_cmp.report.columns import COLUMNS
from ait_cmp.report.html import page_of
from ait_cmp.report.packed import pack_column
from ait_cmp.report.page_data import language_of
from tests.conftest import Dump
from tests.page import Page, read_page

ROOT = Path(__file__).parent.parent
PAGE = Path(page_data.__file__).parent / "page"


def _report(
    folder: Path, settings: Mapping[str, str] | None = None, **cells: Sequence[object]
) -> Report:
    """A report of rows with these cells."""
    rows = len(next(iter(cells.values())))
    given = {"status": ["pass"] * rows, "dump": ["7_0"] * rows, "order": [*range(rows)]} | cells
    columns = [pl.Series(n, given.get(n, [None] * rows), one.dtype) for n, one in COLUMNS.items()]
    pl.DataFrame(columns).write_parquet(folder / "cmp_report.parquet")
    facts = Facts(settings=settings or {})
    return merge_reports([("", folder / "cmp_report.parquet")], facts)


def _page(report: Report, folder: Path) -> Page:
    (path,) = write_report(report, folder, ["html"])
    return read_page(path)


def test_its_policy_names_its_own_code_and_style_and_nothing_else(tmp_path: Path) -> None:
    text = page_of(_report(tmp_path, data_id=["a"]), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind, tag in (("js", "script"), ("css", "style")):
        source = (PAGE / f"page.{kind}").read_bytes()
        digest = base64.b64encode(hashlib.sha256(source).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"(?:src|href)=[\"'][^\"']", text.split("<style>")[0])


def test_its_code_is_built_of_the_sources_that_lie_here() -> None:
    """Else scripts/build_page.sh was forgotten."""
    folder = ROOT / "frontend"
    files = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".mjs", ".js", ".css", ".json")
        and path.relative_to(folder).parts[0] != "node_modules"
    ]
    digest = hashlib.sha256(b"".join((folder / path).read_bytes() for path in sorted(files)))
    first = (PAGE / "page.js").read_text(encoding="utf-8").partition("\n")[0]
    assert first == f"// built of frontend/ {digest.hexdigest()}"


def test_the_licence_of_everything_that_is_built_in_is_shipped() -> None:
    licences = (PAGE / "LICENSES.txt").read_text(encoding="utf-8")
    for name in ("echarts", "slickgrid", "zrender", "tslib"):
        assert re.search(
            rf"^{name} \d+\.\d+\.\d+ \((Apache-2\.0|MIT|BSD-3-Clause|0BSD)\)$", licences, re.M
        )


def test_of_too_many_rows_it_holds_the_failing_and_the_worst_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "MOST", 20)
    status = ["fail" if row in (13, 77) else "pass" for row in range(100)]
    report = _report(
        tmp_path,
        data_id=[f"x{row}" for row in range(100)],
        status=status,
        relative_euclidean_distance=[float(row % 10) for row in range(100)],
    )
    page = _page(report, tmp_path / "out")
    held = dict(zip(page.table["data_id"], page.table["stands_for"], strict=True))
    assert len(held) <= 20
    assert (held["x13"], held["x77"]) == (1, 1)
    assert sum(held.values()) == page.said["all_rows"] == 100
    assert page.said["counts"]["fail"] == 2
    passing = page.table.filter(pl.col("status") == "pass")
    assert passing["relative_euclidean_distance"].min() == 9.0  # the worst of every ten
    assert page.table["step"].to_list() == [int(name[1:]) + 1 for name in held]


def test_paths_may_be_as_seen_from_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    golden = str(tmp_path / "dump" / "0" / "a.pth")
    cells = {"data_id": ["a"], "golden_data_path": [golden], "my_data_path": [""]}
    cells["cmp_fail_reason"] = [f"{golden} is wrong"]
    settings = {"golden_path": str(tmp_path / "dump"), "my_path": "null"}
    for kind, path, root in (
        ("absolute", golden, settings["golden_path"]),
        ("relative", "../dump/0/a.pth", "../dump"),
    ):
        page = _page(_report(tmp_path, {**settings, "report.paths": kind}, **cells), folder)
        assert page.table["golden_data_path"].to_list() == [path]
        assert page.table["my_data_path"].to_list() == [""]
        assert page.table["cmp_fail_reason"].to_list() == [f"{path} is wrong"]
        assert (page.said["settings"]["golden_path"], page.said["settings"]["my_path"]) == (
            root,
            "null",
        )


@pytest.mark.parametrize(
    ("told", "locale", "language"),
    [
        ("auto", "zh_CN.UTF-8", "zh"),
        ("auto", "en_US.UTF-8", "en"),
        ("auto", "C", "en"),
        ("en", "zh_CN.UTF-8", "en"),
        ("zh", "C", "zh"),
    ],
)
def test_it_begins_in_the_language_that_is_set_or_of_the_locale(
    told: str, locale: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert language_of({"report.language": told}) == language


def test_what_is_written_of_a_run_depends_on_whether_rows_fail(tmp_path: Path) -> None:
    for status, names in (
        ("fail", {"csv", "parquet", "html"}),
        ("pass", {"csv", "parquet"}),  # and the page of the run before is gone
        ("error", {"csv", "parquet"}),
    ):
        (folder := tmp_path / "out").mkdir(exist_ok=True)
        report = _report(tmp_path, data_id=["a"], status=[status])
        assert report.counts[Status(status)] == 1
        write_report(report, folder, None)
        assert {path.suffix[1:] for path in folder.iterdir()} == names


def _details(folder: Path) -> dict[str, dict[str, Any]]:
    """The details of the page in `folder`, by the names of their rows."""
    page = read_page(folder / "cmp_report.html")
    names = page.table["data_id"], page.table["token_id"]
    return {
        f"{names[1][int(row)]} {names[0][int(row)]}": one
        for row, one in page.said["details"].items()
    }


def test_the_worst_rows_are_looked_at_closely(
    make_dump: Dump, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: dict[tuple[int, int], torch.Tensor | None] = {
        (0, 1): torch.zeros(4, 6), (1, 1): torch.ones(4, 6), (1, 2): None,
    }  # fmt: skip
    arguments = [f"golden_path={make_dump(wrong=wrong)}", "output=out"]
    assert main(arguments) == 3
    assert _details(tmp_path / "out").keys() == {"0 layer1.q", "1 layer1.q"}
    assert _details(tmp_path / "out")["0 layer1.q"]["elements"] == 24
    # What was looked at once is kept, and not read again.
    monkeypatch.setitem(looks.LOOKS, "detail", lambda *_: pytest.fail("it is read again"))
    assert main([*arguments, "report.details=1"]) == 3
    assert len(_details(tmp_path / "out")) == 1
    assert main([*arguments, "report.details=0"]) == 3
    assert not _details(tmp_path / "out")
    assert main([*arguments, "report.details=-1"]) == 2


def test_a_merged_page_has_the_details_of_its_jobs(make_dump: Dump, tmp_path: Path) -> None:
    wrong: dict[tuple[int, int], torch.Tensor | None] = {
        (token, 1): torch.zeros(4, 6) for token in (0, 1)
    }
    dump = make_dump(wrong=wrong)
    assert main(["-m", f"golden_path={dump}", "output=out", "tokens=0,1"]) == 1
    assert _details(tmp_path / "out").keys() == {"0 layer1.q", "1 layer1.q"}
    assert not (tmp_path / "out" / "jobs" / "0" / "cmp_report.html").exists()


def test_numbers_of_many_rows_are_rounded_but_almost_never_reads_as_all() -> None:
    for values, planes in (
        ([0.1, 1 / 3, 1e300], 4),
        ([0.5, 1 - 2**-50], 8),
        ([0.0, 3.0, math.inf, None], 4),
    ):
        said, _ = pack_column("x", pl.Series("x", values, pl.Float64), exact=False)
        assert said["planes"] == planes
    said, _ = pack_column("x", pl.Series("x", [2**40 + 1], pl.Int64), exact=False)
    assert said["planes"] == 8
