"""One pair compared: opened, aligned, its ranges summed up. Nothing escapes as an exception."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ait_cmp.dtypes import DType
from ait_cmp.engine import align, pair_options, range_stats, ranges
from ait_cmp.engine.kernel import widen
from ait_cmp.engine.source import Source, open_source
from ait_cmp.engine.stats import Stats
from ait_cmp.errors import PairError, Reason, os_reason

__all__ = ["Measured", "Request", "TensorInfo", "Wanted", "measure", "measure_sources"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which optional stats are wanted, and the epsilon of the relative errors."""

    epsilon: float
    relative: bool = True
    softmax: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """Two locations to compare; plain data, so that it can go to another process."""

    golden: str
    my: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the report says of one side besides its values."""

    dtype: DType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What comparing a pair gave: stats, or the error that prevented them.

    `worst` is the flat index of the element that tells most (the first non-finite one that
    disagrees, else the largest difference), -1 where the sides are equal; `worst_golden` and
    `worst_my` are its exact values as text.
    """

    golden: TensorInfo | None = None
    my: TensorInfo | None = None
    stats: Stats | None = None
    worst: int = -1
    worst_golden: str | None = None
    worst_my: str | None = None
    error: PairError | None = None


def measure(request: Request) -> Measured:
    """Compare the pair of `request`."""
    golden, golden_error = _open(request.golden, "golden", Reason.GOLDEN_MISSING)
    my, my_error = _open(request.my, "my", Reason.MY_MISSING)
    if golden is None or my is None:
        return Measured(_info(golden), _info(my), error=golden_error or my_error)
    return measure_sources(golden=golden, my=my, wanted=request.wanted)


def measure_sources(*, golden: Source, my: Source, wanted: Wanted) -> Measured:
    """Compare two open sources."""
    try:
        golden, my = align(golden=golden, my=my)
        options = pair_options(
            golden=golden,
            my=my,
            epsilon=wanted.epsilon,
            relative=wanted.relative,
            softmax=wanted.softmax,
        )
        total = Stats(epsilon=wanted.epsilon)
        for start, stop in ranges(golden.elements):
            total += range_stats(golden=golden, my=my, start=start, stop=stop, options=options)
    except Exception as exc:
        return Measured(_info(golden), _info(my), error=_as_pair_error(exc, "this pair"))
    worst = _worst(total)
    return Measured(
        _info(golden), _info(my), total, worst, _element(golden, worst), _element(my, worst)
    )


def _open(
    location: str, side: str, missing: Reason
) -> tuple[Source, None] | tuple[None, PairError]:
    try:
        return open_source(location), None
    except FileNotFoundError:
        return None, PairError(missing, f"the {side} tensor {location} does not exist")
    except Exception as exc:
        return None, _as_pair_error(exc, location)


def _as_pair_error(error: Exception, where: str) -> PairError:
    """Whatever went wrong as the reason of one row."""
    if isinstance(error, PairError):
        return error
    if isinstance(error, OSError):
        return PairError(Reason.FILE_UNREADABLE, f"{where} cannot be read: {os_reason(error)}")
    _LOGGER.debug("unexpected error at %s", where, exc_info=error)
    return PairError(
        Reason.INTERNAL,
        f"ait_cmp failed on {where} ({type(error).__name__}: {error}); please report this",
    )


def _info(source: Source | None) -> TensorInfo | None:
    return TensorInfo(source.dtype, source.shape) if source is not None else None


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
