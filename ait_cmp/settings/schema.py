"""The schema of the config: what may be set, and of which type.

Light on purpose: `--help` and every typo are answered from here, before anything heavy is
imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = [
    "Config",
    "ExecutorConfig",
    "FailOn",
    "LogLevel",
    "MappingConfig",
    "MappingRuleConfig",
    "MetricsConfig",
    "NonFiniteChoice",
    "ReportConfig",
    "RuleConfig",
    "ToleranceConfig",
    "config_folder",
    "setting_names",
    "unknown_setting",
]

MISSING: Any = "???"  # omegaconf's mark of a value that must be given


class LogLevel(Enum):
    """What is logged to stderr."""

    debug = "DEBUG"
    info = "INFO"
    warning = "WARNING"
    error = "ERROR"


class FailOn(Enum):
    """When the exit status tells of rows: on any that does not pass, or never."""

    any = "any"
    never = "never"


class NonFiniteChoice(Enum):
    """As `verdict.NonFinite`."""

    alike = "alike"
    none = "none"
    any = "any"


@dataclass
class RuleConfig:
    """Limits for the pairs that match; see `verdict.Rule`."""

    # metric -> {min, max}; Any, so that the command line can add to it.
    limits: Any = MISSING
    data_ids: list[str] = field(default_factory=lambda: ["*"])
    tokens: str | None = None
    dtypes: list[str] = field(default_factory=list)
    growth: bool = True


@dataclass
class ToleranceConfig:
    """What a row must keep to pass; see `verdict.Tolerance`."""

    name: str = MISSING
    nonfinite: NonFiniteChoice = NonFiniteChoice.alike
    rules: list[RuleConfig] = field(default_factory=list)
    default: Any = field(default_factory=dict)  # as RuleConfig.limits
    growth: Any = None  # numbers of `verdict.Growth`, {} for its own; None: rows stand alone
    made: Any = None  # how a calibrated tolerance was made; not read


@dataclass
class MetricsConfig:
    """Which metrics the report shows, by which definition."""

    definition: str = MISSING
    names: list[str] | None = None  # null: all of the definition
    epsilon: float = 2.0**-23


@dataclass
class MappingRuleConfig:
    """Which my tensor belongs to golden tensors of some names; see `mapping.rule.Rule`."""

    golden: str = MISSING
    my: str = MISSING
    golden_adapters: str = ""
    my_adapters: str = ""


@dataclass
class MappingConfig:
    """Who is compared with whom; the adapters apply to every pair."""

    kind: str = MISSING
    golden_adapters: str = ""
    my_adapters: str = ""
    rules: list[MappingRuleConfig] = field(default_factory=list)


@dataclass
class ExecutorConfig:
    """Where the work runs; None is no limit."""

    kind: str = MISSING
    workers: int | None = None  # None: as many as there are cores
    row_timeout: float | None = None  # seconds
    memory_limit: float | None = None  # GiB of private memory of one worker


@dataclass
class ReportConfig:
    """What is written, and how many of the worst rows are shown."""

    formats: list[str] = MISSING
    worst: int = 10


@dataclass
class Config:
    """Everything that `conf/config.yaml` and the command line may set."""

    golden_path: str = MISSING
    my_path: str | None = None
    # Any, since Hydra lets a plain override fill only what is not a typed dict or list.
    path_map: Any = None
    output: str = "."
    tokens: str | None = None
    data_ids: Any = None
    dry_run: bool = False
    allowed_roots: Any = None
    fail_on: FailOn = FailOn.any
    log_level: LogLevel = LogLevel.info
    mapping: MappingConfig = MISSING
    metrics: MetricsConfig = MISSING
    tolerance: ToleranceConfig = MISSING
    executor: ExecutorConfig = MISSING
    report: ReportConfig = MISSING


GROUPS: dict[str, type[Any]] = {
    "mapping": MappingConfig,
    "metrics": MetricsConfig,
    "tolerance": ToleranceConfig,
    "executor": ExecutorConfig,
    "report": ReportConfig,
}


def config_folder() -> Path:
    """Where `conf/` is: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def unknown_setting(key: str) -> str:
    """The sentence for a key that the schema does not have."""
    if key.startswith(("tolerance.default.", "tolerance.growth.")):  # which a file may leave out
        return f"there is no setting {key!r}; to add it, write +{key}=…"
    close = difflib.get_close_matches(key, list(setting_names()), n=1)
    if close:
        return f"there is no setting {key!r}; did you mean {close[0]!r}?"
    return f"there is no setting {key!r}; --help lists them all"


def setting_names() -> Iterator[str]:
    """Every setting, those of groups as `group.name`."""
    for one in fields(Config):
        yield one.name
        if one.name in GROUPS:
            yield from (f"{one.name}.{inner.name}" for inner in fields(GROUPS[one.name]))
