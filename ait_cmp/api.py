"""`compare`: the same judgement as the command's, on tensors in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ait_cmp.comparison import Comparison, MetricChoice, conclude
from ait_cmp.config import load_tolerance
from ait_cmp.engine.pair import Wanted, measure_sources
from ait_cmp.engine.source import Source
from ait_cmp.engine.source.npy import from_array
from ait_cmp.errors import UsageError
from ait_cmp.metrics import DEFINITIONS, METRICS
from ait_cmp.tensors import as_array
from ait_cmp.verdict import Limit, Tolerance

__all__ = ["compare"]

TensorLike = Any  # torch.Tensor or numpy.ndarray


def compare(
    *,
    golden: TensorLike,
    my: TensorLike,
    tolerance: str | Tolerance | Mapping[str, Limit] = "dtype",
    metrics: str = "standard",
    epsilon: float = 2.0**-23,
) -> Comparison:
    """Compare two tensors or arrays of equal shape, of any supported types and strides.

    `tolerance` is the name of a shipped preset, a `Tolerance`, or limits by metric;
    `metrics` names the definitions, `standard` or `ait`. Shapes that differ give a comparison
    with the status `error`. Raises TypeError for what is no tensor, UsageError for unknown
    names, PairError for a type that cannot be compared.
    """
    if metrics not in DEFINITIONS:
        raise UsageError(f"metrics: there is no {metrics!r}; choose from {', '.join(DEFINITIONS)}")
    chosen = _tolerance(tolerance)
    choice = MetricChoice(metrics, tuple(DEFINITIONS[metrics]))
    relative, softmax = choice.needs(chosen)
    measured = measure_sources(
        golden=_source(golden, "golden"),
        my=_source(my, "my"),
        wanted=Wanted(epsilon, relative, softmax),
    )
    return conclude(measured, tolerance=chosen, choice=choice)


def _tolerance(tolerance: str | Tolerance | Mapping[str, Limit]) -> Tolerance:
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
        return Source(*as_array(value.detach().resolve_conj().cpu(), argument))
    if isinstance(value, np.ndarray):
        return from_array(value, argument)
    raise TypeError(
        f"{argument} must be a torch.Tensor or a numpy.ndarray, not {type(value).__name__}"
    )
