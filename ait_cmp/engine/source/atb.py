"""ATB `.bin` files as sources."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from ait_cmp import atb
from ait_cmp.dtypes import DTYPES
from ait_cmp.engine.source.view import FractalNz, Source, map_file, open_regular
from ait_cmp.errors import PairError, Reason

__all__ = ["open_atb"]

_ALIAS_DEPTH = 8


def open_atb(path: Path, name: str | None) -> Source:
    """The newest record of `path`, aliases followed."""
    if name is not None:
        raise PairError(
            Reason.NOT_A_TENSOR, f"{path} holds one tensor without a name; leave ::{name} out"
        )
    files: tuple[str, ...] = ()
    target = path
    for _ in range(_ALIAS_DEPTH):
        files += (str(target),)
        with open(open_regular(target), "rb") as file:
            record = atb.newest_record(file, target)
            size = os.fstat(file.fileno()).st_size
        if record.alias is None:
            return _view(target, record, size, files)
        target = atb.find_alias(target, record.alias)
    raise PairError(Reason.BIN_ALIAS, f"{path} points to files that point to each other")


def _view(path: Path, record: atb.Record, size: int, files: tuple[str, ...]) -> Source:
    dtype = DTYPES.get(record.dtype_name)
    if dtype is None:
        hint = "; compare real and imaginary part" if "complex" in record.dtype_name else ""
        raise PairError(
            Reason.DTYPE_UNSUPPORTED,
            f"{path} holds {record.dtype_name}, which cannot be compared{hint}",
        )
    needed = math.prod(record.shape) * dtype.itemsize
    if needed != record.length:
        raise PairError(
            Reason.BIN_MALFORMED,
            f"{path} says dims {list(record.shape)} of {dtype.name}, which takes {needed} bytes, "
            f"but holds {record.length} (of a file of {size}); dump it again",
        )
    # np.frombuffer of an empty slice refuses, and an empty tensor needs no mapping.
    data = map_file(path)[record.start : record.start + needed] if needed else np.empty(0, "u1")
    try:
        array = data.view(dtype.storage).reshape(record.shape)
    except ValueError as exc:  # more dimensions, or larger ones, than an array can have
        raise PairError(
            Reason.BIN_MALFORMED, f"{path} says dims that no tensor has ({exc}); dump it again"
        ) from exc
    if record.format_code == atb.FRACTAL_NZ and array.ndim >= 4:
        return FractalNz.stored(dtype, array, files)
    return Source(dtype, array, files=files, offset=record.start, layout=record.format_name)
