"""A dump of many recorded entries, whose files take next to no room."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from ait_cmp import write_bin

__all__ = ["make_recorded", "recorded_files"]

_LINKS = 50_000  # names of one file; file systems take some 65,000


def make_recorded(folder: Path, tokens: int, data_ids: int, *, there: bool = True) -> Path:
    """A dump with an entry for each token and data_id, and, if they are to be `there`, its files:
    names of a few small ones."""
    golden = _golden(folder / "ait_dump")
    golden.mkdir(parents=True)
    names = _names(data_ids)
    entries: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in names}
    files = [*recorded_files(folder / "ait_dump", tokens, data_ids)]
    for number, both in enumerate(files):
        entries[names[number % data_ids]][str(number // data_ids)] = both
    (golden / "metadata.json").write_text(json.dumps(entries))
    if there:
        for token in range(tokens):
            for side in (golden, folder / "my"):
                (side / str(token)).mkdir(parents=True)
        torch.save(torch.ones(4), folder / "first.pth")
        write_bin(folder / "first.bin", torch.ones(4))
        _link(folder, [name for both in files for name in both])
    return folder / "ait_dump"


def recorded_files(dump: Path, tokens: int, data_ids: int) -> Iterator[tuple[str, str]]:
    """The files of both sides of each entry of such a `dump`, in its order."""
    golden, my, names = _golden(dump), dump.parent / "my", _names(data_ids)
    for token in range(tokens):
        for number, name in enumerate(names):
            yield f"{golden}/{token}/{name}_tensor.pth", f"{my}/{token}/{number}_out.bin"


def _golden(dump: Path) -> Path:
    return dump / "1_-1" / "golden_tensor"


def _names(data_ids: int) -> list[str]:
    return [f"layers.{number // 10}.self_attn.proj{number % 10}" for number in range(data_ids)]


def _link(folder: Path, files: list[str]) -> None:
    for start in range(0, len(files), _LINKS):
        for suffix in (".pth", ".bin"):
            file = folder / f"{start}{suffix}"
            shutil.copyfile(folder / f"first{suffix}", file)
            for name in files[start : start + _LINKS]:
                if name.endswith(suffix):
                    os.link(file, name)
