"""What is written to an output folder: whole or not at all, and never through a link in it.

A folder that was unpacked from an archive of others may hold links to any file of the user.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ait_cmp.new_file import in_place_of, new_beside
from ait_cmp.values.errors import ReportError, os_reason

__all__ = [
    "in_places_of",
    "new_file",
    "new_whole",
    "no_links",
    "no_room",
    "own_folder",
    "write_whole",
]


def own_folder(path: Path) -> Path:
    """`path`, made if it is not there. Raises ReportError where it is a link, OSError."""
    no_links(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def no_links(*paths: Path) -> None:
    """Raises ReportError for the first that is a link."""
    for path in paths:
        if path.is_symlink():
            raise ReportError(
                f"{path} is a link, which is not written through; remove it or choose another "
                "output=…"
            )


def new_file(place: Path) -> Path:
    """An empty file beside `place`, to be written to and renamed to it; others of the kind go,
    since one process at a time writes there, and those are of one that was killed. Raises
    OSError."""
    for left in place.parent.glob(f".{place.name}.{'[0-9a-f]' * 32}.tmp"):
        left.unlink(missing_ok=True)
    return Path(new_beside(str(place)))


@contextmanager
def in_places_of(places: Sequence[Path]) -> Iterator[list[Path]]:
    """Files to write to as `new_file` makes them, which come in these places together, when all of
    all is on the disk; none is left where one cannot be written. Raises OSError."""
    with ExitStack() as clean_up:
        temporaries = []
        for place in places:
            temporaries.append(temporary := new_file(place))
            clean_up.callback(temporary.unlink, missing_ok=True)
        yield temporaries
        for temporary in temporaries:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        for temporary, place in zip(temporaries, places, strict=True):
            os.replace(temporary, place)


@contextmanager
def new_whole(place: Path) -> Iterator[BinaryIO]:
    """The same of one, open to be written to. Raises OSError."""
    with in_places_of([place]) as (temporary,), temporary.open("wb") as file:
        yield file


def no_room(path: Path, error: OSError, named_by: str = "output") -> ReportError:
    """Why what is kept of a run, to go on from it or to judge it again, or a page cannot be written
    where the setting of that name says."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    way_out = "free some space, then go on" if full else f"free it or choose another {named_by}=…"
    return ReportError(f"{path} cannot be written: {os_reason(error)}; {way_out}")


def write_whole(place: Path, text: str) -> None:
    """Put `text` in the place of whatever is at `place`. Raises OSError."""
    with in_place_of(str(place)) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
