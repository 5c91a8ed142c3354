"""Single elements of a source, for people."""

from __future__ import annotations

from ait_cmp.engine.kernel import widen
from ait_cmp.source import Source

__all__ = ["element_text"]


def element_text(source: Source, index: int) -> str:
    """One element: exact for integers, the shortest that reads back for floats."""
    bits = source.read(index, index + 1)
    if source.dtype.is_floating:
        return repr(float(widen(bits, source.dtype)[0]))
    return str(int(bits[0]))
