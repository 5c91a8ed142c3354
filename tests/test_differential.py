"""Random files of each format, read by ours and by the format's own reader: equal bit for bit.

With AIT_CMP_TORTURE=1, 2,000 files of each.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ait_cmp.atb import DTYPE_CODES
from ait_cmp.source import open_source
from tests.formats import WAYS, flat_bits, random_tensor
from tests.test_atb import foreign_reader

FILES = 2000 if os.environ.get("AIT_CMP_TORTURE") else 60


def read_bin(path: Path) -> torch.Tensor:
    """What another tool takes from a .bin file."""
    code, dims, data = foreign_reader(path)
    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0).byte()
    return raw.view(getattr(torch, DTYPE_CODES[code])).reshape(dims)


def read_pth(path: Path) -> torch.Tensor:
    """What torch takes from its file."""
    tensor: torch.Tensor = torch.load(path, weights_only=True)
    return tensor


READERS: dict[str, Callable[[Path], torch.Tensor]] = {
    "bin": read_bin,
    "pth": read_pth,
    "legacy": read_pth,
    "npy": lambda path: torch.from_numpy(np.load(path)),
    "npz": lambda path: torch.from_numpy(np.load(path)["only"]),
    "safetensors": lambda path: safetensors.torch.load_file(path)["only"],
}


def random_view(tensor: torch.Tensor, chance: random.Random) -> torch.Tensor:
    """Some view: permuted, stepped, cropped, expanded, or all of that."""
    for _ in range(chance.randrange(3) if tensor.ndim else 0):
        tensor = VIEWS[chance.randrange(len(VIEWS))](tensor, chance)
    return tensor


VIEWS: list[Callable[[torch.Tensor, random.Random], torch.Tensor]] = [
    lambda tensor, chance: tensor.permute(chance.sample(range(tensor.ndim), tensor.ndim)),
    lambda tensor, _: tensor.narrow(-1, 0, (tensor.shape[-1] + 1) // 2),
    lambda tensor, _: tensor[..., ::2],
    lambda tensor, _: tensor[tensor.shape[0] // 2 :],
    lambda tensor, _: tensor.unsqueeze(0).expand(3, *tensor.shape),
]


@pytest.mark.parametrize("format_name", READERS)
def test_ours_and_theirs_read_the_same(format_name: str, tmp_path: Path) -> None:
    way, chance = WAYS[format_name], random.Random(0)
    names = sorted(way.dtypes)
    for number in range(FILES):
        shape = tuple(chance.choice([0, 1, 2, 3, 5, 8]) for _ in range(chance.randrange(5)))
        tensor = random_view(random_tensor(names[number % len(names)], shape), chance)
        path = way.file(tmp_path, tensor)
        theirs, ours = READERS[format_name](path), open_source(str(path))
        assert str(ours.dtype) == str(theirs.dtype)
        # Other readers of .bin know no tensor without dimensions.
        assert ours.shape == tuple(theirs.shape) or (not ours.shape and theirs.shape == (1,))
        expected = flat_bits(theirs)
        for source in (ours, ours.unmapped()):
            start = chance.randint(0, expected.size)
            stop = chance.randint(start, expected.size)
            for first, last in ((0, expected.size), (start, stop)):
                bits: Any = source.read(first, last)
                assert bits.tobytes() == expected[first:last].tobytes()
