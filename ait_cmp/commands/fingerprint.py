"""`ait-cmp fingerprint`: any dump in, the fingerprints of its tensors out, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ait_cmp.commands.say import may_go_unread
from ait_cmp.commands.status import ExitStatus
from ait_cmp.dump_tree import FINGERPRINTS, is_fingerprint_file
from ait_cmp.engine.adapters import open_location
from ait_cmp.engine.fingerprinting import fingerprint_of
from ait_cmp.engine.row_errors import as_pair_error
from ait_cmp.files import confined_to, is_folder
from ait_cmp.files.output import in_places_of, no_links, own_folder
from ait_cmp.files.staging import url_of
from ait_cmp.fingerprint.container import Container
from ait_cmp.mapping.layouts import list_dump
from ait_cmp.mapping.layouts.fingerprints import rank_lines
from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
from ait_cmp.settings.values import Settings
from ait_cmp.source import FingerprintSource, is_tensor_path, split_name
from ait_cmp.values.errors import ReportError, UsageError, os_reason
from ait_cmp.values.fail_on import FailOn
from ait_cmp.values.location import Location
from ait_cmp.values.text import printable

__all__ = ["fingerprint", "write_fingerprints"]


@dataclass(frozen=True, slots=True)
class Written:
    """Counts of what was written, and of the tensors that have none, with what is wrong with the
    first."""

    tensors: int
    tensor_bytes: int
    lost: int
    first_lost: str


def fingerprint(settings: Settings) -> ExitStatus:
    """Write the fingerprints of a dump to the output; the status is 3 where some tensor has none.

    Raises UsageError for a dump that cannot be listed, ReportError when it cannot be written.
    """
    path = settings.folder
    if url := url_of(path):
        raise UsageError(f"output={url} must be a file of this machine: output=X{FINGERPRINTS}")
    if not is_fingerprint_file(path.name):
        raise UsageError(f"output={path} must be a file of fingerprints: output=X{FINGERPRINTS}")
    with confined_to(settings.roots):
        ranks = _ranks(settings.wish.golden_path)
        written = write_fingerprints(ranks, path)
    with may_go_unread("what was written"):
        _show(written, path)
    if not written.lost or settings.fail_on is FailOn.never:
        return ExitStatus.PASS
    return ExitStatus.INCOMPLETE


def write_fingerprints(ranks: Sequence[RankDump], path: Path) -> Written:
    """Write those of all tensors of a dump to `path`, in the place of what is there when all are
    whole. Raises ReportError."""
    try:
        own_folder(path.parent)
        no_links(path)
        with in_places_of([path]) as (temporary,):
            return _write(ranks, str(temporary))
    except OSError as exc:
        raise ReportError(f"{path} cannot be written: {os_reason(exc)}; choose another") from exc


def _ranks(path: str) -> list[RankDump]:
    ranks = list_dump("golden_path", path).ranks
    file, name = split_name(path)
    if not any(rank.tensors for rank in ranks) and is_tensor_path(path) and not is_folder(file):
        ranks = [RankDump("", None, [DumpedTensor(name or Path(file).stem, None, path)])]
    return ranks


def _write(ranks: Sequence[RankDump], path: str) -> Written:
    file, known = Container(path), dict[str, str]()
    size, lost = 0, list[str]()
    for key, rank in enumerate(ranks):
        tensors, entries = [], []
        for one in rank.tensors:
            tensor, entry = one, known.get(str(_location(one)), "")
            if not entry and one.error is None:
                try:
                    content, nbytes = _packed(one)
                    size += nbytes
                    entry = known[str(_location(one))] = file.add(_name(str(key), one), content)
                except Exception as exc:
                    tensor = replace(one, error=as_pair_error(exc, one.file))
            if tensor.error:
                lost.append(tensor.error.sentence)
            tensors.append(tensor)
            entries.append(entry)
        for line in rank_lines(replace(rank, tensors=tensors), str(key), entries):
            file.say(line)
    file.close()
    count = sum(len(rank.tensors) for rank in ranks)
    return Written(count - len(lost), size, len(lost), lost[0] if lost else "")


def _packed(one: DumpedTensor) -> tuple[bytes, int]:
    """The fingerprint of a tensor, and the bytes of that tensor."""
    source = open_location(_location(one))
    size = source.elements * source.dtype.itemsize
    if isinstance(source, FingerprintSource):
        return source.fingerprint.pack(), size
    return fingerprint_of(source, name=one.name).pack(), size


def _location(one: DumpedTensor) -> Location:
    return Location(one.files, one.steps)


def _name(key: str, one: DumpedTensor) -> str:
    token = "" if one.token_id is None else f"{one.token_id}/"
    return f"{key}/{token}{one.name}".replace("::", "/")  # what follows `::` is a name in a file


def _show(written: Written, path: Path) -> None:
    size = path.stat().st_size
    share = f", 1/{written.tensor_bytes / size:.0f} of theirs" if size else ""
    print(
        printable(
            f"{written.tensors} tensors of {written.tensor_bytes} bytes: {size} bytes of "
            f"fingerprints{share}, in {path}"
        )
    )
    if written.lost:
        print(printable(f"{written.lost} tensors have none, first: {written.first_lost}"))
    print(printable(f"use it: python -m ait_cmp golden_path={path} my_path=… output=…"))
