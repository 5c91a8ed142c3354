"""Finished stats, kept beside the report until it is written, so that a run can go on.

The file has one line of JSON for each request that was answered, behind its checksum. A line
counts only while every file that it was measured from is in the same state.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import ait_cmp
from ait_cmp.engine.evidence import Evidence, Peak, Span
from ait_cmp.engine.measured import Measured, TensorInfo
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.engine.slices import Slices, Table, Top
from ait_cmp.engine.stats import Side, Softmax, Stats
from ait_cmp.files import FileState, state_of
from ait_cmp.values.dtypes import DTYPES
from ait_cmp.values.errors import ReportError, UsageError, os_reason

__all__ = ["Journal"]

_NAME = ".cmp_report.journal"
_FORMAT = 4  # of a line: another one is not read
_RECORDS = ("golden", "my", "softmax", "slices")
_PLAIN = tuple(one.name for one in fields(Stats) if one.name not in _RECORDS)


class Journal:
    """The answers so far of one compare into `folder`; held by one process at a time.

    Raises UsageError when another process holds it, ReportError when it cannot be written.
    """

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.path = folder / _NAME
        self._header = json.dumps(["ait_cmp", ait_cmp.__version__, _FORMAT, *astuple(wanted)])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        except OSError as exc:
            raise ReportError(
                f"the report cannot be written to {folder}: {os_reason(exc)}; "
                "free the place or choose another with output=…"
            ) from exc
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(self._file)
            raise UsageError(
                f"another compare is writing to {folder}; wait for it or choose another output=…"
            ) from exc
        try:
            self._known = dict(self._read())
        except OSError as exc:
            os.close(self._file)
            raise _no_room(self.path, exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def known(self, request: Request) -> Measured | None:
        """The answer to `request` of an earlier run, if its files are as they were."""
        measured = self._known.get(_key(request))
        if measured is None or not measured.files:
            return None
        try:
            unchanged = all(state_of(state.path) == state for state in measured.files)
        except OSError:
            return None
        return measured if unchanged else None

    def add(self, answers: Sequence[tuple[Request, Measured]]) -> None:
        """Keep `answers`; errors are not kept, since they may not come again."""
        lines = [
            _line(json.dumps([_key(request), _encode(measured)]))
            for request, measured in answers
            if measured.error is None
        ]
        try:
            self._write("".join(lines))
        except OSError as exc:
            raise _no_room(self.path, exc) from exc

    def remove(self) -> None:
        """The report is written: nothing is left to go on from."""
        with contextlib.suppress(OSError):  # what it says stays true
            self.path.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        content = text.encode()
        while content:  # a disk that is nearly full takes a part
            content = content[os.write(self._file, content) :]

    def _read(self) -> Iterator[tuple[str, Measured]]:
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        whole = content.rpartition(b"\n")[0].decode("utf-8", "replace").split("\n")
        os.ftruncate(self._file, content.rfind(b"\n") + 1)
        texts = [line[9:] for line in whole if _line(line[9:]) == f"{line}\n"]
        if texts[:1] != [self._header]:
            os.ftruncate(self._file, 0)
            self._write(_line(self._header))
            return
        for text in texts[1:]:
            key, value = json.loads(text)
            yield key, _decode(value)


def _no_room(path: Path, error: OSError) -> ReportError:
    return ReportError(f"{path} cannot be written: {os_reason(error)}; free some space, then go on")


def _line(text: str) -> str:
    """`text` behind its checksum: a line cut short by a crash does not count."""
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _key(request: Request) -> str:
    """Files, adapters, range and bounds; as text, which comes back from the file as it went."""
    return repr((request.golden, request.my, request.span, request.roots))


def _encode(measured: Measured) -> list[Any]:
    stats = measured.stats
    assert stats is not None
    infos = [[info.dtype.name, info.shape] for info in (measured.golden, measured.my) if info]
    return [
        infos,
        [getattr(stats, name) for name in _PLAIN],
        [_values(stats.golden), _values(stats.my), _values(stats.softmax)],
        _encode_slices(stats.slices) if stats.slices else None,
        measured.evidence and _encode_evidence(measured.evidence),
        [measured.worst, measured.worst_golden, measured.worst_my],
        [_values(state) for state in measured.files],
    ]


def _decode(value: list[Any]) -> Measured:
    infos, plain, (golden, my, softmax), slices, evidence, worst, files = value
    golden_info, my_info = (TensorInfo(DTYPES[name], tuple(shape)) for name, shape in infos)
    stats = Stats(
        **dict(zip(_PLAIN, plain, strict=True)),
        golden=Side(*golden),
        my=Side(*my),
        softmax=Softmax(*softmax),
        slices=_decode_slices(slices) if slices else None,
    )
    states = tuple(FileState(*state) for state in files)
    index, worst_golden, worst_my = worst
    return Measured(
        golden_info,
        my_info,
        stats,
        index,
        worst_golden,
        worst_my,
        states,
        evidence=_decode_evidence(evidence) if evidence else None,
    )


def _encode_evidence(evidence: Evidence) -> list[Any]:
    """As `dataclasses.astuple`, which copies every number and takes ten times as long."""
    return [_values(one) if isinstance(one, Span | Peak) else one for one in _values(evidence)]


def _decode_evidence(value: list[Any]) -> Evidence:
    evidence = Evidence(*value)
    return replace(
        evidence,
        channel=Span(*evidence.channel),  # type: ignore[misc]
        line=Span(*evidence.line),  # type: ignore[misc]
        peak=Peak(*evidence.peak),  # type: ignore[misc]
    )


def _encode_slices(slices: Slices) -> list[Any]:
    top = slices.top
    arrays = (
        slices.lines.sums, slices.channels.sums, top.differences, top.golden, top.indices
    )  # fmt: skip
    texts = [base64.b64encode(array.tobytes()).decode() for array in arrays]
    return [
        texts,
        slices.golden_bits,
        slices.my_bits,
        slices.gridded,
        slices.nonfinite_saturated,
    ]


def _decode_slices(value: list[Any]) -> Slices:
    texts, *marks = value
    *reals, whole = (base64.b64decode(text) for text in texts)
    lines, channels, differences, golden = (np.frombuffer(data) for data in reals)
    return Slices(
        Table(lines.reshape(5, -1)),
        Table(channels.reshape(5, -1)),
        Top(differences, golden, np.frombuffer(whole, np.int64)),
        *marks,
    )


def _values(record: Side | Softmax | FileState | Evidence | Span | Peak) -> list[Any]:
    return [getattr(record, one.name) for one in fields(record)]
