"""One tensor of a run of one rank against what the ranks of another run have of it.

Shapes say how these belong to it, never values, since a mapping reads headers only:

- Their sizes add up along one dimension, and are equal in all others: `concat(dim)`. There is one
  such dimension at most.
- They add up to a multiple, with equal shards: each shard is there several times, on ranks beside
  each other or far apart (heads of keys that are fewer than ranks; data-parallel groups).
- Each has the whole shape: replicas, or partial results, of which the sum is the whole. Only
  numbers tell which; `commands.shards` asks them when the pair is compared, and takes the sum
  only where it fits and no rank alone does.

What fits no way is an error. Nothing here picks the best of several: more than one way is left
standing until the numbers are there, and a way that the numbers do not single out fails the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ait_cmp.engine.adapters import open_location
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, Step
from ait_cmp.values.shards import Shards, Way, named_ranks

__all__ = ["Joined", "join_shards", "shape_of"]

Shape = tuple[int, ...]
_SUM = Step("sum")


@dataclass(frozen=True, slots=True)
class Joined:
    """The two sides of a row: where the whole is, and the first copy of what the ranks make."""

    whole: Location
    parts: Location
    shards: Shards | None = None
    error: PairError | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    shape: Shape
    is_floating: bool


def join_shards(
    whole: Location,
    parts: Sequence[Location],
    ranks: Sequence[str],
    side: Literal["golden", "my"],
) -> Joined:
    """The row of `whole` and of the `parts` that `ranks`, in their order, have of it on `side`."""
    together = Location(tuple(file for part in parts for file in part.files), parts[0].steps)
    if any(len(part.files) > 1 or part.steps != parts[0].steps for part in parts):
        sentence = (
            f"{together} are joined already, each in its own way; write a rule, or shards=off"
        )
        return Joined(whole, together, error=PairError(Reason.MAPPING_AMBIGUOUS, sentence))
    try:
        header, headers = _header(whole), [_header(part) for part in parts]
    except PairError as exc:
        return Joined(whole, together, error=exc)
    named, ways = tuple(ranks), tuple(_ways(header, headers, parts))
    if not ways:
        return Joined(whole, together, error=_no_way(side, header, headers, named))
    return Joined(whole, ways[0].copies[0], Shards(side, named, ways))


def shape_of(location: Location) -> Shape:
    """The shape of a tensor, from its header. Raises PairError where that cannot be read."""
    return _header(location).shape


def _header(location: Location) -> _Header:
    try:
        source = open_location(location)
    except FileNotFoundError as exc:
        sentence = f"{location} does not exist (any more); dump it again"
        raise PairError(Reason.FILE_UNREADABLE, sentence) from exc
    except Exception as exc:
        raise as_pair_error(exc, str(location)) from exc
    return _Header(source.shape, source.dtype.is_floating)


def _ways(whole: _Header, headers: Sequence[_Header], parts: Sequence[Location]) -> Iterator[Way]:
    shapes = [one.shape for one in headers]
    if all(shape == whole.shape for shape in shapes):
        yield Way("replicas", tuple(parts))
        # What counts or masks is no partial result.
        if whole.is_floating and all(one.is_floating for one in headers):
            yield Way(str(_SUM), (_joined(parts, _SUM),))
        return
    for dim, size in enumerate(whole.shape):
        if not all(_differs_in(shape, whole.shape, dim) for shape in shapes):
            continue
        step, sizes = Step("concat", (str(dim),)), [shape[dim] for shape in shapes]
        if sum(sizes) == size:
            yield Way(str(step), (_joined(parts, step),))
        elif size and sum(sizes) % size == 0 and len(set(sizes)) == 1:
            yield from _repeated(parts, sum(sizes) // size, step)


def _differs_in(shape: Shape, whole: Shape, dim: int) -> bool:
    return len(shape) == len(whole) and shape[:dim] + shape[dim + 1 :] == (
        whole[:dim] + whole[dim + 1 :]
    )


def _repeated(parts: Sequence[Location], times: int, step: Step) -> Iterator[Way]:
    """Every shard `times` times: on ranks beside each other, or as whole groups of ranks."""
    if len(parts) % times:
        return
    each = len(parts) // times
    beside = [parts[copy::times] for copy in range(times)]
    apart = [parts[copy * each : (copy + 1) * each] for copy in range(times)]
    for how, copies in (("ranks beside each other", beside), ("groups of ranks", apart)):
        yield Way(
            f"{step} with {times} replicas of each shard on {how}",
            tuple(_joined(copy, step) for copy in copies),
        )


def _joined(parts: Sequence[Location], step: Step) -> Location:
    files = tuple(file for part in parts for file in part.files)
    return Location(files, (*parts[0].steps, step))


def _no_way(
    side: str, whole: _Header, headers: Sequence[_Header], ranks: tuple[str, ...]
) -> PairError:
    other = "my" if side == "golden" else "golden"
    shapes = " and ".join(dict.fromkeys(str(list(one.shape)) for one in headers))
    return PairError(
        Reason.SHAPE_MISMATCH,
        f"{other} is {list(whole.shape)} and {side} has {shapes} on {named_ranks(ranks)}, which no "
        "concat along one dimension and no sum makes equal; write a rule with adapters, or "
        "shards=off to compare rank by rank",
    )
