"""`rank.json` in every folder that a process dumps to: which rank of which run it is.

Runs are paired by it, whichever process started first, and the folders of one process, which has
one for each device, are one run by it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ait_cmp.dump_tree import rank_file
from ait_cmp.new_file import in_place_of
from ait_cmp.values.process import ProcessRecord

__all__ = ["is_distributed", "process_record", "settle_rank", "write_rank"]

# rank, local rank and world size, as launchers call them: torchrun and all that follow it, Open
# MPI, MPICH and Intel MPI, Slurm.
_VARIABLES = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
)


class _Process:
    """This process, and its folders that do not know yet what torch.distributed will tell."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.started = time.time_ns() // 1_000_000
        self.waiting: list[str] = []


_process = _Process()


def _forget_parent() -> None:
    global _process
    _process = _Process()


os.register_at_fork(after_in_child=_forget_parent)


def write_rank(folder: str) -> None:
    """Say in a new `folder` of this process which it is; where that fails, runs are paired by
    start, as those of which nothing is known."""
    if not is_distributed():
        _process.waiting.append(folder)
    _write(folder)


def settle_rank() -> None:
    """Say it anew where torch.distributed knows it by now; to be called before every tensor."""
    if _process.waiting and is_distributed():
        folders, _process.waiting = _process.waiting, []
        for folder in folders:
            _write(folder)


def process_record() -> ProcessRecord:
    """Which process this is, as far as it is known by now."""
    rank, local_rank, world_size = _ranks(os.environ)
    return ProcessRecord(_process.name, _process.started, rank, local_rank, world_size)


def _write(folder: str) -> None:
    with contextlib.suppress(OSError), in_place_of(rank_file(folder)) as temporary:
        Path(temporary).write_text(process_record().to_json())


def _ranks(environ: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    """Rank, local rank and world size: torch.distributed goes before what the launcher said."""
    told = [[_number(environ.get(name)) for name in names] for names in _VARIABLES]
    rank, local_rank, world_size = next((one for one in told if one[0] is not None), [None] * 3)
    if not is_distributed():
        return rank, local_rank, world_size
    import torch.distributed as dist

    local_rank = next((one[1] for one in told if one[1] is not None), None)
    return dist.get_rank(), local_rank, dist.get_world_size()


def is_distributed() -> bool:
    """Whether torch.distributed knows which process this is."""
    # Not imported here: who uses it has done so, and others need not wait for it.
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
