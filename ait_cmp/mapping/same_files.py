"""Pairs whose two sides are one file: they would pass whatever it holds."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from ait_cmp.files import file_numbers, same_file
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.pair import Pair

__all__ = ["of_two_files"]

_OFTEN = 8  # folders with so many files of pairs are listed: that tells nearly all of them apart
_LISTED = 4  # listings that are kept

_Files = tuple[int, str, str]  # the number of a pair, a golden file of it, a my file


def of_two_files(pairs: Sequence[Pair]) -> list[Pair]:
    """`pairs`, as errors where both sides are one tensor."""
    folders: dict[tuple[str, str], list[_Files]] = {}
    for files_of_pair in _files(pairs):
        _, one, other = files_of_pair
        if "::" in one or "::" in other:
            one, other = split_name(one)[0], split_name(other)[0]
        between = one.rpartition("/")[0], other.rpartition("/")[0]
        folders.setdefault(between, []).append(files_of_pair)
    listed = functools.lru_cache(maxsize=_LISTED)(_numbers)
    found = list(pairs)
    for (golden, my), files in folders.items():
        suspects = files if len(files) < _OFTEN else _suspects(files, listed(golden), listed(my))
        for number, one, other in suspects:
            if not found[number].error and _is_one(one, other):
                sentence = (
                    f"{one} and {other} are one file, which tells nothing; pass the other run's, "
                    "or allow_same=true where that is meant"
                )
                found[number] = pairs[number]._replace(error=PairError(Reason.SAME_FILE, sentence))
    return found


def _files(pairs: Sequence[Pair]) -> Iterator[_Files]:
    for number, pair in enumerate(pairs):
        if pair.error is None:
            for golden in pair.golden.files:
                for my in pair.my.files:
                    yield number, golden, my


def _suspects(
    files: Sequence[_Files], golden: dict[str, int], my: dict[str, int]
) -> Iterator[_Files]:
    """Those that are not listed as two files: the numbers of links, say, are not known."""
    for one in files:
        _, golden_file, my_file = one
        if "::" in golden_file or "::" in my_file:
            golden_file, my_file = split_name(golden_file)[0], split_name(my_file)[0]
        number = golden.get(golden_file.rpartition("/")[2])
        if number is None or my.get(my_file.rpartition("/")[2]) in (None, number):
            yield one


def _is_one(golden: str, my: str) -> bool:
    (golden_file, golden_name), (my_file, my_name) = split_name(golden), split_name(my)
    try:
        return golden_name == my_name and same_file(golden_file, my_file)
    except PairError:  # which reading it says
        return False


def _numbers(folder: str) -> dict[str, int]:
    """The numbers of files as a listing of their folder tells them, which looks at no file."""
    try:
        return file_numbers(folder)
    except (PairError, FileNotFoundError):
        return {}
