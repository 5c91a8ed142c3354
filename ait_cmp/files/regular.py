"""The one place where a tensor file, or a mapping, is opened."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ait_cmp.values.errors import PairError, Reason, os_reason

__all__ = ["RegularFile", "confined_to"]

# Real paths of the folders below which files may be opened; None: anywhere.
_roots: ContextVar[tuple[str, ...] | None] = ContextVar("allowed_roots", default=None)
# What open() says of a socket, and of a device that is not there.
_NO_FILE = {errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP}


@contextmanager
def confined_to(roots: Sequence[str] | None) -> Iterator[None]:
    """While this holds, nothing outside the folders `roots` is opened (None: no bounds)."""
    real = None if roots is None else tuple(map(os.path.realpath, roots))
    token = _roots.set(real)
    try:
        yield
    finally:
        _roots.reset(token)


class RegularFile:
    """A regular file, open for reading until its last user is gone.

    Header and data come from one descriptor, so a file that is replaced meanwhile is not
    mixed with its successor. Raises FileNotFoundError when there is no such file; PairError
    NOT_A_FILE, at once, for a folder, FIFO, device or socket; OUTSIDE_ROOTS for a file that
    `confined_to` forbids; FILE_UNREADABLE for any other failure.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        try:
            # Opening a FIFO would wait for a writer, and a terminal could become ours.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            self._descriptor = os.open(path, flags)
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
        self._refuse_outside()
        self.size = status.st_size

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length). Raises PairError IN_TRUNCATED where they end early."""
        data = os.pread(self._descriptor, length, start)
        while len(data) < length:
            more = os.pread(self._descriptor, length - len(data), start + len(data))
            if not more:
                raise PairError(
                    Reason.IN_TRUNCATED,
                    f"{self.path} was truncated while it was read; dump it again",
                )
            data += more
        return data

    def map(self) -> mmap.mmap | bytes:
        """The whole file, mapped read-only."""
        if self.size == 0:  # which cannot be mapped
            return b""
        try:
            return mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as exc:  # ValueError: it has become shorter
            why = os_reason(exc) if isinstance(exc, OSError) else "it was truncated"
            raise PairError(Reason.FILE_UNREADABLE, f"{self.path} cannot be mapped: {why}") from exc

    def _refuse_outside(self) -> None:
        roots = _roots.get()
        if roots is None:
            return
        # Where the descriptor leads, not the path: that could lead elsewhere by now.
        real = os.readlink(f"/proc/self/fd/{self._descriptor}")
        if not any(os.path.commonpath((root, real)) == root for root in roots):
            raise PairError(
                Reason.OUTSIDE_ROOTS,
                f"{self.path} leads to {real}, which is in none of allowed_roots",
            )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
