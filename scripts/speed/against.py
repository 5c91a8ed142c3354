"""This checkout against another one: the same work done by both in turn, in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from speed.command import HERE, MIB, Usage, make_pairs, run_compare, sparse_npy
from speed.recorded import make_recorded

__all__ = ["AGAINST", "Ratio"]

Result = TypeVar("Result")

ELEMENTS = 1 << 24  # of a kernel's pair; of float64 a quarter
CASES = (("flat", 0, True), ("flat without KL", 0, False), ("of 4096 channels", 4096, True))
ROUNDS = 5
PAIRS = 10_000  # small ones
ENTRIES = 100_000  # of a metadata.json


@dataclass(frozen=True)
class Ratio:
    """One line of the table: how many times better than the other checkout's this one's is."""

    name: str
    figure: float
    detail: str


def _ratio(name: str, unit: str, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Of amounts that are good when small: the least of each, since other programs only add."""
    spread = sorted(their / our for our, their in zip(ours, theirs, strict=True))
    detail = (
        f"{min(ours):.3g} {unit} against {min(theirs):.3g}; "
        f"{spread[0]:.2f} to {spread[-1]:.2f} in {len(ours)} rounds"
    )
    return Ratio(name, min(theirs) / min(ours), detail)


def both(
    other: Path, work: Callable[[Path], Result], rounds: int = ROUNDS
) -> tuple[list[Result], list[Result]]:
    """What `work` gives for this and the `other` checkout, in turn, after a first round."""
    taken: dict[Path, list[Result]] = {HERE: [], other: []}
    for number in range(rounds + 1):
        for tree in (HERE, other) if number % 2 else (other, HERE):
            taken[tree].append(work(tree))
    return taken[HERE][1:], taken[other][1:]


def kernel(other: Path, folder: Path) -> Iterator[Ratio]:
    """The kernel in memory, in two warm processes: processor time."""
    del folder
    with _served(HERE) as ours, _served(other) as theirs:
        served = {HERE: ours, other: theirs}
        for dtype in ("float32", "bfloat16", "float64"):
            for name, columns, softmax in CASES:

                def work(tree: Path, case: Sequence[object]) -> float:
                    return served[tree](case)

                elements = ELEMENTS // 4 if dtype == "float64" else ELEMENTS
                taken = both(other, partial(work, case=(dtype, columns, softmax)), 9)
                times = [[1e9 * one / elements for one in side] for side in taken]
                yield _ratio(f"kernel, {dtype} {name}", "ns an element", *times)


@contextmanager
def _served(tree: Path) -> Iterator[Callable[[Sequence[object]], float]]:
    """A warm process of the package in `tree`: a case in, seconds out."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("served.py"), str(ELEMENTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "scripts")])},
    )

    def run(case: Sequence[object]) -> float:
        assert process.stdin
        assert process.stdout
        print(json.dumps(case), file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield run
    finally:
        process.communicate()


def small(other: Path, folder: Path) -> Iterator[Ratio]:
    """10,000 pairs of 4 KiB from a cold process to the report, less what one pair takes."""
    many = make_pairs(folder / "many", PAIRS, 2048)
    one = make_pairs(folder / "one", 1, 2048)
    for executor in ("auto", "serial"):

        def work(tree: Path, executor: str) -> float:
            settings = [f"executor={executor}"]
            whole, start = (
                run_compare(folder / "report", f"golden_path={dump}", *settings, tree=tree).seconds
                for dump in (many, one)
            )
            return whole - start

        ours, theirs = both(other, partial(work, executor=executor), 3)
        yield _ratio(f"{PAIRS:,} small pairs, executor={executor}", "s", ours, theirs)


def start(other: Path, folder: Path) -> Iterator[Ratio]:
    """A small compare, most of which is start-up."""
    dump = make_pairs(folder / "start", 8, 2048)

    def work(tree: Path) -> Usage:
        return run_compare(folder / "report", f"golden_path={dump}", tree=tree)

    taken = both(other, work, 10)
    for name in ("seconds", "processor"):
        sides = ([getattr(usage, name) for usage in side] for side in taken)
        yield _ratio(f"8 small pairs, from a cold process to the report: {name}", "s", *sides)


def memory(other: Path, folder: Path) -> Iterator[Ratio]:
    """The anonymous memory of one large pair."""
    golden, my = (sparse_npy(folder / f"{name}.npy", 2048 * MIB) for name in ("golden", "my"))
    for executor in ("auto", "serial"):
        settings = [f"golden_path={golden}", f"my_path={my}", f"executor={executor}"]

        def work(tree: Path, settings: Sequence[str]) -> float:
            return run_compare(folder / "report", *settings, tree=tree).anonymous

        taken = both(other, partial(work, settings=settings), 3)
        yield _ratio(f"anonymous memory of a pair of 4 GiB, executor={executor}", "MiB", *taken)


def metadata(other: Path, folder: Path) -> Iterator[Ratio]:
    """A dry run of many recorded entries, from a cold process to its end."""
    for name, there in (("there", True), ("missing", False)):
        dump = make_recorded(folder / name, 10, ENTRIES // 10, there=there)

        def work(tree: Path, dump: Path) -> Usage:
            return run_compare(folder / "report", f"golden_path={dump}", "dry_run=true", tree=tree)

        taken = both(other, partial(work, dump=dump), 3)
        for what, unit in (("processor", "s"), ("anonymous", "MiB")):
            sides = ([getattr(usage, what) for usage in side] for side in taken)
            yield _ratio(f"dry run of {ENTRIES:,} entries, all {name}: {what}", unit, *sides)


AGAINST: dict[str, Callable[[Path, Path], Iterator[Ratio]]] = {
    "kernel": kernel,
    "small": small,
    "start": start,
    "memory": memory,
    "metadata": metadata,
}
