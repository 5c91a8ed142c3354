"""The settings of one compare, resolved: frozen, plain values, whoever asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ait_cmp.engine.request import ExtraMetric, Wanted
from ait_cmp.judging import Tolerance
from ait_cmp.judging.comparison import MetricChoice
from ait_cmp.mapping import Selection, Wish
from ait_cmp.measuring.executor import WorkerLimits
from ait_cmp.values.fail_on import FailOn
from ait_cmp.values.location import Step

__all__ = ["MappingChoice", "Settings"]


@dataclass(frozen=True, slots=True)
class MappingChoice:
    """Which mapping, and the adapters that apply to every pair of it."""

    kind: str
    golden_steps: tuple[Step, ...] = ()
    my_steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """One compare, resolved: plain values only.

    `budget` is what guessing pairs may read, in bytes. Without `output` nothing is written.
    `logits` are globs of the rows that have the scores of tokens; without them, names tell.
    `reference_path` is a trusted run of my's type, `extra` are the user's own metrics. Of failing
    rows so many as `diagnosed` are told what explains them. `report_path` is of a run that is
    judged again, `in_sweep` of one job of several. `in_force` has every setting as text, for the
    report.
    """

    wish: Wish
    selection: Selection
    mapping: MappingChoice
    metrics: MetricChoice
    epsilon: float
    tolerance: Tolerance
    executor: str
    limits: WorkerLimits
    formats: tuple[str, ...] | None
    worst: int
    output: Path | None
    details: int = 20
    budget: int = 4 << 30
    keep_stats: bool = True
    diagnosed: int = 20
    dry_run: bool = False
    learn_failing: bool = False
    extra: tuple[ExtraMetric, ...] = ()
    roots: tuple[str, ...] | None = None
    fail_on: FailOn = FailOn.any
    logits: tuple[str, ...] = ()
    reference_path: str | None = None
    report_path: Path | None = None
    in_sweep: bool = False
    in_force: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where a command writes to: it always has an output."""
        assert self.output is not None
        return self.output

    @property
    def wanted(self) -> Wanted:
        """What must be measured to show and to judge this."""
        return Wanted(
            self.epsilon, self.metrics.needs(self.tolerance), allow_same=self.wish.allow_same
        )
