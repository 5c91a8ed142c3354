"""The page of two runs side by side."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import expect

from ait_cmp.report.difference import compare_reports
from tests_browser.conftest import Open
from tests_browser.reports import HOSTILE, drawn

NAMES = (*HOSTILE, *(f"layer{number}.q" for number in range(91)))
FIRST, LAST = "layer0.q", "layer90.q"


@pytest.fixture
def difference(tmp_path: Path) -> Path:
    """Names that try to be markup break, the first layer is mended, the last one is gone."""
    base = drawn(2, len(NAMES), ids=NAMES).with_columns(
        status=pl.lit("pass"), reason=pl.lit(None, pl.String)
    )
    base = base.with_columns(status=pl.when(data_id=FIRST).then(pl.lit("fail")).otherwise("status"))
    new = base.filter(pl.col("data_id") != LAST).with_columns(
        status=pl.when(pl.col("data_id").is_in(HOSTILE))
        .then(pl.lit("fail"))
        .otherwise(pl.lit("pass")),
        cmp_fail_reason=pl.col("data_id"),
    )
    tolerances = [[{"name": name, "nonfinite": name}] for name in ("dtype", "<b>own</b>")]
    found = compare_reports(base, new, tolerances=tolerances)
    found.write(tmp_path, {"base": "<b>old</b>", "new": "newer"})
    return tmp_path / "cmp_diff.html"


def test_it_says_what_broke_and_finds_it(difference: Path, open_page: Open) -> None:
    page = open_page(difference)
    broken, bad = 2 * len(HOSTILE), 2 * len(HOSTILE) + 2
    expect(page.locator("h1")).to_have_text(f"Regressed: {bad} of {2 * len(NAMES)} rows.")
    expect(page.locator(".compared")).to_contain_text("<b>old</b>")
    expect(page.locator(".remarks")).to_contain_text("tolerance dtype, new by <b>own</b>: rows may")
    found = page.locator("#rows [role=status]")
    expect(found).to_have_text(f"{bad + 2} rows")
    page.locator(".chip", has_text="broken").click()
    expect(found).to_have_text(f"{broken} of {bad + 2} rows")
    page.locator(".chip", has_text="fixed").click()
    expect(found).to_have_text(f"2 of {bad + 2} rows")
    page.locator(".slick-row").first.locator(".slick-cell").nth(2).click()
    expect(page.locator("#detail h2")).to_have_text(re.compile(rf"token \d {FIRST}"))
    expect(page.locator("#detail")).to_contain_text("did not pass, and passes")
    page.locator(".query").fill("error_ratio > 2")
    expect(found).to_have_text(f"0 of {bad + 2} rows")
    page.locator(".query").fill("onerror")
    expect(found).to_have_text(f"2 of {bad + 2} rows")
    assert "owned" not in page.title()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_contain_text("出现退化")
    expect(page.locator(".chip", has_text="变坏")).to_be_visible()


def test_two_runs_that_are_alike(tmp_path: Path, open_page: Open) -> None:
    table = drawn(1, 9, ids=NAMES[:9])
    compare_reports(table, table).write(tmp_path)
    page = open_page(tmp_path / "cmp_diff.html", dark=True)
    expect(page.locator("h1")).to_have_text("All 9 rows are as they were.")
