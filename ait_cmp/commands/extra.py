"""Metrics of the user's own: a look at every row that was compared."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from ait_cmp.commands.asking import Ask
from ait_cmp.commands.shards import Settled
from ait_cmp.engine.extra import Extra
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import ExtraMetric, Look

__all__ = ["warn_of_extra", "with_extra"]

_LOGGER = logging.getLogger(__name__)


def with_extra(settled: Settled, ask: Ask, metrics: tuple[ExtraMetric, ...]) -> Settled:
    """`settled`, with the values of these metrics in all rows that were compared."""
    if not metrics:
        return settled
    numbers = [*filter(settled.measured.is_compared, settled.measured)]
    if not numbers:
        return settled
    pairs = [settled.pairs[number] for number in numbers]
    found = ask(pairs, [Look("extra", (), metrics)] * len(pairs))
    known = settled.measured.copy()
    told = list[tuple[str, Extra]]()
    for place, (number, pair) in enumerate(zip(numbers, pairs, strict=True)):
        answer = found[place]
        extra = answer.extra or _without(answer, metrics)
        known.add(number, extra=extra)
        told.append((pair.name, extra))
    warn_of_extra(told)
    return replace(settled, measured=known)


def _without(answer: Measured, metrics: Sequence[ExtraMetric]) -> Extra:
    """Of a row that could be read, and cannot any more."""
    sentence = answer.error.sentence if answer.error else "it was not measured"
    names = [one.name for one in metrics]
    return Extra(dict.fromkeys(names), dict.fromkeys(names, sentence))


def warn_of_extra(rows: Sequence[tuple[str, Extra | None]]) -> None:
    """Tell once of all cells that are empty because a metric failed."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for row, extra in rows:
        for name, problem in extra.problems.items() if extra else ():
            first.setdefault(name, f"{row}: {problem}")
            counts[name] = counts.get(name, 0) + 1
    if first:
        said = (
            f"{name} has no value in {counts[name]} of {len(rows)} rows, first of {told}"
            for name, told in first.items()
        )
        _LOGGER.warning("metrics.extra: %s", "; ".join(said))
