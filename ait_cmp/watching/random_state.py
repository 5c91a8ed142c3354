"""The state of every generator of random numbers that a model may draw from."""

from __future__ import annotations

import random
import sys
from typing import Any, NamedTuple

import torch

__all__ = ["RandomState"]


class RandomState(NamedTuple):
    """What the next numbers of Python, NumPy and torch, on all devices in use, follow from."""

    python: Any
    numpy: Any
    torch: torch.Tensor
    devices: dict[str, list[torch.Tensor]]

    @classmethod
    def now(cls) -> RandomState:
        """That of this moment."""
        numpy = sys.modules.get("numpy.random")
        devices = {
            name: module.get_rng_state_all() for name in _DEVICES if (module := _in_use(name))
        }
        return cls(
            random.getstate(),
            numpy and numpy.get_state(),
            torch.get_rng_state(),
            devices,
        )

    def restore(self) -> None:
        """Let the next numbers be those that would have followed."""
        random.setstate(self.python)
        if self.numpy:
            sys.modules["numpy.random"].set_state(self.numpy)
        torch.set_rng_state(self.torch)
        for name, states in self.devices.items():
            getattr(torch, name).set_rng_state_all(states)


_DEVICES = ("cuda", "npu", "xpu")


def _in_use(name: str) -> Any:
    """The part of torch that a kind of device is used by; None where it is not used."""
    module = getattr(torch, name, None)
    has_begun = getattr(module, "is_initialized", None)
    return module if has_begun and has_begun() else None
