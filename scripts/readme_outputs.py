"""Do the outputs that the docs print still come out? Says which are stale, and ends with 1.

    python scripts/readme_outputs.py [--write]

Each fenced block with `$ ` or `>>> ` is run afresh, in a folder with the dumps of the quick start,
and its outputs are held against the printed ones. A line `…` stands for lines left out. What
depends on the machine is not compared: folders, process ids, log lines, and numbers but for 1 %.
Outputs are kept in build/, by a digest of all that they come from. --write mends the stale ones.
"""

from __future__ import annotations

import argparse
import doctest
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import torch

from ait_cmp import write_bin

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "readme_outputs.json"
HOME = "/home/user"  # what the docs call the folder where the commands run
ELISION = "…"
NEAR = 0.01

# With these, torch rounds alike on every x86 processor since 2013: with its widest vectors the tiny
# Llama's borderline rows, and the fourth digits of the quick start, differ from machine to machine.
_SAME_SUMS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OMP_NUM_THREADS": "1",
}
# Printed by no run that the docs show.
_LOG = re.compile(r"INFO: |compared ")
_NUMBER = re.compile(r"(-?\d+\.\d+(?:e[-+]?\d+)?)")
_SESSION = """
import contextlib, io, json, sys, ait_cmp
scope, printed = {"ait_cmp": ait_cmp}, []
for source in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(source, "<docs>", "single"), scope)
    printed.append(output.getvalue().splitlines())
print(json.dumps(printed))
"""


@dataclass(frozen=True)
class Step:
    """A command of a block, or a statement, and the lines `first` to `last` that it printed."""

    command: str
    printed: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    path: Path
    python: bool
    steps: tuple[Step, ...]

    @property
    def key(self) -> str:
        """Blocks of one key print the same."""
        return "\n".join(step.command for step in self.steps)


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a document that have outputs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        inside = lines[begin + 1 : end]
        if any(line.startswith(">>> ") for line in inside):
            yield Block(path, True, tuple(_statements(inside, begin + 1)))
        elif any(line.startswith("$ ") for line in inside):
            yield Block(path, False, tuple(_commands(inside, begin + 1)))


def _commands(lines: Sequence[str], start: int) -> Iterator[Step]:
    at = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for number, following in zip(at, [*at[1:], len(lines)], strict=True):
        printed = tuple(lines[number + 1 : following])
        yield Step(lines[number][2:], printed, start + number + 1, start + following)


def _statements(lines: Sequence[str], start: int) -> Iterator[Step]:
    for example in doctest.DocTestParser().get_examples("\n".join(lines) + "\n"):
        printed = tuple(example.want.splitlines())
        first = start + example.lineno + len(example.source.splitlines())
        yield Step(example.source, printed, first, first + len(printed))


