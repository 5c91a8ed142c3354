"""ATB `.bin` files as sources."""

from __future__ import annotations

import math

from ait_cmp import atb
from ait_cmp.files import FileState, OpenFile, open_file
from ait_cmp.source.view import FractalNz, Source, map_bytes
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import PairError, Reason

__all__ = ["open_atb"]

_ALIAS_DEPTH = 8


def open_atb(path: str, name: str | None) -> Source:
    """The newest record of `path`, aliases followed."""
    if name is not None:
        raise PairError(
            Reason.NOT_A_TENSOR, f"{path} holds one tensor without a name; leave ::{name} out"
        )
    states: tuple[FileState, ...] = ()
    target = path
    for _ in range(_ALIAS_DEPTH):
        file = open_file(target)
        states += (file.state,)
        record = atb.newest_record(file)
        if record.alias is None:
            return _view(file, record, states)
        target = atb.find_alias(target, record.alias)
    raise PairError(Reason.BIN_ALIAS, f"{path} points to files that point to each other")


def _view(file: OpenFile, record: atb.Record, states: tuple[FileState, ...]) -> Source:
    path = file.path
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
            Reason.BIN_INCONSISTENT,
            f"{path} says dims {list(record.shape)} of {dtype.name}, which takes {needed} bytes, "
            f"but holds {record.length} (of a file of {file.size}); dump it again",
        )
    data = map_bytes(file)[record.start : record.start + needed]
    try:
        array = data.view(dtype.storage).reshape(record.shape)
    except ValueError as exc:  # more dimensions, or larger ones, than an array can have
        raise PairError(
            Reason.BIN_MALFORMED, f"{path} says dims that no tensor has ({exc}); dump it again"
        ) from exc
    source = Source(
        dtype, array, states=states, file=file, offset=record.start, layout=record.format_name
    )
    fractal = record.format_code == atb.FRACTAL_NZ and array.ndim >= 4
    return FractalNz.stored(source) if fractal else source
