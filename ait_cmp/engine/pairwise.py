"""One pair, or a range of one, measured. Nothing escapes as an exception."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ait_cmp.engine import align, pair_options, range_stats, ranges
from ait_cmp.engine.adapters import adapt, open_files, open_location
from ait_cmp.engine.elements import element_text
from ait_cmp.engine.evidence import make_evidence
from ait_cmp.engine.looks import Beside, look_at
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.parts import Parts
from ait_cmp.engine.reach import is_out_of_reach, slices_in_reach
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.engine.row_errors import as_pair_error, changed, dated
from ait_cmp.engine.stats import Stats
from ait_cmp.engine.usual import huge_from
from ait_cmp.files import FileState, confined_to, holds, open_soon, state_of
from ait_cmp.source import FingerprintSource, Source, split_name
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location
from ait_cmp.values.paths import is_url

__all__ = [
    "measure_request",
    "measure_requests",
    "measure_sources",
    "measured_of",
    "merged",
    "merged_ranges",
    "spans",
]


_FILES_TOGETHER = 32  # that are open at a time


def measure_request(request: Request, *, mapped: bool = True) -> Measured:
    """Compare the pair, or the range, of `request`, its files mapped or read."""
    return measure_requests([request], mapped=mapped)[0]


def measure_requests(requests: Sequence[Request], *, mapped: bool = True) -> list[Measured]:
    """Compare each pair, or range, of `requests`, their files mapped or read."""
    measured: list[Measured] = []
    if requests and any(map(is_url, _paths(requests[0]))):
        with confined_to(requests[0].roots):
            open_soon([path for request in requests for path in _paths(request)])
    for together in _gathered(requests):
        # Step by step, since code that runs again is in the processor's cache: small pairs take
        # a third less than one by one.
        with confined_to(together[0].roots):
            opened = [_open_pair(one, mapped) for one in together]
        parts = [
            [one]
            if isinstance(one, Measured)
            else [_looked(one, mapped)]
            if one.request.look
            else _parts(one.golden, one.my, one.request.wanted, one.request.span, one.files)
            for one in opened
        ]
        answers = [_unchanged(*both) for both in zip(opened, parts, strict=True)]
        measured += [_with_reason(*both) for both in zip(together, answers, strict=True)]
    return measured


def _gathered(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """A few at a time, so that few files are open, and of the same roots."""
    together: list[Request] = []
    files = 0
    for request in requests:
        if together and (files >= _FILES_TOGETHER or request.roots != together[0].roots):
            yield together
            together, files = [], 0
        files += len(request.golden.files) + len(request.my.files)
        together.append(request)
    if together:
        yield together


@dataclass(frozen=True, slots=True)
class _OpenPair:
    """Both sides of a request, the files that they depend on, and what their first files hold."""

    request: Request
    golden: Source
    my: Source
    files: tuple[FileState, ...]
    stored: tuple[TensorInfo | None, TensorInfo | None]


def _open_pair(request: Request, mapped: bool) -> _OpenPair | Measured:
    """The pair, or why it cannot be compared."""
    golden, golden_error = _open(request.golden, mapped, "golden", Reason.GOLDEN_MISSING)
    my, my_error = _open(request.my, mapped, "my", Reason.MY_MISSING)
    stored = _first_info(golden), _first_info(my)
    if not golden or not my:
        return Measured(*stored, error=golden_error or my_error)
    try:
        if not request.wanted.allow_same:
            _refuse_one_file(golden, my)
        one = _adapted(golden, request.golden, golden=golden, my=my)
        other = _adapted(my, request.my, golden=golden, my=my)
        return _OpenPair(request, one, other, (*one.states, *other.states), stored)
    except Exception as exc:
        return Measured(*stored, error=as_pair_error(exc, "this pair"))


def _looked(pair: _OpenPair, mapped: bool) -> Measured:
    """What a second look at the pair finds, with all files that it depends on."""
    look = pair.request.look
    assert look is not None
    try:
        with confined_to(pair.request.roots):
            others = [
                adapt(open_files(one, mapped), one.steps) if one.files else None
                for one in look.others
            ]
        found = look_at(look.kind, pair.golden, pair.my, Beside(others, look.metrics))
        states = tuple(state for one in others if one for state in one.states)
        if not all(map(holds, states)):
            raise changed(*look.others[:2])
        return replace(found, files=(*pair.files, *states))
    except Exception as exc:
        return Measured(*pair.stored, error=as_pair_error(exc, "this pair"))


def _refuse_one_file(golden: Sequence[Source], my: Sequence[Source]) -> None:
    """Raise PairError SAME_FILE where a file says that its data are in another one, and the other
    side's are there too; of all other files, the paths have told."""
    for one, other in product(golden, my):
        if len(one.states) + len(other.states) > 2:
            (here, first), (there, second) = (
                (states[-1].path, (states[-1].size, states[-1].version))
                for states in (one.states, other.states)
            )
            if first == second:
                raise PairError(
                    Reason.SAME_FILE,
                    f"{one.states[0].path} and {other.states[0].path} lead to one file, "
                    f"{' and '.join(dict.fromkeys((here, there)))}, which tells nothing; pass the "
                    "other run's, or allow_same=true where that is meant",
                )


def _unchanged(pair: _OpenPair | Measured, parts: list[Measured]) -> Measured:
    """The parts as one, unless a file is not what it was when it was opened."""
    if isinstance(pair, Measured):
        return pair
    try:
        measured = parts[0] if pair.request.span else merged(parts)
        if measured.error is None and not all(map(holds, pair.files)):
            raise changed(pair.request.golden, pair.request.my)
    except Exception as exc:
        return Measured(*pair.stored, error=as_pair_error(exc, "this pair"))
    return measured


