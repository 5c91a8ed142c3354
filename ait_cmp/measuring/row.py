"""One measured row as bytes: what a worker sends home, and what the store keeps.

Lengths, and then as many parts: the key and what is said of the row as JSON, and the numbers as
the engine packs them. Nothing in it is ever run.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
from dataclasses import replace
from typing import Any

from ait_cmp.engine.choices import Choices
from ait_cmp.engine.detail import Detail
from ait_cmp.engine.evidence import Evidence
from ait_cmp.engine.extra import Extra
from ait_cmp.engine.measured import Brief, Measured, TensorInfo
from ait_cmp.engine.positions import Positions
from ait_cmp.engine.request import ExtraMetric, Request
from ait_cmp.engine.slices import Slices
from ait_cmp.engine.stats import SLOTS, Stats, agreement
from ait_cmp.files import FileState
from ait_cmp.values.diagnosis import Diagnosis
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.location import Location, parse_steps

__all__ = [
    "Key",
    "brief_in",
    "files_in",
    "fingerprints",
    "is_measured",
    "is_of_range",
    "key_bytes",
    "key_in",
    "look_in",
    "pack_row",
    "parse_key",
    "short_key",
    "unpack_row",
    "without_slices",
]

_LENGTHS = struct.Struct("<5I")  # key, what is said, stats, evidence, slices
_OF_SIDE = ("finite", "minimum", "maximum", "total", "exponent")
_WITH_LOOK = 6  # parts of the key of a look: files and adapters of both sides, the look, the range
# Where the stats have what is of one side alone: counts, extrema and the sum of its elements.
_GOLDEN, _MY = (
    [getattr(SLOTS, name) for name in ("elements", *(f"{side}_{one}" for one in _OF_SIDE))]
    for side in ("golden", "my")
)
# How what is said of a row begins: the types and shapes of both sides.
_SIDES = re.compile(rb"\[((?:\[[^\]]*\]\]|null),(?:\[[^\]]*\]\]|null)),")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

Key = tuple[Location, Location, tuple[int, int] | None]  # golden, my, range


def pack_row(request: Request, measured: Measured) -> bytes:
    """`measured`, the answer to `request`, as bytes."""
    stats, evidence, slices = measured.stats, measured.evidence, measured.slices
    if slices is None and stats is not None and stats.slices is not None:
        slices = stats.slices.pack()  # a range's, to be merged with others
    parts = (
        key_bytes(request),
        _encode(_said(request, measured)).encode(),
        b"" if stats is None else stats.pack(),
        b"" if evidence is None else evidence.pack(),
        slices or b"",
    )
    return b"".join((_LENGTHS.pack(*map(len, parts)), *parts))


def unpack_row(row: bytes, *, whole: bool = False) -> Measured:
    """What `row` says; only if `whole` with its slices and files, which a verdict does not read."""
    _, said, stats, evidence, slices = _parts(row)
    golden, my, worst, worst_golden, worst_my, files, error, *looked = json.loads(said)
    choices, positions, diagnosis, detail, *extra = looked
    measured = Measured(
        _info(golden),
        _info(my),
        Stats.unpack(stats) if stats else None,
        worst,
        worst_golden,
        worst_my,
        error=PairError(Reason(error[0]), error[1]) if error else None,
        evidence=Evidence.unpack(evidence) if evidence else None,
        choices=Choices.unpacked(choices) if choices else None,
        positions=Positions.unpacked(positions) if positions else None,
        diagnosis=Diagnosis.unpacked(diagnosis) if diagnosis else None,
        detail=Detail.unpacked(detail) if detail else None,
        extra=Extra.unpacked(extra[0]) if extra else None,
    )
    if not whole:
        return measured
    found = _states(row, files)
    if slices and not evidence and measured.stats is not None:
        stats_ = replace(measured.stats, slices=Slices.unpack(slices))
        return replace(measured, stats=stats_, files=found)
    return replace(measured, slices=slices or None, files=found)


def brief_in(row: bytes) -> Brief:
    """What `row` says without its numbers."""
    key, said, stats, evidence, _ = _LENGTHS.unpack_from(row)
    start = _LENGTHS.size + key
    sides = _SIDES.match(row, start, start + said)
    if not (stats and sides):
        return unpack_row(row).brief()
    packed = row[start + said : start + said + stats]
    return _brief(sides[1], bool(evidence), *agreement(packed))


@functools.lru_cache(maxsize=4096)
def _brief(sides: bytes, has_evidence: bool, differs: bool, is_equal: bool) -> Brief:
    """One value for many rows."""
    golden, my = map(_info, json.loads(b"[%b]" % sides))
    return Brief(golden, my, True, has_evidence, differs, is_equal)


def fingerprints(row: bytes) -> tuple[bytes, bytes]:
    """What tells golden from another tensor, and my: equal ones have equal fingerprints."""
    key, said, *_ = _LENGTHS.unpack_from(row)
    start = _LENGTHS.size + key + said
    golden, my = (
        b"".join([row[start + 8 * slot : start + 8 * slot + 8] for slot in slots])
        for slots in (_GOLDEN, _MY)
    )
    return golden, my


def without_slices(row: bytes) -> bytes:
    """`row` without its slices, which are most of it, and which a verdict seldom reads."""
    *lengths, slices = _LENGTHS.unpack_from(row)
    if not slices:
        return row
    return b"".join((_LENGTHS.pack(*lengths, 0), row[_LENGTHS.size : len(row) - slices]))


def is_measured(row: bytes) -> bool:
    """Whether `row` has stats, and not an error."""
    return bool(_LENGTHS.unpack_from(row)[2])


def is_of_range(row: bytes) -> bool:
    """Whether `row` is of a part of a pair, and not of the whole."""
    return not key_in(row).endswith(b",null]")


def files_in(row: bytes) -> tuple[FileState, ...]:
    """All files that the stats of `row` depend on, as they were when it was measured."""
    return _states(row, json.loads(_parts(row)[1])[5])


def key_in(row: bytes) -> bytes:
    """The key of `row`, as `key_bytes` gives it."""
    start = _LENGTHS.size
    return row[start : start + _LENGTHS.unpack_from(row)[0]]


def key_bytes(request: Request) -> bytes:
    """Files, adapters, look (with the contents of its metrics) and range: what tells `request`
    from the others of a run."""
    golden, my = request.golden, request.my
    steps = [[str(one) for one in side.steps] for side in (golden, my)]
    look = request.look
    looked = [[look.kind, *map(_spelled, look.others), *map(_named, look.metrics)]] if look else []
    return _encode([golden.files, my.files, *steps, *looked, request.span]).encode()


def short_key(key: bytes) -> bytes:
    """A hash that stands for a key among millions."""
    return hashlib.blake2b(key, digest_size=16).digest()


def _spelled(location: Location) -> list[Any]:
    return [location.files, [str(one) for one in location.steps]]


def _named(metric: ExtraMetric) -> list[Any]:
    return [metric.name, metric.path, metric.digest, metric.memory, metric.as_original]


def look_in(row: bytes) -> str:
    """The kind of the look whose answer `row` is; nothing of what was compared."""
    parts = json.loads(key_in(row))
    return str(parts[4][0]) if len(parts) == _WITH_LOOK else ""


def parse_key(key: bytes) -> Key:
    """The locations and the range that `key_bytes` wrote; of a look those of the pair."""
    golden, my, golden_steps, my_steps, *_, span = json.loads(key)
    locations = (
        Location(tuple(files), parse_steps(" | ".join(steps)))
        for files, steps in ((golden, golden_steps), (my, my_steps))
    )
    return (*locations, tuple(span) if span else None)  # type: ignore[return-value]


def _parts(row: bytes) -> list[bytes]:
    lengths = _LENGTHS.unpack_from(row)
    parts, start = [], _LENGTHS.size
    for length in lengths:
        parts.append(row[start : start + length])
        start += length
    if start != len(row):
        raise ValueError("a row is not of the size that its parts say")
    return parts


def _said(request: Request, measured: Measured) -> list[Any]:
    golden, my, error = measured.golden, measured.my, measured.error
    return [
        golden and golden.packed(),
        my and my.packed(),
        measured.worst,
        measured.worst_golden,
        measured.worst_my,
        [(_place(request, one.path), one.size, one.version) for one in measured.files],
        error and (error.reason, error.sentence),
        measured.choices and measured.choices.packed(),
        measured.positions and measured.positions.packed(),
        measured.diagnosis and measured.diagnosis.packed(),
        measured.detail and measured.detail.packed(),
        *([measured.extra.packed()] if measured.extra else []),
    ]


def _place(request: Request, path: str) -> Any:
    """`path`, or where it stands in the key already: which file, and its first characters."""
    for number, file in enumerate((*request.golden.files, *request.my.files)):
        if file.startswith(path):  # a file, or one of the tensors in it
            return number, len(path)
    return path


def _states(row: bytes, files: list[Any]) -> tuple[FileState, ...]:
    golden, my, _ = parse_key(key_in(row))
    named = (*golden.files, *my.files)
    return tuple(
        FileState(place if isinstance(place, str) else named[place[0]][: place[1]], size, version)
        for place, size, version in files
    )


def _info(said: list[Any] | None) -> TensorInfo | None:
    return TensorInfo.unpacked(said) if said else None
