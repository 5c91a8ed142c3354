"""The one place that opens, stats, lists and reads what users give: tensors, mappings, dumps.

To add a scheme of paths: one module with the functions of `Scheme`, and a row in `SCHEMES`.
Nothing here raises but what it names and PairError, whose sentence says path and reason.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import cast

from ait_cmp.files import local
from ait_cmp.files.packages import PACKAGES
from ait_cmp.files.roots import confined_to
from ait_cmp.files.scheme import Entry, FarScheme, FileState, OpenFile, Scheme
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import is_url, public, scheme_of

__all__ = [
    "SCHEMES",
    "Entry",
    "FileState",
    "OpenFile",
    "Scheme",
    "confined_to",
    "ends_of",
    "exists",
    "file_numbers",
    "holds",
    "is_file",
    "is_folder",
    "is_same",
    "list_folder",
    "look_again",
    "look_at",
    "names_in",
    "open_file",
    "open_soon",
    "planned",
    "planned_state",
    "read_small",
    "real_path",
    "same_file",
    "state_of",
]

# What stands before :// in a path -> what reads such paths; a plain path has nothing there.
# A name is that of a module here, which is imported when such a path comes.
SCHEMES: dict[str, Scheme | str] = {"": local, **dict.fromkeys(PACKAGES, "remote")}


def _scheme(path: str) -> Scheme:
    name = scheme_of(path)
    if name not in SCHEMES:
        raise PairError(
            Reason.SCHEME_UNKNOWN,
            f"{public(path)} is not supported: {name}:// paths are not read; mount or copy it, and "
            "pass that path",
        )
    found = SCHEMES[name]
    return _imported(found) if isinstance(found, str) else found


def _imported(name: str) -> FarScheme:
    return cast(FarScheme, importlib.import_module(f"{__name__}.{name}"))


def open_file(path: str) -> OpenFile:
    """`path`, open for reading.

    Raises FileNotFoundError where it is not there; PairError SCHEME_UNKNOWN, NOT_A_FILE,
    OUTSIDE_ROOTS, or FILE_UNREADABLE for any other failure.
    """
    return _scheme(path).open_file(path)


def read_small(path: str, most: int) -> bytes:
    """All of a file of at most so many bytes.

    Raises as `open_file` does, and ValueError, which does not name the file, for a larger one.
    """
    file = open_file(path)
    if file.size > most:
        raise ValueError(f"it has {file.size} bytes; at most {most} are read")
    return file.read(0, file.size)


def ends_of(path: str, first: int, last: int) -> tuple[bytes, bytes]:
    """How a regular file begins and ends, so many bytes of it, at less cost than opening it;
    nothing where that cannot be read, which opening it explains. Raises PairError SCHEME_UNKNOWN,
    OUTSIDE_ROOTS."""
    return _scheme(path).ends_of(path, first, last)


def state_of(path: str) -> FileState:
    """The state in which `path` is now. Raises OSError, PairError SCHEME_UNKNOWN."""
    return _scheme(path).state_of(path)


def holds(state: FileState) -> bool:
    """Whether a file of which all was read that is wanted is still in `state`. Raises OSError,
    PairError."""
    return _scheme(state.path).holds(state)


def is_same(state: FileState) -> bool:
    """Whether the file of an earlier run is surely in `state` now."""
    try:
        return bool(state.version) and state_of(state.path) == state
    except (OSError, PairError):
        return False


def open_soon(paths: Sequence[str]) -> None:
    """These files will be opened, about in this order."""
    far = [path for path in paths if is_url(path)]
    if far:
        _imported("remote").open_soon(far)


def look_again() -> None:
    """A run begins: what was found before may be untrue by now. Until its work is `planned`, a path
    is looked at once."""
    local.look_again()
    for name in {one for one in SCHEMES.values() if isinstance(one, str)}:
        if f"{__name__}.{name}" in sys.modules:
            _imported(name).look_again()


def planned_state(path: str) -> FileState:
    """As `state_of`, by what mapping saw of it. Raises OSError, PairError SCHEME_UNKNOWN."""
    return state_of(path) if is_url(path) else local.planned_state(path)


def planned() -> None:
    """The work of a run is planned: what is asked from now on is looked at anew."""
    local.planned()


def look_at(path: str) -> Entry | None:
    """What is at `path`, links followed; None where nothing is. Raises PairError."""
    return _scheme(path).look_at(path)


def exists(path: str) -> bool:
    """Whether anything is at `path`, links followed. Raises PairError."""
    return look_at(path) is not None


def is_folder(path: str) -> bool:
    """Whether a folder is at `path`, links followed. Raises PairError."""
    found = look_at(path)
    return found is not None and found.is_folder


def is_file(path: str) -> bool:
    """Whether a regular file is at `path`, links followed. Raises PairError."""
    found = look_at(path)
    return found is not None and found.is_file


def same_file(one: str, two: str) -> bool:
    """Whether both paths lead to one file or folder that is there. Raises PairError."""
    first, second = look_at(one), look_at(two)
    return first is not None and second is not None and first.identity == second.identity


def real_path(path: str) -> str:
    """The absolute path that `path` leads to, links followed; of what is not there, too."""
    return _scheme(path).real_path(path)


def list_folder(path: str) -> Sequence[Entry]:
    """What is in a folder, links followed, by name. Raises FileNotFoundError, PairError."""
    return _scheme(path).list_folder(path)


def names_in(path: str) -> frozenset[str]:
    """What is there in a folder, links followed. Raises FileNotFoundError, PairError."""
    return _scheme(path).names_in(path)


def file_numbers(path: str) -> dict[str, int]:
    """Of the regular files in a folder that are no links, a number each: names of one file have
    the same, and on one device no others. Raises FileNotFoundError, PairError."""
    return _scheme(path).file_numbers(path)
