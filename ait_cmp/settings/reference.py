"""What `--help` of a command says of its settings, without composing any."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from ait_cmp.settings.arguments import option_values
from ait_cmp.settings.schema import GROUPS, config_folder, setting_help

__all__ = ["settings_reference"]

_COLUMN = 24
_WIDTH = 100


def settings_reference(arguments: Sequence[str]) -> str:
    """The groups with their options, those of the user's --config-dir too, and every setting."""
    folders = [config_folder(), *map(Path, option_values(arguments, "--config-dir", "-cd"))]
    groups = [_line(group, ", ".join(_options(group, folders))) for group in GROUPS]
    settings = [_line(name, said) for name, said in setting_help()]
    return "\n".join(
        (
            "Groups (choose with group=option; add your own with --config-dir FOLDER):",
            "",
            *groups,
            "",
            "Settings (override any with key=value; --cfg job shows them all as they are):",
            "",
            *settings,
        )
    )


def _options(group: str, folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _line(name: str, said: str) -> str:
    first = f"  {name} ".ljust(_COLUMN + 2)
    return textwrap.fill(
        said,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * (_COLUMN + 2),
        break_on_hyphens=False,
    )
