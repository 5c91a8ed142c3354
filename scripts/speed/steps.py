"""What watching costs a model's step: fingerprints, tensors, and the statistics of msprobe."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ait_cmp import dump_modules
from speed.rows import Row, at_least, at_most
from speed.watched import Block

__all__ = ["step_rows"]

LAYERS, HIDDEN, INNER, TOKENS = 24, 1024, 2816, 512
_MOST = 1.3  # times a step that nobody watches
_ROUNDS = 3

Watch = Callable[[nn.Module, Path], AbstractContextManager[object]]


def _fingerprints(model: nn.Module, folder: Path) -> AbstractContextManager[object]:
    return dump_modules(model, folder / "x.fp.safetensors", fingerprint=True)


def _tensors(model: nn.Module, folder: Path) -> AbstractContextManager[object]:
    return dump_modules(model, folder)


class _Statistics:
    """msprobe's of all modules, by its hooks."""

    def __init__(self, model: nn.Module, folder: Path) -> None:
        from msprobe.pytorch import PrecisionDebugger

        self._model = model
        config = folder / "config.json"
        config.write_text(
            json.dumps(
                {
                    "task": "statistics",
                    "dump_path": str(folder / "dump"),
                    "level": "L0",
                    "statistics": {"summary_mode": "statistics"},
                }
            )
        )
        self._debugger: Any = PrecisionDebugger(config_path=str(config))

    def __enter__(self) -> None:
        self._debugger.start(model=self._model)

    def __exit__(self, *_: object) -> None:
        self._debugger.stop()
        self._debugger.step()


# By the name in the table; those of other packages where these are installed.
WATCHES: dict[str, tuple[str, Watch]] = {
    "off": ("torch", lambda model, folder: nullcontext()),
    "fingerprints": ("torch", _fingerprints),
    "tensors": ("torch", _tensors),
    "msprobe's statistics": ("msprobe", _Statistics),
}


def step_rows(folder: Path) -> Iterator[Row]:
    """Steps in turn, and the bytes that each leaves; of each way the best of its steps, since what
    else a machine does only adds."""
    torch.manual_seed(0)
    model = nn.Sequential(*(Block(HIDDEN, INNER) for _ in range(LAYERS))).eval()
    x = torch.randn(1, TOKENS, HIDDEN)
    ways = {
        name: watch
        for name, (package, watch) in WATCHES.items()
        if importlib.util.find_spec(package)
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    with torch.no_grad():
        model(x)
        for _ in range(_ROUNDS):
            for name, watch in ways.items():
                place = folder / "dump"
                place.mkdir()
                begun = time.perf_counter()
                with watch(model, place):
                    model(x)
                seconds[name].append(time.perf_counter() - begun)
                sizes[name] = sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
                shutil.rmtree(place)
    off = min(seconds["off"])
    for name in list(ways)[1:]:
        best = min(seconds[name])
        detail = f"{off:.2f} s a step, {best:.2f} s with it; {sizes[name] / 1e6:.1f} MB on disk"
        title = f"9 a step of {LAYERS} layers with {name}, times one without"
        bound = _MOST if name == "fingerprints" else 1000
        yield at_most(title, best / off, bound, detail)
    yield at_least(
        "9 bytes of tensors for one of fingerprints",
        sizes["tensors"] / sizes["fingerprints"],
        100,
        "each tensor that is handed on is there once, as a fingerprint",
    )
