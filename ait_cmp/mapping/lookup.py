"""Recorded paths looked up, and names in the order in which a person counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ait_cmp.dump_tree import not_saved
from ait_cmp.files import exists, names_in, open_file
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError

__all__ = ["Lookup", "named_files", "natural", "read_mapping", "why_not_saved"]

_NUMBERS = re.compile(r"(\d+)")
_FILE_LIMIT = 1 << 30  # bytes; some millions of entries
_REASON_LIMIT = 4096  # bytes of why a tensor was not saved
_NAMED = 5  # files in a sentence
_OFTEN = 8  # a folder that was asked about so often is listed: one answer for all of its files


def read_mapping(path: str) -> bytes:
    """All of a file that says who is compared with whom.

    Raises UsageError for one that is too large or no regular file, OSError where there is none.
    """
    try:
        file = open_file(path)
        if file.size > _FILE_LIMIT:
            raise UsageError(f"{path} has {file.size} bytes; at most {_FILE_LIMIT} are read")
        return file.read(0, file.size)
    except PairError as exc:
        raise UsageError(exc.sentence) from exc


class Lookup:
    """Finds where the files of one mapping are; what is there is taken to stay."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._listed: dict[str, frozenset[str] | None] = {}

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
                file = split_name(candidate)[0] if "::" in candidate else candidate
                if self._is_there(file):
                    return candidate
            except PairError as exc:
                problem = problem or exc
            tried[candidate] = None
        lost = next(filter(None, map(self._why_not_saved, tried)), None)
        if lost:
            return lost
        named = list(tried)
        if brief and len(named) > 2:
            named = [named[0], named[-1]]
        return problem or _missing(reason, named)

    def _why_not_saved(self, file: str) -> PairError | None:
        folder, name = _parted(not_saved(file))
        names = self._listed.get(folder)
        return why_not_saved(file) if names is None or name in names else None

    def _is_there(self, path: str) -> bool:
        folder, name = _parted(path)
        if folder not in self._listed:
            self._asked[folder] += 1
            if self._asked[folder] < _OFTEN:
                return exists(path)
            self._listed[folder] = _names_in(folder)
        names = self._listed[folder]
        # A file system may know a name by other letters than it lists.
        return exists(path) if names is None or (names and name not in names) else name in names


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


def _parted(path: str) -> tuple[str, str]:
    """The folder of `path`, and its name there."""
    folder, slash, name = path.rpartition("/")
    return folder or slash or ".", name


def _names_in(folder: str) -> frozenset[str] | None:
    """What is in a folder, nothing where it is not there; None where it does not say."""
    try:
        return names_in(folder)
    except FileNotFoundError:
        return frozenset()
    except PairError:
        return None


def _missing(reason: Reason, tried: list[str]) -> PairError:
    side = "my" if reason is Reason.MY_MISSING else "golden"
    hint = "my_path or path_map" if reason is Reason.MY_MISSING else "path_map"
    places = f"at none of {', '.join(tried)}" if len(tried) > 1 else f"not at {tried[0]}"
    return PairError(reason, f"the {side} tensor is {places}; say where it is with {hint}")


def named_files(files: Iterable[str]) -> str:
    """Some files for a sentence, of many the first."""
    names = list(dict.fromkeys(files))
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def natural(text: str) -> list[int | str]:
    """A key that sorts 2_x before 10_x."""
    # Every second part is the number that the group caught.
    parts = _NUMBERS.split(text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
