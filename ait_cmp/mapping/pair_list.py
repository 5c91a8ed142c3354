"""An explicit list of pairs, in YAML, JSON or CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ait_cmp.files import is_folder
from ait_cmp.mapping.duplicates import duplicate, superseded
from ait_cmp.mapping.lookup import Lookup, read_mapping
from ait_cmp.mapping.selection import PathMap, Wish, tell_unused_prefixes
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.location import Location, any_join, parse_steps
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import has_secret, join, parent, suffix_of, tidy
from ait_cmp.values.plain_yaml import read_yaml, unsaid

__all__ = ["LISTS", "listed_pairs"]

LISTS = (".yaml", ".yml", ".csv", ".json")

_NEEDED = ("data_id", "golden", "my")
_KEYS = (*_NEEDED, "token_id", "golden_adapters", "my_adapters")
_TOKEN = re.compile(r"\d{1,18}", re.ASCII)
_YAML_SIZE = 1 << 26  # characters; some hundred thousand entries
_JOINED = " + "  # between the files of a side, where its adapters join them


class _Object(list[tuple[object, object]]):
    """An object with every member, also those of equal name."""


@dataclass(frozen=True, slots=True)
class _Entry:
    place: str  # for sentences: `entry 3`, `line 4`
    value: object


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds the files of a list, relative ones in these folders."""

    golden_folder: str
    my_folder: str
    path_map: PathMap
    lookup: Lookup

    def golden(self, location: Location) -> tuple[Location, PairError | None]:
        """`location` with its files where they are; the error of the first that is nowhere."""
        return self._found(location, Reason.GOLDEN_MISSING, self.golden_folder)

    def my(self, location: Location) -> tuple[Location, PairError | None]:
        """The same of my tensors."""
        return self._found(location, Reason.MY_MISSING, self.my_folder)

    def _found(
        self, location: Location, reason: Reason, root: str
    ) -> tuple[Location, PairError | None]:
        files, error = [], None
        for file in location.files:
            # A path that path_map replaces is that of an older run.
            mapped = self.path_map.apply(file)
            found = self.lookup.first(reason, [mapped or join(root, file)])
            if isinstance(found, PairError):
                error = error or found
            files.append(file if isinstance(found, PairError) else found)
        return Location(tuple(files), location.steps), error


def listed_pairs(wish: Wish) -> list[Pair]:
    """The pairs that the list at the golden path names; a bad entry is an error row.

    Relative paths are relative to the list, those of my tensors to my_path where that is given.
    Raises UsageError when the list cannot be read.
    """
    path = tidy(wish.golden_path)
    if suffix_of(path) not in LISTS:
        raise UsageError(f"golden_path={path} is no list of pairs ({', '.join(LISTS)})")
    if wish.my_path is not None and not is_folder(wish.my_path):
        raise UsageError(f"my_path={wish.my_path} is no folder; with a list it is where my is")
    folder = parent(path) or "."
    my_folder = folder if wish.my_path is None else tidy(wish.my_path)
    find = _Finder(folder, my_folder, wish.path_map, Lookup())
    entries = _entries(path)
    tell_unused_prefixes(wish.path_map, _recorded(entries))
    pairs = [_pair(entry, order, path, find) for order, entry in enumerate(entries)]
    again = superseded([_key(pair) for pair in pairs])
    return [
        pair._replace(error=duplicate(pair.data_id, pair.token_id)) if replaced else pair
        for pair, replaced in zip(pairs, again, strict=True)
    ]


def _recorded(entries: Sequence[_Entry]) -> list[str]:
    """The files that the entries name."""
    members = [dict(one.value) for one in entries if isinstance(one.value, _Object)]
    named = [one.get(side) for one in members for side in ("golden", "my")]
    files = [file for one in named for file in (one if isinstance(one, list) else [one])]
    return [part for file in files if isinstance(file, str) for part in file.split(_JOINED)]


def _key(pair: Pair) -> tuple[str, int | None] | None:
    malformed = pair.error and pair.error.reason is Reason.ENTRY_MALFORMED
    return None if malformed else (pair.data_id, pair.token_id)


def _entries(path: str) -> list[_Entry]:
    try:
        text = read_mapping(path).decode("utf-8-sig")
    except OSError as exc:
        raise UsageError(f"golden_path={path} cannot be read: {os_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no UTF-8 text: {exc.reason}") from exc
    suffix = suffix_of(path)
    if suffix == ".csv":
        return list(_csv_entries(path, text))
    try:
        loaded = _read_json(text) if suffix == ".json" else _read_yaml(text)
    except (ValueError, RecursionError) as exc:
        words = " ".join(str(exc).split())
        raise UsageError(f"{path} cannot be read as {suffix[1:].upper()}: {words}") from exc
    if not isinstance(loaded, list) or isinstance(loaded, _Object):
        raise UsageError(f"{path} holds no list; write - {{data_id: …, golden: …, my: …}}")
    return [_Entry(f"entry {number}", value) for number, value in enumerate(loaded, start=1)]


