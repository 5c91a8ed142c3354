"""A tensor without some of its positions."""

from __future__ import annotations

import math

import numpy as np

from ait_cmp.engine.adapters.runs import kept_runs
from ait_cmp.source import Source
from ait_cmp.values.location import Step

__all__ = ["drop"]


def drop(source: Source, step: Step) -> Source:
    """The positions of the first dimensions, so many as the first argument says, one after the
    other, without those that the other arguments name."""
    dims, *left_out = step.index()
    if not isinstance(dims, int) or not 0 < dims <= len(source.shape):
        raise ValueError(f"its first argument must be 1 to {len(source.shape)} dimensions")
    kept = np.ones(math.prod(source.shape[:dims]), np.bool_)
    for one in left_out:
        last = one if isinstance(one, int) else (one.stop or 1) - 1
        if not 0 <= last < kept.size:
            raise ValueError(f"there are {kept.size} positions, and no position {last}")
        kept[one] = False
    return kept_runs(source, kept, dims)
