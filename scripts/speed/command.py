"""The command as a benchmark runs it: its time and its memory, all its processes together."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ait_cmp import dump_data, write_bin
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.values.location import Location

__all__ = [
    "HERE",
    "MIB",
    "Usage",
    "make_pairs",
    "requests_of",
    "run_compare",
    "sparse_npy",
    "usage_of",
]

MIB = 1 << 20
HERE = Path(__file__).resolve().parents[2]  # this checkout


@dataclass(frozen=True)
class Usage:
    """What a command took, all its processes together."""

    seconds: float
    processor: float  # seconds of it
    anonymous: float  # MiB at its peak


def run_compare(output: Path, *settings: object, tree: Path = HERE) -> Usage:
    """Compare with the package in `tree`, from a cold process to a report in a new `output`."""
    shutil.rmtree(output, ignore_errors=True)  # what is measured already is not measured again
    command = [sys.executable, "-m", "ait_cmp", f"output={output}", "fail_on=never"]
    return usage_of([*command, "log_level=warning", *settings], tree)


def usage_of(command: Sequence[object], tree: Path = HERE) -> Usage:
    """Run `command` to its end. Raises RuntimeError when it does not end with 0."""
    begun, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        cwd="/",  # `-m` would find a package of the current folder first
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, sum(map(_anonymous, _family(process.pid))))
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Usage(seconds, used.ru_utime + used.ru_stime, peak / MIB)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _anonymous(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    # What processes share after a fork counts once, in shares.
    return int(lines.get("Pss_Anon", "0 kB").split()[0]) * 1024


def make_pairs(folder: Path, count: int, elements: int) -> Path:
    """A dump of `count` pairs of so many float16 elements each."""
    (folder / "my").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    golden = torch.randn(elements, generator=generator).half()
    my = (golden * 1.0005).half()
    for number in range(count):
        write_bin(folder / "my" / f"{number}.bin", my)
        dump_data(0, number, golden, folder / "my" / f"{number}.bin", folder)
    return folder


def requests_of(dump: Path) -> list[tuple[int, Request]]:
    """What comparing a `dump` that `make_pairs` made asks, with the number of each pair."""
    golden = sorted(dump.rglob("*_tensor.pth"), key=lambda path: int(path.name.split("_")[0]))
    return [
        (
            number,
            Request(
                Location.of(str(path)),
                Location.of(str(dump / "my" / f"{number}.bin")),
                Wanted(2.0**-23),
            ),
        )
        for number, path in enumerate(golden)
    ]


def sparse_npy(path: Path, elements: int) -> Path:
    """A file of so many float16 zeros that takes no room on disk."""
    with open(path, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (elements,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2 * elements)
    return path
