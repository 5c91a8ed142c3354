"""Files of fingerprints: what hooks wrote of one process, or the command made of a dump."""

from __future__ import annotations

import json
import logging
import os
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ait_cmp.dump_tree import RankName, is_fingerprint_file, library_rank, round_number
from ait_cmp.mapping.layouts.identities import identified_by
from ait_cmp.mapping.layouts.plain_folder import order_of
from ait_cmp.mapping.layouts.ranks import (
    DumpedTensor,
    Identity,
    RankDump,
    merged_processes,
    unreadable,
)
from ait_cmp.mapping.listing import Folder, inside
from ait_cmp.source import fingerprint_lines
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.order import OrderBy
from ait_cmp.values.process import ProcessRecord

__all__ = ["container_ranks", "fingerprint_ranks", "rank_lines"]

_LOGGER = logging.getLogger(__name__)
Line = dict[str, Any]
T = TypeVar("T")


def fingerprint_ranks(folder: Folder) -> list[RankDump]:
    """The processes of all files of fingerprints below `folder`."""
    found: list[RankDump] = []
    lost: list[RankDump] = []
    for below, one in folder.walk():
        lost += [unreadable(one)] if one.problem else []
        for name in filter(is_fingerprint_file, one.files):
            file = inside(one.path, name)
            try:
                found += container_ranks(file)
            except PairError as exc:
                place = os.path.join(below, name)
                lost.append(RankDump(place, None, [DumpedTensor(place, None, file, exc)]))
    return merged_processes(found, order_of) + lost if found else []


def container_ranks(path: str) -> list[RankDump]:
    """The processes whose tensors are in the file at `path`; none where it is none of fingerprints.
    Raises PairError, FileNotFoundError."""
    texts = fingerprint_lines(path)
    lines = [line for text in texts or () if (line := _line(text))]
    if texts and len(lines) < len(texts):
        _LOGGER.warning("%s has %d lines that say nothing", path, len(texts) - len(lines))
    try:
        made = [_made(path, line, lines) for line in lines if "dump" in line]
        return made or merged_processes(list(_hooked(path, lines)), order_of)
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        sentence = f"{path} says of its fingerprints what makes no sense ({exc!r}); dump it again"
        raise PairError(Reason.FINGERPRINT_MALFORMED, sentence) from exc


def _line(text: bytes) -> Line | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# -- what hooks wrote


@dataclass(slots=True)
class _Rank:
    """What the lines say of one device of the process."""

    said: list[Line] = field(default_factory=list)
    tensors: list[tuple[DumpedTensor, str]] = field(default_factory=list)


def _hooked(path: str, lines: Sequence[Line]) -> Iterator[RankDump]:
    roots = [line for line in lines if "model" in line]
    unseen = tuple(str(line["unseen"]) for line in lines if "unseen" in line)
    record = next((line["record"] for line in reversed(lines) if "record" in line), None)
    ranks: dict[str, _Rank] = {}
    for line in lines:
        if isinstance(own := line.get("file"), str):
            name, _, below = own.partition("/")
            rank = ranks.setdefault(name, _Rank())
            rank.said.append({**line, "file": below})
            rank.tensors.append((_hooked_tensor(path, line, own, below), below))
    for name, rank in ranks.items():
        tensors = identified_by([*roots, *rank.said], rank.tensors)
        yield RankDump(
            name,
            library_rank(name),
            sorted(tensors, key=order_of),
            record=ProcessRecord.from_json(json.dumps(record)) if record else None,
            unseen=unseen,
        )


def _hooked_tensor(path: str, line: Line, own: str, below: str) -> DumpedTensor:
    first, _, rest = below.partition("/")
    place = f"{path}::{line.get('of', own)}"
    error = _not_saved(place, line["failed"]) if "failed" in line else None
    return DumpedTensor(rest, round_number(first), place, error)


def _not_saved(place: str, why: object) -> PairError:
    return PairError(Reason.NOT_SAVED, f"{place} could not be saved when it was dumped: {why}")


# -- what the command made


def rank_lines(dump: RankDump, key: str, entries: Sequence[str]) -> Iterator[Line]:
    """The lines of a process whose tensors have their fingerprints at `entries`, of which those
    are empty that have none."""
    rank, record = dump.rank, dump.record
    yield {
        "dump": key,
        "name": dump.name,
        "rank": rank and [rank.device, rank.process, rank.again],
        "run": dump.run,
        "record": record and json.loads(record.to_json()),
        "says_cuts": dump.says_cuts,
        "unseen": dump.unseen,
        "order_by": dump.order_by,
    }
    for one, entry in zip(dump.tensors, entries, strict=True):
        identity = one.identity
        yield {
            "of": entry,
            "in": key,
            "tensor": one.name,
            "token": one.token_id,
            **({"failed": [one.error.reason, one.error.sentence]} if one.error else {}),
            **({"identity": [getattr(identity, part) for part in _PARTS]} if identity else {}),
            **({"aliases": one.aliases} if one.aliases else {}),
            **({"folder": one.dump} if one.dump else {}),
        }


_PARTS = ("model", "root", "module", "operand", "at", "former", "wrapper")


def _made(path: str, line: Line, lines: Sequence[Line]) -> RankDump:
    key, rank, record = line["dump"], line.get("rank"), line.get("record")
    return RankDump(
        _of(str, line["name"]),
        RankName(*(_of(int, one) for one in rank)) if rank else None,
        [_made_tensor(path, one) for one in lines if one.get("in") == key],
        _of(str, line["run"]),
        ProcessRecord.from_json(json.dumps(record)) if record else None,
        _of(bool, line["says_cuts"]),
        tuple(_of(str, one) for one in line["unseen"]),
        OrderBy(line["order_by"]),
    )


def _of(kind: type[T], value: Any) -> T:
    """`value`, which is of this type. Raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"{reprlib.repr(value)} is no {kind.__name__}")
    return value


def _made_tensor(path: str, line: Line) -> DumpedTensor:
    failed, identity, token = line.get("failed"), line.get("identity"), line["token"]
    return DumpedTensor(
        _of(str, line["tensor"]),
        None if token is None else _of(int, token),
        f"{path}::{_of(str, line['of'])}",
        PairError(Reason(failed[0]), _of(str, failed[1])) if failed else None,
        dump=_of(str, line.get("folder", "")),
        identity=_identity(*identity) if identity else None,
        aliases=tuple(_of(str, one) for one in line.get("aliases", ())),
    )


def _identity(
    model: Any, root: Any, module: Any, operand: Any, at: Any, former: Any, wrapper: Any
) -> Identity:
    for text in (model, root, module, operand, former, wrapper):
        _of(str, text)
    return Identity(model, root, module, operand, _of(int, at), former, wrapper)
