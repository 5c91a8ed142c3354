"""docs/reasons.md lists every reason once, under its status, with a way out."""

from __future__ import annotations

import re
from pathlib import Path

from ait_cmp.values.errors import SKIPPED, Reason

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reasons.md"
_SECTION = re.compile(r"^## `(\w+)`.*?$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
FAILS = {Reason.TOLERANCE, Reason.NONFINITE, Reason.REPLICAS_DIFFER}
WEAK = {Reason.STATISTICS_ONLY, Reason.NEAR_TIE}


def _listed() -> list[tuple[str, str]]:
    """Every row of the page: its section's status, and its code."""
    sections = _SECTION.findall(PAGE.read_text(encoding="utf-8"))
    return [(status, row[0]) for status, text in sections for row in _ROW.findall(text)]


def _status(reason: Reason) -> str:
    if reason in SKIPPED:
        return "skipped"
    return "fail" if reason in FAILS else "pass" if reason in WEAK else "error"


def test_the_page_lists_every_reason_once_in_order_under_its_status() -> None:
    assert _listed() == [(_status(reason), reason.value) for reason in Reason], (
        "give each reason of values/errors.py its row in docs/reasons.md, with its way out"
    )


def test_both_readmes_lead_to_the_page() -> None:
    for name in ("README.md", "README.zh-CN.md"):
        assert "(docs/reasons.md)" in (ROOT / name).read_text(encoding="utf-8")
