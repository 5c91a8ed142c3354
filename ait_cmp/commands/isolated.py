"""Two models in, a run of which each row is of one module alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch

from ait_cmp.commands.judged_rows import JudgedRows
from ait_cmp.commands.kept import Run
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.pairwise import measure_sources
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.isolating.isolation import PRECISIONS, Isolation, Kinded, OwnTensor, pair_of, settled
from ait_cmp.isolating.on_golden import on_goldens
from ait_cmp.isolating.partners import Partners, are_named_alike, proposed
from ait_cmp.isolating.recording import Recording, recorded, run_with
from ait_cmp.isolating.structure import Held
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.row import pack_row
from ait_cmp.settings.values import Settings
from ait_cmp.source import from_memory
from ait_cmp.tensors import as_array
from ait_cmp.values.errors import PairError, UsageError
from ait_cmp.values.pair import Pair

__all__ = ["isolated_run"]

_LOGGER = logging.getLogger(__name__)


def isolated_run(
    *,
    golden: torch.nn.Module,
    my: torch.nn.Module,
    inputs: object,
    given: str,
    precision: str,
    settings: Settings,
) -> Run:
    """Both models run with `inputs`, and each module of my judged by itself.

    Raises TypeError for what is no module, UsageError for a precision that there is not.
    """
    for name, model in (("golden", golden), ("my", my)):
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module, not {type(model).__name__}")
    if precision not in PRECISIONS:
        known = " and ".join(PRECISIONS)
        raise UsageError(f"there is no precision {precision!r}; golden is run in {known}")
    if given not in ("my", "golden"):
        raise UsageError(f"given={given!r} is neither my nor golden, whose inputs both are run on")
    with recorded(golden) as run:
        run_with(golden, inputs)
    if given == "golden":
        isolation = Isolation(
            golden, Partners(golden), on_goldens(run, my), precision=PRECISIONS[precision]
        )
    else:
        isolation = _on_mine(golden, my, inputs, run, PRECISIONS[precision])
    made = _settled(isolation.tensors(), settings.wanted)
    by = settings.tolerance, settings.metrics
    return Run(made, *by, JudgedRows(made, *by))


def _on_mine(
    golden: torch.nn.Module,
    my: torch.nn.Module,
    inputs: object,
    run: Recording,
    precision: torch.dtype,
) -> Isolation:
    with recorded(my) as recording:
        run_with(my, inputs)
    return Isolation(golden, _partners(golden, run, recording), recording, run, precision)


def _partners(golden: torch.nn.Module, run: Recording, my: Recording) -> Partners:
    """By names, else by a proposal, which is said. Raises UsageError where there is none."""
    if are_named_alike(golden, my):
        return Partners(golden)
    found = proposed(run, my)
    if len(found) < 2:
        raise UsageError(
            "no module of my has a golden one: neither names nor the order and shapes of what they "
            "give back say which belong together"
        )
    _LOGGER.warning(
        "less than half of my's modules are called as golden's, so %d pairs of modules are guessed "
        "by names, order and shapes (column paired_by)",
        len(found) - 1,
    )
    return Partners(golden, found)


def _settled(tensors: Iterable[Kinded], wanted: Wanted) -> Settled:
    """What is measured of each, one by one, so that no more than one tensor of golden's is kept."""
    found: list[Kinded] = []
    rows: list[tuple[Pair, Measured | None, Measured | None]] = []
    for kind, one in tensors:
        pair = _pair(one)
        measured = reference = None
        if pair.error is None:
            measured = _measured(one.golden, one.my, wanted)
            if pair.reference:
                reference = _measured(one.golden, one.reference, wanted)
        rows.append((pair, measured, reference))
        found.append((kind, one.empty()))
    made = _empty(len(rows))
    for number, each in enumerate(settled(found)):
        pair, measured, reference = rows[each.place]
        pair = pair._replace(order=number, alone=each.alone)
        if each.is_coarse:
            pair = pair._replace(reference=None)
        made.pairs.append(pair)
        _put(made.measured, number, pair, measured, wanted)
        if pair.reference:
            _put(made.references, number, pair.reference, reference, wanted)
    return made


def _empty(rows: int) -> Settled:
    return Settled([], MeasuredRows(rows, slices=True), MeasuredRows(rows, slices=True))


def _pair(one: OwnTensor) -> Pair:
    """The row of a tensor, whose sides are nowhere but in memory."""
    place = f"{one.data_id} of round {one.token_id}"
    reference = f"{place}, golden in my's types" if one.reference else ""
    sides = f"{place}, golden on my's inputs", f"{place}, my", reference
    return pair_of(one.data_id, one.token_id, one.alone, sides, why=one.why, by=one.by)


def _measured(golden: Held | None, my: Held | None, wanted: Wanted) -> Measured:
    assert golden
    assert my
    try:
        one, other = (
            from_memory(*as_array(held.tensor, what))
            for held, what in ((golden, "golden"), (my, "my"))
        )
    except PairError as exc:
        return Measured(error=exc)
    return measure_sources(golden=one, my=other, wanted=wanted)


def _put(
    rows: MeasuredRows, number: int, pair: Pair, measured: Measured | None, wanted: Wanted
) -> None:
    if measured is not None:
        rows.put(number, pack_row(Request(pair.golden, pair.my, wanted), measured))
