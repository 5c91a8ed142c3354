"""YAML of others, read as data: text, lists and mappings, and nothing that YAML can do besides.

Every scalar stays the text that was written, since YAML itself takes 1_0, 010, no and 12:30 for
10, 8, false and 750; whoever asks for a number makes it of the text. Aliases, tags and merge keys
are refused, so that the work is bounded by the size of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["AT_LINE", "Placed", "Quoted", "read_yaml", "unsaid"]

Members = list[tuple[str, Any]]

AT_LINE = "(line)"  # the key of where an entry stands in its file, for who reads it further on
_PARSER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # ten times as fast, where it is built in
_SIZE = 1 << 22  # characters: seconds at the very worst
_DEPTH = 32
_NULLS = ("", "~", "null", "Null", "NULL")


class Quoted(str):
    """Text that stood in quotes, and so means itself whatever it looks like."""

    __slots__ = ()


class Placed(dict[str, Any]):
    """A mapping that knows the line on which it begins."""

    __slots__ = ("line",)
    line: int


def unsaid(value: object) -> bool:
    """Whether `value`, as `read_yaml` gives it, is YAML's null."""
    return isinstance(value, str) and not isinstance(value, Quoted) and value in _NULLS


def read_yaml(text: str, *, members: type[Any] = dict, size: int = _SIZE) -> Any:
    """The one document in `text`, of str, list and dict.

    `members` makes a mapping of its pairs; only with a dict is a key that stands there twice
    refused. Raises ValueError, which says the line, and for more than `size` characters.
    """
    if len(text) > size:
        raise ValueError(f"it has {len(text)} characters; at most {size} are read")
    try:
        events = iter(yaml.parse(text, Loader=_PARSER))
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            return ""
        found = _node(events, next(events), members, 0)
        next(events)  # the document's end
        if not isinstance(after := next(events), yaml.StreamEndEvent):
            raise ValueError(f"line {_line(after)}: a second document; write one")
    except yaml.MarkedYAMLError as exc:
        where = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise ValueError(f"{where}{exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(" ".join(str(exc).split())) from exc
    return found


def _node(events: Iterator[Any], event: Any, members: type[Any], depth: int) -> Any:
    """What begins with `event`, to its end."""
    _refuse(event, depth)
    if isinstance(event, yaml.ScalarEvent):
        return Quoted(event.value) if event.style else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        listed = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            listed.append(_node(events, event, members, depth + 1))
        return listed
    line = _line(event)
    pairs: Members = []
    keys: set[str] = set()
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(event)
        if issubclass(members, dict) and key in keys:
            raise ValueError(f"line {_line(event)}: {key!r} stands there twice")
        keys.add(key)
        pairs.append((key, _node(events, next(events), members, depth + 1)))
    found = members(pairs)
    if isinstance(found, Placed):
        found.line = line
    return found


def _refuse(event: Any, depth: int) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ValueError(f"line {_line(event)}: anchors and aliases are not read; write it out")
    if event.tag is not None:
        raise ValueError(f"line {_line(event)}: the tag {event.tag!r} is not read; leave it out")
    if depth > _DEPTH:
        raise ValueError(f"line {_line(event)}: it is nested more than {_DEPTH} deep")


def _key(event: Any) -> str:
    _refuse(event, 0)
    if not isinstance(event, yaml.ScalarEvent):
        raise ValueError(f"line {_line(event)}: a key that is no text")
    if event.value == "<<" and not event.style:
        raise ValueError(f"line {_line(event)}: the merge key << is not read; write it out")
    key: str = event.value
    return key


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line
