"""Files that were not there before: what lies in a folder of others, a link say, is never written
through."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["in_place_of", "is_made", "new_beside"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 100  # characters of what a temporary file is for; a name has at most 255 bytes


def is_made(path: str) -> bool:
    """Make an empty file, where nothing is, not even a link to nothing. Raises OSError."""
    try:
        os.close(os.open(path, _NEW, 0o666))
    except FileExistsError:
        return False
    return True


def new_beside(place: str) -> str:
    """An empty file beside `place`, of a name that nobody guesses, to be written to and renamed
    to it. Raises OSError."""
    folder, name = os.path.split(place)
    short = name.encode("utf-8", "surrogateescape")[:_NAMED].decode("utf-8", "ignore")
    path = os.path.join(folder, f".{short}.{os.urandom(16).hex()}.tmp")
    os.close(os.open(path, _NEW, 0o666))
    return path


@contextmanager
def in_place_of(place: str) -> Iterator[str]:
    """A file to write to, which comes in the place of whatever is at `place` when all went well,
    and is gone when not. Raises OSError."""
    path = new_beside(place)
    try:
        yield path
        os.replace(path, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
