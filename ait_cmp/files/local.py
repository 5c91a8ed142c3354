"""Files of this machine, and of what is mounted on it."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ait_cmp.files.roots import allowed_roots
from ait_cmp.files.scheme import Entry, FileState
from ait_cmp.values.errors import PairError, Reason, os_reason
from ait_cmp.values.paths import is_below

__all__ = [
    "LocalFile",
    "ends_of",
    "file_numbers",
    "holds",
    "list_folder",
    "look_again",
    "look_at",
    "names_in",
    "open_file",
    "planned",
    "planned_state",
    "real_path",
    "state_of",
]

# Opening a FIFO would wait for a writer, and a terminal could become ours.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# What open() says of a socket, and of a device that is not there.
_NO_FILE = {errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP}
# What stat() says of a path that leads to nothing.
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
# A file up to this size is read whole at once: that is one system call, and a mapping is more.
_READ_WHOLE = 64 << 10  # bytes
# File systems date changes by a clock that ticks this often, or more: network and FAT ones.
_CLOCK_TICK = 2 * 10**9  # nanoseconds
_SEEN = 1 << 17  # files of which what was seen is kept until they are planned


class _Seen(threading.local):
    """What was seen at paths since a run began, until its work is planned."""

    found: dict[str, os.stat_result] | None = None


_seen = _Seen()
Listing = TypeVar("Listing")


class LocalFile:
    """A regular file, open for reading until its last user is gone.

    Header and data come from one descriptor, so a file that is replaced meanwhile is not
    mixed with its successor. Raises FileNotFoundError when there is no such file; PairError
    NOT_A_FILE, at once, for a folder, FIFO, device or socket; OUTSIDE_ROOTS for a file that
    `confined_to` forbids; FILE_UNREADABLE for any other failure.
    """

    is_mapped = True
    __slots__ = ("_changed_ns", "_descriptor", "_map", "content", "path", "size", "state")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self.content: bytes | None = None
        try:
            self._descriptor = os.open(path, _FLAGS)
            status = os.fstat(self._descriptor)
        except FileNotFoundError:
            raise
        except OSError as exc:
            reason = Reason.NOT_A_FILE if exc.errno in _NO_FILE else Reason.FILE_UNREADABLE
            raise PairError(reason, f"{path} cannot be read: {os_reason(exc)}") from exc
        except ValueError as exc:  # NUL, or a lone surrogate
            raise PairError(Reason.FILE_UNREADABLE, f"{path} cannot be a path: {exc}") from exc
        if not stat.S_ISREG(status.st_mode):
            raise PairError(
                Reason.NOT_A_FILE, f"{path} is {_kind(status.st_mode)}, not a regular file"
            )
        roots = allowed_roots()
        if roots is not None:
            _refuse_outside(roots, path, self._descriptor)
        self.size = status.st_size
        self.state = _state(path, status)
        self._changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        if self.size <= _READ_WHOLE:
            self.content = self.read(0, self.size)
            self._close()

    def __del__(self) -> None:
        self._close()

    @property
    def is_settled(self) -> bool:
        """Whether another content would surely have another state."""
        return time.time_ns() - self._changed_ns > _CLOCK_TICK

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length). Raises PairError: IN_TRUNCATED where they end early,
        FILE_UNREADABLE for any other failure."""
        if self.content is None:
            data = self._pread(start, length)
        else:
            data = self.content[start : start + length]
        if len(data) < length:
            raise PairError(
                Reason.IN_TRUNCATED, f"{self.path} was truncated while it was read; dump it again"
            )
        return data

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing: the system reads ahead by itself."""

    def copy(self, start: int, length: int) -> bytes:
        """As `read` does."""
        return self.read(start, length)

    def map(self) -> bytes | mmap.mmap:
        """All bytes, not read before they are used. Raises PairError FILE_UNREADABLE."""
        if self.content is not None:
            return self.content
        if self._map is None:
            try:
                self._map = mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as exc:  # ValueError: it has become shorter
                why = os_reason(exc) if isinstance(exc, OSError) else "it was truncated"
                raise PairError(
                    Reason.FILE_UNREADABLE, f"{self.path} cannot be mapped: {why}"
                ) from exc
        return self._map

    def _pread(self, start: int, length: int) -> bytes:
        """As many of these bytes as there are."""
        try:
            data = os.pread(self._descriptor, length, start)
            # A signal, and 2 GiB, end a read early.
            while len(data) < length:
                more = os.pread(self._descriptor, length - len(data), start + len(data))
                if not more:
                    break
                data += more
        except OSError as exc:
            raise _unreadable(self.path, "read", exc) from exc
        return data

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


open_file = LocalFile


def state_of(path: str) -> FileState:
    """The state in which `path` is now. Raises OSError for every failure."""
    try:
        return _state(path, os.stat(path))
    except ValueError as exc:
        raise OSError(errno.EINVAL, f"it cannot be a path: {exc}", path) from exc


def look_again() -> None:
    """A run begins: what is seen from now on is seen once, until it is planned."""
    _seen.found = {}


def planned_state(path: str) -> FileState:
    """As `state_of`, by what was seen since the run began."""
    known = _seen.found.get(path) if _seen.found else None
    return _state(path, known) if known else state_of(path)


def planned() -> None:
    """All is planned: whatever is asked from now on is looked at."""
    _seen.found = None


def holds(state: FileState) -> bool:
    """Whether a file is still in `state`. Raises OSError."""
    return state_of(state.path) == state


def look_at(path: str) -> Entry | None:
    """What is at `path`, links followed; None where nothing is."""
    try:
        return _entry(path, os.path.basename(path), _status(path))
    except ValueError:  # NUL, or a lone surrogate
        return None
    except OSError as exc:
        if exc.errno in _NOTHING_THERE:
            return None
        raise _unreadable(path, "read", exc) from exc


def _status(path: str) -> os.stat_result:
    seen = _seen.found
    if seen is None:
        return os.stat(path)
    status = seen.get(path)
    if status is None:
        status = os.stat(path)
        if len(seen) < _SEEN:
            seen[path] = status
    return status


def list_folder(path: str) -> list[Entry]:
    """What is in a folder, links followed, by name. Raises FileNotFoundError, PairError
    FILE_UNREADABLE for any other failure."""

    def entries(found: Iterator[os.DirEntry[str]]) -> list[Entry]:
        within = os.path.join(path, "")
        return [_listed(one, within) for one in sorted(found, key=lambda one: one.name)]

    return _scan(path, entries)


def names_in(path: str) -> frozenset[str]:
    """What is there in a folder, links followed. Raises as `list_folder` does."""

    def names(found: Iterator[os.DirEntry[str]]) -> frozenset[str]:
        there = [one.name for one in found if not one.is_symlink() or os.path.exists(one.path)]
        return frozenset(there)

    return _scan(path, names)


def file_numbers(path: str) -> dict[str, int]:
    """Of the regular files in a folder that are no links, their inodes. Raises as `list_folder`
    does."""

    def numbers(found: Iterator[os.DirEntry[str]]) -> dict[str, int]:
        return {one.name: one.inode() for one in found if one.is_file(follow_symlinks=False)}

    return _scan(path, numbers)


def _scan(path: str, read: Callable[[Iterator[os.DirEntry[str]]], Listing]) -> Listing:
    roots = allowed_roots()
    try:
        if roots is not None:
            return _scan_within(roots, path, read)
        with os.scandir(path) as found:
            return read(found)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _unreadable(path, "listed", exc) from exc
    except ValueError as exc:
        raise PairError(Reason.FILE_UNREADABLE, f"{path} cannot be a path: {exc}") from exc


def _scan_within(
    roots: tuple[str, ...], path: str, read: Callable[[Iterator[os.DirEntry[str]]], Listing]
) -> Listing:
    """The same of a folder below `roots`. Raises PairError OUTSIDE_ROOTS for any other."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _refuse_outside(roots, path, descriptor)
        with os.scandir(f"/proc/self/fd/{descriptor}") as found:
            return read(found)
    finally:
        os.close(descriptor)


