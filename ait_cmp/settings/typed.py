"""Text to values, by the types that the schema says: YAML guesses none of them."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ait_cmp.settings.schema import Packed
from ait_cmp.values.errors import UsageError
from ait_cmp.values.plain_yaml import AT_LINE, Placed, unsaid

__all__ = ["as_written", "typed"]

_WHOLE = re.compile(r"[-+]?\d{1,30}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d{1,30}(\.\d{0,300})?|\.\d{1,300})([eE][-+]?\d{1,4})?", re.ASCII)
_NO_NUMBER = re.compile(r"[-+]?\.?(inf|Inf|INF)|\.?(nan|NaN|NAN)")
_SHOWN = 100  # characters of what is refused
_BOOLS = {"true": True, "false": False}


def typed(schema: type[Any], values: Any, place: str = "") -> dict[str, Any]:
    """What `values`, of text as `read_yaml` gives it, say of the fields of `schema`.

    `place` stands before the names in sentences. Raises UsageError for what the schema does not
    have, and for what is of another type.
    """
    kinds = _kinds(schema)
    if unsaid(values):
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{place or 'it'} must map names ({', '.join(kinds)}) to values")
    for name in values:
        if name not in kinds:
            where = f"{place}: " if place else ""
            raise UsageError(f"{where}there is no {_shown(name)}; {_instead(name, kinds)}")
    return {name: _typed(kinds[name], value, _inner(place, name)) for name, value in values.items()}


def as_written(kind: Any, loaded: Any, written: Any) -> Any:
    """`loaded`, as YAML's own types have it, with the text that was `written` (as `read_yaml` gives
    it) wherever `kind`, a type of the schema, is text: 010 is no 8 there, and 1_0 no 10."""
    kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
    if isinstance(written, str):
        return str(written) if str in kinds and not unsaid(written) else loaded
    for one in kinds:
        inner = get_args(one)
        if isinstance(written, list) and isinstance(loaded, list) and get_origin(one) is list:
            both = zip(loaded, written, strict=True)
            return [as_written(inner[0], here, there) for here, there in both]
        if not (isinstance(written, dict) and isinstance(loaded, dict)):
            continue
        both_of = zip(loaded.items(), written.items(), strict=True)
        if get_origin(one) is dict:
            return {name: as_written(inner[1], here, there) for (_, here), (name, there) in both_of}
        if is_dataclass(one):
            known = _kinds(one)
            return {
                key: as_written(known.get(key, Any), here, there)
                for (key, here), (_, there) in both_of
            }
    return loaded


def _kinds(schema: Any) -> dict[str, Any]:
    """The types of its fields, by name."""
    said = {one.name: one.metadata.get("kind") for one in fields(schema)}
    return {name: said[name] or kind for name, kind in get_type_hints(schema).items()}


def _typed(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    if kind is Packed:
        return "" if unsaid(value) or not value else json.dumps(_placed(value), ensure_ascii=False)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if unsaid(value):
            return None
        return _typed(next(one for one in inner if one is not NoneType), value, place)
    if origin is list:
        if not isinstance(value, list):
            raise UsageError(f"{place} must be a list, not {_shown(value)}")
        return [_typed(inner[0], one, f"{place}[{number}]") for number, one in enumerate(value)]
    if origin in (dict, Mapping):
        return _mapping(inner[1], value, place)
    if is_dataclass(kind):
        return typed(kind, value, place)  # type: ignore[arg-type]  # a type, not an instance
    if not isinstance(value, str) or unsaid(value):
        raise UsageError(f"{place} must be {_WORDS.get(kind, 'a value')}, not {_shown(value)}")
    return _scalar(kind, value, place)


def _placed(value: Any) -> Any:
    """The entries of a list, with the lines on which they stand."""
    if not isinstance(value, list):
        return value
    return [{**one, AT_LINE: str(one.line)} if isinstance(one, Placed) else one for one in value]


def _mapping(kind: Any, value: Any, place: str) -> dict[str, Any]:
    if unsaid(value):
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{place} must map names to values, not {_shown(value)}")
    return {name: _typed(kind, one, _inner(place, name)) for name, one in value.items()}


_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def _scalar(kind: Any, text: str, place: str) -> Any:
    if kind is str:
        return str(text)
    if issubclass(kind, Enum):
        if text not in kind.__members__:
            instead = _instead(text, kind.__members__)
            raise UsageError(f"{place}: there is no {_shown(text)}; {instead}")
        return kind[text]
    found = _BOOLS.get(text.lower()) if kind is bool else _number(text)
    if found is None or (kind is int and not isinstance(found, int)):
        raise UsageError(f"{place} must be {_WORDS[kind]}, not {_shown(text)}")
    return found


def _number(text: str) -> int | float | None:
    """The number that is written so in any language; None for other text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NO_NUMBER.fullmatch(text):
        return float(text.replace(".", ""))
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return None if math.isinf(number) else number  # 1e999 would allow everything


def _instead(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:_SHOWN], list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"


def _inner(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = str(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        return "null" if unsaid(value) else repr(text)
    return "a list" if isinstance(value, list) else "a mapping"
