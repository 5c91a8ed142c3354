"""Torch tensors as plain memory: made dense for saving, viewed as NumPy arrays for reading."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch

from ait_cmp.values.dtypes import DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = ["as_array", "compact", "dtype_of", "raw_bytes"]

_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def compact(tensor: torch.Tensor, *, argument: str) -> torch.Tensor:
    """A dense, row-major CPU tensor of the same elements and no others.

    Raises TypeError, naming `argument`, for what has no dense data.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{argument} must be a torch.Tensor, not {type(tensor).__name__}")
    if tensor.is_quantized:
        raise TypeError(f"{argument} is a quantized tensor; pass its .dequantize() or .int_repr()")
    if tensor.is_nested:
        raise TypeError(f"{argument} is a nested tensor; pass its parts one by one")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{argument} is a {tensor.layout} tensor; pass its .to_dense()")
    if tensor.device.type == "meta":
        raise TypeError(f"{argument} is on the meta device and has no data")
    dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    owns_more = dense.untyped_storage().nbytes() != dense.numel() * dense.element_size()
    return dense.clone() if owns_more else dense


def raw_bytes(dense: torch.Tensor) -> memoryview:
    """The bytes of a compact tensor, without a copy."""
    # Not reshape(-1): of one element it keeps a stride that is not 1, which no view can have.
    flat = dense.as_strided((dense.numel(),), (1,))
    return memoryview(flat.view(torch.uint8).numpy().data)


def dtype_of(tensor: torch.Tensor, what: str) -> DType:
    """The element type of `tensor`; PairError DTYPE_UNSUPPORTED, naming `what`, if none of ours."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{what} holds {tensor.dtype}, which has no comparison; "
            + ("compare real and imaginary part" if tensor.is_complex() else "convert it first"),
        )
    return DTYPES[name]


def as_array(tensor: torch.Tensor, what: str) -> tuple[DType, npt.NDArray[Any]]:
    """The element type and the stored bits of a CPU tensor, same strides, no copy."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout)
        raise PairError(
            Reason.NOT_A_TENSOR, f"{what} holds a {kind} tensor; save it dense (.to_dense())"
        )
    dtype = dtype_of(tensor, what)
    bits = tensor.detach().resolve_neg().view(_CARRIERS[dtype.itemsize]).numpy()
    return dtype, bits.view(dtype.storage)
