"""Where recorded paths lead: what the user says goes before what was recorded, and what was
recorded before what happens to lie in the working folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from ait_cmp.dump_tree import (
    DUMP,
    LibraryPlace,
    golden_file,
    is_golden_fingerprint,
    library_place,
    library_rank,
)
from ait_cmp.files import exists, same_file
from ait_cmp.mapping.library_places import library_places
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import Lookup, named_files
from ait_cmp.mapping.metadata_entries import MetadataEntry
from ait_cmp.mapping.selection import PathMap
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import absolute, is_absolute, is_url, normal

__all__ = ["BelowFolder", "Claims", "Found", "OneFile", "Recorded", "beside"]

_COMPONENTS = 100  # that the ending of a path may have
_TAIL = 3  # so many components tell a moved file: its operation, its moment, its name


class Found(NamedTuple):
    """The file that a recorded path leads to, or why to none; `looked_up` where it is not at the
    recorded path itself."""

    recorded: str
    file: str
    error: PairError | None = None
    looked_up: bool = False

    @classmethod
    def of(cls, recorded: str, found: str | PairError, *, looked_up: bool = False) -> Found:
        """What a look-up answers."""
        if isinstance(found, PairError):
            return cls(recorded, recorded, found)
        return cls(recorded, found, looked_up=looked_up)


def beside(entry: MetadataEntry, folder: str) -> str:
    """Where the golden tensor is in the dump whose metadata.json is in `folder`."""
    return _beside(folder, entry.token_id or 0, _own_name(entry.golden))


def _beside(folder: str, token_id: int, name: str) -> str:
    """What is called `name`, of a token, in the dump in `folder`."""
    if is_golden_fingerprint(name):
        return os.path.join(folder, name)
    return _round_folder(folder, token_id) + name


@functools.lru_cache(maxsize=64)  # asked for every tensor of a round
def _round_folder(folder: str, token_id: int) -> str:
    """What stands before the names of a round's tensors, in the dump in `folder`."""
    return golden_file(folder, token_id, "")


def _own_name(path: str) -> str:
    """What the tensor at `path` is called in its folder: `file` or `file::name`."""
    file, name = split_name(path) if "::" in path else (path, None)
    own = file.rstrip("/").rpartition("/")[2]
    return own if name is None else f"{own}::{name}"


@dataclass(frozen=True, slots=True)
class _Near:
    """Where the last tensor was found: those that were recorded in one folder mostly are in one,
    which was listed by then."""

    key: tuple[str, int | None, str] = "", None, ""  # the recorded folder, token, that of the dump
    place: str = ""  # what stands before the names, unless it is what was recorded
    names: frozenset[str] = frozenset()

    def file(self, recorded: str, entry: MetadataEntry, folder: str) -> str | None:
        """The file of the tensor that `entry` has at the path `recorded`, if it is near."""
        above, _, called = recorded.rpartition("/")
        if called in self.names and self.key == (above, entry.token_id, folder):
            return self.place + called if self.place else recorded
        return None


_NOWHERE = _Near()


class Recorded:
    """The tensors of an entry: where path_map says, a golden one beside its metadata.json, and
    where they were recorded, unless that is the place which path_map replaces."""

    def __init__(self, path_map: PathMap, lookup: Lookup) -> None:
        self._path_map = path_map
        self._lookup = lookup
        self._golden = self._my = _NOWHERE

    def golden(self, entry: MetadataEntry, folder: str) -> Found:
        """The golden tensor of an entry of the metadata.json in `folder`."""
        near = self._golden.file(entry.golden, entry, folder)
        if near is not None:
            return Found(entry.golden, near, None, near != entry.golden)
        mapped = self._path_map.apply(entry.golden)
        token, name = entry.token_id or 0, _own_name(entry.golden)
        own = _beside(folder, token, name)
        if entry.golden == _beside(_absolute(folder), token, name):
            own = entry.golden  # the same, as it was recorded
        if mapped is None and self._lookup.finds(own):  # as nearly all
            self._golden = self._near(own, entry.golden, entry, folder)
            return Found(entry.golden, own, None, own != entry.golden)
        places = (mapped, own) if mapped else (own, *_elsewhere(entry, folder))
        found = self._lookup.first(Reason.GOLDEN_MISSING, places)
        is_elsewhere = found != entry.golden and found in (mapped, own)
        return Found.of(entry.golden, found, looked_up=is_elsewhere)

    def my(self, entry: MetadataEntry, folder: str) -> Found:
        """The my tensor of the same."""
        near = self._my.file(entry.my, entry, folder)
        if near is not None:
            return Found(entry.my, near)
        mapped = self._path_map.apply(entry.my)
        places = _as_recorded(entry.my, entry, folder) if mapped is None else (mapped,)
        if self._lookup.finds(places[0]):  # as nearly all
            self._my = self._near(places[0], entry.my, entry, folder)
            return Found(entry.my, places[0], None, mapped is not None)
        found = self._lookup.first(Reason.MY_MISSING, places)
        return Found.of(entry.my, found, looked_up=mapped is not None)

    def _near(self, file: str, recorded: str, entry: MetadataEntry, folder: str) -> _Near:
        """Near the tensor at `file`, which `entry` has at the path `recorded`; nowhere where
        path_map may take another out of there."""
        above, slash, _ = file.rpartition("/")
        if "::" in file or not slash or self._path_map.prefixes:
            return _NOWHERE
        names = self._lookup.listed(above or slash)
        place = "" if file == recorded else above + slash
        return _Near((recorded.rpartition("/")[0], entry.token_id, folder), place, names)


