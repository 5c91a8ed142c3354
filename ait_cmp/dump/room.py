"""How much may still be dumped: so many bytes as the user says, and not the last of the disk."""

from __future__ import annotations

import fcntl
import os
import re
import threading

from ait_cmp.values.errors import UsageError

__all__ = ["Room", "byte_count", "refuse_full_disk"]

_LEFT_FREE = 256 << 20  # bytes of a disk, or one in a hundred where that is less
_COUNT = re.compile(r"([0-9]{1,15})\s*(?:([KMGT])(i?)B?|B)?", re.ASCII | re.IGNORECASE)


class Room:
    """What a process may dump. Its processes count together in a file, where they have one."""

    def __init__(self, max_bytes: int | None, counter: str = "") -> None:
        self._most = max_bytes
        self._counter = counter
        self._lock = threading.Lock()
        self._taken = 0

    def refusal(self, folder: str, size: int) -> str | None:
        """Why `size` more bytes below `folder` are too many; None, with the bytes taken, where they
        are not."""
        with self._lock:
            if self._most is not None and not self._takes(size):
                return f"--max-bytes {self._most} are used up"
        return _full_disk(folder, size)

    def _takes(self, size: int) -> bool:
        assert self._most is not None
        try:
            file = os.open(self._counter, os.O_RDWR) if self._counter else -1
        except OSError:  # the command that made it is gone
            file = -1
        if file < 0:
            self._taken += size
            return self._taken <= self._most
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._taken = int.from_bytes(os.pread(file, 8, 0), "little") + size
            os.pwrite(file, self._taken.to_bytes(8, "little"), 0)
        finally:
            os.close(file)
        return self._taken <= self._most


def refuse_full_disk(folder: str, size: int) -> None:
    """Raise OSError where the disk of `folder` would be full with `size` more bytes."""
    why = _full_disk(folder, size)
    if why:
        raise OSError(why)


def _full_disk(folder: str, size: int) -> str | None:
    try:
        disk = os.statvfs(folder)
    except OSError:  # the write will tell
        return None
    whole, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if not whole or free - size >= min(_LEFT_FREE, whole // 100):
        return None
    return f"the disk of {folder} has {free} bytes left and would be full"


def byte_count(text: str) -> int:
    """`20000000`, `20MB` or `20MiB` as a number. Raises UsageError."""
    match = _COUNT.fullmatch(text.strip())
    if not match or not int(match[1]):
        raise UsageError(f"--max-bytes {text} is no number of bytes; write 20000000, 20MB or 2GiB")
    number, unit, binary = match.groups()
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    factor: int = (1024 if binary else 1000) ** power
    return int(number) * factor
