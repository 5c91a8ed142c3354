"""The file that the fingerprints of a run are in: a `.safetensors` container that grows.

    8 bytes   how long the header is
    header    {"__metadata__": {"format": FORMAT}, NAME: {"dtype": "U8", …}, …}, and blanks
    data      a fingerprint each NAME, and under names of `is_lines` JSON lines on what they are of

Whatever ends the process, the last commit is whole: one writes its data behind those of others,
then its entries behind the brace that closes the header, and last makes that brace a comma.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ait_cmp.dump_tree import other_fingerprints
from ait_cmp.new_file import in_place_of, is_made

__all__ = [
    "FORMAT",
    "HEADER_LIMIT",
    "Container",
    "entries_in",
    "is_lines",
    "lines_of",
    "of_unlike",
    "opening",
    "unused_beside",
]

_LOGGER = logging.getLogger(__name__)

FORMAT = "ait_cmp.fingerprints"
HEADER_LIMIT = 100_000_000  # bytes, as the format's own library has it: some 500,000 tensors
_LINES = "__lines__/"
_ROOM = 1 << 16  # bytes that a header is given at first
_ALIGNED = 8  # bytes that the length of a header is a multiple of
_STAGED = 64 << 20  # bytes that wait for a commit at most
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def opening() -> bytes:
    """How the header of every such file begins."""
    return f'{{"__metadata__":{{"format":"{FORMAT}"'.encode()


def is_lines(name: str) -> bool:
    """Whether an entry of this name has JSON lines, and no fingerprint."""
    return name.startswith(_LINES)


def entries_in(header: bytes) -> dict[str, tuple[int, int]]:
    """Where the bytes of each name are, counted from the first of the data, as `header` says, of
    the last commit that is whole. Raises ValueError."""
    try:
        members, _ = json.JSONDecoder(object_pairs_hook=of_unlike).raw_decode(header.decode())
        del members["__metadata__"]
        return {name: _place(entry["data_offsets"]) for name, entry in members.items()}
    except (KeyError, TypeError, RecursionError) as exc:
        raise ValueError("its header is none of fingerprints") from exc


def lines_of(path: str) -> Iterator[dict[str, Any]]:
    """The lines of the file at `path`, of all commits. Raises OSError, ValueError."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_LIMIT or file.read(len(opening())) != opening():
            raise ValueError(f"{path} holds no fingerprints")
        file.seek(8)
        for name, (start, stop) in entries_in(file.read(length)).items():
            if is_lines(name):
                file.seek(8 + length + start)
                yield from map(json.loads, file.read(stop - start).splitlines())


def unused_beside(path: str) -> str:
    """An empty file beside that at `path`, for what cannot be there. Raises OSError."""
    names = (other_fingerprints(path, again) for again in itertools.count(1))
    return next(name for name in names if is_made(name))