_absolute = functools.lru_cache(maxsize=64)(absolute)


def _elsewhere(entry: MetadataEntry, folder: str) -> Sequence[str]:
    """Where a golden tensor was recorded; of a dump in a store, what is there of this machine is
    another's, or what a copy lacks."""
    if is_url(folder) and not is_url(entry.golden):
        return ()
    return _as_recorded(entry.golden, entry, folder)


def _as_recorded(path: str, entry: MetadataEntry, folder: str) -> Sequence[str]:
    """`path` itself; a relative one below the folder that the dump's run was in, beside the
    metadata.json, and last in the working folder."""
    if is_absolute(path):
        return (path,)
    return [top + path for top in _tops(folder, entry.golden[: entry.golden.rfind("/") + 1])]


@functools.lru_cache(maxsize=64)  # asked for every tensor of a round
def _tops(folder: str, golden: str) -> tuple[str, ...]:
    """What stands before relative paths of the dump in `folder`, where `golden` stands before the
    name of a golden tensor."""
    run = _run_folder(absolute(folder), os.path.dirname(os.path.dirname(f"{golden}name")))
    tops = (folder,) if run is None else (run, folder)
    return (*(os.path.join(top, "") for top in tops), "")


def _run_folder(folder: str, recorded: str) -> str | None:
    """The folder from which the dump in `folder`, an absolute path, recorded as `recorded`,
    hangs."""
    parts, there = normal(recorded).split("/"), folder.split("/")
    hangs_there = parts[-2:] == there[-len(parts[-2:]) :] and ".." not in parts
    if hangs_there and not is_absolute(recorded):
        above = there[: -len(parts)]
    elif DUMP in there:
        above = there[: len(there) - 1 - there[::-1].index(DUMP)]
    else:
        return None
    return "/".join(above) or "/"


class BelowFolder:
    """The my tensor of an entry below a folder that the user names, by as much of its path as can
    be: of its own device and round, where both paths tell them."""

    def __init__(self, root: str, path_map: PathMap, lookup: Lookup) -> None:
        self._root = Folder(root)
        folders = (one.name for one in self._root.folders)
        self._names = {*self._root.files, *folders, *self._root.hidden}
        self._path_map = path_map
        self._lookup = lookup

    def my(self, entry: MetadataEntry, folder: str) -> Found:
        """The my tensor of an entry of the metadata.json in `folder`."""
        mapped = self._path_map.apply(entry.my)
        places = [*([] if mapped is None else [mapped]), *self._tails(entry.my)]
        recorded = library_place(entry.my)
        if recorded is None:
            return Found.of(entry.my, self._first(places), looked_up=True)
        own = [place for place in places if _may_be(recorded, place)]
        found = self._first(own) if own else self._of_others(entry.my, places[0])
        if isinstance(found, PairError):
            others = [place for place in self._of_device(recorded) if self._is_there(place)]
            found = others[0] if len(others) == 1 else found
            if len(others) > 1:
                named = f"{entry.my} may be any of {named_files(others)}; pass one of their folders"
                found = PairError(Reason.MAPPING_AMBIGUOUS, named)
        return Found.of(entry.my, found, looked_up=True)

    def _of_others(self, path: str, place: str) -> PairError:
        return PairError(
            Reason.MY_MISSING,
            f"{place} is of another device or round than {path}, which is not below "
            f"{self._root.path}; pass the my_path that holds it",
        )

    def _first(self, places: Sequence[str]) -> str | PairError:
        return self._lookup.first(Reason.MY_MISSING, places, brief=True)

    def _is_there(self, place: str) -> bool:
        return isinstance(self._first([place]), str)

    def _tails(self, path: str) -> list[str]:
        """`path` below the folder, the longest first: what begins with a name that is in there,
        or else the whole and the last."""
        parts = [part for part in normal(path).split("/") if part][-_COMPONENTS:]
        skips = [skip for skip, first in enumerate(parts) if split_name(first)[0] in self._names]
        if self._root.problem:
            skips = list(range(len(parts)))
        skips = skips or sorted({0, max(len(parts) - 1, 0)})
        return [inside(self._root.path, *parts[skip:]) for skip in skips]

    def _of_device(self, recorded: LibraryPlace) -> list[str]:
        """The same tensor in the folders of all processes of its device: those of another run."""
        ranks = self._ranks.get(recorded.rank.device, ())
        return [inside(one.path, recorded.below) for one in ranks]

    @functools.cached_property
    def _ranks(self) -> dict[int, list[Folder]]:
        """The {DEVICE}_{PID} folders below the folder, by device."""
        ranks: dict[int, list[Folder]] = {}
        for place in library_places(self._root):
            for one in place.folders:
                rank = library_rank(one.name)
                if rank:
                    ranks.setdefault(rank.device, []).append(one)
        return ranks


