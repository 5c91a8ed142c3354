"""The command's judgement in Python: of tensors in memory, and of dumps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from ait_cmp.commands.compare import judged, open_store, select_pairs, written
from ait_cmp.commands.extra import warn_of_extra
from ait_cmp.engine.looks import Beside, look_at
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Wanted
from ait_cmp.judging import Status
from ait_cmp.judging.comparison import Comparison, conclude
from ait_cmp.measuring.progress import ShowProgress, show_nothing
from ait_cmp.report import facts_since
from ait_cmp.results import RunComparison
from ait_cmp.settings.keywords import (
    PathLike,
    ToleranceLike,
    live_settings,
    metrics_from,
    settings_from,
    tolerance_from,
)
from ait_cmp.settings.resolve import epsilon_of
from ait_cmp.settings.values import Settings
from ait_cmp.source import Source, from_array, from_memory
from ait_cmp.tensors import as_array

__all__ = ["compare", "compare_dumps", "isolate"]

P = ParamSpec("P")
R = TypeVar("R")
TensorLike = Any  # torch.Tensor or numpy.ndarray


def _by_name(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which says what to write where it is given tensors in an order."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if args:
            names = [
                name
                for name, one in inspect.signature(function).parameters.items()
                if one.default is one.empty
            ]
            wanted = ", ".join(f"{name}=…" for name in (*names, "my_path")[:2])
            raise TypeError(
                f"{function.__name__} takes everything by its name, since golden and my are easily "
                f"exchanged; write {function.__name__}({wanted})"
            )
        return function(**kwargs)  # type: ignore[call-arg]

    return called


@_by_name
def compare(
    *,
    golden: TensorLike,
    my: TensorLike,
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    metric_names: Sequence[str] | None = None,
    epsilon: float = 2.0**-23,
    extra_metrics: Sequence[PathLike] | None = None,
    diagnosis: bool = True,
) -> Comparison:
    """Compare two tensors or arrays of equal shape, of any supported types and strides.

    `tolerance` is the name of a shipped preset, a YAML file, a `Tolerance`, or limits by metric;
    `metrics` names the definitions, `standard` or `ait`, and `metric_names` some of them;
    `extra_metrics` are your own, FILE.py:NAME of a class or a function, which is run. Shapes that
    differ give a comparison with the status `error`. Of tensors that do not pass `diagnosis` says
    what explains the difference, unless it is False. Raises TypeError for what is no tensor,
    UsageError for unknown names, PairError for a type that cannot be compared.
    """
    choice, own = metrics_from(metrics, metric_names, extra_metrics)
    chosen = tolerance_from(tolerance, choice.extra)
    one, other = _source(golden, "golden"), _source(my, "my")
    wanted = Wanted(epsilon_of(epsilon), choice.needs(chosen))
    measured = measure_sources(golden=one, my=other, wanted=wanted)
    if own and measured.stats:
        measured = replace(measured, extra=look_at("extra", one, other, Beside(metrics=own)).extra)
        warn_of_extra([("these tensors", measured.extra)])
    found = conclude(measured, chosen, choice)
    if not diagnosis or found.verdict.status not in (Status.FAIL, Status.ERROR):
        return found
    return replace(found, diagnosis=look_at("diagnosis", one, other).diagnosis)


@_by_name
def compare_dumps(
    *,
    golden_path: PathLike,
    my_path: PathLike | None = None,
    reference_path: PathLike | None = None,
    path_map: Mapping[str, str] | None = None,
    tokens: str | int | None = None,
    data_ids: str | Sequence[str] | None = None,
    rounds: str | int | None = None,
    allowed_roots: PathLike | Sequence[PathLike] | None = None,
    unpaired: str = "error",
    allow_same: bool = False,
    shards: str = "auto",
    logits: str | Sequence[str] | None = None,
    mapping: str = "auto",
    mapping_rules: Sequence[Mapping[str, str]] | None = None,
    mapping_names: Sequence[Mapping[str, str | Sequence[str]]] | None = None,
    contents: bool | None = None,
    budget: float | None = None,
    golden_adapters: str | None = None,
    my_adapters: str | None = None,
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    metric_names: Sequence[str] | None = None,
    epsilon: float | None = None,
    extra_metrics: Sequence[PathLike] | None = None,
    extra_memory: float | None = None,
    executor: str = "auto",
    workers: int | None = None,
    row_timeout: float | None = None,
    memory_limit: float | None = None,
    address: str | None = None,
    output: PathLike | None = None,
    formats: Sequence[str] | None = None,
    keep_stats: bool | None = None,
    csv_bom: bool | None = None,
    page: Mapping[str, int | str] | None = None,
    diagnosis_rows: int | None = None,
    progress: ShowProgress = show_nothing,
) -> RunComparison:
    """Compare dumps as the command does; without `output`, nothing is written.

    The arguments are the command's settings: `workers` and `address` are the executor's,
    `mapping_rules` dicts of golden, my, golden_adapters and my_adapters, `mapping_names` of the
    same and by, `extra_metrics` FILE.py:NAME, which is run, `page` the report's details, paths and
    language. None is what the command takes by itself, `math.inf` no limit. Options are named, or
    YAML files; `tolerance` may also be what `compare` takes. `progress` is called as rows are done.
    Raises UsageError for what makes no sense, ReportError where output cannot be written.
    """
    return _compared(settings_from(locals()), progress)


def _compared(settings: Settings, progress: ShowProgress) -> RunComparison:
    started = datetime.now(UTC)
    pairs = select_pairs(settings)
    with open_store(settings) as store:
        run = judged(pairs, settings, store, progress)
        run = replace(run, facts=facts_since(started, settings.in_force))
        if settings.output is not None:
            written(run, settings, store)
    return RunComparison.of(run)


@_by_name
def isolate(
    *,
    golden: torch.nn.Module,
    my: torch.nn.Module,
    inputs: Any,
    given: str = "my",
    precision: str = "float64",
    tolerance: ToleranceLike = "dtype",
    metrics: str = "standard",
    epsilon: float | None = None,
) -> RunComparison:
    """Judge each module of `my` by itself: golden's module is run on what my's was given.

    Both models run once with `inputs`: a tensor, a tuple of arguments, a dict of those by name, or
    a function that takes a model and runs it, several times if it likes. Golden's modules are then
    run anew in `precision`, float64 or float32, on the recorded arguments of my's, those inside
    another answered by what my's gave back. `own_error` is what a module did itself, `error_level`
    what both runs differ by there. The yardstick is golden's module in my's types. With
    `given="golden"` the modules of both are run on what golden's were given, rounded to my's type:
    so what is behind a NaN is judged, too.
    Raises TypeError for what is no module, UsageError for unknown names.
    """
    from ait_cmp.commands.isolated import isolated_run  # rare, with all that records

    started = datetime.now(UTC)
    settings = live_settings(
        golden=type(golden).__name__,
        my=type(my).__name__,
        tolerance=tolerance,
        metrics=metrics,
        epsilon=epsilon,
    )
    run = isolated_run(
        golden=golden, my=my, inputs=inputs, given=given, precision=precision, settings=settings
    )
    return RunComparison.of(replace(run, facts=facts_since(started, settings.in_force)))


def _source(value: TensorLike, argument: str) -> Source:
    if isinstance(value, torch.Tensor):
        return from_memory(*as_array(value, argument))
    if isinstance(value, np.ndarray):
        return from_array(value, argument)
    raise TypeError(
        f"{argument} must be a torch.Tensor or a numpy.ndarray, not {type(value).__name__}"
    )
