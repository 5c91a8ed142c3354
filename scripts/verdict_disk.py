"""Benign runs of a trained model, from dumps on disk, by the command: how many rows fail.

    python scripts/verdict_disk.py [--number 0] [--device cuda] [--faults] [--folder FOLDER]
                                   [KIND ...]

SmolLM2-135M reads a text of each of ten kinds and goes on for three tokens: golden in float32 on
the processor, my in five honest ways, or with `--device` in six on that device, the modules of each
dumped by `dump_modules`, the two folders compared by `python -m ait_cmp`. With `--faults` my is in
bfloat16 with one of twelve faults in a layer instead, and has to fail first where that is. What is
needed is in the dependency group `verdict`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from verdict import trained
from verdict.models import GOLDEN, Subject, Variant, run
from verdict.porting import PORTING, Change, no_fault
from verdict.sets import BY_NAME

from ait_cmp.dump.hooks import dump_modules

KINDS = tuple(kind for kind in trained.INPUTS if kind != "left")
WAYS = ("tf32 rounded", "bf16", "bf16 split K", "bf16 fused attention", "fp16")
LAYERS = (4, 9, 15, 21, 27)  # where faults are, text by text
TF32 = replace(GOLDEN, name="tf32")  # by the device's own matmuls
ON_DEVICE = (
    replace(GOLDEN, name="fp32"),
    TF32,
    BY_NAME["bf16"],
    BY_NAME["bf16 fused attention"],
    BY_NAME["fp16"],
    replace(BY_NAME["bf16 fused attention"], name="fp16 fused attention", dtype=torch.float16),
)


def dump(
    subject: Subject,
    variant: Variant,
    folder: Path,
    device: str = "cpu",
    fault: Change = no_fault,
    layer: int = 0,
) -> str:
    """The modules of one run, in `folder`; the module that `fault` made wrong. Golden's tokens are
    kept in the subject."""
    torch.backends.cuda.matmul.allow_tf32 = variant is TF32
    model = variant.model(subject)
    place = fault(model, layer)
    model.to(device)
    inputs = {name: one.to(device) for name, one in subject.inputs.items()}
    there = replace(subject, inputs=inputs, tokens=[one.to(device) for one in subject.tokens])
    with dump_modules(model, folder):
        made, _ = run(there, variant, model, lambda call: None)
    subject.tokens = subject.tokens or made
    return place


def compared(golden: Path, my: Path, output: Path) -> list[dict[str, str]]:
    """The rows of the report that the command makes of the two."""
    command = [sys.executable, "-m", "ait_cmp", f"golden_path={golden}", f"my_path={my}"]
    done = subprocess.run(
        [*command, f"output={output}", "mapping=tree", "unpaired=ignore"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 3):
        sys.exit(done.stderr)
    with (output / "cmp_report.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def benign(name: str, rows: list[dict[str, str]]) -> Counter[str]:
    """How many rows of an honest run have each status; says which fail."""
    counts = Counter(row["status"] for row in rows)
    failing = [
        f"token {row['token_id']} {row['data_id']}: {row['status']}, {row['first_divergence']}"
        for row in rows
        if row["status"] not in ("pass", "skipped")
    ]
    print(f"{name}: {dict(counts)}", *failing, sep="\n  ", flush=True)
    return counts


def faulty(name: str, place: str, rows: list[dict[str, str]]) -> Counter[str]:
    """Whether the first row that fails is of the module that is wrong; says where it is not."""
    failing = [row["data_id"] for row in rows if row["status"] == "fail"]
    found = any(_is_of(one, place) for one in failing)
    first = bool(failing) and _is_of(failing[0], place)
    print(f"{name} in {place}: {failing[0] if failing else 'nothing'} fails first", flush=True)
    return Counter(faults=1, found=found, first=first)


def _is_of(data_id: str, module: str) -> bool:
    return data_id.rpartition("/")[0] == module


def main() -> None:
    """Print what becomes of every run, and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--number", type=int, default=0, help="which text of each kind")
    parser.add_argument("--device", default="cpu", help="where my runs, as torch names it")
    parser.add_argument("--faults", action="store_true", help="with faults, in bfloat16")
    parser.add_argument("--folder", type=Path, help="where dumps are for a while")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    honest = [BY_NAME[way] for way in WAYS] if arguments.device == "cpu" else ON_DEVICE
    ways: list[tuple[str, Variant, Change]] = [(way.name, way, no_fault) for way in honest]
    if arguments.faults:
        ways = [(name, BY_NAME["bf16"], fault) for name, fault in PORTING.items()]
    begun, counts = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for number, kind in enumerate(arguments.kinds or KINDS):
            subject = trained.build(f"smollm2-{kind}-{arguments.number}")
            dump(subject, GOLDEN, folder / "golden")
            layer = LAYERS[number % len(LAYERS)]
            for said, way, change in ways:
                place = dump(subject, way, folder / "my", arguments.device, change, layer)
                rows = compared(folder / "golden", folder / "my", folder / "out")
                said = f"{subject.name}, {said}"
                counts += faulty(said, place, rows) if place else benign(said, rows)
                shutil.rmtree(folder / "my")
                shutil.rmtree(folder / "out")
            shutil.rmtree(folder / "golden")
    print(f"all: {dict(counts)}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
