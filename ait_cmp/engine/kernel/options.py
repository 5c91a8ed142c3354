"""What the stats depend on besides the data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """Pairs count as mismatched beyond atol + rtol |g|, and have a ratio where |g| > epsilon.

    Without `relative`, `softmax` or `slices` the stats that only they need stay empty.
    """

    epsilon: float
    rtol: float
    atol: float
    relative: bool = True
    softmax: bool = True
    slices: bool = True
