"""The benchmark: every speed and memory figure that the docs claim, each as a ratio of one run.

    python scripts/bench.py [--json FILE] [--folder FOLDER] [ROW ...]
    python scripts/bench.py --against CHECKOUT [ROW ...]

ROW is one of kernel, large, small, workers, dump, memory, metadata (default: all of these), growth,
scale, which needs Ray and moto: executors side by side, of which no bound is asked, steps, of a
model that is watched (beside msprobe, where that is installed), watching: models that are
judged while they run, or learn and are dumped, and fingerprint: of tensors in memory. The two
sides of a ratio are measured in turn, several times, and their medians are divided, so that what
else the machine does falls on both alike. FOLDER (default: a temporary one) needs 2 GiB, for
metadata two million names, and for growth 6 GiB besides.

With --against, the package of another checkout does the same work in turn, on the same files, and
a figure says how many times better this one is; ROW is one of kernel, small, start, memory,
metadata.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from speed.against import AGAINST, Ratio
from speed.command import (
    MIB,
    Usage,
    make_pairs,
    requests_of,
    run_compare,
    sparse_npy,
    usage_of,
)
from speed.kernel import kernel_rows
from speed.recorded import make_recorded
from speed.rows import Row, at_least, at_most, in_turn
from speed.stored import make_stored

from ait_cmp import dump_data
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.measuring.plan import make_plan


def large(folder: Path) -> Iterator[Row]:
    """2: a pair of 512 MiB, from a cold process to the report."""
    dump = make_pairs(folder / "large", 1, 256 * MIB)
    golden, my = next(dump.rglob("*_tensor.pth")), dump / "my" / "0.bin"
    naive = [sys.executable, Path(__file__).parent / "speed" / "naive.py", golden, my]
    ours_is = partial(run_compare, folder / "report", f"golden_path={dump}")
    rounds = [(ours_is(), usage_of(naive)) for _ in range(3)]
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

    def seconds(dump: Path) -> float:
        return run_compare(folder / "report", f"golden_path={dump}").seconds

    sides = [partial(seconds, dump) for dump in dumps]
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
    plan = make_plan(requests_of(dump))
    start = EXECUTORS["processes"].start
    with (
        start(WorkerLimits(workers=1), 0) as one,
        start(WorkerLimits(workers=2), 0) as two,
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
    for name, elements in (("small", 8 * MIB), ("large", 2048 * MIB)):
        paths = [sparse_npy(folder / f"{name}_{side}.npy", elements) for side in ("golden", "my")]
        files = [f"{side}_path={path}" for side, path in zip(("golden", "my"), paths, strict=True)]
        peaks.append(median(run_compare(folder / "memory", *files).anonymous for _ in range(3)))
    yield at_most(
        "6 anonymous MiB of a 4 GiB pair over a 16 MiB pair",
        peaks[1] - peaks[0],
        100,
        f"{peaks[1]:.0f} MiB, {peaks[0]:.0f} MiB",
    )


def metadata(folder: Path) -> Iterator[Row]:
    """7: a metadata.json of a million entries, from a cold process until it is read, until it is
    two million files, and (without a bound: it prints three lines each) to the end of a dry run."""
    mapped = [sys.executable, Path(__file__).parent / "speed" / "mapped.py"]
    for name, there in (("there", True), ("missing", False)):
        dump = make_recorded(folder / name, 100, 10_000, there=there)
        for what in ("read", "resolve"):
            used = usage_of([*mapped, what, dump])
            title = f"7 {what} 1,000,000 entries, all files {name}"
            yield at_most(f"{title}: s of processor time", used.processor, 10, _took(used))
            yield at_most(f"{title}: MiB", used.anonymous, 1000, "at its peak")
        used = run_compare(folder / "report", f"golden_path={dump}", "dry_run=true")
        title = f"7 dry run of 1,000,000 entries, all files {name}"
        yield at_most(f"{title}: MiB", used.anonymous, 1100, _took(used))


GROWING = (10_000, 100_000, 1_000_000)  # rows
_MOST = {100_000: 400, 1_000_000: 1900}  # MiB


def growth(folder: Path) -> Iterator[Row]:
    """8: so many rows that were measured are taken from the store, judged and reported, in every
    format; then judged once more by `judge`, which reads the run alone."""
    for rows in GROWING:
        tokens = rows // 1000 if rows < 1_000_000 else 100
        data_ids, here = rows // tokens, folder / str(rows)
        dump = make_recorded(here, tokens, data_ids)
        stored = make_stored(here, dump, tokens, data_ids)
        settings = [f"output={stored}", "fail_on=never", "log_level=warning"]
        settings += ["report.formats=[csv,parquet,json,junit,md,xlsx,html]"]
        command = [sys.executable, "-m", "ait_cmp"]
        whole = usage_of([*command, f"golden_path={dump}", "executor=serial", *settings])
        settings[0] = f"output={here / 'judged'}"
        again = usage_of([*command, "judge", f"report={stored}", *settings[:3]])
        shutil.rmtree(here)
        most = _MOST.get(rows, 300)
        for what, used in (("compare, measured before", whole), ("judge", again)):
            title = f"8 {rows:,} rows, {what}"
            yield at_most(f"{title}: MiB", used.anonymous, most, _took(used))
            yield at_most(
                f"{title}: ms of processor time a row", 1e3 * used.processor / rows, 1, ""
            )


def _took(used: Usage) -> str:
    return f"{used.seconds:.1f} s, {used.processor:.1f} s of processor time"


def kernel(folder: Path) -> Iterator[Row]:
    """1: the kernel in memory."""
    del folder
    yield from kernel_rows()


def scale(folder: Path) -> Iterator[Row]:
    """Executors side by side."""
    from speed.scale import scale_rows

    yield from scale_rows(folder)


def steps(folder: Path) -> Iterator[Row]:
    """9: a model's step with fingerprints, against one without, and against full dumps."""
    from speed.steps import step_rows

    yield from step_rows(folder)


