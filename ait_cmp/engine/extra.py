"""Metrics of the user's own: a class that takes values as they come, or a function of all of them.

Nothing is run here but what an `ExtraMetric` has, which settings make of what the user names.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ait_cmp.engine import BLOCK, ranges
from ait_cmp.engine.kernel import widen
from ait_cmp.engine.request import ExtraMetric
from ait_cmp.source import Source
from ait_cmp.values.errors import UsageError

__all__ = ["Extra", "load_metric", "look_at_extra"]

_METHODS = ("update", "merge", "compute")  # of a class
_WIDE = 16  # bytes of an element of both sides, as float64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Extra:
    """The values of a pair by the names of their metrics, and why those failed that did."""

    values: Mapping[str, float | None]
    problems: Mapping[str, str]

    def packed(self) -> list[Any]:
        """All of it as plain values."""
        return [self.values, self.problems]

    @staticmethod
    def unpacked(packed: Sequence[Any]) -> Extra:
        """What `packed` gave."""
        return Extra(*packed)


def load_metric(metric: ExtraMetric) -> Callable[..., Any]:
    """The class or the function. Raises UsageError where there is none."""
    place = f"metrics.extra: {metric.path}"
    try:
        module = _module(metric.path, metric.source, metric.digest)
    except (Exception, SystemExit) as exc:
        raise UsageError(f"{place} cannot be run: {_told(exc)}") from exc
    found: Any = getattr(module, metric.name, None)
    if not callable(found):
        raise UsageError(f"{place} has no class or function {metric.name}; name one that it has")
    lacks = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if isinstance(found, type) and lacks:
        raise UsageError(
            f"{place}: the class {metric.name} has no {', '.join(lacks)}; it needs "
            "update(golden, my), merge(other) and compute()"
        )
    made: Callable[..., Any] = found
    return made


@functools.lru_cache(maxsize=64)
def _module(path: str, source: str, digest: str) -> ModuleType:
    """The file that was read, run once; nothing is written beside it."""
    module = ModuleType(f"ait_cmp_extra_{digest}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look for it there
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - the user named it
    return module


def look_at_extra(*, golden: Source, my: Source, metrics: Sequence[ExtraMetric]) -> Extra:
    """The values of two sources of one shape. What metrics raise is told; raises as reading does.

    Ranges are taken apart and merged in order, so that values do not depend on who takes them.
    """
    found = _Found({}, {})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        loaded = {one: found.of(one, load_metric, one) for one in metrics}
        streams = {one: made for one, made in loaded.items() if isinstance(made, type)}
        values = _streamed(golden, my, streams, found)
        for metric in metrics:
            if metric in streams:
                found.take(metric, values[metric].compute)
            elif _WIDE * golden.elements > metric.memory:
                found.problems[metric.name] = _too_large(golden, metric)
            elif metric.name not in found.problems:
                sides = [_whole(side, metric) for side in (golden, my)]
                found.take(metric, _in_one_thread, loaded[metric], *sides)
    return Extra({one.name: found.values.get(one.name) for one in metrics}, found.problems)


@dataclass(frozen=True, slots=True)
class _Found:
    """The values so far, and what went wrong; a metric that failed is not asked again."""

    values: dict[str, float | None]
    problems: dict[str, str]

    def of(self, metric: ExtraMetric, step: Callable[..., Any], *args: Any) -> Any:
        """What `step` gives; None where it raises."""
        if metric.name in self.problems:
            return None
        try:
            return step(*args)
        except (Exception, SystemExit) as exc:
            self.problems[metric.name] = _told(exc)
            return None

    def take(self, metric: ExtraMetric, step: Callable[..., Any], *args: Any) -> None:
        """The value that `step` gives."""
        self.values[metric.name] = self.of(metric, lambda: _number(step(*args)))


class _Stream:
    """One metric that takes values as they come."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._whole: Any = None
        self._part: Any = None

    def begin(self) -> None:
        """A range begins."""
        self._part = self._kind()

    def update(self, golden: Floats, my: Floats) -> None:
        """The next values of the range."""
        self._part.update(golden, my)

    def end(self) -> None:
        """The range is whole; a merge may take the other in, or give a new one."""
        if self._whole is None:
            self._whole = self._part
            return
        merged = self._whole.merge(self._part)
        self._whole = self._whole if merged is None else merged

    def compute(self) -> Any:
        """The value of all."""
        return self._whole.compute()


def _streamed(
    golden: Source, my: Source, kinds: Mapping[ExtraMetric, type[Any]], found: _Found
) -> dict[ExtraMetric, _Stream]:
    streams = {metric: _Stream(kind) for metric, kind in kinds.items()}
    for start, stop in ranges(golden.elements) if streams else ():
        for metric, stream in streams.items():
            found.of(metric, stream.begin)
        for begin in range(start, stop, BLOCK):
            block = [_read(side, begin, min(begin + BLOCK, stop)) for side in (golden, my)]
            for metric, stream in streams.items():
                found.of(metric, stream.update, *block)
        for metric, stream in streams.items():
            found.of(metric, stream.end)
    return streams


def _read(source: Source, start: int, stop: int) -> Floats:
    """Values that several metrics see, and none may change."""
    values = widen(source.read(start, stop), source.dtype)
    values.flags.writeable = False
    return values


def _whole(source: Source, metric: ExtraMetric) -> Any:
    """All values of `source` as a tensor of the metric's own, which it may change."""
    import torch  # only for functions

    values = np.empty(source.elements, np.float64)
    for start in range(0, source.elements, BLOCK):
        stop = min(start + BLOCK, source.elements)
        values[start:stop] = _read(source, start, stop)
    tensor = torch.from_numpy(values)
    return tensor.float() if metric.as_original else tensor.reshape(source.shape)


def _in_one_thread(function: Callable[..., Any], golden: Any, my: Any) -> Any:
    """What `function` gives: torch adds up in another order with other numbers of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(golden, my)
    finally:
        torch.set_num_threads(threads)


def _number(value: Any) -> float:
    """The number that a metric gave, alone or with a message, as the original's do."""
    if isinstance(value, tuple) and value:
        value = value[0]
    if value is None:
        raise TypeError("it gave None, and no number")
    if isinstance(value, str | bytes):
        raise TypeError(f"it gave the text {value!r}, and no number")
    return float(value)


def _too_large(source: Source, metric: ExtraMetric) -> str:
    needed, limit = _WIDE * source.elements / 2**30, metric.memory / 2**30
    return (
        f"its tensors take {needed:.3g} GiB and metrics.extra_memory is {limit:.3g}; raise it, or "
        "write a class, which takes blocks"
    )


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
