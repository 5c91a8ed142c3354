"""Which golden module answers which of my's: by equal names, or as a person says."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ait_cmp.isolating.recording import Call, ModuleName, identities_of

__all__ = ["Partners"]


class Partners:
    """Golden's modules by the names of my's."""

    def __init__(self, golden: torch.nn.Module, names: Mapping[str, str] | None = None) -> None:
        self._modules = identities_of(golden)
        self._mine = {id(module): name for name, module in self._modules.items()}

    def of(self, call: Call) -> torch.nn.Module | None:
        """The one that does what `call` did."""
        return self._modules.get(call.module)

    def my_of(self, golden: torch.nn.Module) -> ModuleName:
        """How my calls the module that `golden` answers."""
        return self._mine.get(id(golden), ("", "?"))
