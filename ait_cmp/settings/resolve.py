"""How a config becomes the plain settings of one compare, checked once, at the edge."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

from ait_cmp.engine.request import ExtraMetric
from ait_cmp.files.staging import near_output, near_report
from ait_cmp.judging import Tolerance
from ait_cmp.judging.comparison import MetricChoice
from ait_cmp.judging.metrics import DEFINITIONS
from ait_cmp.mapping import MAPPINGS, PathMap, Selection, Wish
from ait_cmp.mapping.name_rule import NameRule, make_rule, steps_of
from ait_cmp.mapping.named_pair import NamedPair, make_named_pairs
from ait_cmp.measuring.executor import EXECUTORS, WorkerLimits
from ait_cmp.measuring.run_record import read_header, unpacking
from ait_cmp.report import REPORTS
from ait_cmp.settings.extra_metrics import extra_metrics
from ait_cmp.settings.in_force import in_force
from ait_cmp.settings.options import one_of
from ait_cmp.settings.schema import (
    Config,
    ExecutorConfig,
    MappingConfig,
    MappingRuleConfig,
    MetricsConfig,
    ReportConfig,
    Unpaired,
)
from ait_cmp.settings.tolerances import make_tolerance, tolerance_values
from ait_cmp.settings.values import MappingChoice, Settings
from ait_cmp.values.errors import UsageError
from ait_cmp.values.paths import absolute, has_secret, is_url, public
from ait_cmp.values.rounds import parse_rounds
from ait_cmp.values.tokens import parse_tokens

__all__ = ["epsilon_of", "metric_choice", "resolve"]


def resolve(values: Config) -> Settings:
    """The settings that `values` write. Raises UsageError for values that make no sense."""
    if not values.golden_path:
        raise UsageError("golden_path is empty; pass golden_path=FOLDER")
    _refuse_secrets(values)
    own, names = _own_metrics(values)
    tolerance = make_tolerance(values.tolerance, names)
    _refuse_idle_reference(values, tolerance)
    mapping = _mapping(values.mapping)
    return Settings(
        wish=Wish(
            golden_path=values.golden_path,
            my_path=values.my_path or None,
            path_map=_path_map(values.path_map),
            rules=_mapping_rules(values.mapping),
            names=_mapping_names(values.mapping),
            contents=_budget(values.mapping) if values.mapping.contents else None,
            ignore_unpaired=values.unpaired is Unpaired.ignore,
            allow_same=values.allow_same,
            rounds=parse_rounds(values.rounds) if values.rounds is not None else None,
            shards=values.shards.value,
            golden_steps=mapping.golden_steps,
            my_steps=mapping.my_steps,
        ),
        selection=_selection(values),
        mapping=mapping,
        budget=_budget(values.mapping),
        metrics=metric_choice(values.metrics, names),
        extra=own,
        epsilon=epsilon_of(values.metrics.epsilon),
        tolerance=tolerance,
        executor=one_of("executor.kind", values.executor.kind, EXECUTORS),
        limits=_worker_limits(values.executor),
        formats=_formats(values.report),
        worst=_rows("report.worst", values.report.worst),
        details=_rows("report.details", values.report.details),
        diagnosed=_rows("diagnosis.rows", values.diagnosis.rows),
        keep_stats=values.report.keep_stats,
        output=near_output(values.output),
        dry_run=values.dry_run,
        learn_failing=values.learn_failing,
        roots=_roots(values.allowed_roots),
        fail_on=values.fail_on,
        logits=_logits(values.logits),
        reference_path=values.reference_path or None,
        report_path=near_report(values.report_path) if values.report_path else None,
        in_force=in_force(_in_full(values, tolerance)),
    )


def _refuse_secrets(values: Config) -> None:
    """A report shows what was in force."""
    names = ("golden_path", "my_path", "reference_path", "report_path", "output")
    given = [(name, getattr(values, name) or "") for name in names]
    for prefixes in _path_map(values.path_map).prefixes.items():
        given += [("path_map", one) for one in prefixes]
    given += [("allowed_roots", root) for root in _roots(values.allowed_roots) or ()]
    for name, path in given:
        if has_secret(path):
            raise UsageError(
                f"{name}={public(path)} was given with a user or a signature in it, which a report "
                "would show; leave that out, and give credentials as the library of its store "
                "documents it"
            )


def _refuse_idle_reference(values: Config, tolerance: Tolerance) -> None:
    if values.reference_path and tolerance.growth is None:
        raise UsageError(
            f"reference_path={values.reference_path} says nothing to tolerance={tolerance.name}, "
            "whose limits know no rounding; leave it out, or take tolerance=dtype"
        )


def _in_full(values: Config, tolerance: Tolerance) -> Config:
    """`values` with the numbers that `tolerance` has beside those that were written."""
    return replace(
        values, tolerance=replace(tolerance_values(tolerance), made=values.tolerance.made)
    )


def _formats(values: ReportConfig) -> tuple[str, ...] | None:
    if values.formats is None:
        return None
    return tuple(dict.fromkeys(one_of("report.formats", one, REPORTS) for one in values.formats))


def _rows(name: str, number: int) -> int:
    if number < 0:
        raise UsageError(f"{name}={number} must be a number of rows, 0 or more")
    return number


def _own_metrics(values: Config) -> tuple[tuple[ExtraMetric, ...], tuple[str, ...]]:
    """The user's own metrics, and how those are called of which there are values: of a run that is
    judged again nothing is run, whoever named it."""
    if values.report_path:
        folder = near_report(values.report_path)
        with unpacking(folder):
            return (), tuple(read_header(folder)["metrics"].get("extra", ()))
    own = extra_metrics(values.metrics.extra, values.metrics.extra_memory)
    return own, tuple(one.name for one in own)


def metric_choice(values: MetricsConfig, extra: tuple[str, ...] = ()) -> MetricChoice:
    """The metrics that are shown. Raises UsageError for unknown ones."""
    table = DEFINITIONS[one_of("metrics.definition", values.definition, DEFINITIONS)]
    names = list(table) if values.names is None else values.names
    return MetricChoice(
        values.definition, tuple(one_of("metrics.names", name, table) for name in names), extra
    )


def _mapping(values: MappingConfig) -> MappingChoice:
    adapters = [
        steps_of(f"mapping.{side}_adapters", text)
        for side, text in (("golden", values.golden_adapters), ("my", values.my_adapters))
    ]
    for step in (*adapters[0], *adapters[1]):
        if step.joins:
            raise UsageError(
                f"the adapters of a mapping are for each tensor, and {step} joins several; "
                "write it in a rule or in a list of pairs"
            )
    return MappingChoice(one_of("mapping.kind", values.kind, MAPPINGS), *adapters)


def _mapping_rules(values: MappingConfig) -> tuple[NameRule, ...]:
    if values.rules and values.kind != "rules":
        raise UsageError(f"mapping.rules say nothing to mapping={values.kind}; take mapping=rules")
    return tuple(_mapping_rule(number, rule) for number, rule in enumerate(values.rules, start=1))


def _budget(values: MappingConfig) -> int:
    if not 0 < values.budget < math.inf:
        raise UsageError(f"mapping.budget={values.budget} must be a number of GiB above 0")
    return int(values.budget * 2**30)


def _mapping_names(values: MappingConfig) -> tuple[NamedPair, ...]:
    if values.names and values.kind != "names":
        raise UsageError(f"mapping.names say nothing to mapping={values.kind}; take mapping=names")
    if not isinstance(values.names, str):
        raise UsageError(
            "mapping.names are for a file; write them there and pass mapping=FILE.yaml"
        )
    return make_named_pairs(values.names)


def _mapping_rule(number: int, rule: MappingRuleConfig) -> NameRule:
    return make_rule(
        f"mapping.rules, rule {number}",
        golden=rule.golden,
        my=rule.my,
        golden_adapters=rule.golden_adapters,
        my_adapters=rule.my_adapters,
    )


def _worker_limits(values: ExecutorConfig) -> WorkerLimits:
    limits = ("workers", "row_timeout", "memory_limit")
    for name in ("address", *limits):
        value = getattr(values, name)
        if value is not None and name not in EXECUTORS[values.kind].heeds:
            other = "ray" if name == "address" else "processes"
            raise UsageError(
                f"executor.{name}={value} does nothing with executor={values.kind}; leave it out, "
                f"or choose executor={other}"
            )
    for name in limits:
        number = getattr(values, name)
        if number is not None and not (isinstance(number, int | float) and 0 < number < math.inf):
            raise UsageError(f"executor.{name}={number} must be above 0, or null for no limit")
    memory = values.memory_limit
    return WorkerLimits(
        workers=values.workers,
        row_timeout=values.row_timeout,
        memory=None if memory is None else int(memory * 2**30),
        address=values.address or None,
    )


def epsilon_of(value: Any) -> float:
    """The number above which relative errors are taken. Raises UsageError for what is none."""
    number = float(value) if isinstance(value, Real) else math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"metrics.epsilon={value} must be 0 or a positive number")
    return number


def _selection(values: Config) -> Selection:
    data_ids = values.data_ids
    if isinstance(data_ids, (str, int)):
        data_ids = [data_ids]
    if data_ids is not None and not isinstance(data_ids, list):
        raise UsageError(f"data_ids={data_ids!r} must be a list of globs, like data_ids=[layer0.*]")
    return Selection(
        tokens=parse_tokens(values.tokens) if values.tokens is not None else None,
        data_ids=None if data_ids is None else [str(glob) for glob in data_ids],
    )


def _logits(value: Any) -> tuple[str, ...]:
    globs = [value] if isinstance(value, str) else value or []
    if not isinstance(globs, list) or not all(isinstance(one, str) and one for one in globs):
        raise UsageError(f"logits={value!r} must be a list of globs, like logits=[*lm_head*]")
    return tuple(globs)


def _roots(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    roots = [value] if isinstance(value, str) else value
    if not isinstance(roots, list) or not all(isinstance(one, str) and one for one in roots):
        raise UsageError(
            f"allowed_roots={value!r} must be a list of folders: allowed_roots=[/dumps]"
        )
    for root in roots:
        if not (is_url(root) or Path(root).is_dir()):
            raise UsageError(f"allowed_roots: {root} is no folder")
    return tuple(map(absolute, roots))


def _path_map(value: Any) -> PathMap:
    if value is None:
        return PathMap()
    if isinstance(value, str):  # what the command line makes of a mapping
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, dict) or not all(isinstance(new, str) for new in value.values()):
        raise UsageError(
            f"path_map={value!r} must map prefixes: path_map={{/old/place:/new/place}}"
        )
    return PathMap({str(old): new for old, new in value.items()})
