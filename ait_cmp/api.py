"""The command's judgement in Python: of tensors in memory, and of dumps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ait_cmp.commands.compare import judge_pairs, measure, select_pairs
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Limit, Tolerance
from ait_cmp.judging.comparison import Comparison, MetricChoice, RunComparison, conclude
from ait_cmp.judging.metrics import DEFINITIONS, METRICS
from ait_cmp.mapping import MAPPINGS, PathMap, Selection, Wish
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.settings.tolerances import load_tolerance, one_of
from ait_cmp.settings.values import MappingChoice, Settings
from ait_cmp.source import Source, from_array, from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import UsageError
from ait_cmp.values.tokens import parse_tokens

__all__ = ["compare", "compare_dumps"]

TensorLike = Any  # torch.Tensor or numpy.ndarray
ToleranceLike = str | Tolerance | Mapping[str, Limit]


def compare(
    *,
    golden: TensorLike,
    my: TensorLike,
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    epsilon: float = 2.0**-23,
) -> Comparison:
    """Compare two tensors or arrays of equal shape, of any supported types and strides.

    `tolerance` is the name of a shipped preset, a YAML file, a `Tolerance`, or limits by metric;
    `metrics` names the definitions, `standard` or `ait`. Shapes that differ give a comparison
    with the status `error`. Raises TypeError for what is no tensor, UsageError for unknown
    names, PairError for a type that cannot be compared.
    """
    chosen, choice = _tolerance(tolerance), _metrics(metrics)
    measured = measure_sources(
        golden=_source(golden, "golden"),
        my=_source(my, "my"),
        wanted=Wanted(epsilon, choice.needs(chosen)),
    )
    return conclude(measured, chosen, choice)


def compare_dumps(
    *,
    golden_path: str | os.PathLike[str],
    my_path: str | os.PathLike[str] | None = None,
    path_map: Mapping[str, str] | None = None,
    tokens: str | int | None = None,
    data_ids: str | Sequence[str] | None = None,
    mapping: str = "auto",
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    epsilon: float = 2.0**-23,
    executor: str = "auto",
) -> RunComparison:
    """Compare dumps as the command does, without writing a report.

    The arguments are the command's settings of the same names. Raises UsageError for a mapping
    that cannot be read and for unknown names; a pair that cannot be compared is a row with the
    status `error`.
    """
    with tempfile.TemporaryDirectory(prefix="ait_cmp-") as folder:
        settings = Settings(
            wish=Wish(
                os.fspath(golden_path),
                None if my_path is None else os.fspath(my_path),
                PathMap(dict(path_map or {})),
            ),
            selection=_selection(tokens, data_ids),
            mapping=MappingChoice(one_of("mapping", mapping, MAPPINGS)),
            metrics=_metrics(metrics),
            epsilon=epsilon,
            tolerance=_tolerance(tolerance),
            executor=one_of("executor", executor, EXECUTORS),
            limits=WorkerLimits(),
            formats=(),
            worst=0,
            output=Path(folder),
        )
        pairs = select_pairs(settings)
        measured = measure(pairs, settings, None)
        return RunComparison(tuple(judge_pairs(pairs, measured, settings)))


def _selection(tokens: str | int | None, data_ids: str | Sequence[str] | None) -> Selection:
    globs = [data_ids] if isinstance(data_ids, str) else data_ids
    return Selection(None if tokens is None else parse_tokens(str(tokens)), globs)


def _metrics(definition: str) -> MetricChoice:
    return MetricChoice(definition, tuple(DEFINITIONS[one_of("metrics", definition, DEFINITIONS)]))


def _tolerance(tolerance: ToleranceLike) -> Tolerance:
    if isinstance(tolerance, Tolerance):
        return tolerance
    if isinstance(tolerance, str):
        return load_tolerance(tolerance)
    unknown = [name for name in tolerance if name not in METRICS]
    if unknown:
        raise UsageError(
            f"tolerance: there is no metric {unknown[0]!r}; choose from {', '.join(METRICS)}"
        )
    for name, limit in tolerance.items():
        if not isinstance(limit, Limit):
            raise UsageError(
                f"tolerance: the limit of {name} must be ait_cmp.Limit(min=…, max=…), not {limit!r}"
            )
    return Tolerance("given", default=dict(tolerance))


def _source(value: TensorLike, argument: str) -> Source:
    if isinstance(value, torch.Tensor):
        return from_memory(*as_array(value.detach().resolve_conj().cpu(), argument))
    if isinstance(value, np.ndarray):
        return from_array(value, argument)
    raise TypeError(
        f"{argument} must be a torch.Tensor or a numpy.ndarray, not {type(value).__name__}"
    )
