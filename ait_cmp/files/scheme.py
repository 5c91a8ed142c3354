"""What every scheme of paths offers, and the values that it deals in."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Entry", "FarScheme", "FileState", "OpenFile", "Scheme"]


@dataclass(frozen=True, slots=True)
class FileState:
    """Which file, in which state: equal means the same file with the same content.

    `version` is opaque: each scheme has its own way to tell one content from the next.
    """

    path: str
    size: int
    version: str


@dataclass(slots=True)  # frozen, it would take three times as long to make: there may be a million
class Entry:
    """One name in a folder, links followed: a folder, a regular file or something else.

    A link that leads nowhere is neither folder nor file. `identity` is the same for two paths that
    lead to one file or folder; `modified` is when its content changed last, in seconds since the
    epoch. Of a file, only `look_at` tells them: a listing need not know.
    """

    path: str
    name: str
    is_folder: bool
    is_file: bool
    is_link: bool = field(default=False, compare=False)  # told by a listing
    identity: str = field(default="", compare=False)
    modified: float = field(default=0.0, compare=False)


class OpenFile(Protocol):
    """A file, open for reading until its last user is gone; all of it is of one state."""

    @property
    def path(self) -> str:
        """The path that was opened."""

    @property
    def size(self) -> int:
        """Bytes at opening."""

    @property
    def state(self) -> FileState:
        """The state at opening."""

    @property
    def content(self) -> bytes | None:
        """All bytes of a small file, which was read at opening; None of a larger one."""

    @property
    def is_settled(self) -> bool:
        """Whether another content would surely have another state: a file that was written just
        now may be written again without a change of its times."""

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length). Raises PairError: IN_TRUNCATED where they end early,
        FILE_UNREADABLE for any other failure."""

    @property
    def is_mapped(self) -> bool:
        """Whether `map` reads nothing that is not used; else what is wanted is read or copied."""

    def expect(self, ranges: Sequence[tuple[int, int]], /) -> None:
        """The bytes in these ranges will be read soon, in this order."""

    def map(self) -> bytes | mmap.mmap:
        """All bytes, not read before they are used. Raises PairError FILE_UNREADABLE."""

    def copy(self, start: int, length: int, /) -> bytes | mmap.mmap:
        """The bytes [start, start + length), to be read in any order. Raises as `read` does."""


class Scheme(Protocol):
    """What reads the paths of one scheme.

    Paths are text, as users write them. Each function raises what it names and PairError
    FILE_UNREADABLE for any other failure.
    """

    def open_file(self, path: str, /) -> OpenFile:
        """`path`, open. Raises FileNotFoundError, PairError NOT_A_FILE and OUTSIDE_ROOTS."""

    def ends_of(self, path: str, first: int, last: int, /) -> tuple[bytes, bytes]:
        """How a regular file begins and ends, so many bytes of it, at less cost than opening it;
        nothing where that cannot be read, which opening it explains. Raises PairError
        OUTSIDE_ROOTS."""

    def state_of(self, path: str, /) -> FileState:
        """The state in which `path` is now. Raises OSError for every failure."""

    def holds(self, state: FileState, /) -> bool:
        """Whether a file that was read is still in `state`. Raises OSError, PairError."""

    def look_at(self, path: str, /) -> Entry | None:
        """What is at `path`, links followed; None where nothing is."""

    def list_folder(self, path: str, /) -> Sequence[Entry]:
        """What is in a folder, links followed, by name. Raises FileNotFoundError."""

    def names_in(self, path: str, /) -> frozenset[str]:
        """The names of `list_folder` but those of links that lead nowhere, at less cost."""

    def file_numbers(self, path: str, /) -> dict[str, int]:
        """Of the regular files in a folder that are no links, a number each: names of one file
        have the same, and on one device no others."""

    def real_path(self, path: str, /) -> str:
        """The absolute path that `path` leads to, links followed; of what is not there, too."""


class FarScheme(Scheme, Protocol):
    """One whose files are far away, so that it asks before it is asked, and keeps what it found."""

    def open_soon(self, paths: Sequence[str], /) -> None:
        """These files will be opened, about in this order."""

    def look_again(self) -> None:
        """What was found before may be untrue by now."""
