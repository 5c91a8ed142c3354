"""Tensors written as ATB `.bin` files."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ait_cmp.atb import encode_header
from ait_cmp.new_file import in_place_of
from ait_cmp.tensors import compact, plain, raw_bytes

__all__ = ["write_bin", "write_description"]


def write_bin(path: str | os.PathLike[str], tensor: torch.Tensor) -> None:
    """Write `tensor` (any shape, strides, device) to `path` as one ATB `.bin` record.

    The file appears whole or not at all, and replaces one that is there. Raises TypeError
    for what has no dense data, or a type that the format does not know.
    """
    dense = compact(tensor, argument="tensor")
    data = raw_bytes(dense)
    _write(Path(path), _header(dense, len(data)), data)


def write_description(path: str | os.PathLike[str], tensor: torch.Tensor) -> None:
    """Write only the header of `tensor`, as the library does when it saves descriptions.

    Raises TypeError for what has no dense data, or a type that the format does not know.
    """
    _write(Path(path), _header(plain(tensor, "tensor"), None))


def _header(tensor: torch.Tensor, length: int | None) -> bytes:
    name = str(tensor.dtype).removeprefix("torch.")
    try:
        return encode_header(name, tuple(tensor.shape), length)
    except KeyError:
        raise TypeError(
            f"tensor has dtype {tensor.dtype}, which the ATB .bin format does not know; "
            "pass its .float()"
        ) from None


def _write(target: Path, *parts: bytes | memoryview) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(str(target)) as temporary, open(temporary, "wb") as file:
        file.writelines(parts)
