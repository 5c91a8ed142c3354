"""How the parts are compiled, and the types that they are annotated with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK",
    "EXACT",
    "FUSED",
    "INLINE",
    "LANES",
    "ROW",
    "Bytes",
    "Counts",
    "Doubles",
    "Singles",
]

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BLOCK = 1024  # elements: both sides in float32 and a row of scratch stay in a cache of 32 KiB
# Rows of scratch start at different offsets within a page, or stores to one stall the loads of
# the others (4 KiB aliasing costs a factor of two here).
ROW = BLOCK + 208

# Said explicitly, since a function that says nothing inherits the flags of its caller, and
# 'reassoc' folds away the rounding of `softmax._exp`. Division by zero must not branch to
# raise, or no loop with a division becomes vector code. Without the run-time (_nrt) nothing is
# allocated inside, and the atomic reference counts of every slice disappear.
EXACT: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "_nrt": False}
# Sums may be reordered into lanes and fused, but nothing may assume finite values.
LANES: dict[str, Any] = {**EXACT, "fastmath": {"reassoc", "nsz", "contract"}}
FUSED: dict[str, Any] = {**EXACT, "fastmath": {"contract"}}
# Without the run-time no function may return a slice, so such helpers are pasted in.
INLINE: dict[str, Any] = {**EXACT, "inline": "always"}
