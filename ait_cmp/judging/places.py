"""Where in a tensor something is, as a person would say it."""

from __future__ import annotations

from ait_cmp.engine.evidence import Peak, Span
from ait_cmp.engine.stats import Side

__all__ = ["index_at", "name_element", "name_index", "name_span", "name_spot"]


def index_at(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of the element that is the `flat`-th of a tensor of this shape."""
    index = []
    for extent in reversed(shape):
        flat, axis = divmod(flat, extent)
        index.append(axis)
    return tuple(reversed(index))


def name_index(flat: int, shape: tuple[int, ...]) -> str:
    """The same as text; the bare number where there are no two axes to tell apart."""
    return str(flat) if len(shape) < 2 else str(list(index_at(flat, shape)))


def name_spot(flat: int, shape: tuple[int, ...]) -> str:
    """The same, in brackets whatever the shape."""
    return name_index(flat, shape) if len(shape) > 1 else f"[{flat}]"


def name_element(peak: Peak, shape: tuple[int, ...], my: Side, *, is_near: bool = False) -> str:
    """An element and what it is on both sides; `my` is the whole of that side. What is estimated
    `is_near` there, and what golden has is not known."""
    if is_near:
        place = name_spot(peak.index, shape)
        return f"an element at or near {place} is off by about {peak.difference:.4g}, if not more"
    # A difference that float64 rounds, or cannot hold, tells of a value that my does not have.
    value = min(max(peak.golden + peak.difference, my.minimum), my.maximum)
    return f"element {name_spot(peak.index, shape)} is {value:.6g}, golden {peak.golden:.6g}"


def name_span(kind: str, span: Span, shape: tuple[int, ...] = ()) -> str:
    """Which slices of a tensor `span` names; for lines `shape` is that of all axes but the last."""
    if span.count > span.total / 2:
        return f"most {kind}s"
    if span.first == span.last:
        return f"{kind} {name_index(span.first, shape)}"
    width = span.last - span.first + 1
    if span.count < width:
        return f"{span.count} {kind}s from {span.first} to {span.last}"
    named = f"{kind}s {name_index(span.first, shape)} to {name_index(span.last, shape)}"
    if kind == "channel" and width >= 16 and span.first % width == span.total % width == 0:
        named += f" (head {span.first // width}, if heads are of {width})"
    return named
