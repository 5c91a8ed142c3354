"""A search for false passes: drawn runs with one blatant fault, and with one file that was lost.

    python scripts/false_passes.py faults|files [--examples N] [--seed N] [--jobs N] [--folder F]

`faults` looks for a run with a fault that ends with 0; `files` for a tensor file, of those that
something befell or that lie about, of which no row tells. What is found is kept, as small as it can
be made, in F/found-*, with the command. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from drawn.mishaps import MISHAPS
from drawn.plan import Plan, plans
from drawn.search import FalsePassError, lost_files, plant_and_compare
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

BATCH = 500
FOLDER = Path(__file__).resolve().parents[1] / "build" / "false_passes"


def search(number: int, what: str, first_seed: int, folder: Path) -> dict[str, Any]:
    """One batch of drawn runs: what became of them, counted."""
    logging.disable(logging.CRITICAL)
    counts: Counter[str] = Counter()
    found = ""

    @seed(first_seed + number)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(plans(), st.sampled_from(MISHAPS if what == "files" else [""]), st.integers(0, 999))
    def trial(plan: Plan, mishap: str, place: int) -> None:
        keep = folder / f"found-{what}-{first_seed + number}"
        hit = mishap and lost_files(plan, mishap, place, keep)
        outcome = hit or plant_and_compare(plan, keep)
        told = outcome.what if outcome.what in ("seen", "no blatant fault") else "other"
        for kind in kinds(plan, mishap):
            counts[f"{kind}: {told}"] += 1

    try:
        trial()
    except FalsePassError as exc:
        found = str(exc)
    return {"batch": number, "counts": counts, "found": found}


def kinds(plan: Plan, mishap: str) -> Iterator[str]:
    """The lines of the table in which a run is counted."""
    yield f"all {'mishaps' if mishap else 'faults'}"
    yield f"mapping {plan.mapping}"
    yield f"golden {plan.golden_layout}"
    yield f"my {plan.my_layout}"
    yield f"mishap {mishap}" if mishap else f"fault {plan.fault}"
    if not mishap:
        yield f"tolerance {plan.tolerance}"
        yield f"adapter {plan.form or 'none'}"
        yield f"types {plan.specs[0].golden} and {plan.specs[0].my}"


def show(batches: list[dict[str, Any]], first_seed: int) -> None:
    """The table of all batches, and what they found."""
    table: dict[str, Counter[str]] = {}
    for batch in batches:
        for line, count in batch["counts"].items():
            kind, _, told = line.rpartition(": ")
            table.setdefault(kind, Counter())[told] += count
    print(f"{'seen':>8} {'no fault':>8} {'other':>8}")
    for kind, told in sorted(table.items()):
        cells = (told[name] for name in ("seen", "no blatant fault", "other"))
        print(" ".join(f"{cell:8}" for cell in cells), kind)
    found = [(first_seed + one["batch"], one["found"]) for one in batches if one["found"]]
    for at, what in found:
        print(f"seed {at}: {what}")
    print(f"{len(found)} found in {len(batches) * BATCH} drawn runs, seeds {first_seed} and on")


def main() -> int:
    """Search, and show what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["faults", "files"])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="default: random, and printed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given_ = parser.parse_args()
    first_seed = random.randrange(10**6) if given_.seed is None else given_.seed
    print(f"seed {first_seed}", flush=True)
    given_.folder.mkdir(parents=True, exist_ok=True)
    journal = given_.folder / f"{given_.what}-{first_seed}.jsonl"
    done = list(map(json.loads, journal.read_text().splitlines())) if journal.exists() else []
    finished = {one["batch"] for one in done}
    wanted = [one for one in range(-(-given_.examples // BATCH)) if one not in finished]
    work = partial(search, what=given_.what, first_seed=first_seed, folder=given_.folder)
    with ProcessPoolExecutor(given_.jobs) as pool, open(journal, "a") as file:
        for batch in pool.map(work, wanted):
            done.append(batch)
            file.write(json.dumps(batch) + "\n")
            file.flush()
    show(done, first_seed)
    return any(one["found"] for one in done)


if __name__ == "__main__":
    sys.exit(main())
