"""The options of the config's groups: shipped, or of a user's file, which is data and no more.

No part of Hydra or omegaconf reads such a file, since they would look up in it what runs, what
the environment says, and other files.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ait_cmp.files import read_small
from ait_cmp.settings.schema import GROUPS, config_folder
from ait_cmp.settings.typed import typed
from ait_cmp.values.errors import PairError, UsageError, os_reason
from ait_cmp.values.plain_yaml import Placed, read_yaml

__all__ = ["is_file_name", "load_option", "one_of", "read_option"]

_MOST = 1 << 24  # bytes; what is read of them is bounded once more
_SLIP = 0.9  # how like a shipped name is to what may be a slip of it
_SIGN = re.compile(r"(\\*)\$\{")


def is_file_name(option: str) -> bool:
    """Whether `option` is no name of a shipped one, but the path of a YAML file."""
    return option.endswith((".yaml", ".yml"))


def load_option(group: str, name: str) -> Any:
    """The shipped option `name` of `group`, or that of a YAML file, by the group's schema.

    Raises UsageError if there is none, or if it does not fit the schema.
    """
    return _load(group, name) if is_file_name(name) else _shipped(group, name)


@cache
def _shipped(group: str, name: str) -> Any:
    shipped = {path.stem: path for path in sorted((config_folder() / group).glob("*.yaml"))}
    return _load(group, str(shipped[one_of(group, name, shipped)]))


def _load(group: str, path: str) -> Any:
    merged = OmegaConf.merge(OmegaConf.structured(GROUPS[group]), read_option(group, path))
    try:
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as exc:
        raise UsageError(f"the {group} {path}: {str(exc).splitlines()[0]}") from exc


def read_option(group: str, path: str) -> DictConfig:
    """What the file at `path` says of `group`, typed by its schema, and safe from omegaconf.

    Raises UsageError where it is not there, is no YAML, or does not fit the schema.
    """
    try:
        values = typed(
            GROUPS[group], read_yaml(read_small(path, _MOST).decode("utf-8-sig"), members=Placed)
        )
        if values.get("extra"):  # of metrics; such a file is data, whoever wrote it
            raise UsageError(
                "what is run is named on the command line: metrics.extra=[FILE.py:NAME]"
            )
        return OmegaConf.create({name: _literal(value) for name, value in values.items()})
    except FileNotFoundError as exc:
        raise UsageError(f"the {group} {path} does not exist{_instead(group, path)}") from exc
    except PairError as exc:
        raise UsageError(f"the {group}: {exc.sentence}") from exc
    except OSError as exc:
        raise UsageError(f"the {group} {path} cannot be read: {os_reason(exc)}") from exc
    except (UsageError, ValueError) as exc:
        raise UsageError(f"the {group} {path}: {exc}") from exc


def _instead(group: str, path: str) -> str:
    """What may have been meant: a file of a like name, or what is shipped, which has no suffix."""
    folder, name = os.path.split(path)
    there: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):  # no folder
        there = {one: os.path.join(folder, one) for one in os.listdir(folder or ".")}
    there = {one: place for one, place in there.items() if is_file_name(one)}
    shipped = [one.stem for one in sorted((config_folder() / group).glob("*.yaml"))]
    near = difflib.get_close_matches(name, there, n=1)
    if near:
        return f"; did you mean {there[near[0]]}?"
    stem = os.path.splitext(name)[0]
    if not folder and stem in shipped:
        return f"; the shipped one is called without a suffix: {group}={stem}"
    # A letter of a long name: pair.yaml is a file that is missing, and no misspelt `pairs`.
    slips = [] if folder else difflib.get_close_matches(stem, shipped, n=1, cutoff=_SLIP)
    if slips:
        return f"; did you mean {slips[0]}?"
    return f"; write the path of a file, or one of {', '.join(shipped)}"


def _literal(value: Any) -> Any:
    """`value` as omegaconf must have it to leave its text alone."""
    if isinstance(value, dict):
        return {name: _literal(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    if not isinstance(value, str):
        return value
    if value == "???":
        raise ValueError("'???' stands for what must be given; give it")
    return _SIGN.sub(r"\1\1\\${", value)


def one_of(what: str, name: str, known: Iterable[str]) -> str:
    """`name`. Raises UsageError where it is not among `known`."""
    if name not in known:
        raise UsageError(f"{what}: there is no {name!r}; choose from {', '.join(known)}")
    return name
