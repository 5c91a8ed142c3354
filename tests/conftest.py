"""Real dumps for the tests of the command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ait_cmp import dump_data, write_bin

# A busy machine fails no test: how long one takes is no claim of ours.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# The tests fill the cores by processes, ours and those that these start: threads of torch would
# wait for each other there, and do that by spinning.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Else each of hundreds of processes would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

Dump = Callable[..., Path]


def dumped(
    folder: Path,
    tokens: int = 2,
    layers: int = 3,
    wrong: dict[tuple[int, int], torch.Tensor | None] | None = None,
) -> Path:
    """A dump of `tokens` x `layers` pairs; `wrong` maps (token, layer) to a changed my."""
    generator = torch.Generator().manual_seed(0)
    (folder / "my").mkdir(parents=True)
    for token in range(tokens):
        for layer in range(layers):
            golden = torch.randn(4, 6, generator=generator)
            my = (wrong or {}).get((token, layer), golden.bfloat16())
            path = folder / "my" / f"{token}_{layer}.bin"
            if my is not None:
                write_bin(path, my)
            dump_data(token, f"layer{layer}.q", golden, path, folder)
    return folder


@pytest.fixture
def make_dump(tmp_path: Path) -> Dump:
    """Makes a dump as `dumped` does, in the folder `name` of the test."""
    return lambda name="run", **given: dumped(tmp_path / name, **given)


@pytest.fixture(autouse=True)
def _work_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the checkout; child processes still find the package."""
    root = str(Path(__file__).parent.parent)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _keep_the_log_level() -> Iterator[None]:
    """What a test's `log_level=error` silences is heard again by those after it."""
    logger = logging.getLogger("ait_cmp")
    level = logger.level
    yield
    logger.setLevel(level)
