"""Hydra's overrides, as text."""

from __future__ import annotations

import re

__all__ = ["AS_ORIGINAL", "is_quoted", "override", "quoted", "unquoted"]

AS_ORIGINAL = "ait"  # behind a metric of metrics.extra: it is called as the original does it

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
# omegaconf looks up what stands in ${…}, unless a backslash stands before it.
_LOOKUP = re.compile(r"(\\*)\$\{")
_ESCAPED_LOOKUP = re.compile(r"((?:\\\\)*)\\\$\{")
# In quotes, backslashes escape each other before a quote, and mean themselves elsewhere.
_BEFORE_QUOTE = re.compile(r'(\\*)("|\Z)')
_ESCAPED_QUOTE = {quote: re.compile(rf"((?:\\\\)*)(?:\\({quote})|\Z)") for quote in "'\""}


def override(key: str, value: str) -> str:
    """`key=value`, quoted only where the grammar needs it."""
    return f"{key}={value if _PLAIN.fullmatch(value) else quoted(value)}"


def quoted(value: str) -> str:
    """`value` as Hydra's grammar takes it literally, whatever characters it has."""
    literal = _LOOKUP.sub(r"\1\1\\${", value)
    escaped = _BEFORE_QUOTE.sub(lambda at: at[1] * 2 + (at[2] and '\\"'), literal)
    return f'"{escaped}"'


def is_quoted(value: str) -> bool:
    """Whether Hydra's grammar takes all of `value` for one text in quotes."""
    return _QUOTED.fullmatch(value) is not None


def unquoted(value: str) -> str:
    """The text that `value` says in quotes, if it is in quotes."""
    match = _QUOTED.fullmatch(value)
    if not match:
        return value
    literal = _ESCAPED_QUOTE[match[1]].sub(lambda at: at[1][::2] + (at[2] or ""), match[2])
    return _ESCAPED_LOOKUP.sub(lambda at: at[1][::2] + "${", literal)
