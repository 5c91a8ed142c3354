"""Each module by itself, on trained models: are faults named behind others, and nobody else?

    python scripts/isolate_bench.py [--model smollm2] [--model minilm] [--only faults|benign]

Golden is in float32, my in bfloat16 with four faults, each deeper than the one before, so that
three stand behind another. A fault is found where `ait_cmp.isolate` says of a failing row that this
very module made it, and every other module that it says so of is blamed wrongly. Each fault of a
table is planted twice. Without a fault my runs in seven honest ways. What is needed is in the
dependency group `verdict`.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import verdict.models
from torch import nn
from verdict import trained
from verdict.models import GOLDEN, Subject, Variant, build, run
from verdict.porting import PORTING
from verdict.sets import BY_NAME

import ait_cmp

WAYS = (
    *("bf16", "bf16 split K", "bf16 fused attention", "bf16 autocast"),
    *("fp16", "tf32 rounded", "fp32 permuted sums"),
)
TEXTS = ("prose", "chat", "chinese", "digits", "random", "repetition")
verdict.models.STEPS = 1  # a prompt and one token

Change = Callable[[Any, int], set[str]]  # in a layer; the modules that are then wrong


@dataclass(frozen=True)
class Kind:
    """A model's subjects, the faults it may have, and the layers that they are planted in, run by
    run."""

    subject: Callable[[int], Subject]
    faults: Mapping[str, Change]
    layers: tuple[tuple[int, ...], ...]


# ---- faults --------------------------------------------------------------------------------------


def _ported(name: str) -> Change:
    def change(model: Any, layer: int) -> set[str]:
        place = PORTING[name](model, layer)
        up = place.replace("gate_proj", "up_proj")
        return {place, up} if "swapped" in name else {place}

    return change


def _weights(module: str, spoil: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """A fault of the weight of a module in a layer."""

    def change(model: Any, layer: int) -> set[str]:
        place = f"encoder.layer.{layer}.{module}"
        weight = model.get_submodule(place).weight.data
        weight.copy_(spoil(weight))
        return {place}

    return change


def _four_bits(weight: torch.Tensor) -> torch.Tensor:
    step = weight.abs().amax(1, keepdim=True) / 7
    return (weight / step).round() * step


def _shard_missing(weight: torch.Tensor) -> torch.Tensor:
    return torch.cat([weight[:, : weight.shape[1] // 2], 0 * weight[:, weight.shape[1] // 2 :]], 1)


def _row(factor: float, weight: torch.Tensor) -> torch.Tensor:
    return torch.cat([weight[:17], factor * weight[17:18], weight[18:]])


def _epsilon(model: Any, layer: int) -> set[str]:
    place = f"encoder.layer.{layer}.output.LayerNorm"
    model.get_submodule(place).eps = 1e-2
    return {place}


def _no_bias(model: Any, layer: int) -> set[str]:
    place = f"encoder.layer.{layer}.attention.output.dense"
    model.get_submodule(place).bias.data.zero_()
    return {place}


def _scaling(model: Any, layer: int) -> set[str]:
    place = f"encoder.layer.{layer}.attention.self"
    model.get_submodule(place).scaling *= 1.1
    return {place}


def _another_activation(model: Any, layer: int) -> set[str]:
    place = f"encoder.layer.{layer}.intermediate"
    module = model.get_submodule(place)
    module.forward = lambda hidden: nn.functional.gelu(module.dense(hidden), approximate="tanh")
    return {place}


def _no_residual(model: Any, layer: int) -> set[str]:
    place = f"encoder.layer.{layer}.output"
    module = model.get_submodule(place)

    def forward(hidden: torch.Tensor, given: torch.Tensor) -> Any:  # called otherwise, too
        return module.LayerNorm(module.dropout(module.dense(hidden)) + 0.9 * given)

    module.forward = forward
    return {place}


ENCODER: dict[str, Change] = {
    "norm epsilon 1e-2": _epsilon,
    "norm weight plus one": _weights("output.LayerNorm", lambda weight: weight + 1),
    "heads in another order": _weights("attention.self.key", lambda weight: weight.roll(32, 0)),
    "a head zero": _weights(
        "attention.self.value", lambda weight: torch.cat([0 * weight[:32], weight[32:]])
    ),
    "softmax scale times 1.1": _scaling,
    "a bias missing": _no_bias,
    "another activation": _another_activation,
    "residual times 0.9": _no_residual,
    "last shard missing": _weights("output.dense", _shard_missing),
    "a channel's scale times 1.25": _weights("intermediate.dense", partial(_row, 1.25)),
    "weights of 4 bits": _weights("attention.self.query", _four_bits),
    "rows shifted": _weights("attention.output.dense", lambda weight: weight.roll(1, 0)),
}

KINDS: dict[str, Kind] = {
    "smollm2": Kind(
        lambda number: trained.build(f"smollm2-{TEXTS[number % len(TEXTS)]}-{number}"),
        {name: _ported(name) for name in PORTING},
        ((1, 6, 14, 22), (3, 10, 17, 27), (4, 9, 20, 25)),
    ),
    "minilm": Kind(
        lambda number: build(f"minilm-{number % 2}"),
        ENCODER,
        ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    ),
}


# ---- runs ----------------------------------------------------------------------------------------


def isolated(subject: Subject, variant: Variant, my: Any) -> tuple[set[str], int]:
    """The modules that are blamed, and how many were judged."""
    golden = GOLDEN.model(subject)

    def read(model: nn.Module) -> None:
        way = variant if model is my else GOLDEN
        made, _ = run(subject, way, model, lambda call: None)
        subject.tokens = subject.tokens or made

    found = ait_cmp.isolate(golden=golden, my=my, inputs=read)
    alone = [(row.pair.alone, row.verdict.status) for row in found.rows if row.pair.alone]
    blamed = {one.module for one, status in alone if status in ("fail", "error")}
    return blamed, len({one.module for one, _ in alone})


def with_faults(kind: Kind) -> Iterator[Counter[str]]:
    """Four faults at a time, each twice."""
    names = list(kind.faults)
    for number in range(0, len(names), 2):
        subject = kind.subject(number // 2)
        my = BY_NAME["bf16"].model(subject)
        layers = kind.layers[number // 2 % len(kind.layers)]
        planted = [names[(number + place) % len(names)] for place in range(len(layers))]
        wrong = {
            f"{name} in {', '.join(sorted(made))}": made
            for name, layer in zip(planted, layers, strict=True)
            if (made := kind.faults[name](my, layer))
        }
        blamed, judged = isolated(subject, BY_NAME["bf16"], my)
        every = set().union(*wrong.values())
        print(f"{subject.name}:", flush=True)
        for said, modules in wrong.items():
            print(f"  {said}: {'found' if modules <= blamed else 'MISSED'}", flush=True)
        print(f"  others blamed: {', '.join(sorted(blamed - every)) or 'none'}", flush=True)
        yield Counter(
            faults=len(wrong),
            found=sum(modules <= blamed for modules in wrong.values()),
            others=judged - len(every),
            blamed=len(blamed - every),
        )


def without(kind: Kind) -> Iterator[Counter[str]]:
    """Honest ways to run."""
    for number, name in enumerate(WAYS):
        subject, way = kind.subject(number), BY_NAME[name]
        blamed, judged = isolated(subject, way, way.model(subject))
        print(f"{subject.name}, {name}: {', '.join(sorted(blamed)) or 'nobody'} blamed", flush=True)
        yield Counter(others=judged, blamed=len(blamed))


def main() -> None:
    """Print what becomes of every run, and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", choices=KINDS)
    parser.add_argument("--only", choices=("faults", "benign"))
    arguments = parser.parse_args()
    for name in arguments.model or KINDS:
        kind = KINDS[name]
        for said, work in (("faults", with_faults), ("benign", without)):
            if arguments.only in (None, said):
                begun = time.monotonic()
                counts = sum(work(kind), Counter[str]())
                print(f"{name}, {said}: {dict(counts)}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
