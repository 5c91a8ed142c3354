"""The settings as Python's keyword arguments: checked and resolved as the command's are."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import Any, TypeVar

from ait_cmp.engine.request import ExtraMetric
from ait_cmp.judging import Limit, Tolerance
from ait_cmp.judging.comparison import MetricChoice
from ait_cmp.settings.extra_metrics import extra_metrics, names_of
from ait_cmp.settings.options import load_option, one_of
from ait_cmp.settings.resolve import metric_choice, resolve
from ait_cmp.settings.schema import (
    Config,
    CsvConfig,
    ExecutorConfig,
    MappingRuleConfig,
    ReportConfig,
    ReportLanguage,
    ReportPaths,
    Shards,
    Unpaired,
)
from ait_cmp.settings.tolerances import load_tolerance, tolerance_values
from ait_cmp.settings.values import Settings
from ait_cmp.values.errors import UsageError

__all__ = [
    "PathLike",
    "ToleranceLike",
    "live_settings",
    "metrics_from",
    "settings_from",
    "tolerance_from",
]

PathLike = str | os.PathLike[str]
ToleranceLike = str | os.PathLike[str] | Tolerance | Mapping[str, Limit]
T = TypeVar("T")
E = TypeVar("E", bound=Enum)
_WRITTEN = ("formats", "keep_stats", "csv_bom", "page")


def settings_from(given: Mapping[str, Any]) -> Settings:
    """The settings that the keyword arguments of `ait_cmp.compare_dumps` make; None is what the
    command takes where nothing is said. Raises UsageError for values that make no sense."""
    output = given["output"]
    if output is None and any(given[name] is not None for name in _WRITTEN):
        raise UsageError(f"{', '.join(_WRITTEN)} are for what is written; pass output=FOLDER too")
    settings = resolve(_values(given))
    return settings if output is not None else replace(settings, output=None)


def live_settings(
    *, golden: str, my: str, tolerance: ToleranceLike, metrics: str, epsilon: float | None
) -> Settings:
    """The settings of a compare of what runs, as those of dumps are. Raises UsageError."""
    config = Config(
        golden_path=golden,
        my_path=my,
        metrics=_changed(load_option("metrics", metrics), epsilon=epsilon),
        tolerance=tolerance_values(tolerance_from(tolerance)),
        mapping=load_option("mapping", "auto"),
        executor=load_option("executor", "auto"),
        report=load_option("report", "default"),
        diagnosis=load_option("diagnosis", "default"),
    )
    return replace(resolve(config), output=None)


def _values(given: Mapping[str, Any]) -> Config:
    mapping = _changed(
        load_option("mapping", given["mapping"]),
        golden_adapters=given["golden_adapters"],
        my_adapters=given["my_adapters"],
        rules=_rules(given["mapping_rules"]),
        names=_names(given["mapping_names"]),
        contents=given["contents"],
        budget=given["budget"],
    )
    metrics = _changed(
        load_option("metrics", given["metrics"]),
        names=_texts(given["metric_names"]),
        epsilon=given["epsilon"],
        extra=_texts(given["extra_metrics"]),
        extra_memory=given["extra_memory"],
    )
    executor = _limited(_changed(load_option("executor", given["executor"]), **_limits(given)))
    diagnosis = _changed(load_option("diagnosis", "default"), rows=given["diagnosis_rows"])
    tokens, my_path, path_map = given["tokens"], given["my_path"], given["path_map"]
    reference = given["reference_path"]
    return Config(
        golden_path=os.fspath(given["golden_path"]),
        my_path=None if my_path is None else os.fspath(my_path),
        reference_path=None if reference is None else os.fspath(reference),
        path_map=None if path_map is None else dict(path_map),
        output=os.fspath(given["output"] or "."),
        tokens=None if tokens is None else str(tokens),
        data_ids=_text(given["data_ids"]),
        rounds=None if given["rounds"] is None else str(given["rounds"]),
        allowed_roots=_text(given["allowed_roots"]),
        unpaired=Unpaired[one_of("unpaired", given["unpaired"], Unpaired.__members__)],
        allow_same=given["allow_same"],
        logits=_text(given["logits"]),
        shards=Shards[one_of("shards", given["shards"], Shards.__members__)],
        mapping=mapping,
        metrics=metrics,
        tolerance=tolerance_values(tolerance_from(given["tolerance"], names_of(metrics.extra))),
        executor=executor,
        report=_report(given),
        diagnosis=diagnosis,
    )


def _report(given: Mapping[str, Any]) -> ReportConfig:
    page = given["page"] or {}
    for name in page:
        one_of("page", name, ("details", "paths", "language"))
    option: ReportConfig = load_option("report", "default")
    return _changed(
        option,
        formats=_texts(given["formats"]),
        keep_stats=given["keep_stats"],
        csv=None if given["csv_bom"] is None else CsvConfig(bom=given["csv_bom"]),
        details=page.get("details"),
        paths=_member("page paths", page.get("paths"), ReportPaths),
        language=_member("page language", page.get("language"), ReportLanguage),
    )


def metrics_from(
    metrics: str, names: Sequence[str] | None, extra: Sequence[PathLike] | None
) -> tuple[MetricChoice, tuple[ExtraMetric, ...]]:
    """The metrics that are shown, and the user's own among them. Raises UsageError for unknown
    ones."""
    option = _changed(load_option("metrics", metrics), names=_texts(names), extra=_texts(extra))
    own = extra_metrics(option.extra, option.extra_memory)
    return metric_choice(option, tuple(one.name for one in own)), own


def tolerance_from(tolerance: ToleranceLike, extra: tuple[str, ...] = ()) -> Tolerance:
    """The tolerance of that name or file, itself, or of limits by metric, `extra` the user's own.
    Raises UsageError."""
    if isinstance(tolerance, Tolerance):
        return tolerance
    if isinstance(tolerance, str | os.PathLike):
        return load_tolerance(os.fspath(tolerance), extra)
    for name, limit in tolerance.items():
        if not isinstance(limit, Limit):
            raise UsageError(
                f"tolerance: the limit of {name} must be ait_cmp.Limit(min=…, max=…), not {limit!r}"
            )
    return Tolerance("given", default=dict(tolerance), extra=extra)


def _changed(option: T, **given: Any) -> T:
    """`option` with what is given; None is not."""
    told = {name: value for name, value in given.items() if value is not None}
    return replace(option, **told)  # type: ignore[type-var]


def _member(name: str, given: str | None, of: type[E]) -> E | None:
    """The member of that name. Raises UsageError where there is none."""
    return None if given is None else of[one_of(name, given, of.__members__)]


def _limits(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("workers", "row_timeout", "memory_limit", "address")}


def _limited(option: ExecutorConfig) -> ExecutorConfig:
    """`option`, where math.inf is no limit."""
    unlimited: dict[str, Any] = dict.fromkeys(
        one.name for one in fields(option) if getattr(option, one.name) == math.inf
    )
    return replace(option, **unlimited)


def _text(value: PathLike | Sequence[PathLike] | None) -> str | list[str] | None:
    if value is None:
        return None
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    return [os.fspath(one) for one in value]


def _texts(value: Sequence[PathLike] | None) -> list[str] | None:
    text = _text(value)
    return [text] if isinstance(text, str) else text


def _rules(rules: Sequence[Mapping[str, str]] | None) -> list[MappingRuleConfig] | None:
    if rules is None:
        return None
    try:
        return [MappingRuleConfig(**rule) for rule in rules]
    except TypeError as exc:
        raise UsageError(
            f"mapping_rules must be of golden, my, golden_adapters and my_adapters: {exc}"
        ) from exc


def _names(names: Sequence[Mapping[str, Any]] | None) -> str | None:
    """As a file's are carried."""
    try:
        return None if names is None else json.dumps([dict(one) for one in names])
    except (TypeError, ValueError) as exc:
        raise UsageError(f"mapping_names must be dicts of golden and my names: {exc}") from exc
