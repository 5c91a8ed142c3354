"""Tolerances as YAML writes them: read, checked, written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from ait_cmp.files.output import own_folder, write_whole
from ait_cmp.judging import Growth, Limit, NonFinite, Rule, Tolerance, Unjudged
from ait_cmp.settings.options import load_option, one_of
from ait_cmp.settings.schema import NonFiniteChoice, RuleConfig, ToleranceConfig, config_folder
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import ReportError, UsageError, os_reason
from ait_cmp.values.tokens import parse_tokens

__all__ = [
    "has_shipped_rules",
    "load_tolerance",
    "make_tolerance",
    "plain_tolerance",
    "tolerance_from_plain",
    "tolerance_values",
    "write_tolerance",
]


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # has no types
    """Writes out what stands at several places, since no alias is read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def load_tolerance(name: str, extra: tuple[str, ...] = ()) -> Tolerance:
    """The shipped tolerance `name`, or that of a YAML file, which may name these metrics of the
    user's own. Raises UsageError if there is none."""
    values: ToleranceConfig = load_option("tolerance", name)
    try:
        return make_tolerance(values, extra)
    except UsageError as exc:
        raise UsageError(f"the tolerance {name}: {exc}") from exc


def write_tolerance(tolerance: Tolerance, path: Path, *, made: dict[str, Any]) -> None:
    """Write `tolerance` as `load_tolerance` reads it, with how it was made. Raises ReportError."""
    values = plain_tolerance(tolerance) | {"made": made}
    try:
        own_folder(path.parent)
        write_whole(path, yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    except OSError as exc:
        raise ReportError(
            f"the tolerance cannot be written to {path}: {os_reason(exc)}; "
            "free the place or choose another with output=…"
        ) from exc


def has_shipped_rules(tolerance: Tolerance) -> bool:
    """Whether the rules are those of a shipped preset, which is made for more than one run."""
    shipped = {path.stem for path in (config_folder() / "tolerance").glob("*.yaml")}
    return tolerance.name in shipped and load_tolerance(tolerance.name).rules == tolerance.rules


def tolerance_values(tolerance: Tolerance) -> ToleranceConfig:
    """`tolerance` as a config writes it, of which `make_tolerance` makes an equal one."""
    return ToleranceConfig(
        name=tolerance.name,
        nonfinite=NonFiniteChoice[tolerance.nonfinite.value],
        rules=[_rule_values(rule) for rule in tolerance.rules],
        default=_limit_values(tolerance.default),
        growth=None if tolerance.growth is None else asdict(tolerance.growth),
        unjudged=tolerance.unjudged.value,
    )


def _rule_values(rule: Rule) -> RuleConfig:
    return RuleConfig(
        limits=_limit_values(rule.limits),
        data_ids=list(rule.data_ids),
        tokens=None if rule.tokens is None else str(rule.tokens),
        dtypes=list(rule.dtypes),
        growth=rule.growth,
    )


def _limit_values(limits: Mapping[str, Limit]) -> dict[str, dict[str, float]]:
    return {name: limit.bounds() for name, limit in limits.items()}


def plain_tolerance(tolerance: Tolerance) -> dict[str, Any]:
    """`tolerance` in plain values, as a file has it."""
    values = asdict(tolerance_values(tolerance))
    values["nonfinite"] = values["nonfinite"].name
    return values


def tolerance_from_plain(values: Mapping[str, Any], extra: tuple[str, ...] = ()) -> Tolerance:
    """What `plain_tolerance` gave. Raises UsageError."""
    told = dict(values)
    told["nonfinite"] = NonFiniteChoice[told["nonfinite"]]
    told["rules"] = [RuleConfig(**rule) for rule in told["rules"]]
    return make_tolerance(ToleranceConfig(**told), extra)


def make_tolerance(values: ToleranceConfig, extra: tuple[str, ...] = ()) -> Tolerance:
    """The tolerance that a config writes, with these metrics of the user's own. Raises
    UsageError for unknown names."""
    return Tolerance(
        name=values.name,
        rules=tuple(_rule(rule) for rule in values.rules),
        default=_limits(values.default),
        nonfinite=NonFinite(values.nonfinite.value),
        growth=None if values.growth is None else _growth(values.growth),
        unjudged=Unjudged(one_of("tolerance.unjudged", values.unjudged, [*Unjudged])),
        extra=extra,
    )


def _growth(values: Any) -> Growth:
    if not isinstance(values, dict):
        raise UsageError(f"tolerance.growth must map its limits to numbers, not {values!r}")
    names = [one.name for one in fields(Growth)]
    numbers = {one_of("tolerance.growth", str(name), names): values[name] for name in values}
    if isinstance(noise := numbers.get("noise"), dict):
        numbers["noise"] = {str(data_id): value for data_id, value in noise.items()}
    return Growth(**numbers)


def _rule(rule: RuleConfig) -> Rule:
    return Rule(
        limits=_limits(rule.limits),
        data_ids=tuple(rule.data_ids),
        tokens=parse_tokens(rule.tokens) if rule.tokens is not None else None,
        dtypes=tuple(
            one_of("tolerance.rules.dtypes", name.removeprefix("torch."), DTYPES)
            for name in rule.dtypes
        ),
        growth=rule.growth,
    )


def _limits(limits: Any) -> dict[str, Limit]:
    if not isinstance(limits, dict):
        raise UsageError(f"limits of tolerance must map metrics to min and max, not {limits!r}")
    return {name: _limit(name, bounds) for name, bounds in limits.items()}


def _limit(name: str, bounds: Any) -> Limit:
    numbers = bounds if isinstance(bounds, dict) else {"": bounds}
    for side, bound in numbers.items():
        number = isinstance(bound, (int, float)) and not isinstance(bound, bool)
        if side not in ("min", "max") or not (number or bound is None):
            raise UsageError(
                f"the limit of {name} must be {{min: NUMBER, max: NUMBER}}, not {bounds}"
            )
    try:
        return Limit(**{side: float(bound) for side, bound in numbers.items() if bound is not None})
    except UsageError as exc:
        raise UsageError(f"tolerance, {name}: {exc}") from exc
