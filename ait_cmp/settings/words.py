"""Arguments `key=value` of commands that take few: text as typed, without a config."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ait_cmp.files.staging import near_report
from ait_cmp.values.errors import UsageError

__all__ = ["folder_in", "make_words_parser", "rows_in", "words_of"]


def make_words_parser(
    name: str, summary: str, keys: Mapping[str, str], row: str = ""
) -> argparse.ArgumentParser:
    """A parser whose help shows `keys`, each with what it says; `row`: of one bare word."""
    shown = "\n".join(f"  {key:12} {said}" for key, said in {**keys, row: row}.items() if said)
    parser = argparse.ArgumentParser(
        prog=f"ait-cmp {name}",
        description=f"{summary}\n\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings, as above")
    return parser


def words_of(words: Sequence[str], keys: Mapping[str, str], *, bare: str = "") -> dict[str, str]:
    """The values of the keys that were given; a word without a key is that of `bare`.

    Raises UsageError for a key that is not there, or given twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if (bare and key not in keys) or not equals:
            key, value = bare, word
        if not key or (key not in keys and key != bare):
            close = difflib.get_close_matches(key or word, keys, n=1)
            hint = f"did you mean {close[0]}=…?" if close else f"write {'=…, '.join(keys)}=…"
            raise UsageError(f"{word!r} is no setting here; {hint}")
        if key in found:
            raise UsageError(f"{key} is given twice; leave one out")
        found[key] = value
    return found


def folder_in(given: Mapping[str, str], key: str) -> Path:
    """Where a finished compare is. Raises UsageError where that is not said."""
    if not given.get(key):
        raise UsageError(f"{key} is missing; pass {key}=FOLDER of a finished compare")
    return near_report(given[key])


def rows_in(given: Mapping[str, str], key: str, default: int) -> int:
    """A number of rows. Raises UsageError for what is none."""
    number = given.get(key, str(default))
    if not number.isdecimal():
        raise UsageError(f"{key}={number} must be a number of rows, 0 or more")
    return int(number)
