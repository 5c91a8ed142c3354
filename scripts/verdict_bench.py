"""The benchmark of verdicts: benign rows must pass, planted faults must be found and placed.

    python scripts/verdict_bench.py [--part train|held-out|third] [--folder FOLDER] [--jobs N]
                                    [--only record|judge] [--reference] [--json FILE] [GLOB ...]

Golden is a float32 model, operation by operation. My is the same model run another way: benignly,
or with one operation's output made faulty and everything after it computed from that. Every pair
is measured by the engine, once: what a verdict reads is kept in FOLDER, and a run that is broken
off goes on there. From it the tolerances of today are judged, in a minute, with the dump of every
operation, of modules, of ten points a layer, and of layers alone.

A fault is distinguishable if, against the benign error of the first dumped row that it changed,
  rho = rms of the change / benign rms error of the elements that it changes >= 3, and
  snr = norm of the change / benign error of one element >= 20;
those below are counted apart. GLOBs choose subjects; what they need is in the dependency group
`verdict`.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import torch
from verdict import tables
from verdict.judged import DEFAULT, EVERY, GROWTH, INT8, REFERENCE, Benign, Found, judge_unit
from verdict.models import golden_rows
from verdict.recording import Unit, read, record_unit, unit_path, write
from verdict.sets import PADDED, PARTS, REFERENCES, Plan, build

from ait_cmp.judging import Growth, Tolerance

LIMITS = ("level", "channel", "line", "element", "lone_element", "scale", "offset")
Results = tuple[list[Benign], list[Found]]


def changed(tolerance: Tolerance, **limits: Any) -> Tolerance:
    """`tolerance` with other numbers of growth."""
    return replace(tolerance, growth=replace(tolerance.growth or Growth(), **limits))


def times(factor: float) -> dict[str, float]:
    """Every limit so many times."""
    return {name: factor * getattr(Growth(), name) for name in LIMITS}


# What each part of the verdict is worth: the same with the part left out, or changed.
CHANGES: dict[str, dict[str, float]] = {
    **{f"no check of {name}": {name: math.inf} for name in LIMITS if "element" not in name},
    "no check of element": {"element": math.inf, "lone_element": math.inf},
    "every limit × 0.8": times(0.8),
    "every limit × 1.3": times(1.3),
}


# ---- record --------------------------------------------------------------------------------------


def record(plan: Plan, folder: Path) -> None:
    """Keep what is not kept yet of a subject, and tell of it."""
    torch.set_num_threads(1)
    missing = [
        one for one in plan.variants if not unit_path(folder, plan.subject, one.name).exists()
    ]
    if not missing:
        return
    subject = build(plan.subject)
    golden = golden_rows(subject)
    for variant in missing:
        unit = record_unit(subject, golden, variant, plan.faults_of(variant))
        write(unit, unit_path(folder, plan.subject, variant.name))
        said = f"{len(unit.rows)} rows, {len(unit.faults)} faults, {unit.seconds:.0f} s"
        print(f"{plan.subject}, {variant.name}: {said}", file=sys.stderr, flush=True)


# ---- judge ---------------------------------------------------------------------------------------


def judge(
    plan: Plan, folder: Path, changes: Iterable[str] = (), reference: bool = False
) -> dict[str, Results]:
    """What the tolerances of today make of what is kept of a subject: "" as they are, also by a
    reference where that is asked for, and with each of CHANGES that is named, where every
    operation is dumped."""
    results: dict[str, Results] = {name: ([], []) for name in ("", *changes)}
    for variant in plan.variants:
        unit = _kept(folder, plan.subject, variant.name, slices=reference)
        if unit is None:
            continue
        tolerance = DEFAULT if unit.scheme in ("", PADDED) else INT8
        other = _kept(folder, plan.subject, REFERENCES.get(variant.name, ""), slices=reference)
        noise = _kept(folder, f"{plan.subject}+", variant.name)
        _add(results[""], judge_unit(unit, tolerance, reference=other, noise=noise))
        for name in changes:
            limits = changed(tolerance, **CHANGES[name])
            _add(results[name], judge_unit(unit, limits, densities=[EVERY]))
    return results


def _kept(folder: Path, subject: str, variant: str, *, slices: bool = False) -> Unit | None:
    path = unit_path(folder, subject, variant)
    return read(path, slices=slices) if variant and path.exists() else None


def _add(results: Results, more: Results) -> None:
    results[0].extend(more[0])
    results[1].extend(more[1])


# ---- report --------------------------------------------------------------------------------------


def show(results: dict[str, Results]) -> None:
    """Prints the tables, every false alarm and every miss."""
    passes, faults = results[""]
    usual = [one for one in passes if not one.scheme], [one for one in faults if not one.scheme]
    coarse = [one for one in passes if one.scheme], [one for one in faults if one.scheme]
    every = [one for one in usual[0] if (one.density, one.by) == (EVERY, GROWTH)]
    planted = [one for one in usual[1] if (one.density, one.by) == (EVERY, GROWTH)]
    for by in (GROWTH, REFERENCE):
        shown = [one for one in usual[0] if one.by == by]
        if shown:
            print(f"\nBy what is dumped, judged by {by}\n")
            print(tables.by_density(shown, [one for one in usual[1] if one.by == by]))
    print("\nBy type, every operation dumped\n")
    print(tables.by_group(every, planted, lambda one: f"{tables.kind_of_model(one)}: {one.dtype}"))
    print("\nBy subject, every operation dumped\n")
    print(tables.by_group(every, planted, lambda one: one.subject))
    print("\nQuantised, judged by int8, and padded left where nobody reads, by dump\n")
    print(tables.by_group(*coarse, lambda one: f"{one.scheme}: {one.density}, by {one.by}"))
    print("\nRules\n", tables.by_rule(every, planted), sep="\n")
    print("\nBy strength\n", tables.by_strength(planted), sep="\n")
    print("\nBy kind\n", tables.by_kind(planted), sep="\n")
    if len(results) > 1:
        print("\nChanged, every operation dumped\n", by_change(results), sep="\n")
    after = [line for one in passes for line in one.calibrated or []]
    listed = {
        "False alarms": tables.alarms(usual[0]),
        "False alarms of quantised models": tables.alarms(coarse[0]),
        "False alarms of quantised models after calibration": after,
        "Missed or misplaced": tables.misses(usual[1]),
        "Missed or misplaced in quantised models": tables.misses(coarse[1]),
    }
    for title, lines in listed.items():
        print(f"\n{title}: {len(lines)}\n")
        print(*(f"- {line}" for line in lines), sep="\n")


def by_change(results: dict[str, Results]) -> str:
    """What becomes of ours where a part of it is changed."""
    rows = []
    for name, (passes, faults) in results.items():
        some = [one for one in passes if one.density == EVERY and not one.scheme]
        above = [one for one in faults if one.density == EVERY and not one.scheme]
        above = [one for one in above if one.distinguishable]
        found = (sum(one.found for one in above), sum(one.first for one in above))
        shares = [tables.share(count, len(above)) for count in found]
        rows.append((name or "nothing", sum(len(one.alarms) for one in some), *shares))
    return tables.markdown(("changed", "false alarms", "found", "first"), *rows)


# ---- the command ---------------------------------------------------------------------------------


def mapped(work: Any, plans: Sequence[Plan], jobs: int) -> Iterator[Any]:
    """What `work` gives for each plan."""
    if jobs == 1:
        yield from map(work, plans)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(work, plans)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `plans` is never empty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="GLOB", help="default: all of the part")
    parser.add_argument("--part", choices=PARTS, default="held-out")
    parser.add_argument(
        "--folder", type=Path, default=Path("verdict_bench"), help="of what is kept"
    )
    parser.add_argument("--only", choices=("record", "judge"), help="one of the two steps")
    parser.add_argument("--changes", action="store_true", help="judge with each part changed, too")
    parser.add_argument("--reference", action="store_true", help="judge by a reference, too")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="subjects at a time")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every result to this file")
    parsed = parser.parse_args(arguments)
    globs = parsed.subjects or ["*"]
    parsed.plans = [
        plan
        for plan in PARTS[parsed.part]
        if any(fnmatchcase(plan.subject, glob) for glob in globs)
    ]
    if not parsed.plans:
        names = ", ".join(plan.subject for plan in PARTS[parsed.part])
        parser.error(f"no subject {' '.join(globs)} in the part {parsed.part}; it has {names}")
    return parsed


def main() -> None:
    """Record and judge what the command line asks for, and print what the rules make of it."""
    arguments = parse()
    start = time.monotonic()
    folder = arguments.folder / arguments.part
    if arguments.only != "judge":
        for _ in mapped(partial(record, folder=folder), arguments.plans, arguments.jobs):
            pass
    if arguments.only == "record":
        return
    results: dict[str, Results] = {}
    changes = CHANGES if arguments.changes else ()
    work = partial(judge, folder=folder, changes=changes, reference=arguments.reference)
    for some in mapped(work, arguments.plans, arguments.jobs):
        for name, more in some.items():
            _add(results.setdefault(name, ([], [])), more)
    show(results)
    recorded = sum(one.seconds for one in results[""][0])
    print(f"\nRecorded in {recorded / 60:.0f} min, judged in {time.monotonic() - start:.0f} s")
    if arguments.json:
        passes, faults = results[""]
        values = {
            "benign": [asdict(one) for one in passes],
            "faults": [asdict(one) for one in faults],
        }
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
