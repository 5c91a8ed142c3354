"""What the fork server imports before it forks workers, so that none of them waits for it."""

from __future__ import annotations

import torch

from ait_cmp.engine import pair
from ait_cmp.engine.kernel.compiled import narrow, wide

__all__ = ["pair"]

torch.set_num_threads(1)
# Loaded, or compiled, once and here, so that no row's time is spent on it.
narrow()
wide()
