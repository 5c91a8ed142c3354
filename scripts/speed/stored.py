"""The store of a run of many rows that were measured: real rows, each of many files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.files import state_of
from ait_cmp.measuring.row import pack_row
from ait_cmp.measuring.store import NAME, write_finished
from ait_cmp.measuring.stored_run import load
from ait_cmp.values.location import Location
from speed.command import run_compare
from speed.recorded import recorded_files

__all__ = ["make_stored"]

_KINDS, _FAULTY = 61, 20  # rows that are really measured, and one in so many that fails


def make_stored(folder: Path, dump: Path, tokens: int, data_ids: int) -> Path:
    """A folder in which a compare of `dump`, which `make_recorded` made, finds all its rows
    measured, one in 61 of which fails."""
    shown, output = folder / "shown", folder / "stored"
    run_compare(shown, f"golden_path={_few_pairs(folder / 'few')}", "executor=serial")
    run = load(shown / NAME)
    measured = [one for _, one in run if one.evidence]  # no looks
    write_finished(output, run.facts, _rows(dump, tokens, data_ids, measured))
    return output


def _few_pairs(folder: Path) -> Path:
    """A dump of layers that differ as rounding makes them, and one that is wrong."""
    (folder / "my").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for number in range(_KINDS):
        golden = torch.randn(4, 16, generator=generator)
        my = golden.half()
        if number == _FAULTY:
            my = my * 1.5
        write_bin(folder / "my" / f"{number}.bin", my)
        dump_data(0, f"layers.{number}.mlp", golden, folder / "my" / f"{number}.bin", folder)
    return folder


def _rows(dump: Path, tokens: int, data_ids: int, known: list[Measured]) -> Iterator[bytes]:
    kinds, wanted = cycle(known), Wanted(0.0)
    for files in recorded_files(dump, tokens, data_ids):
        states = tuple(map(state_of, files))
        golden, my = map(Location.of, files)
        yield pack_row(Request(golden, my, wanted), replace(next(kinds), files=states))
