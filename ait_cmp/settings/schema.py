"""The schema of the config: what may be set, and of which type.

Light on purpose: `--help` and every typo are answered from here, before anything heavy is
imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ait_cmp.values.fail_on import FailOn
from ait_cmp.values.growth import Growth

__all__ = [
    "GROUPS",
    "Config",
    "CsvConfig",
    "DiagnosisConfig",
    "ExecutorConfig",
    "LogLevel",
    "MappingConfig",
    "MappingRuleConfig",
    "MetricsConfig",
    "NonFiniteChoice",
    "ReportConfig",
    "ReportLanguage",
    "ReportPaths",
    "RuleConfig",
    "ToleranceConfig",
    "Unpaired",
    "config_folder",
    "setting_help",
    "setting_names",
    "unknown_setting",
]

MISSING: Any = "???"  # omegaconf's mark of a value that must be given


def _said(meaning: str, default: Any, **more: Any) -> Any:
    """A setting with its default and what `--help` says of it; `kind` is its type, where that is
    Any to Hydra."""
    return field(default=default, metadata={"help": meaning, **more})


class LogLevel(Enum):
    """What is logged to stderr."""

    debug = "DEBUG"
    info = "INFO"
    warning = "WARNING"
    error = "ERROR"


class Shards(Enum):
    """Whether one tensor is compared with what several ranks have of it."""

    off = "off"
    auto = "auto"
    required = "required"


class Unpaired(Enum):
    """What a tensor of two folders is that has no counterpart: an error, or left out."""

    error = "error"
    ignore = "ignore"


class ReportPaths(Enum):
    """How the page names files."""

    absolute = "absolute"
    relative = "relative"


class ReportLanguage(Enum):
    """What the page begins in."""

    auto = "auto"
    en = "en"
    zh = "zh"


class NonFiniteChoice(Enum):
    """As `judging.NonFinite`."""

    alike = "alike"
    none = "none"
    any = "any"


@dataclass
class LimitConfig:
    """What a metric must keep; see `judging.Limit`."""

    min: float | None = None
    max: float | None = None


class Packed:
    """Values of a file that Hydra carries as one text, in JSON."""


# metric -> its limit. A field of this kind is Any to Hydra, so that the command line can add to it.
_LIMITS = dict[str, LimitConfig]


@dataclass
class RuleConfig:
    """Limits for the pairs that match; see `judging.Rule`."""

    limits: Any = field(default=MISSING, metadata={"kind": _LIMITS})
    data_ids: list[str] = field(default_factory=lambda: ["*"])
    tokens: str | None = None
    dtypes: list[str] = field(default_factory=list)
    growth: bool = True


@dataclass
class ToleranceConfig:
    """What a row must keep to pass; see `judging.Tolerance`."""

    name: str = MISSING
    nonfinite: NonFiniteChoice = NonFiniteChoice.alike
    rules: list[RuleConfig] = field(default_factory=list)
    default: Any = field(
        default_factory=dict,
        metadata={
            "help": "limits where no rule gives any: +tolerance.default.rmse.max=0.01",
            "kind": _LIMITS,
        },
    )
    growth: Any = field(  # {}: all of its own numbers
        default=None,
        metadata={
            "help": "limits of the error's growth: tolerance.growth.level=6; null: none",
            "kind": Growth | None,
        },
    )
    unjudged: str = "skipped"  # or pass: what a row is that nothing judges
    made: Any = None  # how a calibrated tolerance was made; not read


@dataclass
class MetricsConfig:
    """Which metrics the report shows, by which definition."""

    definition: str = MISSING
    names: list[str] | None = _said("a list of metrics that are shown (default: all)", None)
    epsilon: float = _said("relative errors are taken where abs(golden) is above this", 2.0**-23)
    extra: list[str] = field(
        default_factory=list,
        metadata={"help": "your own: a list of FILE.py:NAME, a class or a function, which is run"},
    )
    extra_memory: float = _said("GiB that both tensors of such a function may take", 4.0)


@dataclass
class MappingRuleConfig:
    """Which my tensor belongs to golden tensors of some names; see `mapping.name_rule`."""

    golden: str = MISSING
    my: str = MISSING
    golden_adapters: str = ""
    my_adapters: str = ""


@dataclass
class MappingConfig:
    """Who is compared with whom; the adapters apply to every pair."""

    kind: str = MISSING
    golden_adapters: str = _said("adapters of every golden tensor: 'transpose(0, 1)'", "")
    my_adapters: str = _said("adapters of every my tensor", "")
    rules: list[MappingRuleConfig] = field(
        default_factory=list,
        metadata={"help": "a list of {golden: REGEX, my: NAME}, for mapping=rules"},
    )
    contents: bool = _said(
        "true: guess pairs by what the tensors hold, too; pair always does", False
    )
    budget: float = _said("GiB that guessing reads of the contents at most", 4.0)
    # A list to who writes it, one text to Hydra, which takes seconds for some thousand nodes.
    names: Any = field(
        default="",
        metadata={"help": "a list of {golden: NAME, my: NAME}, as pair writes it", "kind": Packed},
    )


@dataclass
class ExecutorConfig:
    """Where the work runs; None is no limit."""

    kind: str = MISSING
    workers: int | None = _said("how many (default: as many as there are cores)", None)
    row_timeout: float | None = _said("seconds that a row may take; null: no limit", None)
    memory_limit: float | None = _said("GiB of private memory of a worker; null: no limit", None)
    address: str | None = _said(
        "HOST:PORT of a Ray cluster, or auto (default: a Ray on this machine, for this run)", None
    )


@dataclass
class CsvConfig:
    """How cmp_report.csv is written."""

    bom: bool = _said(
        "true: cmp_report.csv begins with a byte order mark, by which Excel reads names that are "
        "not ASCII",
        False,
    )


@dataclass
class ReportConfig:
    """What is written, and how many of the worst rows are shown."""

    formats: list[str] | None = _said(
        "a list of what is written: csv, parquet, json, junit, md, xlsx, html (default: csv, "
        "parquet, and html where rows fail)",
        None,
    )
    worst: int = _said("so many of the worst rows are shown", 10)
    keep_stats: bool = _said("keep cmp_report.stats, of which later judgements are made", True)
    details: int = _said("so many of the worst rows the page shows in detail, read once more", 20)
    paths: ReportPaths = _said(
        "relative: the page names files as seen from its folder, so that both can travel",
        ReportPaths.absolute,
    )
    language: ReportLanguage = _said(
        "en or zh: what the page begins in (default: as the locale says)", ReportLanguage.auto
    )
    csv: CsvConfig = field(default_factory=CsvConfig)


@dataclass
class DiagnosisConfig:
    """What is said of rows that fail, besides where and by how much."""

    rows: int = _said("so many failing rows are told what explains them; 0: none", 20)


@dataclass
class Config:
    """Everything that `conf/config.yaml` and the command line may set."""

    golden_path: str = _said(
        "dump folder, golden_tensor folder, ait_dump root, tensor file, list of pairs", MISSING
    )
    my_path: str | None = _said(
        "a file: only the entries mapped to it; a folder: where my tensors now are, or the other "
        "dump",
        None,
    )
    reference_path: str | None = _said(
        "a trusted run of my's type, dumped as golden or as my is: what rounding does is measured "
        "by it",
        None,
    )
    # Any, since Hydra lets a plain override fill only what is not a typed dict or list.
    path_map: Any = _said(
        "prefixes of moved files, {/old/place: /new/place}", None, kind=dict[str, str] | None
    )
    output: str = _said(
        "where the report goes (default: this folder); of pair and fingerprint, the file", "."
    )
    report_path: str | None = _said(
        "judge: the folder of a finished compare; written report=FOLDER there", None
    )
    tokens: str | None = _said("7, 0-9, 0-9/2 (every second), unions 0-3+7 (default: all)", None)
    data_ids: Any = _said(
        "a glob or a list of globs (default: all)", None, kind=str | list[str] | None
    )
    rounds: str | None = _said(
        "+1: my round 1 answers golden round 0; 0-2:0 3-:1-: three of my are one; off: equal "
        "numbers (default: as shapes tell)",
        None,
    )
    dry_run: bool = _said("true: list the pairs that would be compared, and write nothing", False)
    learn_failing: bool = _said(
        "calibrate: true learns rows as well that the tolerance fails, and hides their faults",
        False,
    )
    allowed_roots: Any = _said(
        "folders outside which no tensor or mapping is opened (default: no bounds)",
        None,
        kind=str | list[str] | None,
    )
    unpaired: Unpaired = _said(
        "error, or ignore: tensors of one of two folders only are skipped", Unpaired.error
    )
    allow_same: bool = _said("true: golden and my may be one file", False)
    shards: Shards = _said(
        "auto: what several ranks of one side have of a tensor of one process is joined as shapes "
        "say; off; or required, an error where it cannot be",
        Shards.auto,
    )
    logits: Any = _said(
        "globs of the rows that have the scores of tokens (default: as their names tell)",
        None,
        kind=str | list[str] | None,
    )
    fail_on: FailOn = _said(
        "which rows the exit status tells of: any (1 and 3), fail (1 alone), error (3 alone), or "
        "never: 0 whatever they say",
        FailOn.any,
    )
    log_level: LogLevel = _said("debug, info, warning, error", LogLevel.info)
    mapping: MappingConfig = MISSING
    metrics: MetricsConfig = MISSING
    tolerance: ToleranceConfig = MISSING
    executor: ExecutorConfig = MISSING
    report: ReportConfig = MISSING
    diagnosis: DiagnosisConfig = MISSING


GROUPS: dict[str, type[Any]] = {
    "mapping": MappingConfig,
    "metrics": MetricsConfig,
    "tolerance": ToleranceConfig,
    "executor": ExecutorConfig,
    "report": ReportConfig,
    "diagnosis": DiagnosisConfig,
}


def config_folder() -> Path:
    """Where `conf/` is: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def unknown_setting(key: str) -> str:
    """The sentence for a key that the schema does not have."""
    if key.startswith("tolerance.default."):  # which a file may leave out
        return f"there is no setting {key!r}; to add it, write +{key}=…"
    close = difflib.get_close_matches(key, list(setting_names()), n=1)
    if close:
        return f"there is no setting {key!r}; did you mean {close[0]!r}?"
    return f"there is no setting {key!r}; --help lists them all"


def setting_names() -> Iterator[str]:
    """Every setting, those of groups as `group.name`."""
    for name, _ in _settings(Config):
        yield name


def setting_help() -> Iterator[tuple[str, str]]:
    """Every setting that has something to say, as `group.name`, with what it says."""
    for name, one in _settings(Config):
        if "help" in one.metadata:
            yield name, one.metadata["help"]


def _settings(schema: type[Any], prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Every field by its whole name, those of a group or a part of one behind it."""
    for one in fields(schema):
        name = prefix + one.name
        yield name, one
        inner = GROUPS.get(name, one.default_factory)
        if isinstance(inner, type) and is_dataclass(inner):
            yield from _settings(inner, f"{name}.")
