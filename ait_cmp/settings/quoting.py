"""Settings that are text, taken as typed: quoted where Hydra's grammar would read them otherwise.

The grammar takes `1_0` for 10, `7e4321` for infinity, `null` for nothing, and refuses what is not
ASCII. What the user puts in quotes is left to it, and so are numbers, switches and names of
options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ait_cmp.settings.schema import GROUPS, Config
from ait_cmp.values.errors import UsageError
from ait_cmp.values.overrides import is_quoted, quoted, unquoted

__all__ = ["as_typed", "with_quotes"]

_OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w.]*)=(.*)", re.ASCII | re.DOTALL)
# What Hydra takes for the text that it is, but for these words.
_PLAIN = re.compile(r"\.{1,2}|(?:\.{0,2}/)?[A-Za-z_][\w./*?@%|-]*|\d+-\d+(?:[-+/]\d+)*", re.ASCII)
_WORDS = {"null", "true", "false", "inf", "nan"}
# What makes values of its own in a sweep.
_SWEEP = re.compile(r"(?:choice|range|interval|glob|shuffle|sort|extend_list)\(.*\)", re.DOTALL)
_NULL = re.compile("null", re.IGNORECASE)
_OPENING, _CLOSING = "([{", ")]}"


def with_quotes(override: str, *, sweeps: bool) -> str:
    """`override` as Hydra has to be given it. Raises UsageError where text may be meant as several
    values."""
    match = _OVERRIDE.fullmatch(override)
    kind = _kind_of(match[2]) if match else None
    if match is None or kind is None:
        return override
    pluses, key, value = match.groups()
    if not sweeps:
        return f"{pluses}{key}={_given(kind, value, key)}"
    if _SWEEP.fullmatch(value):
        return override
    return f"{pluses}{key}={','.join(_given(kind, one, key) for one in _split(value))}"


def as_typed(override: str) -> str:
    """What `with_quotes` was given, of one text."""
    match = _OVERRIDE.fullmatch(override)
    if match and is_quoted(match[3]) and _kind_of(match[2]):
        return f"{match[1]}{match[2]}={unquoted(match[3])}"
    return override


# -- kinds of settings


def _kind_of(key: str) -> Any:
    """The type of a setting, and of the choice of a group; None where there is no such setting."""
    group, dot, name = key.partition(".")
    if not dot:
        return str if key in GROUPS else _kinds(Config).get(key)
    return _kinds(GROUPS[group]).get(name) if group in GROUPS else None


def _kinds(schema: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(schema)
    return {one.name: one.metadata.get("kind", hints[one.name]) for one in fields(schema)}


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is UnionType else (kind,)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list


# -- values


def _given(kind: Any, value: str, key: str) -> str:
    """The value of a setting."""
    if any(map(_is_list, _parts(kind))) and not _is_in(value, "[]"):
        _refuse_several(value, key)
    return _written(kind, value)


def _refuse_several(value: str, key: str) -> None:
    """Raises UsageError where `value` is text with commas, which may be a list or one name."""
    if not is_quoted(value) and len(list(_split(value))) > 1:
        raise UsageError(
            f"{key}={value}: write '{key}=[{value}]' for a list, '{key}=\"{value}\"' for one with "
            "commas in it, or add -m for a run of each"
        )


def _written(kind: Any, value: str) -> str:
    """`value` as Hydra's grammar says that text, list or mapping; as it is where it is neither."""
    parts = _parts(kind)
    inner = next((get_args(part)[0] for part in parts if _is_list(part)), None)
    schema = next((part for part in parts if is_dataclass(part)), None)
    if NoneType in parts and _NULL.fullmatch(value):
        return value
    if inner is not None and _is_in(value, "[]"):
        return f"[{','.join(_written(inner, one) for one in _items(value))}]"
    if dict[str, str] in parts and _is_in(value, "{}"):
        return _mapping(value)
    if schema is not None and _is_in(value, "{}"):
        return _members(schema, value)
    return _text(value) if str in parts else value


def _text(value: str) -> str:
    if is_quoted(value) or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return value
    return quoted(value)


def _members(schema: Any, value: str) -> str:
    """A mapping of the names in `schema` to values of their types."""
    kinds = _kinds(schema)
    members = (one.partition(":") for one in _items(value))
    written = (
        f"{key}:{_written(kinds.get(key.strip()), inner.strip())}" if colon else key
        for key, colon, inner in members
    )
    return f"{{{','.join(written)}}}"


def _mapping(value: str) -> str:
    """A mapping of text to text, as JSON in quotes: keys can have none in Hydra's grammar."""
    pairs = [_key_and_value(one) for one in _items(value)]
    if any(pair is None for pair in pairs):
        return value
    plain = {unquoted(key): unquoted(inner) for key, inner in filter(None, pairs)}
    return quoted(json.dumps(plain, ensure_ascii=False))


def _key_and_value(item: str) -> tuple[str, str] | None:
    """Both, parted by the first colon that is not in quotes."""
    place = next((place for place, one in _outside_quotes(item) if one == ":"), None)
    return None if place is None else (item[:place].strip(), item[place + 1 :].strip())


def _is_in(value: str, brackets: str) -> bool:
    return len(value) > 1 and value[0] == brackets[0] and value[-1] == brackets[1]


def _items(value: str) -> list[str]:
    """What stands between the commas of a list or a mapping."""
    inner = value[1:-1].strip()
    return [one.strip() for one in _split(inner)] if inner else []


def _split(value: str) -> Iterator[str]:
    """What stands between commas that are in no quotes and no brackets; between all that are in
    no quotes, where brackets do not match."""
    commas, all_commas, depth, lowest = [], [], 0, 0
    for place, one in _outside_quotes(value):
        depth += (one in _OPENING) - (one in _CLOSING)
        lowest = min(lowest, depth)
        if one == ",":
            all_commas.append(place)
            if depth == 0:
                commas.append(place)
    if depth or lowest:
        commas = all_commas
    for start, end in zip([-1, *commas], [*commas, len(value)], strict=True):
        yield value[start + 1 : end]


def _outside_quotes(value: str) -> Iterator[tuple[int, str]]:
    """The characters that are in no quotes, and their places; quotes begin a value or a member."""
    quote, begins, escaped = "", True, False
    for place, one in enumerate(value):
        if quote:
            if one == quote and not escaped:
                quote = ""
            escaped = one == "\\" and not escaped
        elif begins and one in "'\"":
            quote = one
        else:
            yield place, one
        begins = not quote and (one in "[{,:" or (begins and one.isspace()))
