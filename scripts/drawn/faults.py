"""One blatant fault, planted in one my tensor."""

from __future__ import annotations

import math

import torch

from drawn.plan import FLOATS, Key, Plan

__all__ = ["planted"]

Tensors = dict[Key, torch.Tensor]


def planted(plan: Plan, struck: Key, golden: Tensors, my: Tensors) -> torch.Tensor | None:
    """The faulty my tensor; None where this fault changes nothing here."""
    right = my[struck]
    if not right.numel():
        return None
    made = _made(plan, struck, golden, my)
    if made is None:
        return None
    made = made.to(right.dtype)
    same = torch.equal(made.double(), right.double())
    return None if same else made


def _made(plan: Plan, struck: Key, golden: Tensors, my: Tensors) -> torch.Tensor | None:
    rank, token, name = struck
    right = my[struck]
    generator = torch.Generator().manual_seed(plan.seed + 1)
    floating = plan.spec(struck).golden in FLOATS
    match plan.fault:
        case "sign":
            return right.logical_not() if right.dtype is torch.bool else -right.double()
        case "zero":
            return torch.zeros_like(right)
        case "another tensor":
            order = torch.randperm(right.numel(), generator=generator)
            other = right.double().reshape(-1)[order].reshape(right.shape)
            return -other if floating else other
        case "another token":
            return my[rank, (token + 1) % plan.tokens, name] if plan.tokens > 1 else None
        case "another rank":
            ranks = plan.ranks * plan.runs
            return my[(rank + 1) % ranks, token, name] if ranks > 1 else None
        case "noise":
            if not floating:
                return None
            exact = golden[struck].double()
            size = exact.abs().max()
            unit = float(((exact / size) ** 2).mean().sqrt()) * size
            noise = torch.randn(exact.shape, generator=generator, dtype=torch.float64)
            return right.double() + unit * noise
        case "NaN":
            made = right.double().clone()
            made.view(-1)[plan.victim % made.numel()] = math.nan
            return made
    raise AssertionError(plan.fault)
