"""`.bin` files: ATB's, and torch's that are called so, like pytorch_model.bin."""

from __future__ import annotations

from ait_cmp.files import OpenFile, open_file
from ait_cmp.source.atb import read_atb
from ait_cmp.source.header import Elsewhere, Header
from ait_cmp.source.zip_directory import ZIP_MAGIC
from ait_cmp.values.errors import PairError, Reason

__all__ = ["bin_names", "read_bin"]

_PICKLE = b"\x80"  # a legacy file; ATB's begin with text
_PROTOCOLS = range(2, 6)


def read_bin(file: OpenFile, name: str | None) -> Header | Elsewhere:
    """The tensor in `file`, or of torch's the one under `name`. Raises PairError as they do."""
    if _is_torch(file):
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
    if not _is_torch(open_file(path)):
        return None
    from ait_cmp.source.pth import pth_names

    return pth_names(path)


def _is_torch(file: OpenFile) -> bool:
    start = file.read(0, min(4, file.size))
    is_pickle = start[:1] == _PICKLE and len(start) == 4 and start[1] in _PROTOCOLS
    return start == ZIP_MAGIC or is_pickle
