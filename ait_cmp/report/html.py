"""`cmp_report.html`: one file that opens offline, made to be sent to a colleague.

Its code and style are built by `scripts/build_page.sh` from `frontend/`, and lie in `page/` beside
this module. All that is of the report goes in as compressed data, so that no text of others ever
stands in the markup; the page's own policy lets nothing run but its own code, and nothing load.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from ait_cmp.report.page_data import language_of, page_data
from ait_cmp.report.report import Report

__all__ = ["page_of", "page_with", "write_html"]

_ASSETS = Path(__file__).parent / "page"


def write_html(report: Report, path: Path) -> None:
    """Write the page of `report`."""
    path.write_text(page_of(report, path.parent), encoding="utf-8")


def page_of(report: Report, folder: Path) -> str:
    """The page of `report`, as seen from `folder`, where its paths are to be relative."""
    counts = {status.value: count for status, count in report.counts.items() if count}
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return page_with(page_data(report, folder), language_of(report.facts.settings), told)


def page_with(data: bytes, language: str, told: str) -> str:
    """A page of what `packed_page` gave, that begins in this language and is called what is
    `told`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # a run seldom needs it

    script, style = ((_ASSETS / f"page.{kind}").read_text("utf-8") for kind in ("js", "css"))
    environment = Environment(
        loader=FileSystemLoader(_ASSETS), undefined=StrictUndefined, autoescape=True
    )
    return environment.get_template("page.html.j2").render(
        language="zh-CN" if language == "zh" else language,
        told=told,
        script=script,
        script_hash=_hash(script),
        style=style,
        style_hash=_hash(style),
        data=base64.b64encode(data).decode("ascii"),
        # For the rules that the table makes for its columns.
        nonce=hashlib.sha256(data).hexdigest(),
    )


def _hash(source: str) -> str:
    """As a content policy names a script."""
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii")
