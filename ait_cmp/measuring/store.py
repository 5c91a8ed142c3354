"""What was measured, kept beside the report: cmp_report.stats.

While a compare runs, batches of rows are appended to `cmp_report.stats.part`, ranges of large
pairs among them; when the report of all stands, a file of whole rows, in which each stands once,
is renamed to `cmp_report.stats`. An older one stays until then, as the older report does: whatever
happens, there are the stats of the last finished run, and what a newer one has done so far. A
compare goes on from both, as far as the engine, the wanted stats and the state of every file are
the same; where nothing is left to measure, the finished one stays as it is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ait_cmp
from ait_cmp.engine import digest
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Request, Wanted
from ait_cmp.files import is_same
from ait_cmp.files.output import new_whole, no_room
from ait_cmp.measuring.batches import BadHeaderError, header_bytes, pack_batch, read_header, scan
from ait_cmp.measuring.places import PlacedRows, file_of, make_place
from ait_cmp.measuring.row import (
    files_in,
    is_measured,
    is_of_range,
    key_bytes,
    key_in,
    short_key,
    unpack_row,
)
from ait_cmp.values.errors import ReportError, UsageError, os_reason

__all__ = ["NAME", "Store", "facts_of", "holding", "write_finished"]

NAME = "cmp_report.stats"
_COPIED = 256  # rows of a batch, where rows are brought together
_PART, _SEALED = 0, 1  # files of places
# Never through a link, and never waiting for a FIFO.
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC


class Store:
    """The rows of one compare into `folder`, held by one process at a time.

    Raises UsageError where another process holds it or something else is in its place,
    ReportError where it cannot be written.
    """

    def __init__(self, folder: Path, wanted: Wanted, roots: Sequence[str] | None = None) -> None:
        self.path = folder / NAME
        self._part_path, self._new_path = (folder / f"{NAME}{end}" for end in (".part", ".new"))
        self._facts = facts_of(wanted, roots)
        # Of every row and range of earlier runs, by the hash of its key, until it is asked for.
        self._places: dict[bytes, int] = {}
        self._mine: list[int] = []  # the places of the whole rows of this run
        self._sealed = self._part = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._part = _open_part(self._part_path)
            self._sealed = _open_sealed(self.path)
            _lock(folder, self._part, self._sealed)
            if not _stands(self._part, self._part_path):
                raise _held(folder)  # until a moment ago, and it has another file now
        except OSError as exc:
            self._close()
            raise ReportError(
                f"the report cannot be written to {folder}: {os_reason(exc)}; "
                "free the place or choose another with output=…"
            ) from exc
        except UsageError:
            self._close()
            raise
        try:
            self._sealed_rows, self._sealed_is_sound = self._take(_SEALED, self.path)
            self._part_rows, self._part_is_sound = self._take(_PART, self._part_path)
            if not self._part_is_sound and not self._part_rows:
                self._begin()
            self.rows = self._readable()
        except OSError as exc:
            self._close()
            raise no_room(self._part_path, exc) from exc
        except UsageError:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of earlier runs."""
        return not self._places

    def known(self, request: Request) -> Measured | None:
        """The answer to `request` of an earlier run, if its files are as they were; of a range with
        its slices, which are to be merged."""
        found = self.find(request)
        return unpack_row(found[0], whole=request.span is not None) if found else None

    def find(self, request: Request) -> tuple[bytes, int] | None:
        """The row that answers `request`, of an earlier run, and its place; None where there is
        none, or its files are not as they were."""
        if self.is_new:
            return None
        key = key_bytes(request)
        short = short_key(key)
        place = self._places.pop(short, None)
        if place is None:
            return None
        if not self._places:
            self._places = {}  # which gives its room back
        row = self.rows.read(place)
        if key_in(row) != key:
            return None
        files = files_in(row)
        if not files or not all(map(is_same, files)):
            return None
        if request.span is None:
            self._mine.append(place)
        return row, place

    def add(self, rows: Sequence[bytes]) -> list[int | None]:
        """Keep packed rows, each at its place; errors are not kept, since they may not come
        again."""
        kept = [row for row in rows if is_measured(row)]
        if not kept:
            return [None] * len(rows)
        batch, begins = pack_batch(kept)
        try:
            start = os.fstat(self._part).st_size
            _write(self._part, batch)
        except OSError as exc:
            raise no_room(self._part_path, exc) from exc
        self._part_rows += len(kept)
        places = (self._note(row, start + begin) for row, begin in zip(kept, begins, strict=True))
        return [next(places) if is_measured(row) else None for row in rows]

    def finish(self, *, keep: bool = True) -> None:
        """The report of this run stands: its rows are the finished ones, or nothing is left."""
        if keep:
            self._seal()
            return
        for path in (self.path, self._part_path):
            with contextlib.suppress(OSError):  # what it says stays true
                path.unlink(missing_ok=True)

    def _seal(self) -> None:
        places = self._mine
        held = set(map(file_of, places))
        is_done = held <= {_SEALED} and len(places) == self._sealed_rows
        is_whole = held <= {_PART} and len(places) == self._part_rows
        try:
            if not (is_done and self._sealed_is_sound and _stands(self._sealed, self.path)):
                stands = _stands(self._part, self._part_path)
                if not (is_whole and self._part_is_sound and stands):
                    self._bring_together(places)
                os.fsync(self._part)
                os.replace(self._part_path, self.path)
            self._part_path.unlink(missing_ok=True)
        except OSError as exc:
            raise no_room(self._part_path, exc) from exc

    def _readable(self) -> PlacedRows:
        """Both files, opened once more, so that rows can be read after the lock is gone."""
        files = (self._part, self._sealed)
        return PlacedRows(
            [os.open(f"/proc/self/fd/{file}", _READ) if file >= 0 else -1 for file in files]
        )

    def _begin(self) -> None:
        """An empty file of this run, whatever there was."""
        os.ftruncate(self._part, 0)
        _write(self._part, header_bytes(self._facts))
        self._part_is_sound = True

    def _take(self, number: int, path: Path) -> tuple[int, bool]:
        """Note the rows in a file; how many, and whether there is nothing else in it."""
        file = (self._part, self._sealed)[number]
        if file < 0:
            return 0, False
        try:
            facts, end = read_header(file)
        except BadHeaderError as exc:
            raise UsageError(
                f"{path} is no store of stats that can be read ({exc}); remove it, or choose "
                "another output=…"
            ) from exc
        if facts != self._facts:
            return 0, False
        rows, sound = 0, True
        for batch in scan(file, end):
            sound &= batch.start == end
            end = batch.end
            rows += len(batch.rows)
            for offset, row in batch.rows:
                self._places[short_key(key_in(row))] = make_place(number, offset, len(row))
        return rows, sound and end == os.fstat(file).st_size

    def _note(self, row: bytes, offset: int) -> int:
        place = make_place(_PART, offset, len(row))
        if not is_of_range(row):
            self._mine.append(place)
        return place

    def _bring_together(self, places: Sequence[int]) -> None:
        """A new part that holds the rows at `places` and nothing else."""
        self.path.parent.mkdir(parents=True, exist_ok=True)  # it may have been removed
        self._new_path.unlink(missing_ok=True)
        new = _make(self._new_path)
        try:
            fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(new, header_bytes(self._facts))
            for start in range(0, len(places), _COPIED):
                rows = [*map(self.rows.read, places[start : start + _COPIED])]
                _write(new, pack_batch(rows)[0])
            os.replace(self._new_path, self._part_path)
        except BaseException:
            os.close(new)
            self._new_path.unlink(missing_ok=True)
            raise
        os.close(self._part)
        self._part = new

    def _close(self) -> None:
        for file in (self._part, self._sealed):
            if file >= 0:
                os.close(file)
        self._part = self._sealed = -1


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """`folder`, as long as a `Store` of it would be open; nothing is kept there.

    Raises as `Store` does.
    """
    part = folder / f"{NAME}.part"
    with contextlib.ExitStack() as open_files:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _open_part(part)
            open_files.callback(os.close, file)
            if (sealed := _open_sealed(folder / NAME)) >= 0:
                open_files.callback(os.close, sealed)
        except OSError as exc:
            raise no_room(folder, exc) from exc
        _lock(folder, file, sealed)
        if not _stands(file, part):
            raise _held(folder)
        try:
            yield
        finally:
            if _stands(file, part) and not os.fstat(file).st_size:
                part.unlink()


