"""How often is a diagnosis right? On benign pairs, on noise, and on faults in a real forward pass.

    python scripts/diagnosis_bench.py [benign] [noise] [faults] [speed] [--models NAME…] [--every N]

Models are those of the benchmark of verdicts; `smollm2-prose-0` and `minilm-0` need its packages.
`benign`: every N-th operation of a model run another way (other orders of sums, tf32, bfloat16,
float16, fused attention), diagnosed whether the row fails or not; nothing should be said.
`noise`: tensors that have nothing in common, and golden with noise. `faults`: the kinds of
scripts/verdict/faults.py, planted in one operation each and diagnosed in its row; `RIGHT` says what
may be said of each. `speed`: 20 rows of a million elements that nothing explains.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from verdict.faults import FAULTS, Kind
from verdict.models import (
    VARIANTS,
    Call,
    Key,
    Rows,
    Subject,
    Variant,
    build,
    golden_rows,
    pair_of,
    run,
)
from verdict.recording import Clean, chosen, seed

from ait_cmp.engine.diagnosis import Diagnosis, diagnose
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array

SMALL = ("llama-1", "bert-1", "gpt2-1", "qwen2-3", "neox-1", "gemma-2", "opt-2", "distil-1")
OF_FAULTS = ("fp32 permuted sums", "bf16")

# What may be said of a fault, by the beginning of its name; of others nothing may.
RIGHT: dict[str, frozenset[str]] = {
    begin: frozenset(kinds.split())
    for begin, kinds in {
        "scale": "scale",
        "softmax sums": "scale",
        "softmax scale": "scale",
        "sign": "sign",
        "rotary half not negated": "sign",
        "constant offset": "offset affine",
        "all zero": "filled",
        "all stale": "unrelated",
        "transposed": "transposed layout",
        "halves interleaved": "layout exchanged",
        "shifted": "shifted exchanged",
        "tokens reversed": "exchanged",
        "batch entries": "exchanged shifted layout",
        "two ": "exchanged shifted",
        "one head zero": "filled",
        "one channel zero": "filled",
        "one channel garbage": "place",
        "one channel's sign": "sign scale place",
        "one channel's quant": "scale place",
        "one channel's bias": "offset affine place",
        "last shard": "filled",
        "one row zero": "filled",
        "one row stale": "exchanged shifted place",
        "one row garbage": "place",
        "one row scaled": "scale place",
        "last row zero": "filled",
        "tail block zero": "filled",
        "tail block stale": "exchanged shifted place",
        "tail block garbage": "place",
        "second half zero": "filled",
        "second half stale": "exchanged shifted place",
        "one element: ": "place scale filled",
        "one element off": "place",
        "one element NaN": "nonfinite",
        "one element inf": "nonfinite",
        "saturated": "saturated place",
        "rounded": "rounded quantised",
        "read as another": "unrelated",
        "everything beside the peak zero": "flushed filled",
        "overflow": "nonfinite overflow",
        "clipped": "saturated place",
        "wrapped": "place",
        "zero point": "affine offset",
        "bias": "affine offset",
        "the layer before's": "unrelated",
        "q with": "unrelated",
        "mask": "place filled shifted",
        "norm weight": "affine scale",
        "norm bias": "affine offset",
        "norm epsilon": "scale affine offset",
        "rotary position": "shifted rotary",
        "rotary pairs": "exchanged layout",
        "softmax over": "softmax",
        "KV cache: newest entry zero": "filled",
        "KV cache": "exchanged shifted place",
        "keys and values interleaved": "unrelated place",
        "heads of keys": "unrelated place",
        "dequantisation scales of the neighbours": "affine",
        "every layer's sums 1": "scale",
    }.items()
}


def told(golden: Tensor, my: Tensor) -> Diagnosis | None:
    """The diagnosis of two tensors."""
    one, other = (from_memory(*as_array(side.contiguous(), "tensor")) for side in (golden, my))
    return diagnose(golden=one, my=other)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[*PARTS], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--models", nargs="*", default=list(SMALL))
    parser.add_argument("--every", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for part in arguments.parts:
        PARTS[part](arguments.models, arguments.every)


def subject_of(name: str) -> Subject:
    """A model and what it reads."""
    if name.startswith("smollm2"):
        from verdict import trained  # in a group of packages of its own

        return trained.build(name)
    return build(name)


# ---- what must not be explained ------------------------------------------------------------------


def benign(models: Sequence[str], every: int) -> None:
    """What is said of pairs that are no faults."""
    pairs, said = 0, 0
    for name in models:
        for where, golden, my in _benign(subject_of(name), every):
            pairs += 1
            if found := told(golden, my):
                said += 1
                print(f"  {name}, {where}: {found.sentence}", flush=True)
    print(f"benign: {said} of {pairs} pairs are explained, where none should be", flush=True)


def _benign(subject: Subject, every: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    golden = golden_rows(subject)
    for variant in VARIANTS:
        sample = _Sample(golden, variant, every)
        run(
            subject.single() if variant.single else subject, variant, variant.model(subject), sample
        )
        yield from sample.kept


class _Sample:
    """Keeps every so-manieth pair of a run."""

    def __init__(self, golden: Rows, variant: Variant, every: int) -> None:
        self.kept: list[tuple[str, Tensor, Tensor]] = []
        self._golden, self._variant, self._every = golden, variant, every
        self._calls = seed(variant.name)

    def __call__(self, call: Call) -> None:
        self._calls += 1
        pair = pair_of(self._golden, call, self._variant.single)
        if pair and self._calls % self._every == 0:
            one, other = (side.clone() for side in pair)
            self.kept.append((f"{self._variant.name}, {call.key.data_id}", one, other))


def noise(_models: Sequence[str], _every: int) -> None:
    """What is said of tensors that have nothing in common, and of golden with noise."""
    for name, made in _NOISES.items():
        kinds: Counter[str] = Counter()
        for number in range(200):
            random = torch.Generator().manual_seed(number)
            golden = _tensor(number, random)
            found = told(golden, made(golden, random))
            kinds[found.kind if found else "nothing"] += 1
        print(f"noise, {name}: {dict(kinds)}", flush=True)


def _tensor(number: int, random: torch.Generator) -> Tensor:
    shape = ((4, 33, 64), (1, 8, 17, 32), (96, 80), (2000,))[number % 4]
    return (
        torch.randn(shape, generator=random) * torch.rand(shape[-1], generator=random).mul(2).exp()
    )


_NOISES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "another tensor": lambda x, r: torch.randn(x.shape, generator=r),
    "golden with noise of 5 %": lambda x, r: x + 0.05 * x.std() * torch.randn(x.shape, generator=r),
    "golden with noise of 50 %": lambda x, r: x + 0.5 * x.std() * torch.randn(x.shape, generator=r),
    "golden with noise of its own size": lambda x, r: x * (1 + torch.randn(x.shape, generator=r)),
}


# ---- faults --------------------------------------------------------------------------------------


def faults(models: Sequence[str], _every: int) -> None:
    """What is said of faults that are planted in one operation."""
    total: Counter[str] = Counter()
    of_kind: dict[str, Counter[str]] = {}
    for name in models:
        subject = subject_of(name)
        golden = golden_rows(subject)
        for variant in (one for one in VARIANTS if one.name in OF_FAULTS):
            for kind, where, found in _planted(subject, golden, variant):
                result = _result(kind, found)
                total[result] += 1
                of_kind.setdefault(kind.name, Counter())[result] += 1
                if found and result == "wrong":
                    print(f"  {name}, {variant.name}, {where}, {kind.name}: {found.sentence}")
    for kind_name, results in sorted(of_kind.items()):
        print(f"  {kind_name}: {dict(results)}")
    print(f"faults: {dict(total)}", flush=True)


def _result(kind: Kind, found: Diagnosis | None) -> str:
    right = next((kinds for begin, kinds in RIGHT.items() if kind.name.startswith(begin)), None)
    if found is None:
        return "undiagnosed" if right else "undiagnosed, as should be"
    return "right" if found.kind in (right or ()) else "wrong"


def _planted(
    subject: Subject, golden: Rows, variant: Variant
) -> Iterator[tuple[Kind, str, Diagnosis | None]]:
    """Each kind once, where it fits."""
    clean = Clean(subject, golden, variant, variant.model(subject), keep=True)
    clean.run()
    places: dict[Key, list[Kind]] = {}
    for kind, key in chosen(clean, len(FAULTS)):
        places.setdefault(key, []).append(kind)
    found: list[tuple[Kind, str, Tensor, Tensor]] = []

    def plant(call: Call) -> None:
        pair = pair_of(golden, call, variant.single)
        for kind in places.get(call.key, ()) if pair else ():
            site = clean.site(call, seed(kind.name, subject.name, variant.name))
            my = kind.applied(call.out, site)
            if my is not None and pair:
                found.append((kind, call.key.data_id, pair[0].clone(), my.clone()))

    run(subject, variant, clean.model, plant)
    for kind, where, one, my in found:
        yield kind, where, told(one, my)


def speed(_models: Sequence[str], _every: int) -> None:
    """How long 20 rows of a million elements take that nothing explains."""
    for shape in ((1, 1024, 1024), (4, 16, 128, 128)):
        random = torch.Generator().manual_seed(0)
        golden = torch.randn(shape, generator=random)
        my = golden + 0.1 * torch.randn(shape, generator=random)
        told(golden[:1, :8], my[:1, :8])  # imports, and what is kept
        begin, used = time.perf_counter(), time.process_time()
        for _ in range(20):
            told(golden, my)
        took, used = time.perf_counter() - begin, time.process_time() - used
        print(f"speed, {list(shape)}: 20 rows in {took:.1f} s, {used:.1f} s of processor time")


PARTS: dict[str, Callable[[Sequence[str], int], None]] = {
    "benign": benign,
    "noise": noise,
    "faults": faults,
    "speed": speed,
}


if __name__ == "__main__":
    main()
