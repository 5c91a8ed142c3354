"""`metadata.json`, ours and the original tool's, as pairs."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

from ait_cmp.dump_tree import (
    GOLDEN_TENSOR,
    golden_rank,
    is_tensor_name,
    not_saved_for,
    round_number,
)
from ait_cmp.files import is_file, is_folder
from ait_cmp.mapping.golden_dumps import GoldenDump, golden_dumps
from ait_cmp.mapping.left_out import files_like_tensors, left_out, tell_again
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.mapping.lookup import Lookup, named_files
from ait_cmp.mapping.metadata_entries import MetadataEntry, read_entries
from ait_cmp.mapping.processes import by_process, process_key, record_of, with_ordinals
from ait_cmp.mapping.recorded import BelowFolder, Claims, Found, OneFile, Recorded, beside
from ait_cmp.mapping.recorded_shards import with_other_ranks
from ait_cmp.mapping.selection import Wish, tell_unused_prefixes
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.values.paths import absolute, parent, tidy
from ait_cmp.values.process import ProcessRecord

__all__ = ["RecordedDump", "has_metadata", "metadata_pairs", "recorded_pairs"]

_WALKED = 10_000  # folders below my_path that are looked into: it may be a whole file system


def metadata_pairs(wish: Wish) -> list[Pair]:
    """The entries of every metadata.json at the golden path, dump by dump, in dump order.

    Raises UsageError when there is no readable metadata.json.
    """
    golden_path = wish.golden_path
    if is_file(golden_path):
        pairs = _in_order(_pairs(wish, [GoldenDump(tidy(golden_path))]))
    elif is_folder(golden_path):
        pairs = _in_order(recorded_pairs(Folder(golden_path), wish))
    else:
        raise UsageError(f"golden_path={golden_path} does not exist")
    pairs = with_other_ranks(pairs, wish)
    return [*pairs, *_unmapped(wish, pairs)]


def recorded_pairs(folder: Folder, wish: Wish) -> list[tuple[RecordedDump, list[Pair]]]:
    """The same of the dumps in a folder, each by itself; one that cannot be listed is a row that
    says so."""
    again: list[str] = []
    dumps = golden_dumps(folder, again)
    tell_again(again)
    if not dumps:
        raise UsageError(
            f"golden_path={wish.golden_path} holds no metadata.json of dump_data; pass the folder "
            "that it wrote (ait_dump, one of its PID_DEVICE folders, or a golden_tensor folder), "
            "one tensor file, or my_path=FOLDER to compare two folders by name"
        )
    return _pairs(wish, dumps)


def has_metadata(folder: Folder) -> bool:
    """Whether `folder` is one that dump_data wrote to."""
    return any(not dump.problem for dump in golden_dumps(folder))


@dataclass(frozen=True, slots=True)
class RecordedDump:
    """A golden dump as it was read: its name among all, its entries, and why it has none; `run`
    is the number of its process, and `rank` what tells that apart."""

    golden: GoldenDump
    name: str
    entries: Sequence[MetadataEntry]
    problem: PairError | None
    record: ProcessRecord | None
    rank: str = ""
    run: int = 0

    @property
    def folder(self) -> str:
        """Where its metadata.json is."""
        return parent(self.golden.path)


def _pairs(wish: Wish, dumps: Sequence[GoldenDump]) -> list[tuple[RecordedDump, list[Pair]]]:
    read = _read(dumps)
    if wish.path_map.prefixes:
        recorded = [entry for dump in read for entry in dump.entries if not entry.error]
        paths = [path for one in recorded for path in (one.golden, one.my)]
        tell_unused_prefixes(wish.path_map, paths)
    of_dumps = _entry_pairs(wish, read)
    folders = [dump.golden.folder.path for dump in read if dump.golden.folder]
    is_one_file = _is_one_file(wish)
    taken = set[str]() if is_one_file else _taken(chain.from_iterable(of_dumps), folders)
    for dump, pairs in zip(read, of_dumps, strict=True):
        if dump.problem:
            pairs.append(_lost(dump))
        elif dump.golden.folder and not is_one_file:
            unnamed = enumerate(_unnamed(dump, dump.golden.folder, read, taken), len(pairs))
            pairs += [pair._replace(order=order) for order, pair in unnamed]
    if not any(of_dumps) and is_one_file:
        raise UsageError(f"my_path={wish.my_path} is not mapped by any entry of {wish.golden_path}")
    return list(zip(read, of_dumps, strict=True))


def _in_order(dumps: Sequence[tuple[RecordedDump, list[Pair]]]) -> list[Pair]:
    """The pairs of all dumps, run by run; in one of several devices token by token, and in it
    device by device, since nothing has the order of all."""
    runs: dict[int, list[list[Pair]]] = {}
    for dump, pairs in dumps:
        runs.setdefault(dump.run, []).append(pairs)
    return [pair for of_dumps in runs.values() for pair in _one_run(of_dumps)]


def _one_run(dumps: list[list[Pair]]) -> list[Pair]:
    if len(dumps) == 1:
        return dumps[0]
    pairs = [pair for of_dump in dumps for pair in of_dump]
    pairs.sort(key=lambda pair: (pair.token_id is None, pair.token_id or 0))
    return [pair._replace(order=order) for order, pair in enumerate(pairs)]


def _is_one_file(wish: Wish) -> bool:
    return wish.my_path is not None and not is_folder(wish.my_path)


def _read(dumps: Sequence[GoldenDump]) -> list[RecordedDump]:
    """Every dump. Raises UsageError where none can be read."""
    times = Counter(dump.name for dump in dumps)
    read = []
    for dump in dumps:
        problem, entries = dump.problem, list[MetadataEntry]()
        if not problem:
            try:
                entries = read_entries(dump.path)
            except UsageError as exc:
                problem = PairError(Reason.NO_METADATA, str(exc))
        name = dump.name if times[dump.name] == 1 else dump.rank
        record = record_of(dump.folder or Folder(parent(dump.path) or "."))
        read.append(RecordedDump(dump, name, entries, problem, record))
    problems = [dump.problem for dump in read if dump.problem]
    if len(problems) == len(read):
        raise UsageError(problems[0].sentence)
    return _with_runs(read) if len(read) > 1 or read[0].record else read


def _with_runs(dumps: Sequence[RecordedDump]) -> list[RecordedDump]:
    """`dumps` with the run that each is of: a process is one, however many devices it has."""
    keys = [
        process_key(one.record, golden_rank(one.golden.name), parent(one.golden.rank))
        for one in dumps
    ]
    names = [((entry.token_id, entry.data_id) for entry in one.entries) for one in dumps]
    runs = by_process(keys, names)
    records = [dumps[first].record for first, *_ in runs]
    told = ["" if one is None or one.rank is None else str(one.rank) for one in records]
    found = list(dumps)
    for run, (numbers, rank) in enumerate(zip(runs, with_ordinals(told), strict=True)):
        for number in numbers:
            found[number] = replace(dumps[number], rank=rank, run=run)
    return found


# -- entries


def _entry_pairs(wish: Wish, dumps: Sequence[RecordedDump]) -> list[list[Pair]]:
    """The wanted entries of each dump."""
    lookup = Lookup()
    recorded = Recorded(wish.path_map, lookup)
    find = _finder(wish, dumps, recorded, lookup)
    golden_claims, my_claims = Claims("golden"), Claims("my")
    of_dumps: list[list[Pair]] = []
    for dump in dumps:
        pairs, folder = list[Pair](), dump.folder
        of_dumps.append(pairs)
        for order, entry in enumerate(dump.entries):
            if isinstance(find, OneFile) and not find.wants(entry, folder):
                continue
            golden = None if entry.error else recorded.golden(entry, folder)
            my = None if entry.error else find.my(entry, folder)
            golden_claims.add(golden)
            my_claims.add(my)
            pairs.append(_pair(entry, order, golden, my, dump))
    errors = my_claims.errors(
        (dump.entries[pair.order].my, pair.my.files[0])
        for dump, pairs in zip(dumps, of_dumps, strict=True)
        for pair in pairs
    )
    errors |= golden_claims.errors(
        (dump.entries[pair.order].golden, pair.golden.files[0])
        for dump, pairs in zip(dumps, of_dumps, strict=True)
        for pair in pairs
    )
    return _with_errors(of_dumps, errors) if errors else of_dumps


def _finder(
    wish: Wish, dumps: Sequence[RecordedDump], recorded: Recorded, lookup: Lookup
) -> Recorded | BelowFolder | OneFile:
    """What finds the my tensors."""
    if wish.my_path is None:
        return recorded
    if is_folder(wish.my_path):
        return BelowFolder(wish.my_path, wish.path_map, lookup)
    find = OneFile(wish.my_path, wish.path_map)
    for dump in dumps:
        for entry in dump.entries:
            find.add(entry, dump.folder)
    return find


def _with_errors(
    of_dumps: Sequence[Sequence[Pair]], errors: Mapping[int, PairError]
) -> list[list[Pair]]:
    """The pairs, those without an error with that of their number among all."""
    numbers = count()
    return [
        [
            pair._replace(error=pair.error or errors.get(number))
            for pair, number in zip(pairs, numbers, strict=False)
        ]
        for pairs in of_dumps
    ]


def _taken(pairs: Iterable[Pair], folders: Sequence[str]) -> set[str]:
    """The absolute paths of the files in `folders` that pairs are of."""
    tops = tuple(map(_within, folders))
    taken = set()
    for pair in pairs:
        for file in (*pair.golden.files, *pair.my.files):
            path = _absolute(split_name(file)[0] if "::" in file else file) if file else ""
            if path.startswith(tops):
                taken.add(path)
    return taken


def _absolute(path: str) -> str:
    if path.startswith("/") and not ("/." in path or "//" in path or path.endswith("/")):
        return path
    folder, slash, name = path.rpartition("/")
    return _within(folder) + name if slash and name.strip(".") else absolute(path)


@functools.lru_cache(maxsize=64)  # asked for every tensor in it
def _within(folder: str) -> str:
    """What stands before the names of what is in a folder, in absolute paths."""
    return os.path.join(absolute(folder), "")


def _lost(dump: RecordedDump) -> Pair:
    """What stands for a dump that has no readable list."""
    golden, nothing = Location.of(dump.golden.path), Location(())
    name, error = dump.golden.name, dump.problem
    return Pair(name, None, golden, nothing, dump.name, 0, error, dump.rank, dump.run)


def _pair(
    entry: MetadataEntry, order: int, golden: Found | None, my: Found | None, dump: RecordedDump
) -> Pair:
    return Pair(
        entry.data_id,
        entry.token_id,
        Location((golden.file if golden else entry.golden,)),
        Location((my.file if my else entry.my,)),
        dump.name,
        order,
        entry.error or (golden and golden.error) or (my and my.error),
        dump.rank,
        dump.run,
    )


# -- what no entry names


def _unnamed(
    dump: RecordedDump, folder: Folder, dumps: Sequence[RecordedDump], taken: set[str]
) -> Iterator[Pair]:
    """A row for each file in the folder of a dump that none of its entries names, nor any entry
    leads to."""
    rest = sorted(path for path, _ in files_like_tensors(folder, but=taken))
    named = {split_name(beside(entry, dump.folder))[0] for entry in dump.entries} if rest else ()
    others = tuple(f"{one.folder}/" for one in dumps if one is not dump)
    for path in rest:
        file = inside(folder.path, path)
        if (not_saved_for(file) or file) not in named and not file.startswith(others):
            yield _left_out(file, path, dump)


def _unmapped(wish: Wish, pairs: Sequence[Pair]) -> Iterator[Pair]:
    """One row for all files below the my folder that no entry leads to: a library dumps far more
    than a model script maps."""
    if wish.my_path is None or not is_folder(wish.my_path):
        return
    folder = Folder(wish.my_path)
    taken = _taken(pairs, [folder.path])
    rest = [
        path
        for path, _ in files_like_tensors(folder, most=_WALKED, but=taken)
        if GOLDEN_TENSOR not in path.split("/")
    ]
    if rest:
        files = named_files(inside(folder.path, path) for path in sorted(rest))
        sentence = f"{len(rest)} files below {folder.path} are mapped by no entry: {files}"
        error = PairError(Reason.LEFT_OUT, sentence)
        order, my = len(pairs), Location.of(folder.path)
        yield Pair(folder.name, None, Location(()), my, order=order, error=error)


def _left_out(file: str, path: str, dump: RecordedDump) -> Pair:
    first, slash, rest = path.partition("/")
    token = round_number(first) if slash else None
    name = os.path.splitext(path if token is None else rest)[0]
    error = left_out(file, "its metadata.json names it in no entry")
    if error.reason is Reason.LEFT_OUT and token is not None and is_tensor_name(rest):
        # dump_data saved it, so that the entry was lost: nobody left it out on purpose.
        sentence = f"{file} has lost its entry in metadata.json; dump it again"
        error = PairError(Reason.NO_METADATA, sentence)
    golden, nothing = Location.of(file), Location(())
    return Pair(name, token, golden, nothing, dump.name, 0, error, dump.rank, dump.run)