def _may_be(recorded: LibraryPlace, place: str) -> bool:
    """Whether a file may be the recorded one: its path tells of no other device or round."""
    found = library_place(absolute(place))
    return found is None or recorded.may_be(found)


class OneFile:
    """The entries that are mapped to one my file, which may have been moved: where it lies at the
    recorded path of none, those whose paths end as its own does, as far as can be."""

    def __init__(self, my: str, path_map: PathMap) -> None:
        self._my = my
        self._path_map = path_map
        self._closeness: dict[tuple[str, str], int] = {}

    def add(self, entry: MetadataEntry, folder: str) -> None:
        """An entry of the metadata.json in `folder`, before the first question."""
        key = entry.my, folder
        if entry.error is None and key not in self._closeness:
            self._closeness[key] = self._alike(entry, folder)

    def wants(self, entry: MetadataEntry, folder: str) -> bool:
        """Whether an entry is mapped to it."""
        alike = self._closeness.get((entry.my, folder), 0)
        return entry.error is None and 0 < alike == self._closest

    def my(self, entry: MetadataEntry, folder: str) -> Found:
        """The file itself."""
        return Found(entry.my, self._my, looked_up=self._closest <= _COMPONENTS)

    @functools.cached_property
    def _closest(self) -> int:
        return max(self._closeness.values(), default=0)

    def _alike(self, entry: MetadataEntry, folder: str) -> int:
        """How many components at its end a recorded path shares with the file; above all where it
        leads to it, 0 where it cannot mean it."""
        wanted, wanted_name = split_name(self._my)
        file, name = split_name(entry.my)
        if name != wanted_name:
            return 0
        mapped = self._path_map.apply(file)
        places = [mapped] if mapped else _as_recorded(file, entry, folder)
        if any(same_file(place, wanted) for place in places):
            return _COMPONENTS + 1
        recorded = library_place(file)
        if exists(places[0]) or (recorded and not _may_be(recorded, wanted)):
            return 0
        parts = [part for part in normal(file).split("/") if part]
        ends = zip(reversed(parts), reversed(absolute(wanted).split("/")), strict=False)
        alike = sum(1 for _ in takewhile(lambda both: both[0] == both[1], ends))
        return min(alike, _COMPONENTS) if alike >= min(_TAIL, len(parts)) else 0


class Claims:
    """Which recorded paths of one side lead to which files: a file that a look-up finds is of one.

    What recorded paths themselves name may come again: slices of one tensor, say.
    """

    def __init__(self, side: str) -> None:
        self._side = side
        self._looked_up: dict[str, str] = {}  # the first recorded path that leads to each file
        self._rows = bytearray()  # whether what each recorded path leads to is there

    def add(self, found: Found | None) -> None:
        """Where the path of the next row leads."""
        is_there = found is not None and found.error is None
        self._rows.append(is_there)
        if is_there and found and found.looked_up:
            self._looked_up.setdefault(_normal(found.file), found.recorded)

    def errors(self, rows: Iterable[tuple[str, str]]) -> dict[int, PairError]:
        """The errors of rows that a look-up leads to a file of another path, by their numbers;
        `rows` are the recorded paths and files of all, in order."""
        if not self._looked_up:
            return {}
        leading = [
            (number, Found(recorded, file), _normal(file))
            for number, (recorded, file) in enumerate(rows)
            if self._rows[number]
        ]
        paths: dict[str, dict[str, None]] = {}
        for _, one, file in leading:
            if self._looked_up.get(file, one.recorded) != one.recorded:
                paths[file] = {}
        ambiguous = [row for row in leading if row[2] in paths]
        for _, one, file in ambiguous:
            paths[file][one.recorded] = None
        claims = {file: _claims(file, of_file) for file, of_file in paths.items()}
        errors = (
            (number, _ambiguous(self._side, one, claims[file])) for number, one, file in ambiguous
        )
        return {number: error for number, error in errors if error}


def _normal(path: str) -> str:
    is_normal = not ("/." in path or "//" in path or path.startswith(".") or path.endswith("/"))
    return path if is_normal else normal(path)


def _claims(file: str, paths: Iterable[str]) -> list[str]:
    """The recorded paths, of those that lead to a file, that may mean it."""
    known = {normal(path): path for path in paths}
    place = library_place(absolute(file))
    own = [
        path
        for path in known.values()
        if place and (found := library_place(path)) and found.rank == place.rank
    ]
    return own if len(own) == 1 else list(known.values())


def _ambiguous(side: str, found: Found, claims: Sequence[str]) -> PairError | None:
    if len(claims) == 1 and normal(found.recorded) == normal(claims[0]):
        return None
    return PairError(
        Reason.MAPPING_AMBIGUOUS,
        f"the {side} file {found.file} is found for several recorded paths: "
        f"{named_files([*claims, found.recorded])}; say with path_map or my_path where each is",
    )