def watching(folder: Path) -> Iterator[Row]:
    """10: a model that is watched, and one that learns and is dumped."""
    from speed.watching import watching_rows

    yield from watching_rows(folder)


def fingerprint(folder: Path) -> Iterator[Row]:
    """11: fingerprints, against the bandwidth of the memory."""
    from speed.fingerprint import fingerprint_rows

    del folder
    yield from fingerprint_rows()


ROWS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "kernel": kernel,
    "large": large,
    "small": small,
    "workers": workers,
    "dump": dump,
    "memory": memory,
    "metadata": metadata,
    "growth": growth,
    "scale": scale,
    "steps": steps,
    "watching": watching,
    "fingerprint": fingerprint,
}
_SELDOM = ("growth", "scale", "steps", "watching", "fingerprint")  # only by name


def show(rows: Sequence[Row]) -> None:
    """The table."""
    table = Table("measured", "figure", "bound", "met", "from")
    for row in rows:
        met = "yes" if row.met else "NO"
        table.add_row(row.name, f"{row.figure:.3g}", row.bound, met, row.detail)
    Console(width=150).print(table)


def show_ratios(ratios: Sequence[Ratio], other: Path) -> None:
    """The table of `--against`."""
    table = Table("measured", f"times better than {other}", "this, that; ratios of single rounds")
    for ratio in ratios:
        table.add_row(ratio.name, f"{ratio.figure:.3g}", ratio.detail)
    Console(width=150).print(table)


def parse() -> argparse.Namespace:
    """The command line; `rows` is never empty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    parser.add_argument("--folder", type=Path, help="where the files to compare are made")
    parser.add_argument(
        "--against",
        metavar="CHECKOUT",
        type=lambda path: Path(path).resolve(),
        help=f"another checkout to measure in turn: {', '.join(AGAINST)}",
    )
    parsed = parser.parse_args()
    known = AGAINST if parsed.against else ROWS
    unknown = [name for name in parsed.rows if name not in known]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; choose from {', '.join(known)}")
    if parsed.against and not (parsed.against / "ait_cmp").is_dir():
        parser.error(f"{parsed.against} has no folder ait_cmp; name a checkout")
    parsed.rows = parsed.rows or [name for name in known if name not in _SELDOM]
    return parsed


def main() -> None:
    """Measure what the command line asks for and print it."""
    arguments = parse()
    rows: list[Row] = []
    ratios: list[Ratio] = []
    for name in arguments.rows:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            if arguments.against:
                ratios += AGAINST[name](arguments.against, Path(folder))
            else:
                rows += ROWS[name](Path(folder))
    if arguments.against:
        show_ratios(ratios, arguments.against)
    else:
        show(rows)
    if arguments.json:
        values = [asdict(row) for row in (rows or ratios)]
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
