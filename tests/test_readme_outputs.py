"""The check of the outputs that the docs print; scripts/check.sh runs it on the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from readme_outputs import alike, blocks, mended

TABLE = ["3 rows", "┏━━━┓", "│ a │ 1.5 │", "│ b │ 2.5 │", "│ c │ 3.5 │", "└───┘", "report: r"]
SHORT = ["3 rows", "┏━━━┓", "│ a │ 1.5 │", "│ … │     │", "└───┘", "report: r"]


def test_finds_commands_and_statements_with_what_they_print(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "```\n$ a b\n1\n2\n$ c\n```\n```yaml\nx: 1\n```\n```python\n>>> 1 + 1\n2\n```\n"
    )
    shell, session = blocks(path)
    assert [(step.command, step.printed) for step in shell.steps] == [
        ("a b", ("1", "2")),
        ("c", ()),
    ]
    assert [(step.command, step.printed) for step in session.steps] == [("1 + 1\n", ("2",))]
    assert (session.steps[0].first, session.steps[0].last) == (11, 12)  # counted from 0


@pytest.mark.parametrize(
    ("printed", "fresh", "same"),
    [
        (["616 rows: 612 pass"], ["616 rows: 600 pass"], False),  # counts are exact
        (["to 31.67% of golden"], ["to 31.71% of golden"], True),
        (["to 31.67% of golden"], ["to 33.00% of golden"], False),
        (["in /a/-1_11149"], ["in /a/-1_200"], True),
        (["one", "…"], ["one", "two", "three"], True),
        (["one", "…", "three"], ["one", "two"], False),
        (["one"], ["one", "two"], False),
        (SHORT, TABLE, True),
        (SHORT, [*TABLE[:-1], "report: s"], False),
    ],
)
def test_what_is_stale(printed: list[str], fresh: list[str], same: bool) -> None:
    assert alike(printed, fresh) == same


def test_mends_what_is_printed_and_keeps_what_is_left_out() -> None:
    assert mended(["2 rows", *SHORT[1:]], TABLE) == SHORT
    assert mended(["old"], ["new", "newer"]) == ["new", "newer"]
