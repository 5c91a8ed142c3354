"""A dump of many recorded entries, whose files take next to no room."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch

from ait_cmp import write_bin

__all__ = ["make_recorded"]

_LINKS = 50_000  # names of one file; file systems take some 65,000


def make_recorded(folder: Path, tokens: int, data_ids: int, *, there: bool = True) -> Path:
    """A dump with an entry for each token and data_id, and, if they are to be `there`, its files:
    names of a few small ones."""
    golden, my = folder / "ait_dump" / "1_-1" / "golden_tensor", folder / "my"
    golden.mkdir(parents=True)
    names = [f"layers.{number // 10}.self_attn.proj{number % 10}" for number in range(data_ids)]
    entries: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in names}
    files = []
    for token in range(tokens):
        for number, name in enumerate(names):
            files += [f"{golden}/{token}/{name}_tensor.pth", f"{my}/{token}/{number}_out.bin"]
            entries[name][str(token)] = files[-2], files[-1]
    (golden / "metadata.json").write_text(json.dumps(entries))
    if there:
        for token in range(tokens):
            for side in (golden, my):
                (side / str(token)).mkdir(parents=True)
        torch.save(torch.ones(4), folder / "first.pth")
        write_bin(folder / "first.bin", torch.ones(4))
        _link(folder, files)
    return folder / "ait_dump"


def _link(folder: Path, files: list[str]) -> None:
    for start in range(0, len(files), _LINKS):
        for suffix in (".pth", ".bin"):
            file = folder / f"{start}{suffix}"
            shutil.copyfile(folder / f"first{suffix}", file)
            for name in files[start : start + _LINKS]:
                if name.endswith(suffix):
                    os.link(file, name)
