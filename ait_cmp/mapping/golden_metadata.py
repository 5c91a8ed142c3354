"""`metadata.json`, ours and the original tool's, as pairs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ait_cmp.dump_tree import (
    GOLDEN_PLACES,
    GOLDEN_TENSOR,
    METADATA,
    golden_file,
    golden_rank,
    is_dump,
)
from ait_cmp.files import exists, is_file, is_folder, same_file
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import Lookup, natural
from ait_cmp.mapping.metadata_entries import MetadataEntry, read_entries
from ait_cmp.mapping.selection import PathMap, Wish
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair

__all__ = ["has_metadata", "metadata_pairs", "recorded_pairs"]

# How a recorded my path, of a metadata.json in a folder, is looked up.
Finder = Callable[[str, str], str | PairError]


def metadata_pairs(wish: Wish) -> list[Pair]:
    """The entries of every metadata.json at the golden path, dump by dump, in dump order.

    Raises UsageError when there is no readable metadata.json.
    """
    golden_path = wish.golden_path
    if is_file(golden_path):
        return _pairs(wish, [_Dump(str(Path(golden_path)))])
    if not is_folder(golden_path):
        raise UsageError(f"golden_path={golden_path} does not exist")
    return recorded_pairs(Folder(golden_path), wish)


def recorded_pairs(folder: Folder, wish: Wish) -> list[Pair]:
    """The same of the dumps in a folder; a dump that cannot be listed is a row that says so."""
    dumps = _dumps_in(folder)
    if all(dump.problem for dump in dumps):
        for problem in (folder.problem, *(dump.problem for dump in dumps)):
            if problem:
                raise UsageError(problem.sentence)
        raise UsageError(
            f"golden_path={wish.golden_path} holds no metadata.json; pass the folder that "
            "dump_data wrote (ait_dump, one of its PID_DEVICE folders, or a golden_tensor folder), "
            "one tensor file, or my_path=FOLDER to compare two folders by name"
        )
    return _pairs(wish, dumps)


def has_metadata(folder: Folder) -> bool:
    """Whether `folder` is one that dump_data wrote to."""
    return any(not dump.problem for dump in _dumps_in(folder))


@dataclass(frozen=True, slots=True)
class _Dump:
    """The metadata.json of one process, or the folder that keeps it from being found, and why."""

    path: str
    problem: PairError | None = None

    @property
    def rank(self) -> str:
        """The folder of the process."""
        path = os.path.abspath(self.path)
        folder = path if self.problem else os.path.dirname(path)
        above, name = os.path.split(folder)
        return above if name == GOLDEN_TENSOR else folder

    @property
    def name(self) -> str:
        """`{PID}_{DEVICE}`, where dump_data called it so."""
        return os.path.basename(self.rank)


def _dumps_in(folder: Folder) -> list[_Dump]:
    """The dumps at the first level that has any; where none has, what may hide some."""
    if METADATA in folder.files:
        return [_Dump(inside(folder.path, METADATA))]
    hidden = []
    for ranks in _levels(folder):
        found = [dump for rank in ranks for dump in _dump_of(rank)]
        if any(not dump.problem for dump in found):
            return sorted(found, key=lambda dump: natural(dump.path))
        hidden += found
    return hidden


def _levels(folder: Folder) -> Iterator[list[Folder]]:
    """The folders that may be those of processes, nearest first."""
    yield [folder]
    for places in GOLDEN_PLACES:
        around = [found for place in places if (found := folder.at(place))]
        yield [
            rank for place in around for rank in (place.folders if not place.problem else [place])
        ]


def _dump_of(rank: Folder) -> Iterator[_Dump]:
    golden = rank.at(GOLDEN_TENSOR)
    if golden is None:
        return
    if rank.problem and not (golden_rank(rank.name) or is_dump(rank.name)):
        return  # it need not be of a dump
    if golden.problem:
        yield _Dump(golden.path, golden.problem)
    elif METADATA in golden.files:
        yield _Dump(inside(golden.path, METADATA))
    elif golden.folders:
        sentence = f"{golden.path} has tensors but no {METADATA}; dump it again"
        yield _Dump(golden.path, PairError(Reason.FOLDER_UNREADABLE, sentence))


def _pairs(wish: Wish, dumps: list[_Dump]) -> list[Pair]:
    lookup = Lookup()
    find_my, wanted = _my_finder(wish.my_path, wish.path_map, lookup)
    times = Counter(dump.name for dump in dumps)
    pairs = []
    for dump in dumps:
        name = dump.name if times[dump.name] == 1 else dump.rank
        if dump.problem:
            golden, my = Location.of(dump.path), Location(())
            pairs.append(Pair(dump.name, None, golden, my, name, 0, dump.problem))
            continue
        folder = os.path.dirname(dump.path)
        for order, entry in enumerate(read_entries(dump.path)):
            if wanted(entry):
                pairs.append(_pair(entry, folder, name, order, wish.path_map, find_my, lookup))
    if not pairs and wish.my_path is not None and is_file(split_name(wish.my_path)[0]):
        raise UsageError(f"my_path={wish.my_path} is not mapped by any entry of {wish.golden_path}")
    return pairs


def _pair(
    entry: MetadataEntry,
    folder: str,
    dump: str,
    order: int,
    path_map: PathMap,
    find_my: Finder,
    lookup: Lookup,
) -> Pair:
    golden, my, error = entry.golden, entry.my, entry.error
    if error is None:
        places = _golden_places(entry, folder, path_map)
        found, my_found = lookup.first(Reason.GOLDEN_MISSING, places), find_my(entry.my, folder)
        if isinstance(my_found, PairError):
            error = my_found
        else:
            my = my_found
        if isinstance(found, PairError):
            error = found
        else:
            golden = found
    sides = Location((golden,)), Location((my,))
    return Pair(entry.data_id, entry.token_id, *sides, dump, order, error)


def _golden_places(entry: MetadataEntry, folder: str, path_map: PathMap) -> Iterator[str | None]:
    yield entry.golden
    name = os.path.basename(entry.golden.rstrip("/"))
    yield golden_file(folder, entry.token_id or 0, name)
    yield path_map.apply(entry.golden)


def _my_finder(
    my_path: str | None, path_map: PathMap, lookup: Lookup
) -> tuple[Finder, Callable[[MetadataEntry], bool]]:
    """How a recorded my path is looked up, and which entries are wanted at all."""

    def recorded(path: str, folder: str) -> str | PairError:
        return lookup.first(Reason.MY_MISSING, _my_places(path, folder, path_map))

    if my_path is None:
        return recorded, lambda entry: True
    if is_folder(my_path):
        root = str(Path(my_path))
        return (
            lambda path, folder: lookup.first(Reason.MY_MISSING, _tails(path, root), brief=True)
        ), lambda entry: True
    if not exists(split_name(my_path)[0]):
        raise UsageError(f"my_path={my_path} does not exist")
    return (
        lambda path, folder: my_path
    ), lambda entry: entry.error is None and _maps_to(entry.my, my_path, path_map)


def _my_places(path: str, folder: str, path_map: PathMap) -> Iterator[str | None]:
    yield path
    yield str(Path(folder, path))
    yield path_map.apply(path)


def _tails(path: str, root: str) -> Iterator[str]:
    """`path` below `root`, as much of it as can be."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for skip in range(len(parts)):
        yield inside(root, *parts[skip:])


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
