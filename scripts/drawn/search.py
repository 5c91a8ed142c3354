"""Looks for a run with a blatant fault that ends with 0, and for files that have no row."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ait_cmp import UsageError, compare_dumps
from ait_cmp.commands.status import exit_status
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from drawn.build import Built, build, golden_tensors, honest, plant, victim
from drawn.faults import planted
from drawn.mishaps import befall
from drawn.plan import Plan
from drawn.tolerances import claims

__all__ = ["FalsePassError", "Outcome", "lost_files", "plant_and_compare"]

_SUFFIXES = (".bin", ".pt", ".pth", ".npy", ".safetensors")


class FalsePassError(AssertionError):
    """A run that should not have ended as it did."""


@dataclass(frozen=True)
class Answer:
    """How a comparison ended, and what its rows name."""

    status: int
    told: tuple[tuple[str, str, str], ...] = ()  # status, name, sentence
    files: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one drawn run."""

    what: str  # "seen", or why it shows nothing
    plan: Plan


def ask(built: Built) -> Answer:
    """Compare as the command does, in this process."""
    try:
        rows = compare_dumps(**built.keywords()).rows
    except UsageError as exc:
        return Answer(2, words=str(exc))
    told = tuple((row.verdict.status, row.pair.name, row.verdict.sentence) for row in rows)
    files = tuple(file for row in rows for place in _places(row.pair) for file in place.files)
    return Answer(exit_status([one[0] for one in told]), told, files)


def _places(pair: Pair) -> Iterator[Location]:
    """What a row stands for: its two sides, and of several ranks all that it says it took."""
    yield from (pair.golden, pair.my)
    for way in pair.shards.ways if pair.shards else ():
        yield from way.copies


@contextmanager
def a_folder() -> Iterator[Path]:
    """One for a run, in memory."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = Path(tempfile.mkdtemp(prefix="drawn-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _built(plan: Plan, folder: Path) -> tuple[Built, Any, Any]:
    golden, my = honest(plan, golden_tensors(plan))
    built = build(plan, folder, golden, my)
    if plan.stored:
        built.settings["output"] = str(folder / "out")
    return built, golden, my


def plant_and_compare(plan: Plan, keep: Path | None = None) -> Outcome:
    """Raises FalsePassError where the faulty run ends with 0; `keep` then gets its files."""
    with a_folder() as folder:
        built, golden, my = _built(plan, folder)
        struck = victim(plan)
        faulty = planted(plan, struck, golden, my)
        if faulty is None or not claims(plan, golden[struck], faulty):
            return Outcome("no blatant fault", plan)
        before = ask(built)
        if before.status == 2:
            raise FalsePassError(f"an honest run is refused: {before.words}\n{plan}")
        plant(plan, built, golden, my, faulty)
        after = ask(built)
        if after.status == 0:
            if keep:
                keep_run(plan, built, keep)
            raise FalsePassError(f"{plan.fault} in {struck} passes: {after}\n{plan}")
        if before.status:
            why = next((one[2] for one in before.told if one[0] != "pass"), "no rows")
            return Outcome(f"the honest run ends with {before.status}: {why[:60]}", plan)
        return Outcome("seen", plan)


def lost_files(plan: Plan, mishap: str, place: int, keep: Path | None = None) -> Outcome:
    """Something befalls one file. Raises FalsePassError where a tensor file then has no row, or
    where one is missing and the run ends with 0."""
    plan = replace(plan, selected=False)  # else the file may be of a row that nobody asked for
    with a_folder() as folder:
        built, _, _ = _built(plan, folder)
        before = ask(built)
        hit = befall(built, mishap, place)
        if hit is None:
            return Outcome("nothing to befall", plan)
        after = ask(built)
        problem = ""
        if after.status == 0 and hit.missing:
            problem = f"{mishap} of {hit.path} passes"
        elif after.status != 2:
            lost = unaccounted(built, after)
            problem = f"no row tells of {lost}" if lost else ""
        if problem:
            if keep:
                keep_run(plan, built, keep)
            raise FalsePassError(f"after {mishap} of {hit.path}: {problem}: {after}\n{plan}")
        return Outcome("seen" if not before.status else "the honest run does not pass", plan)


def unaccounted(built: Built, answer: Answer) -> list[str]:
    """Tensor files below the named folders that no row names, by the file or a folder around it."""
    named = {os.path.abspath(file.partition("::")[0]) for file in answer.files}
    lost = []
    for top in built.named:
        for path in sorted(top.rglob("*")):
            if path.suffix.lower() not in _SUFFIXES or path.is_dir():
                continue
            told = any(str(path) in sentence for _, _, sentence in answer.told)
            if not told and not {str(path), *map(str, path.parents)} & named:
                lost.append(str(path))
    return lost


def keep_run(plan: Plan, built: Built, keep: Path) -> None:
    """The files of a run that ended wrongly, its plan, and the command."""
    if keep.exists():
        shutil.rmtree(keep)
    shutil.copytree(built.folder, keep, symlinks=True, ignore=shutil.ignore_patterns("*.fifo"))
    (keep / "plan.json").write_text(json.dumps(asdict(plan), indent=1, ensure_ascii=False))
    moved = [word.replace(str(built.folder), str(keep)) for word in built.words()]
    for file in keep.rglob("*.json"):
        file.write_text(file.read_text().replace(str(built.folder), str(keep)))
    quoted = " ".join(f'"{word}"' for word in moved)
    (keep / "run.sh").write_text(f"python -m ait_cmp {quoted}\n")