def _with_reason(request: Request, measured: Measured) -> Measured:
    """`measured`, its error told by what became of the files."""
    if measured.error is None:
        return measured
    if _has_shrunk(request):
        sentence = f"{request.golden} or {request.my} was truncated after the compare began"
        return replace(measured, error=PairError(Reason.IN_TRUNCATED, f"{sentence}; dump it again"))
    return replace(measured, error=dated(measured.error, _paths(request)))


def _adapted(
    files: Sequence[Source], location: Location, *, golden: Sequence[Source], my: Sequence[Source]
) -> Source:
    try:
        return adapt(files, location.steps)
    except PairError as exc:
        shapes = (" and ".join(str(list(one.shape)) for one in side) for side in (golden, my))
        sentence = "{}; golden is stored as {}, my as {}".format(exc, *shapes)
        raise PairError(exc.reason, sentence) from exc


def measure_sources(*, golden: Source, my: Source, wanted: Wanted) -> Measured:
    """Compare two open sources."""
    return merged(_parts(golden, my, wanted, None, ()))


def _parts(
    golden: Source,
    my: Source,
    wanted: Wanted,
    span: tuple[int, int] | None,
    files: tuple[FileState, ...],
) -> list[Measured]:
    """Each range of two sources, or this one; an error stands alone."""
    try:
        golden, my = align(golden=golden, my=my)
        if isinstance(golden, FingerprintSource) or isinstance(my, FingerprintSource):
            return [_kept(golden, my, wanted, files)]
        parts = [
            _measure_range(golden, my, wanted, files, start, stop)
            for start, stop in ([span] if span else ranges(golden.elements))
        ]
        return parts if span else _in_reach(golden, my, wanted, parts)
    except Exception as exc:
        return [Measured(_info(golden), _info(my), error=as_pair_error(exc, "this pair"))]


def _kept(golden: Source, my: Source, wanted: Wanted, files: tuple[FileState, ...]) -> Measured:
    """What is known of a pair of which one side is a fingerprint, or both are."""
    from ait_cmp.engine.kept import measure_kept  # rare

    measured = measure_kept(golden=golden, my=my, wanted=wanted)
    return replace(measured, files=files)


def _in_reach(golden: Source, my: Source, wanted: Wanted, parts: list[Measured]) -> list[Measured]:
    """All ranges of a pair; those of a pair out of reach as one, with slices that tell."""
    if "float64" not in (golden.dtype.name, my.dtype.name):
        return parts
    whole = functools.reduce(_merge, parts)
    if whole.stats is None or not is_out_of_reach(golden, my, whole.stats):
        return parts
    options = pair_options(golden=golden, my=my, epsilon=wanted.epsilon, parts=Parts(slices=True))
    assert whole.stats.slices is not None
    slices = slices_in_reach(golden, my, options, whole.stats.slices)
    return [replace(whole, stats=replace(whole.stats, slices=slices))]


def _paths(request: Request) -> list[str]:
    return [split_name(file)[0] for file in (*request.golden.files, *request.my.files)]


def _has_shrunk(request: Request) -> bool:
    try:
        return sum(state_of(path).size for path in _paths(request)) < request.size
    except (OSError, PairError):
        return False


def spans(request: Request) -> list[tuple[int, int]]:
    """The ranges of the pair of `request`, from its headers alone; none where it is to stay whole.
    Raises as opening does."""
    with confined_to(request.roots):
        golden, my = align(golden=open_location(request.golden), my=open_location(request.my))
    return [] if golden.in_one or my.in_one else list(ranges(golden.elements))


def merged(parts: Sequence[Measured]) -> Measured:
    """All ranges of one pair, in order, as one; the first error, if there is one."""
    return _with_evidence(functools.reduce(_merge, parts))


def merged_ranges(request: Request, parts: Sequence[Measured]) -> Measured:
    """The same of the ranges of the pair of `request`, which is read once more where squares are
    out of float64's reach: no range alone tells in which units all should be."""
    whole = functools.reduce(_merge, parts)
    sides, stats = (whole.golden, whole.my), whole.stats
    if not (sides[0] and sides[1] and stats and is_out_of_reach(sides[0], sides[1], stats)):
        return _with_evidence(whole)
    with confined_to(request.roots):
        opened = _open_pair(replace(request, span=None), mapped=True)
    if isinstance(opened, Measured):
        return _with_reason(request, opened)
    try:
        if opened.files != whole.files:
            raise changed(request.golden, request.my)
        golden, my = align(golden=opened.golden, my=opened.my)
        again = _unchanged(opened, _in_reach(golden, my, request.wanted, [whole]))
    except Exception as exc:
        again = Measured(*sides, error=as_pair_error(exc, "this pair"))
    return _with_reason(request, again)


def _with_evidence(measured: Measured) -> Measured:
    """The slices of a whole pair reduced to evidence, and to what is kept of them."""
    stats = measured.stats
    if stats is None or stats.slices is None or measured.golden is None:
        return measured
    evidence = make_evidence(stats, stats.slices, measured.golden.shape)
    kept = stats.slices.pack_few()
    return Measured(
        measured.golden,
        measured.my,
        stats,
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
    if stats.slices and (huge := huge_from(golden, stats.slices)) < math.inf:
        apart = replace(options, parts=Parts(slices=True), huge=huge)
        usual = range_stats(golden=golden, my=my, start=start, stop=stop, options=apart).slices
        stats = replace(stats, slices=replace(stats.slices, usual=usual))
    return measured_of(golden=golden, my=my, stats=stats, files=files)


def measured_of(
    *, golden: Source, my: Source, stats: Stats, files: tuple[FileState, ...] = ()
) -> Measured:
    """What the stats of two sources, or of a range of them, say, with the worst element."""
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
    return element_text(source, index) if index >= 0 else None
