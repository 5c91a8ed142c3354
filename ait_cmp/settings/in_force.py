"""Settings as text, for who reads a report: what was in force."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from typing import Any

__all__ = ["in_force"]


def in_force(values: Any, prefix: str = "") -> dict[str, str]:
    """Every setting below `values`, by its whole name, with its value as text."""
    found: dict[str, str] = {}
    for one in fields(values):
        value, name = getattr(values, one.name), prefix + one.name
        if is_dataclass(value):
            found |= in_force(value, f"{name}.")
        elif isinstance(value, Enum):
            found[name] = value.name
        elif isinstance(value, str):
            found[name] = value
        else:
            found[name] = json.dumps(value, ensure_ascii=False, default=_as_plain)
    return found


def _as_plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
