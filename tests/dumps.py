"""Reads dump trees as the tests of both dump backends need them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ait_cmp.dump_tree import IN_EVERY_FOLDER

# The codes of the format's documentation, apart from the package's own table.
_TYPES = {0: torch.float32, 1: torch.float16, 9: torch.int64, 12: torch.bool, 27: torch.bfloat16}


def read_bin(path: Path) -> torch.Tensor:
    """The tensor of a `.bin` file with one record."""
    head, _, data = path.read_bytes().partition(b"$End=1\n")
    attributes = dict(line.split("=") for line in head.decode().splitlines())
    shape = () if attributes.get("rank") == "0" else tuple(map(int, attributes["dims"].split(",")))
    dtype = _TYPES[int(attributes["dtype"])]
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def run_folders(output: Path) -> list[Path]:
    """The {DEVICE_ID}_{PID} folders in `output`."""
    return sorted((output / "ait_dump" / "tensors").glob("*"))


def names(folder: Path) -> list[str]:
    """The files below `folder`, relative, but for those that say what it is."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(
        str(path.relative_to(folder)) for path in found if path.name not in IN_EVERY_FOLDER
    )


def only_run(output: Path) -> Path:
    """The one such folder."""
    (folder,) = run_folders(output)
    return folder


def calls(folder: Path) -> list[str]:
    """The calls {TOKEN_ID}/{N}_{Name}/… that have a tensor in a run's folder."""
    return sorted({str(Path(name).parent.parent) for name in names(folder)})


def ait_llm_dump(
    command: str, *options: object, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """`ait llm dump` of `command`, to its end."""
    words = [sys.executable, "-m", "ait_cmp.ait", "llm", "dump", "--exec", command]
    return subprocess.run(
        [*words, *map(str, options)], capture_output=True, text=True, timeout=120, **settings
    )
