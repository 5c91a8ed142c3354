"""Two runs of stored bits in, their stats out: all the arithmetic over elements.

`Accumulator` is the interface. Behind it stand two compiled loops over blocks that fit the
first-level cache: `narrow` for types that float32 holds, `wide` for the others. Both add to the
arrays that `slots` describes. Each pass over a block is one small loop of `singles` (float32
lanes), `doubles` (float64 lanes) or `softmax`.
"""

from __future__ import annotations

from ait_cmp.engine.kernel.accumulator import Accumulator
from ait_cmp.engine.kernel.options import Options
from ait_cmp.engine.kernel.values import widen

__all__ = ["Accumulator", "Options", "widen"]
