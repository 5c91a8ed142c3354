"""Masks of attention that two builds write differently: one adds to the scores, the other chooses.

Eager attention adds 0 where a position is seen and the least number where it is not; fused
attention takes True and False. The sums of a pair tell exactly whether both mean the same.
"""

from __future__ import annotations

import math
import re

from ait_cmp.engine.stats import Side, Stats
from ait_cmp.judging.case import Case

__all__ = ["masks_agree", "masks_are_untold"]

_LEAST = -1e3  # what is added is no more where a position is not seen
_SAME = 1e-9  # of a sum may be lost in adding
_OF_ATTENTION = re.compile(r"(?:attention|attn|causal)_?mask", re.IGNORECASE)


def masks_agree(case: Case) -> bool | None:
    """Whether two such masks let the same positions be seen; None where these are no two such.

    The added one has two values only, m and 0, where Σa² = mΣa; none of its m stands where the
    other is True where Σab = 0, and all others are True where as many are as are 0.
    """
    stats, added = case.stats, _added(case)
    if added is None:
        return None
    if added.minimum == 0 or stats.equal < 0:
        return _hide_as_many(stats, added)
    squares = stats.golden_squares if added is stats.golden else stats.my_squares
    least = math.ldexp(added.minimum, -added.exponent)
    two_valued = math.isclose(squares, least * added.total, rel_tol=_SAME)
    return two_valued and stats.products == 0 and _hide_as_many(stats, added)


def masks_are_untold(case: Case) -> bool:
    """Whether these are two such masks, and hide as many positions, but nothing says which: of
    fingerprints no two are held together."""
    stats, added = case.stats, _added(case)
    if added is None or added.minimum == 0 or stats.equal >= 0:
        return False
    return _hide_as_many(stats, added)


def _hide_as_many(stats: Stats, added: Side) -> bool:
    seen = stats.my.total if added is stats.golden else stats.golden.total
    least = math.ldexp(added.minimum, -added.exponent)
    hidden = round(added.total / least) if least else 0
    return seen + hidden == stats.elements


def _added(case: Case) -> Side | None:
    """The side that is added, where it is 0 and below as what is added to scores is, and the other
    one is bool.

    One that hides nothing, as of a single token that sees all before it, is told by its name alone.
    """
    golden, my, stats = case.subject.golden, case.subject.my, case.stats
    if golden.is_floating and my.name == "bool":
        added = stats.golden
    elif my.is_floating and golden.name == "bool":
        added = stats.my
    else:
        return None
    if added.minimum == added.maximum == 0:
        is_mask = _OF_ATTENTION.search(case.subject.data_id) is not None
    else:
        is_mask = added.maximum in (0, added.minimum) and added.minimum <= _LEAST
    return added if is_mask and stats.pairs == stats.elements else None
