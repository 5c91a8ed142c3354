"""Torch tensors as plain memory: made dense for saving, viewed as NumPy arrays for reading."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy.typing as npt
import torch

from ait_cmp.values.dtypes import COMPLEX, DTYPES, DType
from ait_cmp.values.errors import PairError, Reason

__all__ = [
    "as_array",
    "compact",
    "dtype_of",
    "is_traced",
    "plain",
    "raw_bytes",
    "reals",
    "version_of",
]

_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PLAIN = (torch.Tensor, torch.nn.Parameter)
# By name, since importing them takes seconds: class -> the method that gives the tensor within.
_WRAPPERS = {"DTensor": "to_local", "AsyncCollectiveTensor": "wait"}
# Tensors without values, which a graph is recorded with.
_TRACED = {"FakeTensor", "FunctionalTensor"}


def is_traced(tensor: torch.Tensor) -> bool:
    """Whether it stands for the values of later runs, as under torch.export: it has none."""
    return not _TRACED.isdisjoint(_classes(tensor)) or (
        torch._is_functional_tensor(tensor) and not _is_transformed(tensor)
    )


def plain(tensor: torch.Tensor, argument: str) -> torch.Tensor:
    """The dense data of `tensor`, of whatever class, as torch.Tensor on its own device.

    Of a DTensor it is what this rank holds. Raises TypeError, naming `argument`, for what has no
    dense data, or of a type that the compare does not read.
    """
    inner = tensor if type(tensor) in _PLAIN else _within(tensor, argument)
    why = _refusal(inner)
    if why:
        raise TypeError(f"{argument} {why}")
    return inner.detach()


def reals(tensor: torch.Tensor, argument: str) -> torch.Tensor:
    """The same; complex numbers become their real and imaginary part, in one more dimension."""
    dense = plain(tensor, argument).resolve_conj().resolve_neg()
    return torch.view_as_real(dense) if dense.is_complex() else dense


def compact(tensor: torch.Tensor, *, argument: str) -> torch.Tensor:
    """A dense, row-major CPU tensor of the same elements and no others.

    Raises TypeError, naming `argument`, for what `plain` refuses.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{argument} must be a torch.Tensor, not {type(tensor).__name__}")
    dense = plain(tensor, argument).resolve_conj().resolve_neg().cpu().contiguous()
    owns_more = dense.untyped_storage().nbytes() != dense.numel() * dense.element_size()
    return dense.clone() if owns_more else dense


def raw_bytes(dense: torch.Tensor) -> memoryview:
    """The bytes of a compact tensor, without a copy."""
    # Not reshape(-1): of one element it keeps a stride that is not 1, which no view can have.
    flat = dense.as_strided((dense.numel(),), (1,))
    return memoryview(flat.view(torch.uint8).numpy().data)


def version_of(tensor: torch.Tensor) -> int | None:
    """How often it was changed in place; None where torch does not count, in inference mode."""
    try:
        return tensor._version
    except Exception:  # what a subclass of torch.Tensor raises is its own affair
        return None


def dtype_of(tensor: torch.Tensor, what: str) -> DType:
    """The element type of `tensor`; PairError DTYPE_UNSUPPORTED, naming `what`, if none of ours."""
    name = _name(tensor)
    if name not in DTYPES:
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{what} holds {tensor.dtype}, which has no comparison; convert it first",
        )
    return DTYPES[name]


def as_array(tensor: torch.Tensor, what: str) -> tuple[DType, npt.NDArray[Any]]:
    """The element type and the stored bits of a tensor, same strides, no copy of one on the CPU.

    Complex numbers become their real and imaginary part, in one more dimension.
    """
    if type(tensor) not in _PLAIN:
        tensor = _within(tensor, what)
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout)
        raise PairError(
            Reason.NOT_A_TENSOR, f"{what} holds a {kind} tensor; save it dense (.to_dense())"
        )
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    dtype = dtype_of(tensor, what)
    bits = tensor.detach().cpu().resolve_neg().view(_CARRIERS[dtype.itemsize]).numpy()
    return dtype, bits.view(dtype.storage)


def _within(tensor: torch.Tensor, argument: str) -> torch.Tensor:
    """The plain tensor that one of a subclass is, or holds."""
    kind = type(tensor).__name__
    if is_traced(tensor):
        raise TypeError(f"{argument} has no data yet, since a graph is being traced")
    if torch.nn.parameter.is_lazy(tensor):
        raise TypeError(f"{argument} is an {kind}, which has no data yet; dump it after a call")
    while methods := [_WRAPPERS[name] for name in _classes(tensor) if name in _WRAPPERS]:
        tensor = getattr(tensor, methods[0])()
    if tensor.layout is torch.strided and not tensor.is_nested:
        # A class may refuse this in its own way.
        with torch._C.DisableTorchFunctionSubclass(), contextlib.suppress(Exception):
            tensor = tensor.as_subclass(torch.Tensor)
        if type(tensor) is not torch.Tensor:
            raise TypeError(
                f"{argument} is a {kind}, whose data are no plain tensor; pass one (of many such "
                "classes .dequantize() or .to_local() gives it)"
            )
    return tensor


def _refusal(tensor: torch.Tensor) -> str:
    """Why a tensor, of no subclass, cannot be saved, and the way out; nothing where it can."""
    if _is_transformed(tensor):
        return (
            "is inside torch.vmap or another transform of torch.func, which shows no values; "
            "dump outside of it"
        )
    if tensor.is_quantized:
        return "is a quantized tensor; pass its .dequantize() or .int_repr()"
    if tensor.is_nested:
        return "is a nested tensor; pass its parts one by one"
    if tensor.layout is not torch.strided:
        return f"is a {tensor.layout} tensor; pass its .to_dense()"
    if tensor.device.type == "meta":
        return "is on the meta device and has no data"
    name = _name(tensor)
    if name not in DTYPES and name not in COMPLEX:
        way = (
            ".float()" if tensor.is_floating_point() and "x2" not in name else ".view(torch.uint8)"
        )
        return f"holds {tensor.dtype}, which no compare reads; pass its {way}"
    return ""


def _is_transformed(tensor: torch.Tensor) -> bool:
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _classes(tensor: torch.Tensor) -> list[str]:
    return [kind.__name__ for kind in type(tensor).__mro__]


def _name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
