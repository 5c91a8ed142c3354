"""Benign runs of a trained model, from dumps on disk, by the command: how many rows fail.

    python scripts/verdict_disk.py [--number 0] [--device cuda] [--folder FOLDER] [KIND ...]

SmolLM2-135M reads a text of each of ten kinds and goes on for three tokens: golden in float32 on
the processor, my in five honest ways, or with `--device` in six on that device, the modules of each
dumped by `dump_modules`, the two folders compared by `python -m ait_cmp`. What is needed is in the
dependency group `verdict`.
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
from verdict.sets import BY_NAME

from ait_cmp.dump.hooks import dump_modules

KINDS = tuple(kind for kind in trained.INPUTS if kind != "left")
WAYS = ("tf32 rounded", "bf16", "bf16 split K", "bf16 fused attention", "fp16")
TF32 = replace(GOLDEN, name="tf32")  # by the device's own matmuls
ON_DEVICE = (
    replace(GOLDEN, name="fp32"),
    TF32,
    BY_NAME["bf16"],
    BY_NAME["bf16 fused attention"],
    BY_NAME["fp16"],
    replace(BY_NAME["bf16 fused attention"], name="fp16 fused attention", dtype=torch.float16),
)


def dump(subject: Subject, variant: Variant, folder: Path, device: str = "cpu") -> None:
    """The modules of one run, in `folder`; golden's tokens are kept in the subject."""
    torch.backends.cuda.matmul.allow_tf32 = variant is TF32
    model = variant.model(subject).to(device)
    inputs = {name: one.to(device) for name, one in subject.inputs.items()}
    there = replace(subject, inputs=inputs, tokens=[one.to(device) for one in subject.tokens])
    with dump_modules(model, folder):
        made, _ = run(there, variant, model, lambda call: None)
    subject.tokens = subject.tokens or made


def compared(golden: Path, my: Path, output: Path) -> tuple[Counter[str], list[str]]:
    """What the command says of the two: how many rows of each status, and those that fail."""
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
        rows = [*csv.DictReader(file)]
    named = [row for row in rows if row["status"] not in ("pass", "skipped")]
    failing = [
        f"token {row['token_id']} {row['data_id']}: {row['status']}, {row['first_divergence']}"
        for row in named
    ]
    return Counter(row["status"] for row in rows), failing


def main() -> None:
    """Print what becomes of every run, and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--number", type=int, default=0, help="which text of each kind")
    parser.add_argument("--device", default="cpu", help="where my runs, as torch names it")
    parser.add_argument("--folder", type=Path, help="where dumps are for a while")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ways = [BY_NAME[way] for way in WAYS] if arguments.device == "cpu" else ON_DEVICE
    begun, counts = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for kind in arguments.kinds or KINDS:
            subject = trained.build(f"smollm2-{kind}-{arguments.number}")
            dump(subject, GOLDEN, folder / "golden")
            for way in ways:
                dump(subject, way, folder / "my", arguments.device)
                some, failing = compared(folder / "golden", folder / "my", folder / "out")
                counts += some
                print(f"{subject.name}, {way.name}: {dict(some)}", *failing, sep="\n  ", flush=True)
                shutil.rmtree(folder / "my")
                shutil.rmtree(folder / "out")
            shutil.rmtree(folder / "golden")
    print(f"all: {dict(counts)}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
