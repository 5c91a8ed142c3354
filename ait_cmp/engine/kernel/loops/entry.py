"""What Python calls: one function, so that all helpers are compiled once, as one object.

Two objects with a helper in common would share the one that is loaded first, and their last bits
would depend on that.
"""

from __future__ import annotations

from ait_cmp.engine.kernel.abi.arguments import Grid, Results, Room, Stored, Tables, Thresholds
from ait_cmp.engine.kernel.abi.flags import Bytes
from ait_cmp.engine.kernel.loops.narrow import add_narrow
from ait_cmp.engine.kernel.loops.wide import add_wide

__all__ = ["add_elements"]


def add_elements(
    golden: Bytes,
    golden_stored: Stored,
    my: Bytes,
    my_stored: Stored,
    first: int,
    narrow: bool,
    thresholds: Thresholds,
    room: Room,
    results: Results,
    grid: Grid,
    tables: Tables,
) -> None:
    """Add two runs of stored elements, the first of which has index `first`; `narrow` says that
    float32 holds both types."""
    elements, done = golden.shape[0] // golden_stored.itemsize, 0
    if narrow:
        done = add_narrow(
            golden, golden_stored, my, my_stored, first, thresholds, room, results, grid, tables
        )
    if done < elements:
        add_wide(
            golden[done * golden_stored.itemsize :], golden_stored,
            my[done * my_stored.itemsize :], my_stored,
            first + done, thresholds, room, results, grid, tables,
        )  # fmt: skip
