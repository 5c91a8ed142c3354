"""The rows of a finished run beside its stats, in cmp_report.run: who was compared with whom, and
what the stats do not say of it. Of both a run can be judged again, without a tensor.

Gzipped lines of JSON: a header, and lists of some rows each. Nothing in it is ever run or opened.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ait_cmp.engine.choices import Choices
from ait_cmp.engine.extra import Extra
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.positions import Positions
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.files.output import new_whole, no_room
from ait_cmp.measuring.measured_rows import MeasuredRows
from ait_cmp.measuring.places import PlacedRows
from ait_cmp.measuring.row import key_bytes, short_key
from ait_cmp.measuring.stored_run import load
from ait_cmp.values.errors import PairError, Reason, UsageError, os_reason
from ait_cmp.values.location import Location, parse_steps
from ait_cmp.values.order import OrderBy
from ait_cmp.values.pair import Alone, Pair
from ait_cmp.values.shards import Shards, Way
from ait_cmp.values.statistics import Statistics

__all__ = [
    "RECORD",
    "Recorded",
    "RunRecord",
    "read_header",
    "read_record",
    "unpacking",
    "write_record",
]

RECORD = "cmp_report.run"
_FORMAT = 1
_TOGETHER = 256  # rows of a line
_LONGEST = 1 << 26  # characters of a line
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Recorded(NamedTuple):
    """A row: its pair, what was measured of it and of its reference, and what else was found, in
    plain values."""

    pair: Pair
    measured: Measured | None
    reference: Measured | None = None
    more: Mapping[str, Any] = {}  # never changed


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is said of the run, in plain values, its pairs, what was measured of them and of their
    references, and what else was found, by their numbers."""

    header: Mapping[str, Any]
    pairs: list[Pair]
    measured: MeasuredRows
    references: MeasuredRows
    more: Mapping[int, Mapping[str, Any]]


def write_record(folder: Path, header: Mapping[str, Any], rows: Iterable[Recorded]) -> None:
    """Put the run into `folder`, whole or not at all. Raises ReportError."""
    path = folder / RECORD
    try:
        with new_whole(path) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
            packed.write(_encode({"format": _FORMAT, **header}).encode())
            for some in _batches(map(_packed, rows)):
                packed.write(f"\n{_encode(some)}".encode())
    except OSError as exc:
        raise no_room(path, exc) from exc


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(itertools.islice(rows, _TOGETHER)):
        yield some


def read_header(folder: Path) -> Mapping[str, Any]:
    """What is said of the run in `folder`. Raises UsageError where there is none."""
    with closing(_lines(folder)) as lines:
        return _header(folder, next(lines, None))


def read_record(folder: Path, stats: Path) -> RunRecord:
    """The run in `folder`, with its `stats`. Raises UsageError where it is not there or whole."""
    pairs, more = list[Pair](), dict[int, Mapping[str, Any]]()
    stored = _Stored(folder, stats)
    measured, references = list[_Found](), dict[int, _Found]()
    with closing(_lines(folder)) as lines, unpacking(folder):
        header = _header(folder, next(lines, None))
        for one in (one for some in lines for one in some):
            row = _unpacked(one)
            measured.append(stored.found(row.pair, row.measured))
            if row.reference is not None and row.pair.reference:
                references[len(pairs)] = stored.found(row.pair.reference, row.reference)
            if row.more:
                more[len(pairs)] = row.more
            pairs.append(row.pair)
    whole = bool(references)
    return RunRecord(
        header,
        pairs,
        stored.rows(len(pairs), enumerate(measured), whole),
        stored.rows(len(pairs) if whole else 0, references.items(), whole),
        more,
    )


# What is known of a row: the place of its stats, if it has any, and what the record says of it, if
# there is more than that.
_Found = tuple[int | None, Measured | None]


class _Stored:
    """The stats of a run, which are looked for when the first of its rows has any."""

    def __init__(self, folder: Path, stats: Path) -> None:
        self._folder, self._stats = folder, stats
        self._placed: PlacedRows | None = None
        self._places: Mapping[bytes, int] = {}

    def found(self, pair: Pair, said: Measured | None) -> _Found:
        """Where the stats of `pair` are, of which the record has what these have not."""
        if said is None or said.error:
            return None, said
        if self._placed is None:
            run = load(self._stats)
            self._placed, self._places = run.placed(), run.places()
        place = self._places.get(short_key(key_bytes(Request(pair.golden, pair.my, _ANY))))
        if place is None:
            raise UsageError(
                f"the stats in {self._folder} are not those of all its rows: nothing is known of "
                f"{pair.name}; compare again"
            )
        return place, said if any(getattr(said, name) for name in _LOOKED) else None

    def rows(self, count: int, found: Iterable[tuple[int, _Found]], slices: bool) -> MeasuredRows:
        """So many rows, of which that was found."""
        rows = MeasuredRows(count, self._placed, slices=slices)
        for number, (place, said) in found:
            if place is not None:
                assert self._placed
                rows.put(number, self._placed.read(place), place)
                if said:
                    rows.add(number, **{name: getattr(said, name) for name in _LOOKED})
            elif said:
                rows.put_made(number, said)
        return rows


# Fields of what was measured that looks found: how each is made of what its `packed` gave.
_LOOKED: dict[str, Callable[[Any], Any]] = {
    "choices": Choices.unpacked,
    "positions": Positions.unpacked,
    "extra": Extra.unpacked,
}