def write_finished(folder: Path, facts: dict[str, Any], rows: Iterator[bytes]) -> None:
    """A finished run of `rows` that no `Store` was open for. Raises ReportError."""
    path = folder / NAME
    try:
        with holding(folder), new_whole(path) as file:
            file.write(header_bytes(facts))
            while batch := [*itertools.islice(rows, _COPIED)]:
                file.write(pack_batch(batch)[0])
    except OSError as exc:
        raise no_room(path, exc) from exc


def facts_of(wanted: Wanted, roots: Sequence[str] | None) -> dict[str, Any]:
    """What must be the same for rows to be taken over: the engine, the stats, where files lie."""
    return {
        "ait_cmp": ait_cmp.__version__,
        "engine": digest(),
        "epsilon": wanted.epsilon,
        "parts": wanted.parts._asdict(),
        "allow_same": wanted.allow_same,
        "roots": None if roots is None else list(roots),
    }


def _open_part(path: Path) -> int:
    """The file that is written to, made if it is not there."""
    try:
        file = os.open(path, _FLAGS | os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return _make(path)
    except OSError as exc:
        raise _other(path, exc) from exc
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(file)
        raise UsageError(f"{path} is {_NOT_OURS}")
    return file


def _open_sealed(path: Path) -> int:
    """The finished run, which is only read; -1 where there is none."""
    try:
        file = os.open(path, _FLAGS | os.O_RDONLY)
    except FileNotFoundError:
        return -1
    except OSError as exc:
        raise _other(path, exc) from exc
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UsageError(f"{path} is {_NOT_OURS}")
    return file


_NOT_OURS = "a link, or no file, and is not written to; remove it, or choose another output=…"


def _other(path: Path, error: OSError) -> Exception:
    """What opening a link, a folder or a socket says, in a sentence."""
    is_other = error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO)
    return UsageError(f"{path} is {_NOT_OURS}") if is_other else error


def _make(path: Path) -> int:
    flags = _FLAGS | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
    return os.open(path, flags, 0o666)


def _lock(folder: Path, *files: int) -> None:
    """Both files, since one takes the other's place while it is held."""
    for file in files:
        try:
            if file >= 0:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise _held(folder) from exc


def _held(folder: Path) -> UsageError:
    return UsageError(
        f"another compare or sweep is writing to {folder}; wait for it or choose another output=…"
    )


def _stands(file: int, path: Path) -> bool:
    """Whether `path` still leads to the open `file`."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:  # a disk that is nearly full takes a part
        view = view[os.write(file, view) :]
