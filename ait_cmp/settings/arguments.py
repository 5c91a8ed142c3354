"""The command's arguments as Hydra takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from ait_cmp.settings.schema import unknown_setting
from ait_cmp.values.errors import UsageError

__all__ = [
    "as_given",
    "has_option",
    "hydra_arguments",
    "option_values",
    "setting_keys",
    "without_option",
]

# Hydra's options that take a value, which may look like an override.
_VALUE_OPTIONS = {
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--cfg", "-c", "--package", "-p"),
}
# A number of growth may be given with a + or without, whether or not the tolerance names it.
_GROWTH = re.compile(r"\+?(tolerance\.growth\.[^=]+=.*)", re.DOTALL)
_KEY = re.compile(r"[~+]{0,2}[\w.$/@:-]*(?:=|\Z)", re.ASCII)  # what Hydra's grammar takes
_GROWTH_ADDED = re.compile(r"\+\+(?=tolerance\.growth\.)")


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """Options before overrides, since Hydra refuses them mixed.

    Raises UsageError for what is neither.
    """
    options, overrides = _options_and_overrides(arguments)
    for one in overrides:
        if "=" not in one and not one.startswith("~"):
            raise UsageError(_no_setting(one))
        if not _KEY.match(one):
            raise UsageError(unknown_setting(one.partition("=")[0]))
    return [*options, *map(_growth, overrides)]


def as_given(overrides: Sequence[str]) -> tuple[str, ...]:
    """What Hydra was given, without what `hydra_arguments` added to it."""
    return tuple(_GROWTH_ADDED.sub("", one) for one in overrides)


def has_option(arguments: Sequence[str], *names: str) -> bool:
    """Whether one of the options of these names is given."""
    return not set(names).isdisjoint(_options_and_overrides(arguments)[0])


def without_option(arguments: Sequence[str], *names: str) -> list[str]:
    """`arguments` without the options of these names, which take a value."""
    options, overrides = _options_and_overrides(arguments)
    kept: list[str] = []
    rest = iter(options)
    for option in rest:
        if option in names:
            next(rest, None)
        elif option.partition("=")[0] not in names:
            kept.append(option)
    return [*kept, *overrides]


def _options_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options with their values, and the rest."""
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _VALUE_OPTIONS:
            options += [argument, *([value] if (value := next(rest, None)) is not None else [])]
        else:
            (options if argument.startswith("-") else overrides).append(argument)
    return options, overrides


def setting_keys(arguments: Sequence[str]) -> list[str]:
    """What is set, or taken away, by its name."""
    return [one.partition("=")[0].lstrip("+~") for one in _options_and_overrides(arguments)[1]]


def option_values(arguments: Sequence[str], *names: str) -> Iterator[str]:
    """What the option of these names was given, written `--name VALUE` or `--name=VALUE`."""
    options, _ = _options_and_overrides(arguments)
    for number, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name in names and (equals or number + 1 < len(options)):
            yield value if equals else options[number + 1]


def _no_setting(word: str) -> str:
    if os.path.exists(word):
        return f"{word} is no setting; write golden_path={word}"
    return f"{word!r} is no setting; write KEY=VALUE, after the name of the command if one is given"


def _growth(override: str) -> str:
    match = _GROWTH.fullmatch(override)
    return f"++{match[1]}" if match else override
