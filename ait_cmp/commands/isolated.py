"""Two models in, a run of which each row is of one module alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.isolating.isolation import IsolatedRow, Isolation
from ait_cmp.isolating.partners import Partners
from ait_cmp.isolating.recording import recorded, run_with
from ait_cmp.judging import Tolerance
from ait_cmp.judging.comparison import MetricChoice
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.row import pack_row
from ait_cmp.values.errors import UsageError
from ait_cmp.values.pair import Pair

__all__ = ["isolated_run"]

_LOGGER = logging.getLogger(__name__)
_PRECISIONS = {"float64": torch.float64, "float32": torch.float32}


def isolated_run(
    *,
    golden: torch.nn.Module,
    my: torch.nn.Module,
    inputs: object,
    precision: str,
    tolerance: Tolerance,
    metrics: MetricChoice,
    wanted: Wanted,
) -> Run:
    """Both models run with `inputs`, and each module of my judged by itself.

    Raises TypeError for what is no module, UsageError for a precision that there is not.
    """
    for name, model in (("golden", golden), ("my", my)):
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module, not {type(model).__name__}")
    if precision not in _PRECISIONS:
        known = " and ".join(_PRECISIONS)
        raise UsageError(f"there is no precision {precision!r}; golden is run in {known}")
    with recorded(golden) as run:
        run_with(golden, inputs)
    with recorded(my) as recording:
        run_with(my, inputs)
    for sentence in recording.unseen:
        _LOGGER.warning("%s", sentence)
    isolation = Isolation(
        golden,
        Partners(golden),
        recording.types,
        wanted,
        _PRECISIONS[precision],
        run.tensors(),
    )
    return _judged(isolation.rows(recording), tolerance, metrics, wanted)


def _judged(
    rows: Sequence[IsolatedRow], tolerance: Tolerance, metrics: MetricChoice, wanted: Wanted
) -> Run:
    measured = MeasuredRows(len(rows), slices=True)
    references = MeasuredRows(len(rows), slices=True)
    for number, row in enumerate(rows):
        _put(measured, number, row.pair, row.measured, wanted)
        if row.pair.reference:
            _put(references, number, row.pair.reference, row.reference, wanted)
    settled = Settled([row.pair for row in rows], measured, references)
    return Run(settled, tolerance, metrics, JudgedRows(settled, tolerance, metrics))


def _put(
    rows: MeasuredRows, number: int, pair: Pair, measured: Measured | None, wanted: Wanted
) -> None:
    if measured is not None:
        rows.put(number, pack_row(Request(pair.golden, pair.my, wanted), measured))
