"""The values of a few stored bits, without compiled code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ait_cmp.source import Array
from ait_cmp.values.dtypes import DType

__all__ = ["widen"]


def widen(bits: Array, dtype: DType) -> npt.NDArray[np.float64]:
    """The values of stored bits, each rounded at most once (64-bit integers only)."""
    if dtype.name == "bool":
        return np.not_equal(bits, 0).astype(np.float64)
    if dtype.name == "bfloat16":
        singles: npt.NDArray[np.float32] = (bits.astype("<u4") << 16).view("<f4")
        return singles.astype(np.float64)
    if dtype.name.startswith("float8"):
        import torch

        bytes_ = torch.from_numpy(np.array(bits, np.uint8))
        doubles: npt.NDArray[np.float64] = (
            bytes_.view(getattr(torch, dtype.name)).to(torch.float64).numpy()
        )
        return doubles
    return bits.astype(np.float64)
