"""The ways in which tests write tensor files: at least one for each row of `SOURCES`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch

from ait_cmp import write_bin
from ait_cmp.source import Source, open_source
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError

__all__ = [
    "NOT_ATB",
    "NUMPY_TYPES",
    "SHAPES",
    "WAYS",
    "Way",
    "flat_bits",
    "random_tensor",
    "refusal",
    "views",
]

NUMPY_TYPES = {name for name in DTYPES if hasattr(np, name) or name == "bool"}
SHAPES: list[tuple[int, ...]] = [(), (0,), (0, 3), (1,), (2, 3, 4), (7, 1, 5)]
# torch itself cannot load these from its legacy format, whose storages had types.
NOT_LEGACY = {name for name in DTYPES if "float8" in name} | {"uint16", "uint32", "uint64"}
# The library has no code for these, which AMD's processors compute in.
NOT_ATB = {"float8_e4m3fnuz", "float8_e5m2fnuz"}

Save = Callable[[Path, torch.Tensor], None]
SaveMany = Callable[[Path, dict[str, torch.Tensor]], None]


@dataclass(frozen=True)
class Way:
    """What saves one tensor, or several by name, with this suffix; and the types that it can."""

    suffix: str
    save: Save
    save_many: SaveMany | None = None
    dtypes: set[str] = field(default_factory=lambda: set(DTYPES))

    def file(self, folder: Path, tensor: torch.Tensor) -> Path:
        """A file that holds `tensor`."""
        path = folder / f"t{self.suffix}"
        self.save(path, tensor)
        return path

    def source(self, folder: Path, tensor: torch.Tensor) -> Source:
        """`tensor`, saved and opened."""
        return open_source(str(self.file(folder, tensor)))


def save_pth(path: Path, value: object) -> None:
    """As torch saves."""
    torch.save(value, path)


def save_legacy(path: Path, value: object) -> None:
    """As torch saved before 1.6."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


def save_npy(path: Path, tensor: torch.Tensor) -> None:
    """As NumPy saves."""
    np.save(path, tensor.detach().numpy())


def save_safetensors(path: Path, tensor: torch.Tensor) -> None:
    """The one tensor of a file that names it."""
    safetensors.torch.save_file({"only": tensor.detach().contiguous()}, path)


def save_npz(path: Path, tensor: torch.Tensor) -> None:
    """The one array of an archive."""
    np.savez(path, only=tensor.detach().numpy())


def save_many_npz(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Several."""
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(path, **arrays)


def save_many_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Several, and what the format calls metadata."""
    safetensors.torch.save_file(tensors, path, metadata={"k": "v"})


WAYS: dict[str, Way] = {
    "bin": Way(".bin", write_bin, dtypes=set(DTYPES) - NOT_ATB),
    "pth": Way(".pth", save_pth, save_pth),
    "pt": Way(".pt", save_pth, save_pth),
    "legacy": Way(".pth", save_legacy, save_legacy, set(DTYPES) - NOT_LEGACY),
    "torch's bin": Way(".bin", save_pth, save_pth),
    "npy": Way(".npy", save_npy, dtypes=NUMPY_TYPES),
    "npz": Way(".npz", save_npz, save_many_npz, NUMPY_TYPES),
    "safetensors": Way(".safetensors", save_safetensors, save_many_safetensors),
}


def random_tensor(dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Random bits, so every NaN, infinity and subnormal may come; 0 and 1 for bool."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(1)
    if torch_dtype is torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = math.prod(shape) * torch_dtype.itemsize
    raw = torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8)
    return raw.view(torch_dtype).reshape(shape)


def flat_bits(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The elements in row-major order as stored bits: what `read` must give, sliced."""
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    name = str(tensor.dtype).removeprefix("torch.")
    return flat.view(torch.uint8).numpy().view(DTYPES[name].storage)


def views(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Views of a (4, 6, 3) tensor that lie differently in memory."""
    return [
        tensor,
        tensor.permute(2, 0, 1),  # transposed
        tensor[1:, ::2],  # a step and an offset
        tensor[:1].expand(5, 6, 3),  # stride 0
        tensor[2],  # whole rows of a larger storage
        tensor[1, 2, 1],  # 0-d, with an offset
        tensor[:, :0],  # empty, of a storage that is not
    ]


def refusal(path: Path) -> PairError:
    """The error that opening `path` gives; it names the file."""
    with pytest.raises(PairError) as caught:
        open_source(str(path))
    assert str(path) in str(caught.value)
    return caught.value
