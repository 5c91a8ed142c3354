"""Pairs whose two sides are one file: they would pass whatever it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ait_cmp.files import file_numbers, same_file
from ait_cmp.source import split_name
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.pair import Pair

__all__ = ["of_two_files"]

_OFTEN = 8  # a folder with so many files of pairs is listed: that tells nearly all of them apart


def of_two_files(pairs: Sequence[Pair]) -> list[Pair]:
    """`pairs`, as errors where both sides are one tensor."""
    numbers = _Numbers()
    return [pair if pair.error else _of_two_files(pair, numbers) for pair in pairs]


def _of_two_files(pair: Pair, numbers: _Numbers) -> Pair:
    for golden in pair.golden.files:
        for my in pair.my.files:
            if numbers.may_be_one(golden, my) and _is_one(golden, my):
                sentence = (
                    f"{golden} and {my} are one file, which tells nothing; pass the other run's, "
                    "or allow_same=true where that is meant"
                )
                return replace(pair, error=PairError(Reason.SAME_FILE, sentence))
    return pair


def _is_one(golden: str, my: str) -> bool:
    (golden_file, golden_name), (my_file, my_name) = split_name(golden), split_name(my)
    try:
        return golden_name == my_name and same_file(golden_file, my_file)
    except PairError:  # which reading it says
        return False


class _Numbers:
    """The numbers of files as listings of their folders tell them, which look at no file."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._listed: dict[str, dict[str, int]] = {}

    def may_be_one(self, golden: str, my: str) -> bool:
        """Whether two tensors may be of one file: not those that are listed with two numbers."""
        number = self._of(golden)
        return number is None or self._of(my) in (None, number)

    def _of(self, location: str) -> int | None:
        """The number of a file, where it is known: that of a link, say, is not."""
        file = split_name(location)[0] if "::" in location else location
        folder, slash, name = file.rpartition("/")
        folder = folder or slash or "."
        numbers = self._listed.get(folder)
        if numbers is None:
            self._asked[folder] += 1
            if self._asked[folder] < _OFTEN:
                return None
            numbers = self._listed[folder] = _numbers(folder)
        return numbers.get(name)


def _numbers(folder: str) -> dict[str, int]:
    try:
        return file_numbers(folder)
    except (PairError, FileNotFoundError):
        return {}
