"""What a module keeps by itself from call to call, beside buffers: plain attributes that are
tensors, numbers, or containers of these (`self.past = []`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ait_cmp.isolating.structure import DEPTH, Held

__all__ = ["Absent", "as_held", "attributes_of", "leaves"]

_OF_ALL = frozenset(vars(torch.nn.Module()))  # hooks, weights, the mode
_NUMBERS = (int, float)
_PLAIN = (*_NUMBERS, bool, str, type(None))
_LARGEST = 4096  # items; what has more is a table
_MOST = 2**63


class Absent:
    """What stands for an attribute that a module does not have yet."""


def attributes_of(module: torch.nn.Module) -> dict[str, Any]:
    """Those that may be state."""
    own = [(name, value) for name, value in vars(module).items() if name not in _OF_ALL]
    return {name: value for name, value in own if _may_be_state(value, DEPTH)}


def _may_be_state(value: Any, depth: int) -> bool:
    if isinstance(value, torch.Tensor):
        return not isinstance(value, torch.nn.Parameter)
    if type(value) in _PLAIN:
        return True
    if type(value) not in (list, tuple, dict) or len(value) > _LARGEST or not depth:
        return False
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_may_be_state(one, depth - 1) for one in parts)


def leaves(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The tensors and numbers in values of these names, by the path to each."""
    found: dict[str, Any] = {}
    for name, value in values:
        if isinstance(value, dict):
            found |= leaves((f"{name}.{key}", one) for key, one in value.items())
        elif isinstance(value, (list, tuple)):
            found |= leaves((f"{name}.{place}", one) for place, one in enumerate(value))
        elif isinstance(value, Held) or (type(value) in _NUMBERS and abs(value) < _MOST):
            found[name] = value
    return found


def as_held(value: Any) -> Held:
    """A leaf as a tensor."""
    if isinstance(value, Held):
        return value
    dtype = torch.float64 if isinstance(value, float) else torch.int64
    return Held(torch.tensor(value, dtype=dtype), "cpu", dtype)
