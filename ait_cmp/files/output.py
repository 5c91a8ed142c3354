"""What is written to an output folder: whole or not at all, and never through a link in it.

A folder that was unpacked from an archive of others may hold links to any file of the user.
"""

from __future__ import annotations

from pathlib import Path

from ait_cmp.new_file import in_place_of, new_beside
from ait_cmp.values.errors import ReportError

__all__ = ["new_file", "no_links", "own_folder", "write_whole"]


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


def write_whole(place: Path, text: str) -> None:
    """Put `text` in the place of whatever is at `place`. Raises OSError."""
    with in_place_of(str(place)) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
