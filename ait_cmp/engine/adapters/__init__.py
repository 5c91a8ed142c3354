"""A location as one source: its files opened, joined and rearranged without being loaded.

Every adapter is a view: reading a range of elements reads little more than these. To add one:
its name and arguments in `location.py`, and a row in `VIEWS` or `SHAPES` (one tensor seen
otherwise), `SELECTORS` (some positions of one, or its parts in another order) or `JOINERS` (several
tensors).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ait_cmp.engine.adapters.dropped import drop, fill
from ait_cmp.engine.adapters.joins import JOINERS
from ait_cmp.engine.adapters.moved import moved
from ait_cmp.engine.adapters.regrouped import regroup
from ait_cmp.engine.adapters.unpadded import unpad
from ait_cmp.engine.adapters.views import SHAPES, VIEWS, viewed
from ait_cmp.source import FingerprintSource, Source, needs_tensors, open_source
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, Step

__all__ = ["JOINERS", "SELECTORS", "SHAPES", "VIEWS", "adapt", "open_files", "open_location"]

SELECTORS: dict[str, Callable[[Source, Step], Source]] = {
    "unpad": unpad,
    "drop": drop,
    "regroup": regroup,
}
_BACK = {"fill": fill}  # what no user writes: see `moved`


def open_location(location: Location) -> Source:
    """The tensor at `location`. Raises as `open_source` does, PairError ADAPTER_MISMATCH too."""
    return adapt(open_files(location), location.steps)


def open_files(location: Location, mapped: bool = True) -> list[Source]:
    """The files of `location` as they are stored."""
    sources = [open_source(file) for file in location.files]
    return sources if mapped else [source.unmapped() for source in sources]


def adapt(sources: Sequence[Source], steps: Sequence[Step]) -> Source:
    """The one tensor that `steps` make of `sources`.

    Raises PairError ADAPTER_MISMATCH, with the adapter and the shapes that it met.
    """
    for step in steps:
        try:
            if step.joins:
                _refuse_fingerprints(sources, step)
                sources = [JOINERS[step.name](sources, step)]
            else:
                sources = [_adapted(source, step) for source in sources]
        except (ValueError, IndexError) as exc:  # NumPy's words on axes and sizes
            shapes = " and ".join(dict.fromkeys(_described(source) for source in sources))
            raise PairError(
                Reason.ADAPTER_MISMATCH, f"the adapter {step} does not fit {shapes}: {exc}"
            ) from exc
    (source,) = sources
    return source


def _described(source: Source) -> str:
    return f"{source.dtype.name} {list(source.shape)}"


def _refuse_fingerprints(sources: Sequence[Source], step: Step) -> None:
    """Raise PairError NEEDS_TENSORS where `step` would join what has no elements."""
    for source in sources:
        if isinstance(source, FingerprintSource) and len(sources) > 1:
            raise needs_tensors(source.place, f"{step} picks or joins elements")


def _adapted(source: Source, step: Step) -> Source:
    if isinstance(source, FingerprintSource):
        return moved(source, step)
    select = SELECTORS.get(step.name) or _BACK.get(step.name)
    return select(source, step) if select else viewed(source, step)
