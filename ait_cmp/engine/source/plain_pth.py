"""The one plain tensor that a zip `.pth` file mostly holds, found without torch.

torch needs half a millisecond for a file, and seconds to be imported. A file whose pickle
names nothing but torch's own rebuilding of a dense tensor is read here; anything else is left
to torch. The unpickler can call nothing but the functions below, whatever the pickle asks for.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ait_cmp.dtypes import DTYPES, DType
from ait_cmp.engine.source.view import Array

__all__ = ["PlainTensor", "read_plain"]

_PICKLE_LIMIT = 64 * 1024  # bytes; that of one tensor has some hundred
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
}


@dataclass(frozen=True, slots=True)
class PlainTensor:
    """A dense tensor within its storage: `offset` and `strides` are in elements."""

    dtype: DType
    storage_bytes: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, storage: Array) -> Array:
        """The tensor in the bytes of its storage, without a copy."""
        elements = storage.view(self.dtype.storage)[self.offset :]
        if self.strides == _row_major(self.shape):
            return elements[: math.prod(self.shape)].reshape(self.shape)
        strides = [stride * self.dtype.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(elements, self.shape, strides, writeable=False)

    def fits(self) -> bool:
        """Whether every element lies in the storage."""
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or min(numbers) < 0 or len(self.shape) > 32:
            return False
        reach = 0 if 0 in self.shape else 1
        reach += sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True) if n)
        return (self.offset + reach) * self.dtype.itemsize <= self.storage_bytes


def read_plain(pickled: bytes, storage_bytes: int) -> PlainTensor | None:
    """The tensor that `pickled` describes; None for whatever is not one plain tensor."""
    if len(pickled) > _PICKLE_LIMIT:
        return None
    try:
        tensor = _Unpickler(io.BytesIO(pickled)).load()
    except Exception:  # of torch's reader comes the word on what it is
        return None
    plain = isinstance(tensor, PlainTensor) and tensor.storage_bytes == storage_bytes
    return tensor if plain and tensor.fits() else None


class _NotPlainError(Exception):
    """The pickle asks for something else than a plain tensor."""


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str  # the name of its dtype; empty where the tensor says which
    count: int


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise _NotPlainError from None

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, _key, _location, count = pid
        if tag != "storage" or not isinstance(kind, str) or type(count) is not int:
            raise _NotPlainError
        return _Storage(kind, count)


def _rebuild_v2(
    storage: _Storage, offset: int, shape: Any, strides: Any, grad: bool, hooks: Any, *rest: Any
) -> PlainTensor:
    del grad, hooks
    return _tensor(storage, DTYPES[storage.kind], offset, shape, strides, rest)


def _rebuild_v3(
    storage: _Storage, offset: int, shape: Any, strides: Any, grad: bool, hooks: Any, *rest: Any
) -> PlainTensor:
    del grad, hooks
    dtype, *metadata = rest
    return _tensor(storage, dtype, offset, shape, strides, tuple(metadata))


def _tensor(
    storage: _Storage, dtype: DType, offset: int, shape: Any, strides: Any, metadata: Any
) -> PlainTensor:
    # Metadata are lazy negation and the like: torch's to carry out.
    if any(metadata) or not all(type(n) is int for n in (offset, *shape, *strides)):
        raise _NotPlainError
    itemsize = dtype.itemsize if storage.kind else 1
    return PlainTensor(dtype, storage.count * itemsize, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data: PlainTensor, grad: bool, hooks: Any) -> PlainTensor:
    del grad, hooks
    return data


_KNOWN: dict[tuple[str, str], str | Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_v3,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "UntypedStorage"): "",
    ("collections", "OrderedDict"): dict,
}


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if shape else ()
