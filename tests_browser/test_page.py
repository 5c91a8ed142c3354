"""What a person does with the page, done in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from tests_browser.conftest import Open
from tests_browser.reports import HOSTILE, drawn, run, written

FAULT = "#data_id=layer2.q&token=3"


def _rows(page: Page) -> int:
    """How many rows the table has."""
    said = page.locator("#rows [role=status]").inner_text()
    return int(re.sub(r"\D", "", said.split(" of ")[0]))


def _cells(page: Page, column: int) -> list[str]:
    """The first cells of a column, from above."""
    rows = page.locator(".slick-row").all()
    rows.sort(key=lambda row: (row.bounding_box() or {"y": 0})["y"])
    return [row.locator(".slick-cell").nth(column).inner_text() for row in rows[:6]]


def _search(page: Page, text: str) -> None:
    page.locator(".query").fill(text)


def test_the_answer_says_where_it_went_wrong_first(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    expect(page.locator("h1")).to_have_text(re.compile(r"\d+ of 240 rows fail\."))
    first = page.locator(".divergences li").first
    expect(first).to_contain_text("It goes wrong first in token 3 layer2.q: the error jumps")
    expect(page.locator("#answer")).to_contain_text(str(quick.parents[1] / "golden" / "ait_dump"))
    expect(page.locator(".compared")).to_contain_text("ait_cmp 0.")
    diagnosis = "my is golden with its rotary embedding 1 position too far"
    expect(first.locator(".diagnosis")).to_contain_text(diagnosis)
    expect(page.locator("#answer").get_by_text(diagnosis)).to_have_count(5)


def test_the_tree_shows_the_way_to_the_fault_and_leads_to_its_rows(
    quick: Path, open_page: Open
) -> None:
    page = open_page(quick)
    tree = page.locator("#tree")
    expect(tree.locator(".node", has_text="layer2").locator(".node-failing")).to_be_visible()
    tree.get_by_text("q", exact=True).click()
    assert _rows(page) == 8
    expect(page.locator("#detail h2")).to_have_text("token 3 layer2.q")
    tree.locator(".node", has_text="layer2").locator(".turn").click()
    expect(tree.get_by_text("q", exact=True)).to_have_count(0)
    tree.locator("input").fill("atten")
    expect(tree.get_by_text("attention", exact=True)).to_have_count(4)


def test_the_tree_works_by_keyboard(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    page.locator(".tree").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert "in%3A" in page.url
    assert 0 < _rows(page) < 240


def test_a_click_on_the_map_shows_the_row(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    box = page.locator("canvas.map").bounding_box()
    assert box
    # 30 names and 8 tokens; layer2.q is the 17th name. Margins as in heatmap.js.
    cell = (box["width"] - 92 - 16) / 30, (box["height"] - 6 - 96) / 8
    page.mouse.move(x := box["x"] + 92 + 16.5 * cell[0], y := box["y"] + 6 + 3.5 * cell[1])
    expect(page.locator(".tip")).to_contain_text("token 3 layer2.q")
    page.mouse.click(x, y)
    expect(page.locator("#detail h2")).to_have_text("token 3 layer2.q")
    expect(page.locator(".slick-row.chosen")).to_contain_text("layer2.q")
    page.locator("canvas.map").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#detail h2")).to_have_text("token 4 layer2.q")


def _painted(page: Page) -> str:
    return str(page.evaluate("document.querySelector('canvas.map').toDataURL()"))


def test_the_map_shows_another_metric_and_a_part(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    whole = _painted(page)
    page.locator("#metric").select_option("cosine_similarity")
    page.wait_for_timeout(100)
    assert (cosine := _painted(page)) != whole
    page.locator("canvas.map").focus()
    page.keyboard.press("+")
    page.wait_for_timeout(100)
    assert _painted(page) != cosine
    page.get_by_role("button", name="show all").click()
    page.wait_for_timeout(100)
    assert _painted(page) == cosine


def test_rows_are_found_by_words_metrics_and_modules(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    for query, rows in (
        ("layer2.q", 8),
        ("in:layer2", 56),
        ("in:layer2 token=3", 7),
        ("-in:layer2", 184),
        ("relative_euclidean_distance > 0.2", 5),
        ("status:fail token>=4 relative_euclidean_distance>0.2", 4),
        ("nosuchname", 0),
        ("", 240),
    ):
        _search(page, query)
        assert _rows(page) == rows, query
    _search(page, "nosuchmetric > 1")
    expect(page.locator(".query.wrong")).to_have_attribute("title", re.compile("nosuchmetric"))


def test_rows_are_sorted_both_ways(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    head = page.locator(".slick-header-column", has_text="relative distance")
    head.click()
    up = [float(one) for one in _cells(page, 4)]
    head.click()
    down = [float(one) for one in _cells(page, 4)]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert up[-1] < down[-1]


def test_columns_come_and_go(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    head = page.locator(".slick-header-column", has_text="KL divergence")
    expect(head).to_have_count(0)
    page.locator(".columns summary").click()
    page.get_by_role("checkbox", name="KL divergence").check()
    expect(head).to_have_count(1)
    page.get_by_role("checkbox", name="KL divergence").uncheck()
    expect(head).to_have_count(0)


def test_the_copied_command_compares_just_that_pair(quick: Path, open_page: Open) -> None:
    page = open_page(quick, address=FAULT)
    page.get_by_role("button", name="copy command").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("python -m ait_cmp golden_path=")
    done = subprocess.run(
        command.replace("python", sys.executable, 1) + f" output={quick.parent / 'again'}",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("1 row"), done.stderr


def test_a_link_shows_the_same_row_query_and_metric(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    page.locator("#metric").select_option("max_absolute_error")
    _search(page, "layer2")
    page.locator(".divergences .link").first.click()
    address = page.url.split("#")[1]
    again = open_page(quick, address=f"#{address}")
    expect(again.locator("#detail h2")).to_have_text("token 3 layer2.q")
    assert again.locator("#metric").input_value() == "max_absolute_error"
    assert _rows(again) == 56
    again.keyboard.press("Escape")
    expect(again.locator("#detail")).to_be_hidden()
    assert "data_id" not in again.url


def test_the_worst_rows_are_shown_in_detail(quick: Path, open_page: Open) -> None:
    page = open_page(quick, address=FAULT)
    figures = page.locator("#detail figure")
    expect(figures).to_have_count(5)  # sizes, my against golden, image, two dimensions that tell
    blank = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.every((p) => !p)"
    for canvas in figures.locator("canvas").all():
        assert not canvas.evaluate(blank)
    worst = page.locator(".worst tbody tr")
    expect(worst).to_have_count(10)
    expect(worst.first).to_contain_text("[3, 0, 16]")  # as the answer says
    expect(page.locator("#answer")).to_contain_text("worst element [3, 0, 16]")
    page.locator("#detail canvas").nth(2).hover(position={"x": 60, "y": 20})
    expect(page.locator(".tip")).to_contain_text("row 0, column")


def test_the_next_fault_is_a_key_away(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    page.keyboard.press("n")
    first = page.locator("#detail h2").inner_text()
    page.keyboard.press("n")
    assert page.locator("#detail h2").inner_text() != first
    page.keyboard.press("p")
    expect(page.locator("#detail h2")).to_have_text(first)


def test_names_of_others_are_text_and_nothing_else(tmp_path: Path, open_page: Open) -> None:
    path, _ = written(drawn(2, len(HOSTILE), ids=HOSTILE), tmp_path)
    page = open_page(path)
    assert page.title().startswith("ait_cmp: ")
    shown = page.locator("#page").inner_text()
    assert HOSTILE[0] in shown
    assert "\\u202egnp.exe" in shown  # which would turn the letters round
    assert page.locator("#page img, #page svg").count() == 0
    for _ in range(2 * len(HOSTILE)):
        page.keyboard.press("n")
    _search(page, '"in:model status:fail > 3"')
    assert _rows(page) == 2
    assert page.title().startswith("ait_cmp: ")


def test_its_policy_lets_nothing_else_run(quick: Path, open_page: Open, tmp_path: Path) -> None:
    text = quick.read_text(encoding="utf-8")
    bad = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    (changed := tmp_path / "changed.html").write_text(
        text.replace("<noscript>", f"{bad}<noscript>")
    )
    # The browser says in its console what it refused: a page of our own would not be watched so.
    page = open_page(quick).context.new_page()
    page.goto(changed.as_uri())
    expect(page.locator("html[data-ready]")).to_have_count(1)
    assert page.title().startswith("ait_cmp")


def test_dark_and_light(quick: Path, open_page: Open) -> None:
    page = open_page(quick, dark=True)
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.get_by_role("button", name="light or dark").click()
    assert page.evaluate(back) != dark
    assert "theme=light" in page.url
    page.pdf()  # on paper


def test_in_chinese(quick: Path, open_page: Open) -> None:
    page = open_page(quick)
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html[data-ready]")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("h1")).to_have_text(re.compile(r"240 行中有 \d+ 行失败。"))
    assert "language=zh" in page.url
    golden = quick.parents[1] / "golden" / "ait_dump"
    folder = quick.parent / "zh"
    done = run("-m", "ait_cmp", f"golden_path={golden}", f"output={folder}", "report.language=zh")
    assert done.returncode == 1
    expect(open_page(folder / quick.name).locator("#tree h2")).to_have_text("模型")


def test_ranks_say_which_fails_and_where_first(tmp_path: Path, open_page: Open) -> None:
    path, _ = written(drawn(4, 30, ranks=2), tmp_path)
    rows = open_page(path).locator("#ranks tbody tr")
    expect(rows.nth(0)).to_have_text(re.compile(r"^0.*1200"))
    expect(rows.nth(1)).to_contain_text("token 2 model.layers.1.mlp")


def test_it_fits_a_narrow_screen(quick: Path, open_page: Open) -> None:
    page = open_page(quick, width=1000, address=FAULT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
