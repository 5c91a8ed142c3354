"""Masks of attention that two builds write differently: one adds to the scores, the other chooses.

Eager attention adds 0 where a position is seen and the least number where it is not; fused
attention takes True and False. The sums of a pair tell exactly whether both mean the same.
"""

from __future__ import annotations

import math
import re

from ait_cmp.engine.stats import Side
from ait_cmp.judging.case import Case

__all__ = ["are_masks", "masks_agree"]

_LEAST = -1e3  # what is added is no more where a position is not seen
_SAME = 1e-9  # of a sum may be lost in adding
_OF_ATTENTION = re.compile(r"(?:attention|attn|causal)_?mask", re.IGNORECASE)


def are_masks(case: Case) -> bool:
    """Whether one side is bool, and the other 0 and below as what is added to scores is.

    One that hides nothing, as of a single token that sees all before it, is told by its name alone.
    """
    added, stats = _added(case), case.stats
    if added is None or stats.pairs < stats.elements:
        return False
    if added.minimum == added.maximum == 0:
        return _OF_ATTENTION.search(case.subject.data_id) is not None
    return added.maximum in (0, added.minimum) and added.minimum <= _LEAST


def masks_agree(case: Case) -> bool:
    """Whether two such masks let the same positions be seen.

    The added one has two values only, m and 0, where Σa² = mΣa; none of its m stands where the
    other is True where Σab = 0, and all others are True where as many are as are 0.
    """
    stats, added = case.stats, _added(case)
    if added is None:
        return False
    seen = stats.my.total if added is stats.golden else stats.golden.total
    if added.minimum == 0:
        return seen == stats.elements
    squares = stats.golden_squares if added is stats.golden else stats.my_squares
    least = math.ldexp(added.minimum, -added.exponent)
    hidden = round(added.total / least)
    two_valued = math.isclose(squares, least * added.total, rel_tol=_SAME)
    return two_valued and stats.products == 0 and seen + hidden == stats.elements


def _added(case: Case) -> Side | None:
    golden, my = case.subject.golden, case.subject.my
    if golden.is_floating and my.name == "bool":
        return case.stats.golden
    if my.is_floating and golden.name == "bool":
        return case.stats.my
    return None
