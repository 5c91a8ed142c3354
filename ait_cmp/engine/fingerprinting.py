"""The fingerprint of a source."""

from __future__ import annotations

from ait_cmp.fingerprint.value import BUCKETS, Fingerprint
from ait_cmp.source import Source

__all__ = ["fingerprint_of"]


def fingerprint_of(source: Source, other: int = 0) -> Fingerprint:
    """That of `source`; beside one of `other` buckets, where that is not 0, none that keeps all
    elements. Raises as reading does."""
    # Imported on first use, since most runs have no fingerprints, and torch takes a second.
    import torch

    from ait_cmp.fingerprint.make import make_fingerprint, sketch

    bits = source.read(0, source.elements).copy()
    tensor = torch.from_numpy(bits).view(getattr(torch, source.dtype.name)).view(source.shape)
    if not other:
        return make_fingerprint(tensor, buckets=BUCKETS)
    # Of twice as many buckets where its sums are of twice the size, so that it has as many.
    return sketch(tensor, buckets=2 * other if source.dtype.itemsize > 4 else other)