def environment() -> dict[str, str]:
    """The variables of every command: this checkout's package, this interpreter first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, **_SAME_SUMS, "PATH": path, "PYTHONPATH": str(ROOT)}


def prepare(folder: Path) -> Path:
    """A folder with all that the docs name: the quick start's dumps, two to be mapped by rules."""
    folder.mkdir()
    (folder / "scripts").symlink_to(ROOT / "scripts")
    for side in ("golden", "library"):
        command = ["python", "scripts/quickstart_model.py", side, "quickstart_output"]
        subprocess.run(command, cwd=folder, env=environment(), check=True)
    (folder / "hf" / "0").mkdir(parents=True)
    for name in ("lm_head", "model.layers.0.self_attn", "model.layers.1.self_attn"):
        torch.save(torch.ones(2, 4), folder / "hf" / "0" / f"{name}.pt")
    for rank in ("0_4711", "1_4712"):
        for layer in (0, 1):
            operation = f"ait_dump/tensors/{rank}/0/{layer}_Layer/0_Attention/after"
            path = folder / "lib" / operation / "outtensor0.bin"
            path.parent.mkdir(parents=True)
            write_bin(path, torch.ones(2, 2))
    (folder / "conf" / "mapping").mkdir(parents=True)
    rules = re.search(
        r"```yaml\n# conf/mapping/llama\.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert rules, "README.md shows no conf/mapping/llama.yaml"
    (folder / "conf" / "mapping" / "llama.yaml").write_text(rules[1])
    return folder


def run(block: Block, folder: Path) -> list[list[str]]:
    """The lines that each step of a block prints in `folder`."""
    if block.python:
        sources = json.dumps([step.command for step in block.steps])
        return list(json.loads(output_of([sys.executable, "-c", _SESSION], folder, sources)))
    outputs = [output_of(["bash", "-c", step.command], folder) for step in block.steps]
    return [
        [line for line in output.replace(str(folder), HOME).splitlines() if not _LOG.match(line)]
        for output in outputs
    ]


def output_of(command: Sequence[str], folder: Path, given: str = "") -> str:
    """All that a command prints, on either stream."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        input=given,
        stdout=subprocess.PIPE,
        stderr=None if given else subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def digest(keys: Sequence[str]) -> str:
    """Of everything that the outputs come from: the sources, the commands, what is installed."""
    state = hashlib.sha256(json.dumps(sorted(keys)).encode())
    state.update(json.dumps(sorted(f"{d.name} {d.version}" for d in distributions())).encode())
    scripts = [ROOT / "scripts" / name for name in ("quickstart_model.py", "tiny_llama.py")]
    files = [path for name in ("ait_cmp", "conf") for path in (ROOT / name).rglob("*.[py]*")]
    for path in sorted([*files, *scripts, Path(__file__)]):
        if path.is_file() and path.suffix in {".py", ".yaml"}:
            state.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return state.hexdigest()


def fresh_outputs(found: Sequence[Block]) -> dict[str, list[list[str]]]:
    """What the blocks print today, by their keys."""
    by_key = {block.key: block for block in found}
    now = digest(list(by_key))
    if KEPT.exists() and (kept := json.loads(KEPT.read_text()))["digest"] == now:
        return dict(kept["outputs"])
    print("running the commands of the docs (once for these sources) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        base = prepare(Path(name).resolve() / "base")

        def alone(number: int, block: Block) -> list[list[str]]:
            """In a copy: a block must not see what another one writes."""
            return run(block, Path(shutil.copytree(base, base.parent / str(number), symlinks=True)))

        answers = pool.map(alone, range(len(by_key)), by_key.values())
        outputs = dict(zip(by_key, answers, strict=True))
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({"digest": now, "outputs": outputs}, indent=1))
    return outputs


def is_elision(line: str) -> bool:
    """Whether a line stands for lines left out, perhaps in a table."""
    return line.strip("│ ") == ELISION


def alike(printed: Sequence[str], fresh: Sequence[str]) -> bool:
    """Whether the printed lines, any number of which may be left out at an elision, are fresh."""
    if not printed:
        return not fresh
    if is_elision(printed[0]):
        return any(alike(printed[1:], fresh[skipped:]) for skipped in range(len(fresh) + 1))
    return bool(fresh) and same_line(printed[0], fresh[0]) and alike(printed[1:], fresh[1:])


def same_line(printed: str, fresh: str) -> bool:
    """Whether two lines say the same, numbers within 1 %."""
    texts, numbers = _parts(printed)
    fresh_texts, fresh_numbers = _parts(fresh)
    return texts == fresh_texts and all(
        math.isclose(one, other, rel_tol=NEAR)
        for one, other in zip(numbers, fresh_numbers, strict=True)
    )


def _parts(line: str) -> tuple[list[str], list[float]]:
    line = re.sub(r"\b(\d)_\d{3,}", r"\1_PID", line)
    # What names its process hundreds of times is longer where that has more digits.
    line = re.sub(r"\d+( bytes, in \S+\.fp\.safetensors)", r"BYTES\1", line)
    line = re.sub(r"([ ━─])\1+", r"\1", line)  # padding of numbers of more or fewer digits
    parts = _NUMBER.split(line)
    return parts[::2], [float(number) for number in parts[1::2]]


def mended(printed: Sequence[str], fresh: Sequence[str]) -> list[str]:
    """The fresh lines, with what was left out left out: all between a head and a tail."""
    at = [number for number, line in enumerate(printed) if is_elision(line)]
    if not at:
        return list(fresh)
    head, tail = at[0], len(printed) - at[-1] - 1
    left_out = printed[at[0]]
    if left_out.startswith("│"):  # as wide as the fresh table
        first = left_out.index(ELISION)
        blank = "".join(sign if sign == "│" else " " for sign in fresh[head])
        left_out = blank[:first] + ELISION + blank[first + 1 :]
    return [*fresh[:head], left_out, *fresh[len(fresh) - tail :]]


def main() -> int:
    """Compare all blocks, or mend them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put fresh outputs into the docs")
    write = parser.parse_args().write
    documents = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    found = [block for path in documents for block in blocks(path)]
    outputs = fresh_outputs(found)
    stale = [
        (block.path, step, fresh)
        for block in found
        for step, fresh in zip(block.steps, outputs[block.key], strict=True)
        if not alike(step.printed, fresh)
    ]
    for path, step, fresh in sorted(stale, key=lambda one: -one[1].first):  # the last one first
        if write:
            lines = path.read_text(encoding="utf-8").splitlines()
            lines[step.first : step.last] = mended(step.printed, fresh)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            said = "\n".join(f"  {line}" for line in fresh)
            print(f"{path.name}:{step.first}: stale, {step.command.strip()} now prints\n{said}")
    return int(bool(stale) and not write)


if __name__ == "__main__":
    sys.exit(main())
