"""Recorded paths looked up, and names in the order in which a person counts."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from ait_cmp.dump_tree import not_saved
from ait_cmp.files import exists, names_in, open_file, read_small
from ait_cmp.source import split_name
from ait_cmp.values.errors import AitCmpError, PairError, Reason, UsageError

__all__ = ["Lookup", "named_files", "natural", "read_mapping", "why_not_saved"]

_NUMBERS = re.compile(r"(\d+)")
_FILE_LIMIT = 1 << 30  # bytes; some millions of entries
_REASON_LIMIT = 4096  # bytes of why a tensor was not saved
_NAMED = 5  # files in a sentence
_KEPT = 100_000  # names of listed folders, before those not asked about meanwhile are forgotten
_OFTEN = 8  # a folder that was asked about so often is listed: one answer for all of its files


def read_mapping(path: str) -> bytes:
    """All of a file that says who is compared with whom.

    Raises UsageError for one that is too large or no regular file, OSError where there is none.
    """
    try:
        return read_small(path, _FILE_LIMIT)
    except PairError as exc:
        raise UsageError(exc.sentence) from exc
    except ValueError as exc:
        raise UsageError(f"{path}: {exc}") from exc


class Lookup:
    """Finds where the files of one mapping are; what is there is taken to stay.

    A folder that is asked about often, or in vain, is listed: that tells of all its files.
    """

    def __init__(self) -> None:
        # How often a folder was asked about, then what is in it.
        self._folders: dict[str, int | _Names] = {}
        self._older: dict[str, int | _Names] = {}  # not asked about since there were too many names
        self._names = 0

    def first(
        self, reason: Reason, candidates: Iterable[str | None], *, brief: bool = False
    ) -> str | PairError:
        """The first candidate that is there, or the error of a tensor that is at none of them.

        `brief`: of many that were tried, the error names the first and the last.
        """
        tried: dict[str, None] = {}
        problem: PairError | None = None
        for candidate in candidates:
            if not candidate or candidate in tried:
                continue
            try:
                if self.is_there(candidate):
                    return candidate
            except PairError as exc:
                problem = problem or exc
            tried[candidate] = None
        lost = next(filter(None, map(self._why_not_saved, tried)), None)
        named = list(tried)
        if brief and len(named) > 2:
            named = [named[0], named[-1]]
        return lost or problem or _MissingError(reason, *named)

    def finds(self, location: str) -> bool:
        """Whether the file of `location` is known to be there; where it is not, or looking failed,
        `first` says why."""
        try:
            return self.is_there(location)
        except PairError:
            return False

    def listed(self, folder: str) -> frozenset[str]:
        """The names in a folder that was asked about often enough to be listed; else none."""
        known = self._folders.get(folder)
        return known.there if isinstance(known, _Names) else frozenset()

    def is_there(self, location: str) -> bool:
        """Whether the file of `location`, a path or `file::name`, is there. Raises PairError."""
        file = split_name(location)[0] if "::" in location else location
        folder, slash, name = file.rpartition("/")
        folder = folder or slash or "."
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = self._older.pop(folder, 0)
        if isinstance(known, int):
            if known + 1 < _OFTEN and exists(file):
                self._folders[folder] = known + 1
                return True
            known = self._listed(folder)
        return name in known.there or (known.may_have(name) and exists(file))

    def _listed(self, folder: str) -> _Names:
        """What is in a folder; the folders that were asked about long ago are forgotten."""
        if self._names > _KEPT:
            self._older, self._folders, self._names = self._folders, {}, 0
        found = self._folders[folder] = _names(folder)
        self._names += len(found.there)
        return found

    def _why_not_saved(self, file: str) -> PairError | None:
        folder, slash, name = not_saved(file).rpartition("/")
        folder = folder or slash or "."
        known = self._folders.get(folder)
        if isinstance(known, _Names) and name not in known.there and not known.may_have(name):
            return None
        return why_not_saved(file)


class _Names:
    """What is listed in a folder; all that may be there is asked for where listing it failed."""

    def __init__(self, folder: str, there: frozenset[str], *, failed: bool = False) -> None:
        self._folder = folder
        self.there = there
        self._failed = failed

    def may_have(self, name: str) -> bool:
        """Whether `name` may be there though it is not listed: a file system may know a name by
        other letters than it lists."""
        if not self.there:
            return self._failed
        return self._knows_other_letters or not name.isascii() or not name.strip(".")

    @functools.cached_property
    def _knows_other_letters(self) -> bool:
        for name in self.there:
            other = name.swapcase()
            if name.isascii() and other != name:
                try:
                    return other not in self.there and exists(f"{self._folder}/{other}")
                except PairError:
                    return True
        return False


_NOTHING = _Names("", frozenset())


def _names(folder: str) -> _Names:
    try:
        return _Names(folder, names_in(folder))
    except FileNotFoundError:
        return _NOTHING
    except PairError:
        return _Names(folder, frozenset(), failed=True)


class _MissingError(PairError):
    """The error of a tensor that is at none of the places where it was looked for, of which there
    may be a million: its sentence is made where it is read."""

    def __init__(self, reason: Reason, *tried: str) -> None:
        AitCmpError.__init__(self, reason, *tried)

    @property
    def sentence(self) -> str:
        """What was tried, and what to do."""
        reason, *tried = self.args
        side = "my" if reason is Reason.MY_MISSING else "golden"
        hint = "my_path or path_map" if reason is Reason.MY_MISSING else "path_map"
        places = f"at none of {', '.join(tried)}" if len(tried) > 1 else f"not at {tried[0]}"
        return f"the {side} tensor is {places}; say where it is with {hint}"


def why_not_saved(file: str) -> PairError | None:
    """The error of a tensor in whose place its dump only says why it could not be saved."""
    try:
        found = open_file(not_saved(file))
        why = found.read(0, min(found.size, _REASON_LIMIT)).decode("utf-8", "backslashreplace")
    except (PairError, FileNotFoundError):
        return None
    return PairError(
        Reason.NOT_SAVED,
        f"{file} could not be saved when it was dumped: {why.strip() or 'no reason is given'}",
    )


def named_files(files: Iterable[str]) -> str:
    """Some files for a sentence, of many the first."""
    names = list(dict.fromkeys(files))
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def natural(text: str) -> list[int | str]:
    """A key that sorts 2_x before 10_x."""
    # Every second part is the number that the group caught.
    parts = _NUMBERS.split(text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
