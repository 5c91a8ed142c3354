"""What the benchmark runs: which subjects in which ways, in parts that share neither models nor
inputs.

Limits are set on `train`; `held-out` is run once at the end. `third` holds models and inputs that
were chosen after the limits were fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

from verdict import models, trained
from verdict.models import VARIANTS, Subject, Variant
from verdict.schemes import INT8_WEIGHTS, SCHEMES

__all__ = ["PARTS", "REFERENCES", "Plan", "build", "is_trained", "ways"]

ALL = 1000  # faults: one of each kind that fits


@dataclass(frozen=True)
class Plan:
    """A subject, the variants to run it in, and how many faults to plant in some of them."""

    subject: str
    variants: tuple[Variant, ...]
    faults: dict[str, int]

    def faults_of(self, variant: Variant) -> int:
        """How many kinds of fault to plant in that variant."""
        return self.faults.get(variant.name, 0)


BY_NAME = {variant.name: variant for variant in (*VARIANTS, *SCHEMES)}
# The run of the same type that tells what rounding does: for the ratio, and as a reference.
REFERENCES = {
    "fp32 permuted sums": "fp32 split K",
    "fp32 split K": "fp32 permuted sums",
    "tf32 truncated": "tf32 rounded",
    "tf32 rounded": "tf32 truncated",
    "bf16": "bf16 split K",
    "bf16 split K": "bf16",
    "bf16 fused attention": "bf16",
    "fp16": "fp16 split K",
    "fp16 split K": "fp16",
}
SMALL = (*VARIANTS, *INT8_WEIGHTS)
SMALL_FAULTS = dict.fromkeys(("fp32 permuted sums", "tf32 truncated", "bf16", "fp16"), ALL)
BENIGN = ("tf32 rounded", "bf16", "bf16 fused attention", "bf16 split K", "fp16")
USUAL = tuple(BY_NAME[name] for name in BENIGN)


def _small(*names: str) -> list[Plan]:
    """Small models of random weights, every way; and on another input, which calibrates."""
    return [
        *(Plan(name, SMALL, SMALL_FAULTS) for name in names),
        *(Plan(f"{name}+", INT8_WEIGHTS, {}) for name in names),
    ]


def _text(kind: str, number: int, **faults: int) -> Plan:
    """The trained model on a text of that kind."""
    names = {name.replace("_", " "): count for name, count in faults.items()}
    return Plan(f"smollm2-{kind}-{number}", USUAL, names)


PARTS: dict[str, list[Plan]] = {
    "train": [
        _text("prose", 0, bf16=40, tf32_rounded=20),
        _text("code", 0, bf16=40),
        _text("random", 0, bf16=20, tf32_rounded=20),
        _text("left", 0, bf16=40),
        _text("single", 0, bf16=20),
        *_small(*models.TRAIN),
    ],
    "held-out": [
        _text("digits", 1, bf16=40, tf32_rounded=20),
        _text("chinese", 1, bf16=40),
        _text("repetition", 1, bf16=40),
        _text("chat", 1, bf16=20, tf32_rounded=20),
        _text("right", 1, bf16=40),
        _text("long", 1, bf16=20),
        *_small(*models.HELD_OUT),
    ],
    "third": [],
}


def build(name: str) -> Subject:
    """The subject of that name; one that ends in + reads other inputs."""
    other, plain = name.endswith("+"), name.rstrip("+")
    makes = trained.build if plain.startswith("smollm2") else models.build
    subject = makes(plain, other_inputs=other)
    subject.name = name
    return subject


def is_trained(name: str) -> bool:
    """Whether the weights are those of a trained model."""
    return name.startswith(("smollm2", "minilm"))


def ways(part: str) -> list[tuple[Plan, Variant]]:
    """Every unit of a part."""
    return [(plan, variant) for plan in PARTS[part] for variant in plan.variants]
