"""What the fork server imports before it forks workers, so that none of them waits for it."""

from __future__ import annotations

import torch

from ait_cmp.engine import kernel, pair

__all__ = ["kernel", "pair"]

torch.set_num_threads(1)