def _read_json(text: str) -> object:
    loaded: object = json.loads(text, object_pairs_hook=_Object)
    return loaded


def _read_yaml(text: str) -> object:
    return _said(read_yaml(text, members=_Object, size=_YAML_SIZE))


def _said(value: object) -> object:
    """`value` with None where YAML says null."""
    if isinstance(value, _Object):
        return _Object((key, _said(one)) for key, one in value)
    if isinstance(value, list):
        return [_said(one) for one in value]
    return None if unsaid(value) else value


def _csv_entries(path: str, text: str) -> Iterator[_Entry]:
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if not set(_NEEDED) <= set(header):
            raise UsageError(f"{path} has no header line with {', '.join(_NEEDED)}")
        for row in rows:
            if row:
                cells = [*row, *[""] * (len(header) - len(row))]
                names = [*header, *["(no name)"] * (len(row) - len(header))]
                members = zip(names, map(str.strip, cells), strict=True)
                # An empty cell is a member that is left out.
                value = _Object(member for member in members if member[1])
                yield _Entry(f"line {rows.line_num}", value)
    except csv.Error as exc:
        raise UsageError(f"{path} cannot be read as CSV at line {rows.line_num}: {exc}") from exc


def _pair(entry: _Entry, order: int, path: str, find: _Finder) -> Pair:
    members = dict(entry.value) if isinstance(entry.value, _Object) else {}
    token_id, data_id = _token(members.get("token_id")), members.get("data_id")
    try:
        _check(entry.value)
        golden = _location(members, "golden")
        my = _location(members, "my")
    except ValueError as exc:
        error = PairError(Reason.ENTRY_MALFORMED, f"{entry.place} of {path}: {exc}")
        nowhere = Location(())
        shown = str(data_id) if isinstance(data_id, (str, int)) else entry.place
        return Pair(shown, token_id, nowhere, nowhere, "", order, error)
    golden, golden_error = find.golden(golden)
    my, my_error = find.my(my)
    return Pair(str(data_id), token_id, golden, my, "", order, golden_error or my_error)


def _check(value: object) -> None:
    """Raises ValueError for what is no entry."""
    if not isinstance(value, _Object):
        raise ValueError("it is no object {data_id: …, golden: …, my: …}")
    keys = [key for key, _ in value]
    for key in keys:
        if key not in _KEYS:
            raise ValueError(f"it has {key!r}, which is none of {', '.join(_KEYS)}")
        if keys.count(key) > 1:
            raise ValueError(f"it has {key!r} more than once")
    members = dict(value)
    for key in _NEEDED:
        if members.get(key) in (None, ""):
            raise ValueError(f"it has no {key}")
    data_id, token_id = members["data_id"], members.get("token_id")
    if not isinstance(data_id, (str, int)) or isinstance(data_id, bool):
        raise ValueError(f"its data_id {data_id!r} is no text")
    if token_id not in (None, "") and _token(token_id) is None:
        raise ValueError(f"its token_id {token_id!r} is no whole number")


def _token(value: object) -> int | None:
    whole = isinstance(value, (str, int)) and not isinstance(value, bool)
    return int(str(value)) if whole and _TOKEN.fullmatch(str(value)) else None


def _location(members: dict[object, object], side: str) -> Location:
    """What an entry says of one side. Raises ValueError."""
    adapters = members.get(f"{side}_adapters") or ""
    if not isinstance(adapters, str):
        raise ValueError(f"its {side}_adapters are no text like transpose(0, 1)")
    steps = parse_steps(adapters)
    joins = any_join(steps)
    files = members[side]
    if isinstance(files, str):
        files = files.split(_JOINED) if joins else [files]
    if not isinstance(files, list) or not all(isinstance(one, str) and one for one in files):
        raise ValueError(f"its {side} is no path, nor a list of paths")
    if any(map(has_secret, files)):
        raise ValueError(f"its {side} has a user or a signature in it, which a report would show")
    if len(files) != 1 and not joins:
        raise ValueError(
            f"its {side} has {len(files)} files; join them: {side}_adapters: concat(0)"
        )
    return Location(tuple(files), steps)
