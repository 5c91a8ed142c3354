"""`cmp_diff.html`: the page of two runs side by side, on the machinery of `cmp_report.html`."""

from __future__ import annotations

from collections.abc import Mapping

from ait_cmp.report.difference import SIDES, Difference
from ait_cmp.report.html import page_with
from ait_cmp.report.page_data import MOST, language_of, packed_page, readable
from ait_cmp.values.text import printable

__all__ = ["difference_page"]


def difference_page(difference: Difference, told: Mapping[str, str]) -> str:
    """The page; `told` names the two sides, where that is known."""
    changed = difference.to_polars()
    table = changed.head(MOST)
    language = language_of({})
    header = {
        "kind": "difference",
        "rows": len(table),
        "all_rows": len(changed),
        "compared": len(difference.table),
        "language": language,
        "regressed": difference.regressed,
        "ambiguous": difference.ambiguous,
        "counts": dict(difference.counts),
        "tolerances": difference.tolerances and [*map(printable, difference.tolerances)],
        "divergences": [],
        "ranked": [],
        **{side: printable(told[side]) for side in SIDES if side in told},
    }
    data = packed_page(header, [readable(column) for column in table], exact=True)
    return page_with(data, language, difference.told)
