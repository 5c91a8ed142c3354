"""The options of the config's groups, as Hydra would take them: shipped, or of a user's file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ait_cmp.settings.schema import GROUPS, config_folder
from ait_cmp.values.errors import UsageError, os_reason

__all__ = ["load_option", "one_of"]


def load_option(group: str, name: str) -> Any:
    """The shipped option `name` of `group`, or that of a YAML file, by the group's schema.

    Raises UsageError if there is none, or if it does not fit the schema.
    """
    if not name.endswith(".yaml"):
        return _shipped(group, name)
    return _load(group, Path(name))


@cache
def _shipped(group: str, name: str) -> Any:
    shipped = {path.stem: path for path in sorted((config_folder() / group).glob("*.yaml"))}
    return _load(group, shipped[one_of(group, name, shipped)])


def _load(group: str, path: Path) -> Any:
    try:
        merged = OmegaConf.merge(OmegaConf.structured(GROUPS[group]), OmegaConf.load(path))
        return OmegaConf.to_object(merged)
    except OSError as exc:
        raise UsageError(f"the {group} {path} cannot be read: {os_reason(exc)}") from exc
    except (OmegaConfBaseException, YAMLError) as exc:
        raise UsageError(f"the {group} {path}: {str(exc).splitlines()[0]}") from exc


def one_of(what: str, name: str, known: Iterable[str]) -> str:
    """`name`. Raises UsageError where it is not among `known`."""
    if name not in known:
        raise UsageError(f"{what}: there is no {name!r}; choose from {', '.join(known)}")
    return name
