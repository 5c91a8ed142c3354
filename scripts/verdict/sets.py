"""What the benchmark runs: which subjects in which ways, in parts that share neither models nor
inputs.

Limits are set on `train`; `held-out` is run once at the end. `third` holds models and inputs that
were chosen after the limits were fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from verdict import deep, models, trained
from verdict.models import BF16, F16, VARIANTS, Subject, Variant
from verdict.schemes import INT8_WEIGHTS, SCHEMES

__all__ = ["PADDED", "PARTS", "REFERENCES", "Plan", "build", "is_trained"]

PADDED = "padded left"
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
BENIGN = (
    *("tf32 rounded", "bf16", "bf16 fused attention", "bf16 split K", "fp16"),
    *("tf32 truncated", "fp16 split K"),
)
USUAL = tuple(BY_NAME[name] for name in BENIGN)


def _small(*names: str) -> list[Plan]:
    """Small models of random weights, every way; and on another input, which calibrates."""
    return [
        *(Plan(name, SMALL, SMALL_FAULTS) for name in names),
        *(Plan(f"{name}+", INT8_WEIGHTS, {}) for name in names),
    ]


def _text(kind: str, number: int, **faults: int) -> Plan:
    """The trained model on a text of that kind."""
    ways = _padded(USUAL) if kind == "left" else USUAL
    return Plan(f"smollm2-{kind}-{number}", ways, _named(faults))


def _deep(name: str, **faults: int) -> Plan:
    """A model made like a trained one; of some there is no fused attention."""
    eager = name.startswith(("gemma2", "gptoss"))
    ways = tuple(one for one in USUAL if not (eager and "fused" in one.name))
    left = int(name.rpartition("-")[2]) % 2 == 0 and not name.startswith("long")
    return Plan(f"deep.{name}", _padded(ways) if left else ways, _named(faults))


def _padded(ways: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """With padding on the left some queries see no key: fused attention, and float16, whose mask
    is in reach of the scores, truly differ there. These are counted apart."""
    return tuple(
        replace(one, scheme=PADDED) if one.dtype == F16 or "fused" in one.name else one
        for one in ways
    )


def _named(faults: dict[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): count for name, count in faults.items()}


def _quantised(name: str, faults: int) -> list[Plan]:
    """Every scheme; and on another input, which calibrates."""
    named = dict.fromkeys((one.name for one in COARSE), faults)
    return [Plan(name, COARSE, named), Plan(f"{name}+", COARSE, {})]


COARSE = tuple(one for one in SCHEMES if one.dtype == BF16 and "per tensor" not in one.name)
PARTS: dict[str, list[Plan]] = {
    "train": [
        _text("prose", 0, bf16=40, tf32_rounded=20),
        _text("code", 0, bf16=40),
        _text("random", 0, bf16=20, tf32_rounded=20),
        _text("left", 0, bf16=40),
        _text("single", 0, bf16=20),
        _deep("llama-0", bf16=40, tf32_rounded=20),
        _deep("mistral-1", bf16=40),
        _deep("gemma2-0", bf16=40),
        _deep("moe-0", bf16=30),
        _deep("long-0", bf16=20),
        *_quantised("smollm2-prose-0", 15),
        *_quantised("deep.llama-0", 15),
        *_small(*models.TRAIN),
    ],
    "held-out": [
        _text("digits", 1, bf16=40, tf32_rounded=20),
        _text("chinese", 1, bf16=40, fp16=20),
        _text("repetition", 1, bf16=40),
        _text("chat", 1, bf16=20, tf32_rounded=20),
        _text("right", 1, bf16=40),
        _text("long", 1, bf16=20),
        _deep("qwen3-3", bf16=40, tf32_rounded=20),
        _deep("phi3-2", bf16=40),
        _deep("gptoss-1", bf16=30),
        _deep("llama-1", bf16=40, fp16=20),
        _deep("mistral-2", bf16=40),
        _deep("long-2", bf16=20),
        *_quantised("smollm2-chat-1", 15),
        *_quantised("deep.qwen3-3", 15),
        *_small(*models.HELD_OUT),
    ],
    "third": [
        Plan("antiberty-0", USUAL, {"bf16": 40, "tf32 rounded": 20}),
        _text("code", 2, bf16=30),
        _text("random", 2, bf16=20),
        _deep("olmo2-1", bf16=30),
        _deep("cohere-3", bf16=30),
        _deep("granite-1", bf16=30),
    ],
}


def build(name: str) -> Subject:
    """The subject of that name; one that ends in + reads other inputs."""
    other, plain = name.endswith("+"), name.rstrip("+")
    makes = {"smollm2": trained.build, "antiberty": trained.build, "deep": deep.build}
    kind = plain.replace(".", "-").partition("-")[0]
    subject = makes.get(kind, models.build)(plain, other_inputs=other)
    subject.name = name
    return subject


def is_trained(name: str) -> bool:
    """Whether the weights are those of a trained model."""
    return name.startswith(("smollm2", "minilm", "antiberty"))
