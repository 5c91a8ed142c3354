"""Tensor files and dump folders, written by nothing that ait_cmp uses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from drawn.plan import Key

__all__ = ["write_dump", "write_tensor"]

Tensors = Mapping[Key, torch.Tensor]

# The codes of the format's documentation.
_CODES = {
    torch.float32: 0,
    torch.float16: 1,
    torch.int8: 2,
    torch.int32: 3,
    torch.uint8: 4,
    torch.int64: 9,
    torch.float64: 11,
    torch.bool: 12,
    torch.bfloat16: 27,
    torch.float8_e5m2: 35,
    torch.float8_e4m3fn: 36,
}
_PLACES = {
    "library": "ait_dump/tensors",
    "newer": "atb_dump_data/data",
    "successor": "msit_dump_20250101/atb_dump_data/data",
}
_PID = 700


def record(tensor: torch.Tensor) -> bytes:
    """A tensor as one record of an ATB `.bin`."""
    data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    shape = f"dims={','.join(map(str, tensor.shape))}\n" if tensor.ndim else "dims=1\nrank=0\n"
    return (
        f"$Version=1.0\n$Object.Count=1\n$Object.Length={len(data)}\nformat=2\n"
        f"dtype={_CODES[tensor.dtype]}\n{shape}$Object.data=0,{len(data)}\n$End=1\n"
    ).encode() + data


def write_tensor(path: Path, tensor: torch.Tensor, before: torch.Tensor | None = None) -> None:
    """`tensor` by the suffix of `path`; `before` is what a `.bin` had before it was appended to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".bin":
        older = record(before) if before is not None else b""
        path.write_bytes(older + record(tensor))
    elif path.suffix == ".npy":
        np.save(path, tensor.numpy())
    elif path.suffix == ".safetensors":
        safetensors.torch.save_file({"w": tensor.contiguous()}, path)
    else:
        torch.save(tensor, path)


def write_dump(
    layout: str, suffix: str, folder: Path, tensors: Tensors, runs: int, before: Tensors
) -> dict[Key, str]:
    """`tensors` as a dump of this layout; where each is. A rank beyond those of a run, which are
    as many by the number of `runs`, is the same device in the next run."""
    ranks = max(rank for rank, _, _ in tensors) + 1
    devices = max(1, ranks // runs)
    places = {}
    if layout == "msprobe":
        return _write_msprobe(folder, tensors)
    if layout == "sglang":
        return _write_sglang(folder, tensors)
    if layout == "folder" and suffix == ".safetensors":
        return _write_safetensors(folder, tensors)
    for key, tensor in tensors.items():
        rank, token, name = key
        device, process = rank % devices, _PID + rank
        if layout == "folder":
            place = f"{token}/{name}{suffix}"
        elif layout == "dump_data":
            file = name.replace("/", "_")
            place = f"ait_dump/{process}_{device}/golden_tensor/{token}/{file}_tensor.pth"
        else:
            place = f"{_PLACES[layout]}/{device}_{process}/{token}/{name}.bin"
        write_tensor(folder / place, tensor, before.get(key))
        places[key] = str(folder / place)
    return places


def _write_msprobe(folder: Path, tensors: Tensors) -> dict[Key, str]:
    data: dict[Path, dict[str, object]] = {}
    places = {}
    for (rank, token, name), tensor in tensors.items():
        place = folder / f"step{token}" / f"rank{rank}"
        write_tensor(place / "dump_tensor_data" / f"{name}.pt", tensor)
        saved = {"type": "torch.Tensor", "data_name": f"{name}.pt"}
        data.setdefault(place, {})[name.removesuffix(".output.0")] = {"output": [saved]}
        places[rank, token, name] = str(place / "dump_tensor_data" / f"{name}.pt")
    for place, calls in data.items():
        (place / "dump.json").write_text(json.dumps({"task": "tensor", "data": calls}))
        (place / "construct.json").write_text("{}")
    return places


def _write_sglang(folder: Path, tensors: Tensors) -> dict[Key, str]:
    places = {}
    folder.mkdir(parents=True, exist_ok=True)
    for index, ((rank, token, name), tensor) in enumerate(tensors.items()):
        path = folder / f"step={token}___rank={rank}___dump_index={index}___name={name}.pt"
        torch.save({"value": tensor, "meta": {"rank": rank}}, path)
        places[rank, token, name] = str(path)
    return places


def _write_safetensors(folder: Path, tensors: Tensors) -> dict[Key, str]:
    """One container a token."""
    places: dict[Key, str] = {}
    for token in {token for _, token, _ in tensors}:
        path = folder / str(token) / "all.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        of_token = {name: one.contiguous() for (_, at, name), one in tensors.items() if at == token}
        safetensors.torch.save_file(of_token, path)
        places |= {(0, token, name): f"{path}::{name}" for name in of_token}
    return places


def write_metadata(places: Mapping[Key, str], entries: Mapping[Key, tuple[str, str]]) -> None:
    """The metadata.json of each process, beside its golden tensors."""
    data: dict[Path, dict[str, dict[str, list[str]]]] = {}
    for (rank, token, name), sides in entries.items():
        folder = Path(places[rank, token, name]).parent.parent
        data.setdefault(folder, {}).setdefault(name, {})[str(token)] = list(sides)
    for folder, content in data.items():
        (folder / "metadata.json").write_text(json.dumps(content))
