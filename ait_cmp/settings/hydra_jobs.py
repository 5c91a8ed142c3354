"""Hydra: arguments in, jobs out, each with the config that Hydra composed for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import Container, DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ait_cmp.settings.arguments import as_given, has_option, hydra_arguments, option_values
from ait_cmp.settings.option_source import as_named, is_sign, know_folders, with_signs
from ait_cmp.settings.quoting import as_typed, with_quotes
from ait_cmp.settings.schema import (
    GROUPS,
    Config,
    config_folder,
    setting_names,
    unknown_setting,
)
from ait_cmp.settings.sweep import SweepRefused
from ait_cmp.values.errors import UsageError
from ait_cmp.values.growth import Growth

__all__ = ["Job", "each_job"]

_VERSION, _CONFIG = "1.3", "config"
_FULL_ERROR = "HYDRA_FULL_ERROR"
_BAD_SYNTAX = re.compile(
    "mismatched input|Unknown function|token recognition|no viable|extraneous input|missing EQUAL"
)
_NO_OPTION = re.compile(
    r"Could not find '([^']+)'\s+Available options in '([^']+)':\n((?:\t.+\n)*)"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One config; of a sweep, one of several, then with the folder that its output goes to."""

    config: DictConfig
    overrides: tuple[str, ...] = ()
    number: int = 0
    folder: Path | None = None

    @property
    def log_level(self) -> str:
        """As `logging` names it."""
        return str(self.config.log_level.value)

    def shown(self, package: str | None, *, resolved: bool) -> str:
        """As YAML, all of it or one `package`, with the numbers that the tolerance leaves out."""
        config = self.config.copy()
        growth = config.tolerance.growth
        if isinstance(growth, DictConfig):
            config.tolerance.growth = OmegaConf.merge(asdict(Growth()), growth)
        if package in (None, "_global_"):
            return OmegaConf.to_yaml(config, resolve=resolved)
        part = OmegaConf.select(config, package)
        if not isinstance(part, Container):
            raise UsageError(f"there is no package {package!r}; choose from {', '.join(GROUPS)}")
        return f"# @package {package}\n{OmegaConf.to_yaml(part, resolve=resolved)}"

    def values(self) -> Config:
        """The config as plain values. Raises UsageError where one is missing or unknown."""
        try:
            values = OmegaConf.to_object(self.config)
        except MissingMandatoryValue as exc:
            raise UsageError(f"{exc.full_key} is missing; pass {exc.full_key}=…") from exc
        except OmegaConfBaseException as exc:
            raise UsageError(f"{exc.full_key}: {str(exc).splitlines()[0]}") from exc
        assert isinstance(values, Config)
        given = {str(key) for key in self.config}
        given |= {f"{group}.{key}" for group in GROUPS for key in self.config[group]}
        if unknown := sorted(given - set(setting_names())):
            raise UsageError(unknown_setting(unknown[0]))
        return values


def each_job(
    arguments: Sequence[str], work: Callable[[Job], None], *, program: str = "ait_cmp"
) -> None:
    """Give each job that `arguments` ask for to `work`, which answers for its own errors.

    Raises UsageError for arguments or config files that Hydra refuses, ReportError where a sweep
    cannot write to its output.
    """
    ConfigStore.instance().store(name="schema", node=Config)
    asked_for_all = os.environ.get(_FULL_ERROR) == "1"
    know_folders(list(option_values(arguments, "--config-dir", "-cd")))
    sweeps = has_option(arguments, "-m", "--multirun")
    with_files = with_signs(hydra_arguments(arguments), sweeps=sweeps)
    given = [with_quotes(one, sweeps=sweeps) for one in with_files]
    with _hydra_environment([program, *given]):
        try:
            if _is_plain(given):
                work(_only_job(given))
            else:
                _run_hydra(work)
        except SweepRefused as exc:
            raise exc.error from exc
        except UsageError:
            raise
        except Exception as exc:
            if asked_for_all:
                raise
            raise UsageError(_explain(exc)) from exc


def _is_plain(given: Sequence[str]) -> bool:
    """Whether nothing is asked of Hydra but one config: no option, and nothing of its own."""
    return not any(one.startswith("-") or "hydra" in one for one in given)


def _only_job(overrides: list[str]) -> Job:
    """What Hydra would run, which composes every config twice, to learn first that it is no sweep.

    That is most of the time that a small compare takes.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base=_VERSION):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(_CONFIG, overrides, RunMode.RUN)
    with open_dict(config):
        composed = config.pop("hydra")
    return Job(config, _as_typed(composed.overrides.task))


def _run_hydra(work: Callable[[Job], None]) -> None:
    """Have Hydra do what its arguments say."""
    decorate = hydra.main(
        version_base=_VERSION, config_path=str(config_folder()), config_name=_CONFIG
    )
    decorate(lambda config: work(_job(config)))()


def _job(config: DictConfig) -> Job:
    composed = HydraConfig.get()
    overrides = _as_typed(composed.overrides.task)
    if composed.mode != RunMode.MULTIRUN:
        return Job(config, overrides)
    return Job(config, overrides, composed.job.num, Path(composed.runtime.output_dir))


def _as_typed(overrides: Sequence[str]) -> tuple[str, ...]:
    """As the user wrote them, of what Hydra was given."""
    return tuple(map(as_typed, map(as_named, as_given(overrides))))


@contextmanager
def _hydra_environment(arguments: list[str]) -> Iterator[None]:
    """Hydra reads its arguments from sys.argv, and raises errors as they are when told so."""
    before = sys.argv, os.environ.get(_FULL_ERROR)
    sys.argv = arguments
    os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        sys.argv = before[0]
        del os.environ[_FULL_ERROR]
        if before[1] is not None:
            os.environ[_FULL_ERROR] = before[1]


def _explain(error: Exception) -> str:
    """Hydra's message as one sentence that says what to do."""
    text = f"{error}\n{error.__cause__ or ''}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return unknown_setting(unknown[1])
    if option := _NO_OPTION.search(text):
        known = ", ".join(one for one in option[3].split() if not is_sign(one))
        return f"there is no {option[1]}; choose {option[2]} from {known}"
    if listed := re.search(r"merging override \+*([\w.]+)=(.*)\n.*is not a ListConfig", text):
        return f"{listed[1]} takes a list: write {listed[1]}=[{listed[2]}]"
    if value := re.search(r"merging override (\S+)\n(.+)", text):
        return f"{value[1].lstrip('+')}: {value[2]}"
    if _BAD_SYNTAX.search(text):
        return (
            f"an override cannot be read ({text.splitlines()[0]}); put a value with special "
            "characters in two pairs of quotes: 'golden_path=\"/a=b\"'"
        )
    return " ".join(filter(None, map(str.strip, text.splitlines())))
