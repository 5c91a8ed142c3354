"""What a run dumped, found by looking at the output folder before and after it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ait_cmp.dump_tree import (
    DUMP,
    IN_EVERY_FOLDER,
    is_dump,
    is_fingerprint_file,
    library_file,
    not_saved,
    not_saved_for,
)
from ait_cmp.fingerprint.container import lines_of
from ait_cmp.values.overrides import override

__all__ = ["Files", "Summary", "dumped_files", "summarize"]

Files = Mapping[str, tuple[int, int]]  # path below the output folder -> size, time of change


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of the files that one run wrote below `output`."""

    output: Path
    tensors: int
    failed: int
    others: int
    bytes: int
    rounds: int
    folders: tuple[str, ...]  # {DEVICE_ID}_{PID}, or files of fingerprints, below `output`

    def in_file(self, path: str) -> Summary:
        """The same, where one file was made of all files of fingerprints."""
        return replace(self, output=Path(), folders=(path,) if self.folders else ())

    def sentences(self, *, only_described: bool = False) -> Iterator[str]:
        """What was dumped, where, and how to compare it, where it is not `only_described`."""
        if not self.tensors and not self.failed and not self.others:
            yield f"nothing was dumped to {self.output / DUMP}"
            return
        yield (
            f"{_count(self.tensors, 'tensor')} of {_count(self.rounds, 'token round')} and "
            f"{_count(self.others, 'other file')}, {self.bytes} bytes, in {self._where()}"
        )
        if self.failed:
            lost = _count(self.failed, "tensor")
            yield f"{lost} could not be saved; {not_saved('FILE')} in the place of each says why"
        if self.tensors and only_described:
            yield (
                "types and shapes alone were dumped, which cannot be compared; dump again without "
                "--only-save-desc (-sd) to compare elements"
            )
        elif self.tensors:
            here, there = (
                shlex.quote(override(key, str(self._where()))) for key in ("my_path", "golden_path")
            )
            yield (
                f"compare it: python -m ait_cmp golden_path=GOLDEN {here} output=report "
                f"(as the golden dump: {there} my_path=MY)"
            )

    def _where(self) -> Path:
        """The folder that holds all tensors, and nothing else if they are in one."""
        if len(self.folders) == 1:
            return self.output / self.folders[0]
        return self.output / (os.path.dirname(self.folders[0]) if self.folders else DUMP)


def dumped_files(output: Path) -> Files:
    """All files of the dumps in `output`, old and new."""
    found = {}
    for name in filter(is_dump, _names(output)):
        for folder, _, files in os.walk(output / name):
            below = os.path.relpath(folder, output)
            for file in files:
                try:
                    status = os.lstat(os.path.join(folder, file))
                except OSError:  # another dump's temporary file, which it has renamed by now
                    continue
                found[f"{below}/{file}"] = status.st_size, status.st_mtime_ns
    return found


def summarize(output: Path, before: Files) -> Summary:
    """What is in `output` now and was not, or was otherwise, `before`."""
    new = {path: state for path, state in dumped_files(output).items() if before.get(path) != state}
    tensors = [file for path in new if (file := library_file(path))]
    kept = [path for path in new if is_fingerprint_file(path)]
    lines = [line for path in kept for line in _lines(output / path)]
    places = [line["file"].split("/") for line in lines if "failed" not in line]
    failed = sum(not_saved_for(path) is not None for path in new)
    ours = sum(os.path.basename(path) in IN_EVERY_FOLDER for path in new)
    return Summary(
        output=output,
        tensors=len(tensors) + len(places),
        failed=failed + len(lines) - len(places),
        others=len(new) - len(tensors) - len(kept) - failed - ours,
        bytes=sum(size for size, _ in new.values()),
        rounds=len({file.round for file in tensors} | {int(place[1]) for place in places}),
        folders=tuple(sorted({*kept, *(file.rank for file in tensors)})),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    """What a file of fingerprints says of its tensors."""
    try:
        return [line for line in lines_of(str(path)) if "file" in line]
    except (OSError, ValueError):  # compared, it says what is wrong with it
        return []


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # the command may have deleted it
        return []


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
