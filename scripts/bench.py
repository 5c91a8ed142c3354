"""The benchmark: every speed and memory figure that the docs claim, each as a ratio of one run.

    python scripts/bench.py [--json FILE] [--folder FOLDER] [ROW ...]

ROW is one of kernel, large, small, workers, dump, memory; default: all. The two sides of a ratio
are measured in turn, several times, and their medians are divided, so that what else the machine
does falls on both alike. FOLDER (default: a temporary one) needs 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO

import torch
from bench_kernel import Row, kernel_rows
from rich.console import Console
from rich.table import Table

from ait_cmp import dump_data, write_bin
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.measuring.plan import make_plan
from ait_cmp.values.location import Location

MIB = 1 << 20


def at_least(name: str, figure: float, bound: float, detail: str) -> Row:
    """A figure that is good when it is large."""
    return Row(name, figure, f">= {bound:g}", figure >= bound, detail)


def at_most(name: str, figure: float, bound: float, detail: str) -> Row:
    """A figure that is good when it is small."""
    return Row(name, figure, f"<= {bound:g}", figure <= bound, detail)


@dataclass(frozen=True)
class Usage:
    """What a command took: seconds, and MiB of anonymous memory, all its processes together."""

    seconds: float
    anonymous: float


def measured(command: Sequence[object]) -> Usage:
    """Run `command` to its end. Raises when it fails for another reason than a failing row."""
    begun, peak = time.perf_counter(), 0
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(map(_anonymous, _family(process.pid))))
        time.sleep(0.02)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Usage(time.perf_counter() - begun, peak / MIB)


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


def in_turn(times: int, *sides: Callable[[], float]) -> list[float]:
    """The median of what each side returns, called one after the other, `times` times."""
    rounds = [[side() for side in sides] for _ in range(times)]
    return [median(side) for side in zip(*rounds, strict=True)]


def compare(folder: Path, *settings: object) -> list[object]:
    """The command that compares the dump in `folder`."""
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={folder}"]
    return [*command, f"output={folder}/report", "fail_on=never", *settings]


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


def large(folder: Path) -> Iterator[Row]:
    """2: a pair of 512 MiB, from a cold process to the report."""
    dump = make_pairs(folder / "large", 1, 256 * MIB)
    golden, my = next(dump.rglob("*_tensor.pth")), dump / "my" / "0.bin"
    naive = [sys.executable, Path(__file__).with_name("naive_compare.py"), golden, my]
    rounds = [(measured(compare(dump)), measured(naive)) for _ in range(3)]
    ours, theirs = ([one[side] for one in rounds] for side in (0, 1))
    seconds = [median(usage.seconds for usage in side) for side in (ours, theirs)]
    anonymous = [median(usage.anonymous for usage in side) for side in (ours, theirs)]
    yield at_least(
        "2 pair of 512 MiB: times faster than naive",
        seconds[1] / seconds[0],
        5,
        f"{seconds[0]:.1f} s against {seconds[1]:.1f} s",
    )
    yield at_most(
        "2 pair of 512 MiB: share of naive's anonymous memory",
        anonymous[0] / anonymous[1],
        0.1,
        f"{anonymous[0]:.0f} MiB against {anonymous[1]:.0f} MiB",
    )


def small(folder: Path) -> Iterator[Row]:
    """3: many pairs of 4 KiB."""
    sizes = (1, 10_000, 20_000)
    dumps = [make_pairs(folder / f"small{count}", count, 2048) for count in sizes]
    sides = [lambda dump=dump: measured(compare(dump)).seconds for dump in dumps]
    start, ten, twenty = in_turn(3, *sides)
    yield at_least(
        "3 10,000 pairs of 4 KiB: rows a second after start-up",
        10_000 / (ten - start),
        1500,
        f"{ten:.1f} s, {start:.1f} s of them start-up",
    )
    yield at_most("3 20,000 against 10,000", twenty / ten, 2.2, f"{twenty:.1f} s, {ten:.1f} s")


def workers(folder: Path) -> Iterator[Row]:
    """4: two workers against one, both started and warm."""
    dump = make_pairs(folder / "workers", 64, 8 * MIB)
    golden = sorted(dump.rglob("*_tensor.pth"), key=lambda path: int(path.name.split("_")[0]))
    requests = [
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
    plan = make_plan(requests)
    start = EXECUTORS["processes"]
    with (
        start(WorkerLimits(workers=1), 0, 0) as one,
        start(WorkerLimits(workers=2), 0, 0) as two,
    ):

        def run(execute: Callable[..., object]) -> float:
            begun = time.perf_counter()
            list(execute(plan.tasks))  # type: ignore[call-overload]
            return time.perf_counter() - begun

        run(one), run(two)
        single, double = in_turn(5, lambda: run(one), lambda: run(two))
    yield at_least(
        "4 64 pairs of 16 MiB: 2 workers against 1",
        single / double,
        1.7,
        f"{double:.2f} s, {single:.2f} s: {2 * 64 * 16 / 1024 / double:.1f} GiB/s",
    )


def dump(folder: Path) -> Iterator[Row]:
    """5: dump_data against bare torch.save."""
    tensor = torch.randn(1024)
    ours: list[float] = []
    theirs: list[float] = []
    for batch in range(10):
        numbers = range(batch * 1000, (batch + 1) * 1000)
        bare = folder / "bare" / str(batch)
        bare.mkdir(parents=True)
        begun = time.perf_counter()
        for number in numbers:
            dump_data(batch, f"layer{number % 1000}.q", tensor, "my.bin", folder / "dump")
        middle = time.perf_counter()
        for number in numbers:
            torch.save(tensor, bare / f"layer{number % 1000}.q_tensor.pth")
        ours.append(middle - begun)
        theirs.append(time.perf_counter() - middle)
    yield at_most(
        "5 dump_data against torch.save, 10,000 of 4 KiB",
        sum(ours) / sum(theirs),
        1.3,
        f"{sum(ours) * 100:.0f} us against {sum(theirs) * 100:.0f} us a call",
    )
    yield at_most("5 last 1,000 calls against the first", ours[-1] / ours[0], 1.2, "")


def memory(folder: Path) -> Iterator[Row]:
    """6: anonymous memory does not grow with the tensor."""
    peaks = []
    for name, elements in (("16 MiB", 8 * MIB), ("4 GiB", 2048 * MIB)):
        paths = [folder / f"{name.replace(' ', '')}_{side}.npy" for side in ("golden", "my")]
        for path in paths:
            _sparse_npy(path, elements)
        files = [f"golden_path={paths[0]}", f"my_path={paths[1]}", f"output={folder}/memory"]
        command = [sys.executable, "-m", "ait_cmp", *files]
        peaks.append(median(measured(command).anonymous for _ in range(3)))
    yield at_most(
        "6 anonymous MiB of a 4 GiB pair over a 16 MiB pair",
        peaks[1] - peaks[0],
        100,
        f"{peaks[1]:.0f} MiB, {peaks[0]:.0f} MiB",
    )


def _sparse_npy(path: Path, elements: int) -> None:
    import numpy as np

    with open(path, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (elements,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2 * elements)


def kernel(folder: Path) -> Iterator[Row]:
    """1: the kernel in memory."""
    del folder
    yield from kernel_rows()


ROWS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "kernel": kernel,
    "large": large,
    "small": small,
    "workers": workers,
    "dump": dump,
    "memory": memory,
}


def show(rows: Sequence[Row], file: IO[str] = sys.stdout) -> None:
    """The table."""
    table = Table("measured", "figure", "bound", "met", "from")
    for row in rows:
        met = "yes" if row.met else "NO"
        table.add_row(row.name, f"{row.figure:.3g}", row.bound, met, row.detail)
    Console(file=file, width=150).print(table)


def main() -> None:
    """Measure what the command line asks for, print it and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.rows or ROWS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows += ROWS[name](Path(folder))
    show(rows)
    arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
