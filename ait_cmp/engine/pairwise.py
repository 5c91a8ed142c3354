"""One pair, or a range of one, measured. Nothing escapes as an exception."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from ait_cmp.engine import align, pair_options, range_stats, ranges
from ait_cmp.engine.adapters import adapt, open_files, open_location
from ait_cmp.engine.evidence import make_evidence
from ait_cmp.engine.kernel import widen
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.engine.row_errors import as_pair_error, changed, dated
from ait_cmp.engine.stats import Stats
from ait_cmp.files import FileState, confined_to, state_of
from ait_cmp.source import Source, split_name
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location

__all__ = ["measure_request", "measure_sources", "merged", "spans"]


def measure_request(request: Request, *, mapped: bool = True) -> Measured:
    """Compare the pair, or the range, of `request`, its files mapped or read."""
    with confined_to(request.roots):
        measured = _measure(request, mapped)
    if measured.error is None:
        return measured
    if _has_shrunk(request):
        sentence = f"{request.golden} or {request.my} was truncated after the compare began"
        return replace(measured, error=PairError(Reason.IN_TRUNCATED, f"{sentence}; dump it again"))
    return replace(measured, error=dated(measured.error, _paths(request)))


def _measure(request: Request, mapped: bool) -> Measured:
    golden, golden_error = _open(request.golden, mapped, "golden", Reason.GOLDEN_MISSING)
    my, my_error = _open(request.my, mapped, "my", Reason.MY_MISSING)
    if not golden or not my:
        return Measured(_first_info(golden), _first_info(my), error=golden_error or my_error)
    try:
        files = tuple([state for source in (*golden, *my) for state in source.states])
        measured = measure_sources(
            golden=_adapted(golden, request.golden, golden=golden, my=my),
            my=_adapted(my, request.my, golden=golden, my=my),
            wanted=request.wanted,
            span=request.span,
            files=files,
        )
        if measured.error is None and any(state_of(one.path) != one for one in files):
            raise changed(request.golden, request.my)
    except Exception as exc:
        error = as_pair_error(exc, "this pair")
        return Measured(_first_info(golden), _first_info(my), error=error)
    return measured


def _adapted(
    files: Sequence[Source], location: Location, *, golden: Sequence[Source], my: Sequence[Source]
) -> Source:
    try:
        return adapt(files, location.steps)
    except PairError as exc:
        shapes = (" and ".join(str(list(one.shape)) for one in side) for side in (golden, my))
        sentence = "{}; golden is stored as {}, my as {}".format(exc, *shapes)
        raise PairError(exc.reason, sentence) from exc


def measure_sources(
    *,
    golden: Source,
    my: Source,
    wanted: Wanted,
    span: tuple[int, int] | None = None,
    files: tuple[FileState, ...] = (),
) -> Measured:
    """Compare two open sources, made of `files`, or the elements [start, stop) of them."""
    try:
        golden, my = align(golden=golden, my=my)
        parts = [
            _measure_range(golden, my, wanted, files, start, stop)
            for start, stop in ([span] if span else ranges(golden.elements))
        ]
    except Exception as exc:
        return Measured(_info(golden), _info(my), error=as_pair_error(exc, "this pair"))
    return parts[0] if span else merged(parts)


def _paths(request: Request) -> list[str]:
    return [split_name(file)[0] for file in (*request.golden.files, *request.my.files)]


def _has_shrunk(request: Request) -> bool:
    try:
        return sum(state_of(path).size for path in _paths(request)) < request.size
    except (OSError, PairError):
        return False


def spans(request: Request) -> list[tuple[int, int]]:
    """The ranges of the pair of `request`, from its headers alone. Raises as opening does."""
    with confined_to(request.roots):
        golden, _ = align(golden=open_location(request.golden), my=open_location(request.my))
    return list(ranges(golden.elements))


def merged(parts: Sequence[Measured]) -> Measured:
    """All ranges of one pair, in order, as one; the first error, if there is one."""
    return _with_evidence(functools.reduce(_merge, parts))


def _with_evidence(measured: Measured) -> Measured:
    """The slices of a whole pair reduced to evidence, and to what is kept of them."""
    stats = measured.stats
    if stats is None or stats.slices is None or measured.golden is None:
        return measured
    evidence = make_evidence(stats, stats.slices, measured.golden.shape)
    kept = stats.slices.compact().pack()
    return Measured(
        measured.golden,
        measured.my,
        replace(stats, slices=None),
        measured.worst,
        measured.worst_golden,
        measured.worst_my,
        measured.files,
        None,
        evidence,
        kept,
    )


def _merge(one: Measured, two: Measured) -> Measured:
    if one.error or two.error:
        return one if one.error else two
    if one.files != two.files:
        return replace(one, stats=None, error=changed(one.files[0].path, one.files[-1].path))
    assert one.stats is not None
    assert two.stats is not None
    stats = one.stats + two.stats
    worst = _worst(stats)
    holder = one if one.worst == worst else two
    return replace(
        one,
        stats=stats,
        worst=worst,
        worst_golden=holder.worst_golden,
        worst_my=holder.worst_my,
    )


def _measure_range(
    golden: Source,
    my: Source,
    wanted: Wanted,
    files: tuple[FileState, ...],
    start: int,
    stop: int,
) -> Measured:
    options = pair_options(golden=golden, my=my, epsilon=wanted.epsilon, parts=wanted.parts)
    stats = range_stats(golden=golden, my=my, start=start, stop=stop, options=options)
    worst = _worst(stats)
    return Measured(
        _info(golden),
        _info(my),
        stats,
        worst,
        _element(golden, worst),
        _element(my, worst),
        files,
    )


def _open(
    location: Location, mapped: bool, side: str, missing: Reason
) -> tuple[list[Source], PairError | None]:
    try:
        return open_files(location, mapped), None
    except FileNotFoundError as exc:
        return [], PairError(
            missing, f"the {side} tensor {exc.filename or location} does not exist"
        )
    except Exception as exc:
        return [], as_pair_error(exc, str(location))


def _info(source: Source | None) -> TensorInfo | None:
    return TensorInfo(source.dtype, source.shape) if source is not None else None


def _first_info(files: Sequence[Source]) -> TensorInfo | None:
    return _info(files[0]) if files else None


def _worst(stats: Stats) -> int:
    if stats.nonfinite_index >= 0:
        return stats.nonfinite_index
    return stats.worst_index if stats.difference_max > 0 else -1


def _element(source: Source, index: int) -> str | None:
    """One element as text: exact for integers, the shortest that reads back for floats."""
    if index < 0:
        return None
    bits = source.read(index, index + 1)
    if source.dtype.is_floating:
        return repr(float(widen(bits, source.dtype)[0]))
    return str(int(bits[0]))
