"""What `--help` of a command says of its settings, without composing any."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Sequence
from pathlib import Path

from ait_cmp.settings.arguments import option_values
from ait_cmp.settings.schema import GROUPS, config_folder, setting_help

__all__ = ["settings_reference"]

_COLUMN = 24
_WIDTH = 100
# What stands above the settings of no group, which are asked for in this order.
_SECTIONS = {
    "what is judged again": ("report_path",),
    "what is compared": (
        *("golden_path", "my_path", "reference_path", "path_map", "allowed_roots"),
    ),
    "which of it": (
        *("tokens", "data_ids", "rounds", "shards", "logits", "unpaired", "allow_same"),
    ),
    "what comes of it": ("output", "dry_run", "learn_failing", "fail_on", "log_level"),
}
_GROUPS = {
    "mapping": "who is compared with whom",
    "metrics": "which numbers are shown",
    "tolerance": "what a row must keep to pass",
    "executor": "where the work runs",
    "report": "what is written and shown",
    "diagnosis": "what is said of rows that fail",
}


def settings_reference(arguments: Sequence[str], takes: Container[str]) -> str:
    """What a command may be told, which `takes` these settings and groups: by what it is about,
    each group with its options, those of the user's --config-dir too."""
    folders = [config_folder(), *map(Path, option_values(arguments, "--config-dir", "-cd"))]
    said = {name: meaning for name, meaning in setting_help() if name in takes}
    parts = ["Settings, as key=value (--cfg job shows them all as they are):"]
    for title, names in _SECTIONS.items():
        parts += _section(title, [_line(name, said[name]) for name in names if name in said])
    for group, title in _GROUPS.items():
        options = ", ".join(_options(group, folders))
        own = [_line(name, said[name]) for name in said if name.startswith(f"{group}.")]
        if group in takes:
            own.insert(0, _line(group, options))
        parts += _section(title, own)
    if any(group in takes for group in GROUPS):
        parts += [
            "",
            "Options of your own: a file, mapping=x.yaml, or --config-dir FOLDER.",
        ]
    return "\n".join(parts)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *lines] if lines else []


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
