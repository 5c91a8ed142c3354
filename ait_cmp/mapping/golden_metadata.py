"""`metadata.json`, ours and the original tool's, as pairs.

The file reads {data_id: {token_id: [golden_path, my_path]}}.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ait_cmp.files import exists, is_file, same_file
from ait_cmp.mapping.duplicates import duplicate, superseded
from ait_cmp.mapping.finding import first_existing, missing, natural, read_mapping
from ait_cmp.mapping.selection import PathMap, Wish
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

__all__ = ["has_metadata", "metadata_pairs"]

# Where metadata.json stands below what a user may call "the dump"; both layouts may be there.
_PLACES = (
    ("metadata.json",),
    ("golden_tensor/metadata.json",),
    ("*/golden_tensor/metadata.json", "tensors/*/golden_tensor/metadata.json"),
    ("ait_dump/*/golden_tensor/metadata.json", "ait_dump/tensors/*/golden_tensor/metadata.json"),
)
_TOKEN = re.compile(r"\d{1,18}", re.ASCII)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)
_DEPTH = 8  # an entry has 3
_TEXT_LIMIT = 4096  # characters; no path can be longer

Finder = Callable[[str, Path], tuple[str | None, list[str]]]


class _Object(list[tuple[str, object]]):
    """A JSON object with every member, also those of equal name."""


@dataclass(frozen=True, slots=True)
class _Entry:
    data_id: str
    token_id: int | None
    golden: str = ""
    my: str = ""
    error: PairError | None = None


def metadata_pairs(wish: Wish) -> list[Pair]:
    """The entries of every metadata.json at the golden path, dump by dump, in dump order.

    Raises UsageError when there is no readable metadata.json.
    """
    golden_path, my_path, path_map = wish.golden_path, wish.my_path, wish.path_map
    find_my, only = _my_finder(my_path, path_map)
    pairs = []
    for metadata in _find(Path(golden_path)):
        dump = _dump_name(metadata)
        pairs += [
            _pair(entry, metadata, dump, order, path_map, find_my)
            for order, entry in enumerate(_in_dump_order(_entries(metadata)))
            if only(entry)
        ]
    if my_path is not None and not pairs and is_file(split_name(my_path)[0]):
        raise UsageError(f"my_path={my_path} is not mapped by any entry of {golden_path}")
    return pairs


def has_metadata(folder: Path) -> bool:
    """Whether `folder` is one that dump_data wrote to."""
    return bool(_files_in(folder))


def _find(golden_path: Path) -> list[Path]:
    if golden_path.is_file():
        return [golden_path]
    if not golden_path.is_dir():
        raise UsageError(f"golden_path={golden_path} does not exist")
    found = _files_in(golden_path)
    if not found:
        raise UsageError(
            f"golden_path={golden_path} holds no metadata.json; pass the folder that dump_data "
            "wrote (ait_dump, one of its PID_DEVICE folders, or a golden_tensor folder), one "
            "tensor file, or my_path=FOLDER to compare two folders by name"
        )
    return found


def _files_in(folder: Path) -> list[Path]:
    for places in _PLACES:
        found = sorted((file for place in places for file in folder.glob(place)), key=_by_name)
        if found:
            return found
    return []


def _by_name(path: Path) -> list[int | str]:
    return natural(str(path))


def _dump_name(metadata: Path) -> str:
    folder = Path(os.path.abspath(metadata)).parent
    return folder.parent.name if folder.name == "golden_tensor" else folder.name


def _entries(metadata: Path) -> Iterator[_Entry]:
    for data_id, tokens in _members(metadata):
        if not isinstance(tokens, _Object):
            yield _malformed(metadata, data_id, None, "its value is no object of tokens")
            continue
        for token, paths in tokens:
            yield _entry(metadata, data_id, token, paths)


def _members(metadata: Path) -> _Object:
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


def _entry(metadata: Path, data_id: str, token: str, paths: object) -> _Entry:
    if not _TOKEN.fullmatch(token):
        shown = reprlib.repr(token)
        return _malformed(metadata, data_id, None, f"its token_id {shown} is no whole number")
    if len(data_id) > _TEXT_LIMIT:
        why = f"its name has {len(data_id)} characters; at most {_TEXT_LIMIT} are taken"
        return _malformed(metadata, f"{data_id[:40]}…", int(token), why)
    match paths:
        case _Object():
            pass
        case [str(golden), str(my)] if golden and my and max(len(golden), len(my)) <= _TEXT_LIMIT:
            return _Entry(data_id, int(token), golden, my)
    return _malformed(
        metadata, data_id, int(token), f"token {token} is no list [golden_path, my_path]"
    )


def _malformed(metadata: Path, data_id: str, token_id: int | None, why: str) -> _Entry:
    sentence = f"the entry {reprlib.repr(data_id)} of {metadata} is malformed: {why}; dump it again"
    return _Entry(data_id, token_id, error=PairError(Reason.ENTRY_MALFORMED, sentence))


def _in_dump_order(entries: Iterable[_Entry]) -> list[_Entry]:
    """Token by token, within a token in the order in which the data_ids first came."""
    place: dict[str, int] = {}
    listed = list(entries)
    for entry in listed:
        place.setdefault(entry.data_id, len(place))
    last = max((entry.token_id or 0 for entry in listed), default=0) + 1
    listed.sort(
        key=lambda entry: (last if entry.token_id is None else entry.token_id, place[entry.data_id])
    )
    return _mark_duplicates(listed)


def _mark_duplicates(entries: list[_Entry]) -> list[_Entry]:
    """Of entries with one key the last is compared, the others say so."""
    again = superseded(
        [None if entry.error else (entry.data_id, entry.token_id) for entry in entries]
    )
    return [
        replace(entry, error=duplicate(entry.data_id, entry.token_id)) if replaced else entry
        for entry, replaced in zip(entries, again, strict=True)
    ]


def _pair(
    entry: _Entry, metadata: Path, dump: str, order: int, path_map: PathMap, find_my: Finder
) -> Pair:
    if entry.error:
        recorded = Location.of(entry.golden), Location.of(entry.my)
        return Pair(entry.data_id, entry.token_id, *recorded, dump, order, entry.error)
    golden, golden_tried = _find_golden(entry, metadata, path_map)
    my, my_tried = find_my(entry.my, metadata)
    error = None
    if golden is None:
        error = missing(Reason.GOLDEN_MISSING, golden_tried)
    elif my is None:
        error = missing(Reason.MY_MISSING, my_tried)
    return Pair(
        entry.data_id,
        entry.token_id,
        Location.of(golden or entry.golden),
        Location.of(my or entry.my),
        dump,
        order,
        error,
    )


def _find_golden(entry: _Entry, metadata: Path, path_map: PathMap) -> tuple[str | None, list[str]]:
    beside = metadata.parent / str(entry.token_id) / Path(entry.golden).name
    return first_existing([entry.golden, str(beside), path_map.apply(entry.golden)])


def _my_finder(my_path: str | None, path_map: PathMap) -> tuple[Finder, Callable[[_Entry], bool]]:
    """How a recorded my path is looked up, and which entries are wanted at all."""

    def recorded(path: str, metadata: Path) -> tuple[str | None, list[str]]:
        return first_existing([path, str(metadata.parent / path), path_map.apply(path)])

    def below(path: str, metadata: Path) -> tuple[str | None, list[str]]:
        del metadata
        parts = Path(path).parts
        found, tried = first_existing(
            str(Path(root, *parts[skip:])) for skip in range(Path(path).is_absolute(), len(parts))
        )
        return found, tried[:1] + tried[-1:] if len(tried) > 2 else tried

    if my_path is None:
        return recorded, lambda entry: True
    root = my_path
    if Path(my_path).is_dir():
        return below, lambda entry: True
    if not exists(split_name(my_path)[0]):
        raise UsageError(f"my_path={my_path} does not exist")
    return (
        lambda path, metadata: (root, [root])
    ), lambda entry: entry.error is None and (_maps_to(entry.my, root, path_map))


def _maps_to(recorded: str, my_path: str, path_map: PathMap) -> bool:
    """Whether a recorded my path means the file, or the tensor in the file, `my_path`."""
    wanted, wanted_name = split_name(my_path)
    file, name = split_name(recorded)
    if name != wanted_name:
        return False
    for path in (file, path_map.apply(file)):
        if path and exists(path):
            return same_file(path, wanted)
    # The dump was moved: its folder of operation, its before/after and its name stay.
    tail = Path(os.path.normpath(file)).parts[-3:]
    return Path(os.path.abspath(wanted)).parts[-len(tail) :] == tail
