"""The Chinese pages say what the English ones say, as far as they go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(
    path.name.removesuffix(".zh-CN.md")
    for path in DOCS.glob("*.zh-CN.md")
    if path.name != "index.zh-CN.md"
)


def _parts(name: str) -> tuple[list[Any], ...]:
    """The levels of the headings, the blocks of code, and of each table the number of its lines and
    what stands as code in its first column."""
    text = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```$", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.M)]
    tables = []
    for table in re.findall(r"(?:^\|.*\|\n)+", prose, re.M):
        lines = table.splitlines()
        firsts = {word for line in lines for word in re.findall(r"`([^`]+)`", line.split("|")[1])}
        tables.append((len(lines), firsts))
    return levels, blocks, tables


def test_the_pages_that_a_user_needs_most_are_there() -> None:
    needed = {"ci", "diagnosis", "dump", "mappings", "reports", "verdicts"}
    assert {*PAGES} >= needed | {"fingerprints", "isolate", "watch"}
    site = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in PAGES if f"{name}.zh-CN.md" not in site] == []


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_have_the_same_headings_commands_and_tables(name: str) -> None:
    for one, other in zip(_parts(f"{name}.md"), _parts(f"{name}.zh-CN.md"), strict=True):
        assert one[: len(other)] == other
        if len(one) > len(other):  # what is left to the English page is said
            assert "英文页" in (DOCS / f"{name}.zh-CN.md").read_text(encoding="utf-8")
