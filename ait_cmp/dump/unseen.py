"""What hooks cannot see of a model, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = [
    "COMPILED",
    "ENCODER",
    "REPLAYED",
    "WHOLE_COMPILED",
    "compiled_apart",
    "hides_its_modules",
    "inner_compiled",
    "not_called",
    "without_inside",
]

ENCODER = (
    "torch.nn.TransformerEncoderLayer takes its fast path only where it has no hooks, so this run, "
    "which dumps what is inside it, may differ by rounding from one that does not"
)
_NAMED = 3  # modules in a sentence

COMPILED = "what runs inside torch.compile is not seen, only what goes in and out"
WHOLE_COMPILED = (
    "a model is compiled as a whole (model.compile()), so nothing of it is seen, not even what "
    "goes in and out; dump a run with TORCH_COMPILE_DISABLE=1"
)
REPLAYED = (
    "a captured CUDA graph was replayed, and no hook sees what runs in it; dump a run without CUDA "
    "graphs"
)


def not_called(kind: str, *, was_called: bool) -> str:
    """Of a module around others that are seen."""
    if was_called:
        return (
            f"{kind} was running before the hooks were put, so what it is given and gives back is "
            "not dumped, only what is inside and runs from now on"
        )
    return (
        f"{kind}.forward was called, not the module itself, and only that runs hooks: what it is "
        "given and gives back is not dumped, only what is inside; call model(x), not "
        "model.forward(x)"
    )


def inner_compiled(kind: str) -> str:
    """Of a region that is compiled while `kind` runs."""
    return (
        f"what runs inside torch.compile within {kind} is not seen; dump a run with "
        "TORCH_COMPILE_DISABLE=1 to see it"
    )


def hides_its_modules(module: torch.nn.Module) -> bool:
    """Whether a module that called none of those inside it should have: some have parameters."""
    return any(True for child in module.children() for _ in child.parameters())


def without_inside(name: str, kind: str) -> str:
    """Of such a module."""
    called = f"{name} ({kind})" if name else kind
    return (
        f"{called} ran without calling the modules inside it, so nothing is seen of "
        "them: they are compiled, fused, replayed, or their weights are taken by another"
    )


def compiled_apart(names: Sequence[str]) -> str:
    """Of modules that were compiled by their own `compile`."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"{', '.join(names[:_NAMED])}{more} {'is' if len(names) == 1 else 'are'} compiled by "
        "module.compile(), so neither they nor what is inside them is seen; dump a run with "
        "TORCH_COMPILE_DISABLE=1"
    )
