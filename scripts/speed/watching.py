"""What looking at a model costs it: watched beside another, against a file, or dumped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ait_cmp import dump_modules
from speed.command import usage_of
from speed.rows import Row, at_most, in_turn
from speed.watched import LAYERS, TOKENS, WIDTH, both, given, made_model, watched

__all__ = ["watching_rows"]


def _seconds(run: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _dumped(folder: Path, model: torch.nn.Module, x: torch.Tensor, **more: Any) -> None:
    with dump_modules(model, folder, save_tensor_part=1, **more):
        model(x)


def watching_rows(folder: Path) -> Iterator[Row]:
    """Time of a call and memory, watched and not; of a step of training, dumped and not.

    In one thread, since more wait for each other wherever something else runs.
    """
    torch.set_num_threads(1)
    golden, my, x = made_model(), made_model(), given()
    file = folder / "golden.fp.safetensors"
    with torch.no_grad():
        _dumped(file, golden, x, fingerprint=True)
        watched(golden, my, x)  # all is loaded
        alone, together, beside, against, dumped = in_turn(
            3,
            lambda: _seconds(partial(my, x)),
            lambda: _seconds(partial(both, golden, my, x)),
            lambda: _seconds(partial(watched, golden, my, x)),
            lambda: _seconds(partial(watched, file, my, x)),
            lambda: _seconds(partial(_dumped, folder / "dump", my, x)),
        )
    name = f"a call of {LAYERS} layers of width {WIDTH}, {TOKENS} tokens, {LAYERS * 11} outputs"
    yield at_most(
        f"10 {name}: watched beside golden against both without",
        beside / together,
        4,
        f"{beside:.2f} s against {together:.2f} s",
    )
    yield at_most(
        "10 watched against a file of fingerprints, against my alone",
        against / alone,
        8,
        f"{against:.2f} s against {alone:.2f} s; a dump of tensors takes {dumped:.2f} s",
    )
    script = [sys.executable, Path(__file__).with_name("watched.py")]
    memory = {what: usage_of([*script, what]).anonymous for what in ("both", "watch")}
    yield at_most(
        "10 anonymous MiB of watching over those of both models",
        memory["watch"] - memory["both"],
        300,
        ", ".join(f"{what} {value:.0f}" for what, value in memory.items()),
    )
    yield _training(folder)


def _training(folder: Path) -> Row:
    """A step, with all that it learns by dumped, and not."""
    model, x = made_model().train(), given()
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    def dumped(name: str, **more: Any) -> None:
        types = ("grad", "weight", "optimizer")
        with dump_modules(model, folder / name, types=types, **more):
            step()

    step()
    plain, whole, kept = in_turn(
        2,
        lambda: _seconds(step),
        lambda: _seconds(partial(dumped, "step")),
        lambda: _seconds(partial(dumped, "step.fp.safetensors", fingerprint=True)),
    )
    return at_most(
        "10 a step of training, its grad, weight and optimizer dumped, against without",
        whole / plain,
        4,
        f"{whole:.2f} s against {plain:.2f} s; as fingerprints {kept:.2f} s",
    )
