"""Folders that one process alone writes to."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace

from ait_cmp.dump.rank_file import write_rank
from ait_cmp.dump_tree import RankName

__all__ = ["claim"]


def claim(place: Callable[[RankName], str], device: int) -> str:
    """A new folder of this process at `place`, which no other has or had.

    A PID comes again, and containers on one shared folder have the same; the first to make
    the folder owns it, the next takes the name with _1 behind it.
    """
    rank = RankName(device, os.getpid())
    for again in itertools.count():
        folder = place(replace(rank, again=again))
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue
        write_rank(folder)
        return folder
    raise AssertionError("unreachable")
