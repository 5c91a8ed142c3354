"""Metrics of the user's own, as settings name them: FILE.py:NAME, read and run once, here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ait_cmp.engine.extra import load_metric
from ait_cmp.engine.request import ExtraMetric
from ait_cmp.files import read_small, real_path
from ait_cmp.report.columns import COLUMNS
from ait_cmp.values.errors import PairError, UsageError
from ait_cmp.values.overrides import AS_ORIGINAL

__all__ = ["extra_metrics", "names_of"]

_MOST = 1 << 24  # bytes of a file
_TAKEN = frozenset({*COLUMNS, "job", "line", "step"})  # columns, of a page and a sweep too


class _Spec(NamedTuple):
    """One of `metrics.extra`."""

    path: str
    name: str
    as_original: bool


def extra_metrics(specs: Sequence[str], memory: Any) -> tuple[ExtraMetric, ...]:
    """What `metrics.extra` names; functions may have tensors of `memory` GiB.

    Raises UsageError for files that cannot be read or run, and for names that are not there or
    taken.
    """
    found = [_spec(one) for one in specs]
    names = [one.name for one in found]
    for name in names:
        if name in _TAKEN or names.count(name) > 1:
            raise UsageError(
                f"metrics.extra: a report has one column {name}; call this one otherwise"
            )
    number = isinstance(memory, int | float) and not isinstance(memory, bool)
    if not (number and 0 < memory < math.inf):
        raise UsageError(f"metrics.extra_memory={memory} must be a number of GiB above 0")
    metrics = tuple(_read(one, int(memory * 2**30)) for one in found)
    for metric in metrics:
        load_metric(metric)
    return metrics


def names_of(specs: Sequence[str]) -> tuple[str, ...]:
    """How the metrics are called that `specs` name; no file is read. Raises UsageError."""
    return tuple(_spec(one).name for one in specs)


def _spec(text: Any) -> _Spec:
    said = text if isinstance(text, str) else ""
    bare = said.removesuffix(f":{AS_ORIGINAL}")
    path, _, name = bare.rpartition(":")
    if not path or not name.isidentifier():
        raise UsageError(
            f"metrics.extra: {text!r} must be FILE.py:NAME, of a class or function in that file"
        )
    return _Spec(path, name, as_original=bare != said)


def _read(spec: _Spec, memory: int) -> ExtraMetric:
    try:
        content = read_small(spec.path, _MOST)
        source = content.decode()
    except FileNotFoundError as exc:
        raise UsageError(f"metrics.extra: there is no file {spec.path}") from exc
    except PairError as exc:
        raise UsageError(f"metrics.extra: {exc.sentence}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"metrics.extra: {spec.path} is no UTF-8 text: {exc}") from exc
    except ValueError as exc:
        raise UsageError(f"metrics.extra: {spec.path}: {exc}") from exc
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    path = real_path(spec.path)
    return ExtraMetric(spec.name, path, source, digest, memory, spec.as_original)
