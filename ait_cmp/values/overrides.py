"""Hydra's overrides, as text."""

from __future__ import annotations

import re

__all__ = ["override", "quoted"]

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def override(key: str, value: str) -> str:
    """`key=value`, quoted only where the grammar needs it."""
    return f"{key}={value if _PLAIN.fullmatch(value) else quoted(value)}"


def quoted(value: str) -> str:
    """`value` as Hydra's grammar takes it literally, whatever characters it has."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'
