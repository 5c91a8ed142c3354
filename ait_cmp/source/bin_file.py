"""`.bin` files: ATB's, and torch's that are called so, like pytorch_model.bin."""

from __future__ import annotations

from ait_cmp.files import OpenFile, ends_of, open_file
from ait_cmp.source.atb import read_atb
from ait_cmp.source.header import Elsewhere, Header
from ait_cmp.source.zip_directory import ZIP_MAGIC
from ait_cmp.values.errors import PairError, Reason

__all__ = ["bin_names", "read_bin"]

_PICKLE = b"\x80"  # a legacy file; ATB's begin with text
_PROTOCOLS = range(2, 6)
_ENOUGH = 4  # bytes that tell them apart


def read_bin(file: OpenFile, name: str | None) -> Header | Elsewhere:
    """The tensor in `file`, or of torch's the one under `name`. Raises PairError as they do."""
    if _is_torch(_start(file)):
        from ait_cmp.source.pth import read_pth

        return read_pth(file, name)
    if name is not None:
        raise PairError(
            Reason.NOT_A_TENSOR,
            f"{file.path} holds one tensor without a name; leave ::{name} out",
        )
    return read_atb(file, name)


def bin_names(path: str) -> list[str] | None:
    """The names in torch's; None of ATB's. Raises as opening one does."""
    start, _ = ends_of(path, _ENOUGH, 0)
    if not _is_torch(start or _start(open_file(path))):
        return None
    from ait_cmp.source.pth import pth_names

    return pth_names(path)


def _start(file: OpenFile) -> bytes:
    return file.read(0, min(_ENOUGH, file.size))


def _is_torch(start: bytes) -> bool:
    is_pickle = start[:1] == _PICKLE and len(start) == _ENOUGH and start[1] in _PROTOCOLS
    return start == ZIP_MAGIC or is_pickle
