"""What the stats depend on besides the data."""

from __future__ import annotations

from dataclasses import dataclass

from ait_cmp.engine.parts import EVERYTHING, Parts

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Pairs count as mismatched beyond atol + rtol |g|, and have a ratio where |g| > epsilon.

    Stats that only a part needs which is not among `parts` stay empty.
    """

    epsilon: float
    rtol: float
    atol: float
    parts: Parts = EVERYTHING
