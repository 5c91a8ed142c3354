"""The entries of `metadata.json`, ours and the original tool's.

The file reads {data_id: {token_id: [golden_path, my_path]}}.
"""

from __future__ import annotations

import functools
import json
import re
import reprlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from ait_cmp.files import open_file
from ait_cmp.mapping.duplicates import duplicate, superseded
from ait_cmp.mapping.lookup import read_mapping
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.paths import has_secret

__all__ = ["MetadataEntry", "looks_recorded", "read_entries"]

_TOKEN = re.compile(r"\d{1,18}", re.ASCII)
# A string that is not closed goes on to the end, so that none is looked through twice.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)
# What the first entry of a metadata.json is made of: text ("), a number as text (0), signs.
_FIRST_ENTRY = '{":{0:[","]'
_SIGN_OR_STRING = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*+")|([^\s"]))', re.DOTALL)
_HEAD = 1 << 16  # bytes
_DEPTH = 8  # an entry has 3
_TEXT_LIMIT = 4096  # characters; no path can be longer


class _Object(list[tuple[str, object]]):
    """A JSON object with every member, also those of equal name."""


class MetadataEntry(NamedTuple):
    """One `(data_id, token_id)` with both paths as recorded, or why it cannot be read."""

    data_id: str
    token_id: int | None
    golden: str = ""
    my: str = ""
    error: PairError | None = None


def looks_recorded(metadata: str) -> bool:
    """Whether nothing in the first entry of a metadata.json says that it is another program's, of
    which many call a file so. One that cannot be read may be anything."""
    try:
        file = open_file(metadata)
        text = file.read(0, min(file.size, _HEAD)).decode("utf-8", "surrogateescape")
    except (PairError, OSError):
        return True
    at = 0
    for expected in _FIRST_ENTRY:
        match = _SIGN_OR_STRING.match(text, at)
        if not match:  # it ends here
            return True
        string, sign = match.groups()
        if expected == "0":
            fits = bool(string) and _TOKEN.fullmatch(string[1:-1]) is not None
        else:
            fits = bool(string) if expected == '"' else sign == expected
        if not fits:
            return sign == "}"  # there is no entry
        at = match.end()
    return True


def read_entries(metadata: str) -> list[MetadataEntry]:
    """The entries of a metadata.json, token by token, within a token in the order in which the
    data_ids first came. Raises UsageError for one that cannot be read."""
    of_data_ids: dict[str, list[MetadataEntry]] = {}
    for entry in _entries(metadata):
        of_data_ids.setdefault(entry.data_id, []).append(entry)
    rounds: dict[int, list[MetadataEntry]] = {}
    unread: list[MetadataEntry] = []
    for entries in of_data_ids.values():
        for entry in _with_duplicates(entries):
            of_round = unread if entry.token_id is None else rounds.setdefault(entry.token_id, [])
            of_round.append(entry)
    return [*chain.from_iterable(rounds[token] for token in sorted(rounds)), *unread]


def _entries(metadata: str) -> Iterator[MetadataEntry]:
    members = _members(metadata)
    members.reverse()
    while members:  # what was read is dropped: all of it twice would take a gigabyte
        data_id, tokens = members.pop()
        if not isinstance(tokens, _Object):
            yield _malformed(metadata, data_id, None, "its value is no object of tokens")
            continue
        for token, paths in tokens:
            yield _entry(metadata, data_id, token, paths)


def _members(metadata: str) -> _Object:
    try:
        # One path that is no UTF-8 is an entry whose file is not there, not the end of all.
        text = read_mapping(metadata).decode("utf-8", "surrogateescape")
    except OSError as exc:
        raise UsageError(f"{metadata} cannot be read: {os_reason(exc)}") from exc
    try:
        try:
            content = _parsed(text)
        except RecursionError:
            content = _parsed(_shallow(text))
    except ValueError as exc:
        raise UsageError(
            f"{metadata} is no metadata.json, nor a tensor file: it is no valid JSON ({exc})"
        ) from exc
    if not isinstance(content, _Object):
        raise UsageError(f"{metadata} holds no JSON object of data_ids; dump again")
    return content


def _parsed(text: str) -> object:
    # No number is wanted anywhere, and Python's ints refuse more than some thousand digits.
    return json.loads(text, object_pairs_hook=_Object, parse_int=float)


def _shallow(text: str) -> str:
    """`text` without the contents of what is nested deeper than an entry can be."""
    kept, start, depth = [], 0, 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _DEPTH:
                kept.append(text[start : token.end()])
        elif token[0] in "]}":
            if depth == _DEPTH:
                start = token.start()
            depth -= 1
    if depth < _DEPTH:  # else it is cut off in there, and no JSON
        kept.append(text[start:])
    return "".join(kept)


def _entry(metadata: str, data_id: str, token: str, paths: object) -> MetadataEntry:
    number = _number(token)
    if number is None:
        shown = reprlib.repr(token)
        return _malformed(metadata, data_id, None, f"its token_id {shown} is no whole number")
    if len(data_id) > _TEXT_LIMIT:
        why = f"its name has {len(data_id)} characters; at most {_TEXT_LIMIT} are taken"
        return _malformed(metadata, f"{data_id[:40]}…", number, why)
    if type(paths) is list and len(paths) == 2:  # not an _Object
        golden, my = paths
        if _is_path(golden) and _is_path(my):
            if has_secret(golden) or has_secret(my):
                why = "a path has a user or a signature in it, which a report would show"
                return _malformed(metadata, data_id, number, why)
            return MetadataEntry(data_id, number, golden, my)
    why = f"token {token} is no list [golden_path, my_path]"
    return _malformed(metadata, data_id, number, why)


@functools.lru_cache(maxsize=64)  # nearly all entries are of a few tokens
def _number(token: str) -> int | None:
    return int(token) if _TOKEN.fullmatch(token) else None


def _is_path(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_LIMIT


def _malformed(metadata: str, data_id: str, token_id: int | None, why: str) -> MetadataEntry:
    sentence = f"the entry {reprlib.repr(data_id)} of {metadata} is malformed: {why}; dump it again"
    return MetadataEntry(data_id, token_id, error=PairError(Reason.ENTRY_MALFORMED, sentence))


def _with_duplicates(entries: list[MetadataEntry]) -> list[MetadataEntry]:
    """Of the entries of one data_id and token the last is compared, the others say so."""
    if len({entry.token_id for entry in entries}) == len(entries):
        return entries
    again = superseded([None if entry.error else entry.token_id for entry in entries])
    return [
        entry._replace(error=duplicate(entry.data_id, entry.token_id)) if replaced else entry
        for entry, replaced in zip(entries, again, strict=True)
    ]