@contextmanager
def unpacking(folder: Path) -> Iterator[None]:
    """Raises UsageError where the plain values in the record are not those of a run."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise _damaged(folder, exc) from exc


_ANY = Wanted(0.0)  # which is no part of a key


def _lines(folder: Path) -> Generator[Any, None, None]:
    path = folder / RECORD
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            while line := file.readline(_LONGEST):
                yield json.loads(line)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageError(_absent(folder)) from exc
    except (EOFError, RecursionError, ValueError, zlib.error, gzip.BadGzipFile) as exc:
        raise _damaged(folder, exc) from exc
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {os_reason(exc)}") from exc


def _absent(folder: Path) -> str:
    if not folder.is_dir():
        return f"report={folder} is no folder; name that of a finished compare"
    jobs = sorted(folder.glob(f"jobs/*/{RECORD}"))
    if jobs:
        return f"{folder} is of a sweep; name one of its jobs: report={jobs[0].parent}"
    return (
        f"{folder} holds no run that can be asked again ({RECORD} is not there); compare once "
        "more, with report.keep_stats=true"
    )


def _header(folder: Path, header: Any) -> Mapping[str, Any]:
    if not isinstance(header, dict):
        raise UsageError(f"{folder / RECORD} is empty or damaged; compare again to make a new one")
    if header.get("format") != _FORMAT:
        raise UsageError(
            f"{folder / RECORD} is of another version of ait_cmp; compare again to make a new one"
        )
    return header


def _damaged(folder: Path, error: Exception) -> UsageError:
    return UsageError(f"{folder / RECORD} is damaged ({error}); compare again to make a new one")


# -- a row in plain values, of which what says nothing is left out


def _packed(row: Recorded) -> dict[str, Any]:
    found = {"pair": _pair(row.pair), **row.more}
    if row.measured is not None:
        found["measured"] = _measured(row.measured)
    if row.reference is not None:
        found["reference"] = _measured(row.reference)
    return found


def _unpacked(found: Any) -> Recorded:
    pair, measured = found.pop("pair"), found.pop("measured", None)
    reference = found.pop("reference", None)
    return Recorded(
        _made_pair(pair),
        None if measured is None else _made_measured(measured),
        None if reference is None else _made_measured(reference),
        found,
    )


def _measured(one: Measured) -> dict[str, Any]:
    """What the store does not have of it: all that it has no stats for, and what looks found."""
    if one.error:
        sides = [info and info.packed() for info in (one.golden, one.my)]
        return {"error": _error(one.error), "sides": sides}
    looked = ((name, getattr(one, name)) for name in _LOOKED)
    return {name: found.packed() for name, found in looked if found}


def _made_measured(found: Any) -> Measured:
    if error := found.get("error"):
        golden, my = (TensorInfo.unpacked(side) if side else None for side in found["sides"])
        return Measured(golden, my, error=_made_error(error))
    return Measured(
        **{name: unpacked(found[name]) for name, unpacked in _LOOKED.items() if found.get(name)}
    )


def _location(one: Location) -> list[Any]:
    return [one.files, [str(step) for step in one.steps]] if one.steps else [one.files]


def _made_location(found: Any) -> Location:
    return Location(tuple(found[0]), parse_steps(" | ".join(found[1])) if found[1:] else ())


def _shards(one: Shards) -> list[Any]:
    ways = [[way.name, [_location(copy) for copy in way.copies]] for way in one.ways]
    return [one.side, one.ranks, ways]


def _made_shards(found: Any) -> Shards:
    side, ranks, ways = found
    made = (Way(name, tuple(map(_made_location, copies))) for name, copies in ways)
    return Shards(side, tuple(ranks), tuple(made))


def _error(one: PairError) -> list[str]:
    return [one.reason, one.sentence]


def _made_error(found: Any) -> PairError:
    return PairError(Reason(found[0]), found[1])


def _made_statistics(found: Any) -> tuple[Statistics, ...]:
    sides = []
    for kind, shape, *numbers in found:
        sides.append(Statistics(kind, None if shape is None else tuple(shape), *numbers))
    return tuple(sides)


def _made_chosen(found: Any) -> tuple[str, int | None]:
    return found[0], found[1]


# Fields of a pair that are no plain values: how each is packed, and made of that again.
_FIELDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "golden": (_location, _made_location),
    "my": (_location, _made_location),
    "error": (_error, _made_error),
    "statistics": (lambda sides: [astuple(side) for side in sides], _made_statistics),
    "shards": (_shards, _made_shards),
    "order_by": (str, OrderBy),
    "chosen_from": (list, _made_chosen),
    "alone": (list, lambda found: Alone(*found)),
    "reference": (lambda pair: _pair(pair), lambda found: _made_pair(found)),
}
_SAME: Callable[[Any], Any] = lambda value: value  # noqa: E731 - one of a table's functions
_OPTIONAL = [
    (Pair._fields.index(name), name, default, _FIELDS.get(name, (_SAME, _SAME))[0])
    for name, default in Pair._field_defaults.items()
]


def _pair(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = {"data_id": pair.data_id, "token_id": pair.token_id}
    found["golden"], found["my"] = _location(pair.golden), _location(pair.my)
    for place, name, default, packed in _OPTIONAL:
        value = pair[place]
        if value is not default and value != default:
            found[name] = packed(value)
    return found


def _made_pair(found: Mapping[str, Any]) -> Pair:
    return Pair(
        **{
            name: _FIELDS[name][1](value) if name in _FIELDS else _once(value)
            for name, value in found.items()
        }
    )


def _once(value: Any) -> Any:
    """Text that many rows have (names, dumps, ranks) as one of them."""
    return sys.intern(value) if isinstance(value, str) else value
