"""What a run dumped, found by looking at the output folder before and after it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ait_cmp.values.overrides import override

__all__ = ["Files", "Summary", "dumped_files", "summarize"]

Files = Mapping[str, tuple[int, int]]  # path below the output folder -> size, time of change

_DUMPS = ("ait_dump", "atb_dump_data")
# tensors/{DEVICE_ID}_{PID}/{TOKEN_ID}/…, and the newer library's data/{DEVICE_ID}_{PID}/{ROUND}/…
_TENSOR = re.compile(r"((?:ait_dump/tensors|atb_dump_data/data)/([^/]+))/([0-9]+)/.+")


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of the files that one run wrote below `output`."""

    output: Path
    tensors: int
    others: int
    bytes: int
    rounds: int
    folders: tuple[str, ...]  # {DEVICE_ID}_{PID}, below `output`

    def sentences(self) -> Iterator[str]:
        """What was dumped, where, and how to compare it."""
        if not self.tensors and not self.others:
            yield f"nothing was dumped to {self.output / 'ait_dump'}"
            return
        yield (
            f"{_count(self.tensors, 'tensor')} of {_count(self.rounds, 'token round')} and "
            f"{_count(self.others, 'other file')}, {self.bytes} bytes, in {self._where()}"
        )
        if self.tensors:
            yield f"compare it with another such dump: {self._command('mapping=tree')}"
            yield f"or with what dump_data saved: {self._command()}"

    def _where(self) -> Path:
        """The folder that holds all tensors, and nothing else if they are in one."""
        if len(self.folders) == 1:
            return self.output / self.folders[0]
        return self.output / (os.path.dirname(self.folders[0]) if self.folders else "ait_dump")

    def _command(self, *settings: str) -> str:
        words = ("golden_path=GOLDEN", override("my_path", str(self._where())), *settings)
        return f"python -m ait_cmp {' '.join(map(shlex.quote, words))} output=report"


def dumped_files(output: Path) -> Files:
    """All files of the dumps in `output`, old and new."""
    found = {}
    for name in _DUMPS:
        for folder, _, files in os.walk(output / name):
            for file in files:
                path = os.path.join(folder, file)
                status = os.lstat(path)
                found[os.path.relpath(path, output)] = (status.st_size, status.st_mtime_ns)
    return found


def summarize(output: Path, before: Files) -> Summary:
    """What is in `output` now and was not, or was otherwise, `before`."""
    new = {path: state for path, state in dumped_files(output).items() if before.get(path) != state}
    tensors = [match for path in new if (match := _TENSOR.fullmatch(path))]
    return Summary(
        output=output,
        tensors=len(tensors),
        others=len(new) - len(tensors),
        bytes=sum(size for size, _ in new.values()),
        rounds=len({match[3] for match in tensors}),
        folders=tuple(sorted({match[1] for match in tensors})),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
