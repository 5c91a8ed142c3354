"""Recorded paths looked up, and names in the order in which a person counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ait_cmp.files import exists, open_file
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason, UsageError

__all__ = ["first_existing", "missing", "natural", "read_mapping"]

_FILE_LIMIT = 1 << 30  # bytes; some millions of entries


def read_mapping(path: Path) -> bytes:
    """All of a file that says who is compared with whom.

    Raises UsageError for one that is too large or no regular file, OSError where there is none.
    """
    try:
        file = open_file(str(path))
        if file.size > _FILE_LIMIT:
            raise UsageError(f"{path} has {file.size} bytes; at most {_FILE_LIMIT} are read")
        return file.read(0, file.size)
    except PairError as exc:
        raise UsageError(exc.sentence) from exc


def first_existing(candidates: Iterable[str | None]) -> tuple[str | None, list[str]]:
    """The first candidate that is there, and all that were tried."""
    tried: list[str] = []
    for candidate in dict.fromkeys(filter(None, candidates)):
        if exists(split_name(candidate)[0]):
            return candidate, tried
        tried.append(candidate)
    return None, tried


def missing(reason: Reason, tried: list[str]) -> PairError:
    """The error of a tensor that is at none of the places `tried`."""
    side = "my" if reason is Reason.MY_MISSING else "golden"
    hint = "my_path or path_map" if reason is Reason.MY_MISSING else "path_map"
    places = f"at none of {', '.join(tried)}" if len(tried) > 1 else f"not at {tried[0]}"
    return PairError(reason, f"the {side} tensor is {places}; say where it is with {hint}")


def natural(text: str) -> list[int | str]:
    """A key that sorts 2_x before 10_x."""
    # Every second part is the number that the group caught.
    parts = re.split(r"(\d+)", text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
