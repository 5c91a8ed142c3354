"""Coverage-guided fuzzing of what reads files of others.

    pip install --group fuzz
    python scripts/fuzz.py TARGET [-runs=N] [-max_total_time=SECONDS]

TARGET is bin, npy, npz, safetensors, pth, mapping (a metadata.json), pairs (a list in YAML), or
what files of settings say: tolerance, rules. Only PairError and UsageError are answers; any other
exception, signal or hang ends the run and leaves its input in build/crashers: give it a row in
tests/hostile.py, with the code that it should get. The other arguments are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ait_cmp"]):
    # The readers of the formats are else imported on first use, and not instrumented.
    from ait_cmp.mapping import MAPPINGS, Wish
    from ait_cmp.settings.options import load_option
    from ait_cmp.settings.tolerances import load_tolerance
    from ait_cmp.source import (  # noqa: F401
        atb,
        bin_file,
        npy,
        npz,
        open_source,
        pth,
        safetensors,
        tensor_names,
    )
    from ait_cmp.values.errors import PairError, UsageError

import numpy as np
import torch
from safetensors.torch import save_file

from ait_cmp import write_bin

CRASHERS = Path(__file__).resolve().parents[1] / "build" / "crashers"
LONGEST = 4096  # bytes of an input
READ = 1000  # elements


def read_tensor(path: Path) -> None:
    """Open and read a tensor file, or the first tensors that it names."""
    with contextlib.suppress(PairError):
        for name in (tensor_names(str(path)) or [""])[:3]:
            with contextlib.suppress(PairError):
                source = open_source(f"{path}::{name}" if name else str(path))
                source.read(0, min(source.elements, READ))


def read_mapping(path: Path) -> None:
    """Read a metadata.json."""
    with contextlib.suppress(UsageError):
        MAPPINGS["metadata"](Wish(str(path)))


def read_pairs(path: Path) -> None:
    """Read a list of pairs."""
    with contextlib.suppress(UsageError):
        MAPPINGS["pairs"](Wish(str(path)))


def read_tolerance(path: Path) -> None:
    """Read a tolerance, to the limits that judge."""
    with contextlib.suppress(UsageError):
        load_tolerance(str(path))


def read_rules(path: Path) -> None:
    """Read the settings of a mapping."""
    with contextlib.suppress(UsageError):
        load_option("mapping", str(path))


# What is no tensor: its reader, the name of the file, and where valid files are.
OTHERS = {
    "mapping": (read_mapping, "metadata.json", ""),
    "pairs": (read_pairs, "pairs.yaml", ""),
    "tolerance": (read_tolerance, "tolerance.yaml", "conf/tolerance"),
    "rules": (read_rules, "mapping.yaml", "conf/mapping"),
}


def seeds(target: str, folder: Path) -> None:
    """Write valid files to begin with."""
    tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor(True), torch.ones(3, 2).t()]
    if target == "mapping":
        (folder / "empty").write_text("{}")
        (folder / "two").write_text('{"a": {"0": ["g.pth", "m.bin"], "1": ["g", "m"]}, "b": {}}')
    if target == "pairs":
        (folder / "two").write_text(
            "- {data_id: a, golden: g, my: m}\n- {data_id: b, token_id: 0}\n"
        )
    if target in OTHERS and OTHERS[target][2]:
        for shipped in Path(__file__).parents[1].joinpath(OTHERS[target][2]).glob("*.yaml"):
            (folder / shipped.name).write_bytes(shipped.read_bytes())
    if target in OTHERS:
        return
    # A checksum would keep the fuzzer out of the pickles.
    torch.serialization.set_crc32_options(False)
    for number, tensor in enumerate(tensors):
        path = folder / f"{number}.{target}"
        if target == "bin":
            write_bin(path, tensor)
        elif target == "npy":
            np.save(path, tensor.numpy())
        elif target == "npz":
            with (folder / f"{number}.npz").open("wb") as file:
                np.savez(file, a=tensor.numpy(), b=np.ones(2))
        elif target == "safetensors":
            save_file({"a": tensor.contiguous()}, path)
        elif target == "pth":
            torch.save(tensor, path)
            torch.save({"a": tensor, "b": [1, None]}, folder / f"{number}.dict")
            torch.save(tensor, folder / f"{number}.old", _use_new_zipfile_serialization=False)


def main() -> None:
    """Fuzz one target."""
    target, *options = sys.argv[1:]
    read, name, _ = OTHERS.get(target, (read_tensor, f"t.{target}", ""))
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    path = folder / name
    for corpus_folder in ("seeds", "found"):
        (folder / corpus_folder).mkdir()
    seeds(target, folder / "seeds")
    CRASHERS.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT)

    def run(data: bytes) -> None:
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)
        read(path)

    arguments = [f"-max_len={LONGEST}", "-timeout=20", f"-artifact_prefix={CRASHERS}/{target}-"]
    corpus = [option for option in options if not option.startswith("-")]
    flags = [option for option in options if option.startswith("-")]
    atheris.Setup(
        [
            sys.argv[0],
            *arguments,
            *flags,
            *(corpus or [str(folder / "new")]),
            str(folder / "seeds"),
        ],
        run,
    )
    (folder / "new").mkdir()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