def of_unlike(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a name comes twice: readers differ on which counts."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("its header has a name twice")
    return found


def _place(offsets: Any) -> tuple[int, int]:
    start, stop = offsets
    if type(start) is not int or type(stop) is not int or not 0 <= start <= stop:
        raise ValueError("its header has an entry without a place")
    return start, stop


class _Entry(NamedTuple):
    """Where the bytes of a name are, counted from the first of the data."""

    name: str
    start: int
    stop: int

    @property
    def text(self) -> bytes:
        """What the header says of it."""
        size = self.stop - self.start
        return (
            f'{json.dumps(self.name)}:{{"dtype":"U8","shape":[{size}],'
            f'"data_offsets":[{self.start},{self.stop}]}}'
        ).encode()


class Container:
    """Writes such a file, of one process and any of its threads. What is added stays in memory
    until a commit; its methods raise OSError where the disk does not take it."""

    def __init__(self, path: str, facts: Mapping[str, str] | None = None) -> None:
        """A new file at `path`, whatever is there; `facts` stand in its metadata."""
        self.path = path
        self._facts = "".join(
            f",{json.dumps(key)}:{json.dumps(value)}" for key, value in (facts or {}).items()
        ).encode()
        self._lock = threading.RLock()
        self._names: set[str] = set()
        self._known: dict[bytes, str] = {}  # digest of a content -> its name
        self._staged: list[tuple[str, bytes]] = []
        self._waiting = 0
        self._lines: list[bytes] = []
        self._entries: list[_Entry] = []
        self._size = 0  # of the data that are committed
        self._file = -1
        self._rewrite(self._entries, _ROOM)

    def add(self, name: str, content: bytes) -> str:
        """Take `content` to be committed; the name that it has got: a name is of one content, and a
        content that is there already keeps the name it has."""
        digest = hashlib.blake2b(content, digest_size=16).digest()
        with self._lock:
            if digest in self._known:
                return self._known[digest]
            again, own = 0, name
            while own in self._names or is_lines(own):
                again += 1
                own = f"{name.removeprefix(_LINES)}#{again}"
            self._names.add(own)
            self._known[digest] = own
            self._staged.append((own, content))
            self._waiting += len(content)
            if self._waiting > _STAGED:
                self.commit()
            return own

    def say(self, line: Mapping[str, object]) -> None:
        """Take a line on what the tensors are to be committed."""
        with self._lock:
            self._lines.append(json.dumps(line, separators=(",", ":")).encode())

    def commit(self) -> None:
        """Put what was taken since the last commit into the file."""
        with self._lock:
            staged = list(self._staged)
            if self._lines:
                staged.append((f"{_LINES}{len(self._entries)}", _joined(self._lines)))
            if not staged:
                return
            if not self._is_in_place():
                self._rewrite(self._entries, _ROOM)
            new, place = [], self._size
            for name, content in staged:
                new.append(_Entry(name, place, place + len(content)))
                place += len(content)
            self._append(new, [content for _, content in staged])
            self._staged, self._lines, self._waiting = [], [], 0

    def close(self) -> None:
        """Commit, and give back the room that the file has no use for any more."""
        with self._lock:
            if self._file < 0:
                return
            try:
                self.commit()
                self._is_in_place()
                self._rewrite(self._joined_entries(), 0)
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Be closed as it is, with the last commit."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    # -- how a commit goes

    def _is_in_place(self) -> bool:
        """Whether the open file is the one at its path, which may have been moved or deleted. One
        that somebody else put there stays there, and the path becomes another."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        if os.path.samestat(os.fstat(self._file), found):
            return True
        others, self.path = self.path, unused_beside(self.path)
        _LOGGER.warning(
            "%s was written by another process meanwhile; the fingerprints of this one are in %s",
            others,
            self.path,
        )
        return False

    def _append(self, new: Sequence[_Entry], contents: Sequence[bytes]) -> None:
        text = b",".join(entry.text for entry in new) + b"}"
        if self._brace + 1 + len(text) > self._begin:
            self._rewrite(self._entries, 2 * (len(text) + self._brace))
        place = self._begin + self._size
        try:
            for content in contents:
                _write_all(self._file, content, place)
                place += len(content)
            _write_all(self._file, text, self._brace + 1)
        except OSError:
            with contextlib.suppress(OSError):  # as it was before
                os.ftruncate(self._file, self._begin + self._size)
                _write_all(self._file, b" " * len(text), self._brace + 1)
            raise
        os.pwrite(self._file, b",", self._brace)
        self._brace += len(text)
        self._size = new[-1].stop
        self._entries += new

    def _rewrite(self, entries: Sequence[_Entry], room: int) -> None:
        """The file anew, with the data of `entries`, and room for so many bytes more of a header;
        where data have moved, their old places are theirs in `self._entries`."""
        moved, size = [], 0
        for entry in entries:
            moved.append(_Entry(entry.name, size, size + entry.stop - entry.start))
            size = moved[-1].stop
        text = opening() + self._facts + b"}"
        text = b",".join([text, *(entry.text for entry in moved)]) + b"}"
        if len(text) > HEADER_LIMIT - _ALIGNED:
            raise OSError(errno.EFBIG, f"{self.path} has more tensors than a header has room for")
        length = min(len(text) + room, HEADER_LIMIT)
        length += -length % _ALIGNED
        blanks = length - len(text)
        with in_place_of(self.path) as temporary:
            file = os.open(temporary, _FLAGS)
            try:
                _write_all(file, length.to_bytes(8, "little") + text + b" " * blanks, 0)
                self._copy(entries, file, 8 + length)
            except BaseException:
                os.close(file)
                raise
        self.abandon()
        self._file, self._begin, self._brace = file, 8 + length, 7 + len(text)
        self._entries, self._size = moved, size

    def _copy(self, entries: Sequence[_Entry], target: int, place: int) -> None:
        """The data of `entries` to `place` in another file, one behind the other."""
        os.lseek(target, place, os.SEEK_SET)
        for start, stop in _runs(entries):
            while start < stop:
                start += os.sendfile(target, self._file, self._begin + start, stop - start)

    def _joined_entries(self) -> list[_Entry]:
        """The entries, the lines of all commits as one."""
        lines = [entry for entry in self._entries if is_lines(entry.name)]
        if len(lines) < 2:
            return list(self._entries)
        parts = [os.pread(self._file, e.stop - e.start, self._begin + e.start) for e in lines]
        self._lines = [part.rstrip(b"\n") for part in parts]
        self.commit()
        return [e for e in self._entries[:-1] if not is_lines(e.name)] + [self._entries[-1]]


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _runs(entries: Sequence[_Entry]) -> list[tuple[int, int]]:
    """Where the data of `entries` are, those that lie in a row together."""
    runs: list[tuple[int, int]] = []
    for _, start, stop in entries:
        if runs and runs[-1][1] == start:
            runs[-1] = runs[-1][0], stop
        else:
            runs.append((start, stop))
    return runs


def _write_all(file: int, content: bytes, place: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, place)
        view, place = view[written:], place + written
