"""Two runs of stored bits in, their stats out: all the arithmetic over elements.

`Accumulator` is the interface, and `reducer` that of a whole pair's evidence. `abi` says what
they and the compiled loops agree on, `loops` goes over the blocks of a run, `passes` over one
block. `compiled` makes machine code of the loops, with what `internals` names of numba.
"""

from __future__ import annotations

from ait_cmp.engine.kernel.abi.thresholds import Options
from ait_cmp.engine.kernel.accumulator import Accumulator
from ait_cmp.engine.kernel.values import widen

__all__ = ["Accumulator", "Options", "widen"]
