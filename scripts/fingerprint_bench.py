"""The benchmark of verdicts by fingerprints: what is lost against dumps of tensors.

    python scripts/fingerprint_bench.py [--part train|held-out|third] [--folder FOLDER]
                                        [--only record|judge] [--list] [GLOB ...]

Every run of `verdict_bench.py`, benign and faulty, is measured by its tensors and by fingerprints
of 2, 4, … 32 buckets of every tensor that is not small, and both are judged by the code of the
command. What a fingerprint takes is said as a share of a float32 tensor of 1 MiB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from verdict import tables
from verdict.judged import DEFAULT, DENSITIES, EVERY, Benign, Found, judge_unit
from verdict.models import Key, golden_rows
from verdict.recording import BUCKETS, Unit, read, read_estimated, record_unit, unit_path, write
from verdict.sets import PARTS, Plan, build

from ait_cmp.fingerprint.make import sketch
from ait_cmp.fingerprint.value import Fingerprint

FULL = 0
Results = dict[tuple[int, str], tuple[list[Benign], list[Found]]]


def record(plan: Plan, folder: Path) -> None:
    """Keep what is not kept yet of a subject; quantised and padded ways are left out."""
    ways = [one for one in plan.variants if not one.scheme]
    missing = [one for one in ways if not unit_path(folder, plan.subject, one.name).exists()]
    if not missing:
        return
    subject = build(plan.subject)
    golden = golden_rows(subject)
    fingerprints: dict[Key, Fingerprint] = {}
    for variant in missing:
        some = {} if variant.single else fingerprints
        unit = record_unit(subject, golden, variant, plan.faults_of(variant), some)
        write(unit, unit_path(folder, plan.subject, variant.name))
        said = f"{len(unit.rows)} rows, {len(unit.faults)} faults, {unit.seconds:.0f} s"
        print(f"{plan.subject}, {variant.name}: {said}", file=sys.stderr, flush=True)


def kept(plan: Plan, folder: Path, tried: Sequence[int]) -> Iterator[tuple[int, Unit]]:
    """Each unit of a subject that is kept, by its tensors and by fingerprints."""
    for variant in plan.variants:
        path = unit_path(folder, plan.subject, variant.name)
        if path.exists():
            yield FULL, read(path)
            for buckets in tried:
                yield buckets, read_estimated(path, buckets)


def judge(
    plan: Plan, folder: Path, tried: Sequence[int], dumped: Sequence[str], results: Results
) -> None:
    """Add what becomes of the units of a subject."""
    for buckets, unit in kept(plan, folder, tried):
        passes, found = judge_unit(unit, DEFAULT, densities=dumped)
        for density in dumped:
            both = results.setdefault((buckets, density), ([], []))
            both[0].extend(one for one in passes if one.density == density)
            both[1].extend(one for one in found if one.density == density)


def show(results: Results, listed: bool) -> None:
    """Prints a table a density, and what differs."""
    for density in sorted({density for _, density in results}):
        rows = []
        for buckets in sorted({buckets for buckets, _ in results}):
            passes, found = results[buckets, density]
            above = [one for one in found if one.distinguishable]
            size = f"1/{(1 << 20) // size_of(buckets)}" if buckets else "all"
            shares = (
                tables.share(sum(one.found for one in above), len(above)),
                tables.share(sum(one.first for one in above), len(above)),
            )
            alarms = sum(len(one.alarms) for one in passes)
            rows.append((buckets or "tensors", size, sum(one.rows for one in passes), alarms,
                         len(above), *shares))  # fmt: skip
        head = ("buckets", "of 1 MiB", "benign rows", "alarms", "faults", "found", "first")
        print(f"\n{density}\n\n{tables.markdown(head, *rows)}")
    if listed:
        for buckets in (FULL, 16):
            passes, _ = results[buckets, EVERY]
            print(f"\nbuckets {buckets}: alarms\n")
            print(*(f"- {one.subject}, {one.variant}: {line}" for one in passes
                    for line in one.alarms), sep="\n")  # fmt: skip
        differing(results)


def differing(results: Results) -> None:
    """Prints the faults that tensors show and 16 buckets do not, and the other way."""
    full = {_key(one): one for one in results[(FULL, EVERY)][1]}
    for one in results[(16, EVERY)][1]:
        other = full[_key(one)]
        if one.distinguishable and (one.found, one.first) != (other.found, other.first):
            print(f"- {one.kind} at {one.where} ({one.subject}, {one.variant}): found "
                  f"{other.found} {one.found}, first {other.first} {one.first}: "
                  f"{other.sentence} | {one.sentence} | {one.moved}")  # fmt: skip


def _key(one: Found) -> tuple[str, ...]:
    return one.subject, one.variant, one.kind, one.where


def size_of(buckets: int) -> int:
    """Bytes of the fingerprint of a megabyte of float32 in as many bins as there can be."""
    tensor = torch.zeros(512, 512)
    return len(sketch(tensor, buckets=buckets).pack())


def main() -> None:
    """Record and judge what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="GLOB", help="default: all of the part")
    parser.add_argument("--part", choices=PARTS, default="held-out")
    parser.add_argument("--folder", type=Path, default=Path("fingerprint_bench"))
    parser.add_argument("--only", choices=("record", "judge"), help="one of the two steps")
    parser.add_argument("--buckets", type=int, nargs="+", choices=BUCKETS, default=BUCKETS)
    parser.add_argument("--dumped", nargs="+", choices=DENSITIES, default=[*DENSITIES])
    parser.add_argument("--list", action="store_true", help="name every alarm, and what differs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder, globs = arguments.folder / arguments.part, arguments.subjects or ["*"]
    results: Results = {}
    for plan in PARTS[arguments.part]:
        if not any(fnmatchcase(plan.subject, glob) for glob in globs):
            continue
        if arguments.only != "judge":
            record(plan, folder)
        if arguments.only != "record":
            judge(plan, folder, arguments.buckets, arguments.dumped, results)
    if results:
        show(results, arguments.list)


if __name__ == "__main__":
    main()