def _refuse_outside(roots: tuple[str, ...], path: str, descriptor: int) -> None:
    # Where the descriptor leads, not the path: that could lead elsewhere by now.
    real = os.readlink(f"/proc/self/fd/{descriptor}")
    if not any(is_below(real, root) for root in roots):
        raise PairError(
            Reason.OUTSIDE_ROOTS, f"{path} leads to {real}, which is in none of allowed_roots"
        )


def ends_of(path: str, first: int, last: int) -> tuple[bytes, bytes]:
    """How a regular file begins and ends, so many bytes of it; nothing where that cannot be
    read."""
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return b"", b""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b"", b""
        roots = allowed_roots()
        if roots is not None:
            _refuse_outside(roots, path, descriptor)
        tail = os.pread(descriptor, last, max(0, status.st_size - last)) if last else b""
        return os.pread(descriptor, first, 0), tail
    except OSError:
        return b"", b""
    finally:
        os.close(descriptor)


def real_path(path: str) -> str:
    """The absolute path that `path` leads to, links followed; of what is not there, too."""
    with contextlib.suppress(ValueError, OSError):
        return os.path.realpath(path)
    return path


def _state(path: str, status: os.stat_result) -> FileState:
    version = f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return FileState(path, status.st_size, version)


def _listed(found: os.DirEntry[str], within: str) -> Entry:
    path = within + found.name
    if found.is_file(follow_symlinks=False):  # the listing says so, and needs no stat()
        return Entry(path, found.name, is_folder=False, is_file=True)
    try:
        return _entry(path, found.name, found.stat(), is_link=found.is_symlink())
    except OSError:  # a link that leads nowhere: opening it says why
        return Entry(path, found.name, is_folder=False, is_file=False, is_link=True)


def _entry(path: str, name: str, status: os.stat_result, *, is_link: bool = False) -> Entry:
    return Entry(
        path,
        name,
        is_folder=stat.S_ISDIR(status.st_mode),
        is_file=stat.S_ISREG(status.st_mode),
        is_link=is_link,
        identity=f"{status.st_dev}-{status.st_ino}",
        modified=status.st_mtime,
    )


def _unreadable(path: str, done: str, error: OSError) -> PairError:
    return PairError(Reason.FILE_UNREADABLE, f"{path} cannot be {done}: {os_reason(error)}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
